//! What a container may do: capabilities, seccomp, and the like.

use std::collections::BTreeSet;

use barge_api_types::HostConfig;
use barge_sys::caps::Capability;

use super::{SecurityModules, invalid};
use crate::error::{EngineError, Result};

/// What a container may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Security {
    /// Names with `CAP_`, in the kernel's order.
    pub(crate) capabilities: Vec<String>,
    pub(crate) seccomp: SeccompChoice,
    pub(crate) privileges: NewPrivileges,
    pub(crate) system_paths: SystemPaths,
    pub(crate) apparmor: Option<String>,
}

/// Which system calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SeccompChoice {
    Default,
    Unconfined,
    /// A profile in Docker's JSON, which the client has read.
    Profile(String),
}

/// Whether an exec can gain privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewPrivileges {
    Allowed,
    Denied,
}

/// Whether paths of /proc and /sys are hidden or read-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SystemPaths {
    Confined,
    Unconfined,
}

/// What a container has unless something else is asked: Docker's fourteen.
const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

impl Security {
    pub(crate) fn parse(host: &HostConfig, modules: SecurityModules) -> Result<Self> {
        let capabilities = capabilities(host)?;
        let mut security = Self {
            capabilities,
            seccomp: if host.privileged {
                SeccompChoice::Unconfined
            } else {
                SeccompChoice::Default
            },
            privileges: NewPrivileges::Allowed,
            system_paths: if host.privileged {
                SystemPaths::Unconfined
            } else {
                SystemPaths::Confined
            },
            apparmor: None,
        };
        for option in &host.security_opt {
            security.apply(option, modules)?;
        }
        Ok(security)
    }

    fn apply(&mut self, option: &str, modules: SecurityModules) -> Result<()> {
        let wrong = || invalid(format!("invalid --security-opt 2: {option:?}"));
        let (key, value) = match option.split_once('=').or_else(|| option.split_once(':')) {
            Some((key, value)) => (key, value),
            None => (option, "true"),
        };
        match (key, value) {
            ("no-new-privileges", "true") => self.privileges = NewPrivileges::Denied,
            ("no-new-privileges", "false") => self.privileges = NewPrivileges::Allowed,
            ("seccomp", "unconfined") => self.seccomp = SeccompChoice::Unconfined,
            ("seccomp", "builtin") => self.seccomp = SeccompChoice::Default,
            ("seccomp", profile) => {
                barge_seccomp::Profile::from_json(profile.as_bytes())?;
                self.seccomp = SeccompChoice::Profile(profile.to_owned());
            }
            ("systempaths", "unconfined") => self.system_paths = SystemPaths::Unconfined,
            ("apparmor", profile) => {
                let is_real = profile != "unconfined" && modules.apparmor;
                self.apparmor = is_real.then(|| profile.to_owned());
            }
            // Nothing is labelled, so there is nothing to switch off.
            ("label", "disable") => {}
            ("label", _) if !modules.selinux => {}
            ("label", _) => {
                return Err(EngineError::NotImplemented(format!(
                    "--security-opt {option} is not supported by barge: SELinux labels are not set"
                )));
            }
            _ => return Err(wrong()),
        }
        Ok(())
    }
}

/// `--cap-add` and `--cap-drop` on the default set, in Docker's order: drops of `ALL` first, then adds.
fn capabilities(host: &HostConfig) -> Result<Vec<String>> {
    let add = names(&host.cap_add, "CapAdd")?;
    let drop = names(&host.cap_drop, "CapDrop")?;
    let has_all = |names: &BTreeSet<&str>| names.contains("ALL");
    let is_in = |name: &str| {
        if host.privileged {
            return true;
        }
        match (has_all(&add), has_all(&drop)) {
            (true, _) => !drop.contains(name),
            (false, true) => add.contains(name),
            (false, false) => {
                (DEFAULT.contains(&name) && !drop.contains(name)) || add.contains(name)
            }
        }
    };
    Ok(known().filter(|name| is_in(name)).map(str::to_owned).collect())
}

fn names<'a>(list: &[String], field: &str) -> Result<BTreeSet<&'a str>> {
    list.iter()
        .map(|text| {
            let upper = text.to_ascii_uppercase();
            if upper == "ALL" {
                return Ok("ALL");
            }
            let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
            known()
                .find(|name| *name == full)
                .ok_or_else(|| invalid(format!("invalid {field}: unknown capability: \"{full}\"")))
        })
        .collect()
}

/// Every capability, for a privileged exec.
pub(crate) fn all_capabilities() -> Vec<String> {
    known().map(str::to_owned).collect()
}

/// All of them, in the kernel's order.
fn known() -> impl Iterator<Item = &'static str> {
    Capability::all().map(Capability::name)
}
