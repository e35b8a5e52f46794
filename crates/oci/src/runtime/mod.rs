//! The runtime specification (1.2): `config.json` of a bundle and the state of a container.
//!
//! One file per section of the specification. Solaris, Windows and VM sections are not modelled:
//! they are ignored on reading, as the specification asks for unknown fields.

mod hooks;
mod linux;
mod process;
mod resources;
mod seccomp;
mod state;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::serde_go::{is_default, null_as_default};

pub use hooks::{Hook, Hooks};
pub use linux::{
    Linux, LinuxDevice, LinuxIdMapping, LinuxIntelRdt, LinuxPersonality, LinuxTimeOffset,
    Namespace, NamespaceType,
};
pub use process::{
    ConsoleSize, ExecCpuAffinity, IoPriority, LinuxCapabilities, Process, Rlimit, Scheduler, User,
};
pub use resources::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxHugepageLimit, LinuxInterfacePriority,
    LinuxMemory, LinuxNetwork, LinuxPids, LinuxRdma, LinuxResources, LinuxThrottleDevice,
    LinuxWeightDevice,
};
pub use seccomp::{
    LinuxSeccomp, LinuxSeccompArg, LinuxSyscall, SeccompAction, SeccompArch, SeccompOperator,
};
pub use state::{ContainerStatus, State};

/// The version of the specification that barge writes.
pub const VERSION: &str = "1.2.1";

/// A bundle's `config.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Version of the specification the bundle complies with.
    pub oci_version: String,
    /// The process to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The root file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// Host name of the UTS namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// NIS domain name of the UTS namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Mounts besides the root, in the order they are made.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub mounts: Vec<Mount>,
    /// Programs run at points of the life cycle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// Free text of the bundle's maker.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
    /// What only Linux has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
}

/// The container's root file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Folder, absolute or relative to the bundle.
    pub path: String,
    /// Whether it is mounted read-only.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub readonly: bool,
}

/// The word of a mount's options, before a path, that means that folder of the source alone: it is looked up with the
/// source as the root. barge's own, and known to its runtime only.
pub const MOUNT_INSIDE: &str = "x-barge.inside=";

/// One mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where, absolute inside the container.
    pub destination: String,
    /// File system type; absent for a bind.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Device, folder or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// As in fstab(5), plus the specification's own words.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub options: Vec<String>,
    /// User ids of an id-mapped mount.
    #[serde(
        rename = "uidMappings",
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "is_default"
    )]
    pub uid_mappings: Vec<LinuxIdMapping>,
    /// Group ids of an id-mapped mount.
    #[serde(
        rename = "gidMappings",
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "is_default"
    )]
    pub gid_mappings: Vec<LinuxIdMapping>,
}

#[cfg(test)]
mod tests;
