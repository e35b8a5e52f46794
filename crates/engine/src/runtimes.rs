//! Which OCI runtimes containers can be made by: barge's own, and those that the daemon is told of.
//!
//! `runc` is known without being named where it is installed, as every client of Docker expects of that name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use barge_api_types::RuntimeInfo;
use barge_shim_api::OtherRuntime;

use crate::error::{EngineError, Result};

/// Barge's own runtime.
pub(crate) const OWN: &str = "barge";
/// Docker's name for the runtime that it carries with it, and what containerd calls the same.
const STOCK: [&str; 2] = ["runc", "io.containerd.runc.v2"];

/// Another OCI runtime: a program with runc's command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// Its path, or its name in `PATH`.
    pub path: String,
    /// Arguments before those of a verb.
    pub arguments: Vec<String>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Runtimes {
    others: BTreeMap<String, OtherRuntime>,
    default: String,
}

impl Runtimes {
    /// Those that the daemon is told of; `default` is the one of containers that name none.
    pub(crate) fn open(
        configured: &BTreeMap<String, RuntimeConfig>,
        default: &str,
    ) -> Result<Self> {
        let mut others: BTreeMap<String, OtherRuntime> = configured
            .iter()
            .map(|(name, config)| {
                let path = in_path(&config.path).unwrap_or_else(|| PathBuf::from(&config.path));
                let arguments = config.arguments.clone();
                (name.clone(), OtherRuntime { path, arguments })
            })
            .collect();
        if let (false, Some(path)) = (others.contains_key(STOCK[0]), in_path(STOCK[0])) {
            others.insert(STOCK[0].to_owned(), OtherRuntime { path, arguments: Vec::new() });
        }
        let default = if default.is_empty() { OWN } else { default };
        let runtimes = Self { others, default: default.to_owned() };
        match runtimes.find(default) {
            Ok(_) => Ok(runtimes),
            Err(_) => Err(EngineError::Invalid(format!(
                "specified default runtime '{default}' does not exist"
            ))),
        }
    }

    /// The runtime of this name; none is our own.
    pub(crate) fn find(&self, name: &str) -> Result<Option<&OtherRuntime>> {
        let name = if STOCK.contains(&name) { STOCK[0] } else { name };
        match self.others.get(name) {
            Some(other) => Ok(Some(other)),
            None if name.is_empty() || name == OWN => Ok(None),
            None => Err(EngineError::Invalid(format!("unknown or invalid runtime name: {name}"))),
        }
    }

    /// The runtime of a container that exists. Until other runtimes were known, Docker's names were taken for our own:
    /// where nothing has such a name they still are.
    pub(crate) fn find_recorded(&self, name: &str) -> Result<Option<&OtherRuntime>> {
        match self.find(name) {
            Err(_) if STOCK.contains(&name) => Ok(None),
            found => found,
        }
    }

    /// The one of containers that name none.
    pub(crate) fn default_name(&self) -> &str {
        &self.default
    }

    /// What `info` shows.
    pub(crate) fn view(&self, own: &Path) -> BTreeMap<String, RuntimeInfo> {
        let text = |path: &Path| path.display().to_string();
        let own = RuntimeInfo { path: text(own), ..RuntimeInfo::default() };
        let others = self.others.iter().map(|(name, other)| {
            let runtime_args = other.arguments.clone();
            let info =
                RuntimeInfo { path: text(&other.path), runtime_args, ..RuntimeInfo::default() };
            (name.clone(), info)
        });
        std::iter::once((OWN.to_owned(), own)).chain(others).collect()
    }
}

/// A program without a slash in its name is looked for in `PATH`.
fn in_path(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return None;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtimes(default: &str) -> Result<Runtimes> {
        let config = RuntimeConfig { path: "/opt/x".into(), arguments: vec!["--debug".into()] };
        let configured = BTreeMap::from([
            ("mine".to_owned(), config.clone()),
            ("runc".to_owned(), RuntimeConfig { path: "/opt/runc".into(), ..config }),
        ]);
        Runtimes::open(&configured, default)
    }

    #[test]
    fn names_are_found_or_refused_in_dockers_words() {
        let all = runtimes("").unwrap();
        assert_eq!(all.default_name(), "barge");
        assert_eq!(all.find("").unwrap(), None);
        assert_eq!(all.find("mine").unwrap().unwrap().path, Path::new("/opt/x"));
        let stock = all.find("io.containerd.runc.v2").unwrap().unwrap();
        assert_eq!(stock.path, Path::new("/opt/runc"));
        assert_eq!(
            all.find("kata").unwrap_err().message(),
            "unknown or invalid runtime name: kata"
        );
    }

    #[test]
    fn dockers_names_in_old_records_are_our_own_where_nothing_has_them() {
        let none = Runtimes { others: BTreeMap::new(), default: OWN.to_owned() };
        for name in STOCK {
            assert_eq!(none.find_recorded(name).unwrap(), None);
            assert!(none.find(name).is_err(), "a new container cannot have {name}");
        }
        assert!(none.find_recorded("kata").is_err());
        let known = runtimes("").unwrap();
        assert_eq!(known.find_recorded("runc").unwrap().unwrap().path, Path::new("/opt/runc"));
    }

    #[test]
    fn the_default_has_to_be_one_of_them() {
        assert_eq!(runtimes("mine").unwrap().default_name(), "mine");
        assert_eq!(
            runtimes("kata").unwrap_err().message(),
            "specified default runtime 'kata' does not exist"
        );
    }

    #[test]
    fn all_are_shown_with_what_they_are_given() {
        let view = runtimes("").unwrap().view(Path::new("/own"));
        assert_eq!(view["barge"].path, "/own");
        assert_eq!(view["mine"].runtime_args, ["--debug"]);
    }
}
