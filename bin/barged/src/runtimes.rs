//! OCI runtimes: `--add-runtime NAME=PATH` on the command line, the object `runtimes` in the configuration file.

use std::collections::BTreeMap;

use barge_engine::RuntimeConfig;
use serde::Deserialize;
use serde_json::Value;

use crate::settings::{Conflicts, SettingsError, invalid};

/// What is said of runtimes.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct RuntimeFlags {
    /// OCI runtime that containers can be made by, as NAME=PATH; may be repeated
    #[arg(long = "add-runtime", value_name = "NAME=PATH")]
    #[serde(skip)]
    pub(crate) add: Vec<String>,
    #[arg(skip)]
    runtimes: Option<BTreeMap<String, Entry>>,
    /// OCI runtime of containers that name none (default barge)
    #[arg(long, value_name = "NAME")]
    pub(crate) default_runtime: Option<String>,
    /// Folder with descriptions of devices (CDI); may be repeated (default /etc/cdi and /var/run/cdi)
    #[arg(long = "cdi-spec-dir", value_name = "PATH")]
    #[serde(skip)]
    cdi_folders: Vec<String>,
    #[arg(skip)]
    cdi_spec_dirs: Option<Vec<String>>,
}

/// The keys of the configuration file.
pub(crate) const KEYS: [&str; 3] = ["runtimes", "default-runtime", "cdi-spec-dirs"];

/// A runtime in the configuration file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Entry {
    path: String,
    runtime_args: Vec<String>,
    /// containerd's name of a shim; the one that drives programs like runc is ours, too.
    runtime_type: String,
    options: BTreeMap<String, Value>,
}

/// The same, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RuntimeSettings {
    pub(crate) runtimes: BTreeMap<String, RuntimeConfig>,
    pub(crate) default: String,
    /// Empty is the engine's own choice.
    pub(crate) cdi_folders: Vec<String>,
}

impl RuntimeFlags {
    /// Takes over what only the file says; the runtimes of both come together.
    pub(crate) fn merge(&mut self, file: Self, conflicts: &mut Conflicts) {
        conflicts.one("default-runtime", &mut self.default_runtime, file.default_runtime);
        self.runtimes = file.runtimes;
        let folders = file.cdi_spec_dirs.unwrap_or_default();
        conflicts.list("cdi-spec-dirs", &mut self.cdi_folders, folders);
    }

    /// The texts are dockerd's.
    pub(crate) fn check(&self) -> Result<RuntimeSettings, SettingsError> {
        let mut runtimes = BTreeMap::new();
        for (name, entry) in self.runtimes.iter().flatten() {
            runtimes.insert(name.clone(), entry.check(name)?);
        }
        for text in &self.add {
            let wrong = || invalid(format!("invalid runtime argument: {text}"));
            let (name, path) = text.split_once('=').ok_or_else(wrong)?;
            let (name, path) = (name.trim(), path.trim());
            if name.is_empty() || path.is_empty() {
                return Err(wrong());
            }
            if name == "barge" {
                return Err(reserved(name));
            }
            let config = RuntimeConfig { path: path.to_owned(), ..RuntimeConfig::default() };
            if runtimes.insert(name.to_owned(), config).is_some() {
                return Err(invalid(format!("runtime '{name}' was already defined")));
            }
        }
        Ok(RuntimeSettings {
            runtimes,
            default: self.default_runtime.clone().unwrap_or_default(),
            cdi_folders: self.cdi_folders.clone(),
        })
    }
}

fn reserved(name: &str) -> SettingsError {
    invalid(format!("runtime name '{name}' is reserved"))
}

impl Entry {
    fn check(&self, name: &str) -> Result<RuntimeConfig, SettingsError> {
        if name == "barge" {
            return Err(reserved(name));
        }
        let path = match self.runtime_type.as_str() {
            "" if self.path.is_empty() => {
                return Err(invalid(format!(
                    "runtime {name}: either a runtimeType or a path must be configured"
                )));
            }
            "" if !self.options.is_empty() => {
                return Err(invalid(format!(
                    "runtime {name}: options cannot be used with a path and no runtimeType"
                )));
            }
            "" => self.path.clone(),
            _ if !self.path.is_empty() => {
                return Err(invalid(format!(
                    "runtime {name}: cannot configure both path and runtimeType for the same runtime"
                )));
            }
            "io.containerd.runc.v2" => self.binary_name(name)?,
            kind => {
                return Err(invalid(format!(
                    "runtime {name}: runtimeType {kind} is not supported by barge: only io.containerd.runc.v2 is"
                )));
            }
        };
        Ok(RuntimeConfig { path, arguments: self.runtime_args.clone() })
    }

    /// The one option that is about the program.
    fn binary_name(&self, name: &str) -> Result<String, SettingsError> {
        let mut path = "runc".to_owned();
        for (key, value) in &self.options {
            match (key.as_str(), value.as_str()) {
                ("BinaryName", Some(text)) => text.clone_into(&mut path),
                _ => {
                    return Err(invalid(format!(
                        "runtime {name}: option {key} is not supported by barge"
                    )));
                }
            }
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> RuntimeFlags {
        serde_json::from_str(text).unwrap()
    }

    fn refusal(flags: &RuntimeFlags) -> String {
        flags.check().unwrap_err().to_string()
    }

    #[test]
    fn both_forms_of_the_file_name_a_program() {
        let settings = file(
            r#"{"runtimes": {"a": {"path": "/opt/a", "runtimeArgs": ["--debug"]},
                "b": {"runtimeType": "io.containerd.runc.v2", "options": {"BinaryName": "/opt/b"}}},
                "default-runtime": "a"}"#,
        )
        .check()
        .unwrap();
        assert_eq!(settings.default, "a");
        assert_eq!(settings.runtimes["a"].arguments, ["--debug"]);
        assert_eq!(settings.runtimes["b"].path, "/opt/b");
    }

    #[test]
    fn flags_add_to_the_file_and_take_nothing_twice() {
        let mut flags = RuntimeFlags { add: vec!["c=/opt/c".into()], ..RuntimeFlags::default() };
        let named = || file(r#"{"runtimes": {"a": {"path": "/opt/a"}}}"#);
        flags.merge(named(), &mut Conflicts::default());
        let names: Vec<String> = flags.check().unwrap().runtimes.into_keys().collect();
        assert_eq!(names, ["a", "c"]);
        flags.add.push("a=/x".into());
        assert_eq!(refusal(&flags), "runtime 'a' was already defined");
        for (text, said) in [
            ("x", "invalid runtime argument: x"),
            ("x=", "invalid runtime argument: x="),
            ("barge=/x", "runtime name 'barge' is reserved"),
        ] {
            let flags = RuntimeFlags { add: vec![text.into()], ..RuntimeFlags::default() };
            assert_eq!(refusal(&flags), said);
        }
    }

    #[test]
    fn what_is_no_runtime_is_refused_by_name() {
        for (entry, said) in [
            ("{}", "either a runtimeType or a path must be configured"),
            (r#"{"path": "/a", "runtimeType": "x"}"#, "cannot configure both path and runtimeType"),
            (
                r#"{"runtimeType": "io.containerd.kata.v2"}"#,
                "io.containerd.kata.v2 is not supported",
            ),
            (
                r#"{"runtimeType": "io.containerd.runc.v2", "options": {"SystemdCgroup": true}}"#,
                "option SystemdCgroup is not supported",
            ),
        ] {
            let flags = file(&format!(r#"{{"runtimes": {{"x": {entry}}}}}"#));
            assert!(refusal(&flags).contains(said), "{}", refusal(&flags));
        }
    }
}
