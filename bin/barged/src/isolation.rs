//! What is said of the walls around containers, in one struct for the command line and the configuration file.

use serde::Deserialize;

use crate::settings::{Conflicts, SettingsError, invalid};

/// The flags and keys; what is not given stays `None`.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct IsolationFlags {
    /// IPC mode of containers that name none: private or shareable (default private)
    #[arg(long, value_name = "MODE")]
    pub(crate) default_ipc_mode: Option<String>,
    /// Cgroup namespace of containers that name none: private or host (default private)
    #[arg(long, value_name = "MODE")]
    pub(crate) default_cgroupns_mode: Option<String>,
}

/// The keys of the configuration file.
pub(crate) const KEYS: [&str; 2] = ["default-ipc-mode", "default-cgroupns-mode"];

/// The same, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct IsolationSettings {
    pub(crate) ipc_mode: String,
    pub(crate) cgroupns_mode: String,
}

impl IsolationFlags {
    /// Takes over what only the file says.
    pub(crate) fn merge(&mut self, file: Self, conflicts: &mut Conflicts) {
        conflicts.one("default-ipc-mode", &mut self.default_ipc_mode, file.default_ipc_mode);
        conflicts.one(
            "default-cgroupns-mode",
            &mut self.default_cgroupns_mode,
            file.default_cgroupns_mode,
        );
    }

    /// The texts are dockerd's.
    pub(crate) fn check(&self) -> Result<IsolationSettings, SettingsError> {
        let ipc_mode = match self.default_ipc_mode.as_deref() {
            None | Some("") => "private",
            Some(mode @ ("private" | "shareable")) => mode,
            Some(mode @ ("host" | "none")) => {
                return Err(invalid(format!(
                    "IPC mode \"{mode}\" is not supported as default value; use \"shareable\" or \"private\""
                )));
            }
            Some(mode) => {
                return Err(invalid(format!(
                    "Default IPC mode setting ({mode}) is invalid; use \"shareable\" or \"private\""
                )));
            }
        };
        let cgroupns_mode = match self.default_cgroupns_mode.as_deref() {
            None => "",
            Some(mode @ ("" | "private" | "host")) => mode,
            Some(mode) => {
                return Err(invalid(format!(
                    "default cgroup namespace mode ({mode}) is invalid; use \"host\" or \"private\""
                )));
            }
        };
        Ok(IsolationSettings {
            ipc_mode: ipc_mode.to_owned(),
            cgroupns_mode: cgroupns_mode.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(flags: &IsolationFlags) -> String {
        flags.check().unwrap_err().to_string()
    }

    #[test]
    fn modes_are_refused_in_dockerds_words() {
        let ipc = |mode: &str| IsolationFlags {
            default_ipc_mode: Some(mode.into()),
            ..IsolationFlags::default()
        };
        assert_eq!(ipc("shareable").check().unwrap().ipc_mode, "shareable");
        assert_eq!(
            refusal(&ipc("host")),
            "IPC mode \"host\" is not supported as default value; use \"shareable\" or \"private\""
        );
        assert!(refusal(&ipc("x")).starts_with("Default IPC mode setting (x) is invalid"));
        let cgroup =
            IsolationFlags { default_cgroupns_mode: Some("x".into()), ..IsolationFlags::default() };
        assert_eq!(
            refusal(&cgroup),
            "default cgroup namespace mode (x) is invalid; use \"host\" or \"private\""
        );
    }
}
