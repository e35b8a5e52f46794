//! What is said of the walls around containers, in one struct for the command line and the configuration file.

use barge_engine::RealtimeBudget;
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
    /// Run an init in every container that forwards signals and reaps processes
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) init: Option<bool>,
    /// Forbid processes of containers to gain privileges unless the container says otherwise
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) no_new_privileges: Option<bool>,
    /// Seccomp profile of containers: a file, unconfined or builtin (default builtin)
    #[arg(long, value_name = "PROFILE")]
    pub(crate) seccomp_profile: Option<String>,
    /// Give containers other ids on the host, from the ranges in /etc/subuid and /etc/subgid: default, or a user and optionally its group (USER:GROUP, UID:GID)
    #[arg(long, value_name = "USER")]
    pub(crate) userns_remap: Option<String>,
    /// Period in microseconds of the containers' real-time budget (cgroup v1)
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_rt_period: Option<u64>,
    /// Microseconds of each period that all containers together may run in real time (cgroup v1)
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_rt_runtime: Option<i64>,
}

/// The keys of the configuration file.
pub(crate) const KEYS: [&str; 8] = [
    "userns-remap",
    "default-ipc-mode",
    "default-cgroupns-mode",
    "init",
    "no-new-privileges",
    "seccomp-profile",
    "cpu-rt-period",
    "cpu-rt-runtime",
];

/// The same, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct IsolationSettings {
    pub(crate) ipc_mode: String,
    pub(crate) cgroupns_mode: String,
    pub(crate) init: bool,
    /// Security options of containers.
    pub(crate) security: Vec<String>,
    pub(crate) realtime: RealtimeBudget,
    pub(crate) userns_remap: String,
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
        conflicts.one("init", &mut self.init, file.init);
        conflicts.one("no-new-privileges", &mut self.no_new_privileges, file.no_new_privileges);
        conflicts.one("seccomp-profile", &mut self.seccomp_profile, file.seccomp_profile);
        conflicts.one("userns-remap", &mut self.userns_remap, file.userns_remap);
        conflicts.one("cpu-rt-period", &mut self.cpu_rt_period, file.cpu_rt_period);
        conflicts.one("cpu-rt-runtime", &mut self.cpu_rt_runtime, file.cpu_rt_runtime);
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
            init: self.init == Some(true),
            security: self.security()?,
            userns_remap: self.userns_remap.clone().unwrap_or_default(),
            realtime: RealtimeBudget {
                period: self.cpu_rt_period.unwrap_or_default(),
                runtime: self.cpu_rt_runtime.unwrap_or_default(),
            },
        })
    }

    fn security(&self) -> Result<Vec<String>, SettingsError> {
        let mut options = Vec::new();
        if self.no_new_privileges == Some(true) {
            options.push("no-new-privileges".to_owned());
        }
        match self.seccomp_profile.as_deref() {
            None | Some("" | "builtin") => {}
            Some("unconfined") => options.push("seccomp=unconfined".to_owned()),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    invalid(format!("opening seccomp profile ({path}) failed: {error}"))
                })?;
                barge_seccomp::Profile::from_json(text.as_bytes()).map_err(|error| {
                    invalid(format!("seccomp profile ({path}) cannot be used: {error}"))
                })?;
                options.push(format!("seccomp={text}"));
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(flags: &IsolationFlags) -> String {
        flags.check().unwrap_err().to_string()
    }

    #[test]
    fn profiles_are_read_and_checked_at_once() {
        let with = |profile: &str| IsolationFlags {
            seccomp_profile: Some(profile.into()),
            no_new_privileges: Some(true),
            ..IsolationFlags::default()
        };
        assert_eq!(with("builtin").check().unwrap().security, ["no-new-privileges"]);
        assert_eq!(with("unconfined").check().unwrap().security[1], "seccomp=unconfined");
        assert!(refusal(&with("/does/not/exist")).starts_with("opening seccomp profile"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "{").unwrap();
        assert!(refusal(&with(file.path().to_str().unwrap())).contains("cannot be used"));
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
