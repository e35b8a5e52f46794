//! What the runtime gets for a container: the OCI runtime specification's `Spec`, with Docker's defaults.
//!
//! Pure but for looking at devices; what is not known before a start (the mounted root, the namespaces to join) comes
//! in [`Start`].

mod devices;
mod environment;
mod mounts;
mod other;
mod process;

use std::path::{Path, PathBuf};

use barge_oci::runtime::{Linux, LinuxResources, Namespace, NamespaceType, Root, Spec, VERSION};

pub(crate) use environment::merge as merge_environment;
pub(crate) use mounts::SHM_SIZE;
pub(crate) use other::{check_user, complete as complete_for_other, number_user};
pub(crate) use process::exec as exec_process;

use super::record::{ContainerRecord, MountRecord};
use super::settings::{
    CgroupMode, IpcMode, NetworkMode, PidMode, Settings, SystemPaths, UtsMode, block_io,
};
use crate::error::Result;
use crate::remap::Remap;

/// What is known only when a container starts.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) record: &'a ContainerRecord,
    pub(crate) settings: &'a Settings,
    /// The mounted root file system.
    pub(crate) rootfs: &'a Path,
    /// The folder that has `hostname`, `hosts` and `resolv.conf`: another container's when its network is joined.
    pub(crate) files: &'a Path,
    /// Every mount with the path of the host that it comes from.
    pub(crate) mounts: Vec<(MountRecord, PathBuf)>,
    /// The host's folder that is bound on /dev/shm, when it is shared.
    pub(crate) shm: Option<PathBuf>,
    pub(crate) joins: Joins,
    /// `--group-add`, by number.
    pub(crate) groups: Vec<u32>,
    /// The variables of those it is linked to.
    pub(crate) linked: Vec<String>,
    /// How its ids are mapped.
    pub(crate) remap: Option<&'a Remap>,
    /// Volumes whose files show other owners then.
    pub(crate) own_volumes: Vec<String>,
    pub(crate) cgroup: String,
}

/// The first processes of the containers whose namespaces are joined.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Joins {
    pub(crate) network: Option<u32>,
    pub(crate) pid: Option<u32>,
    pub(crate) ipc: Option<u32>,
}

/// Hidden from every container that is not privileged, as in Docker: what tells about the host's hardware or kernel.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Read-only in every container that is not privileged: what changes the host's kernel.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The masked and read-only paths of a container, which `inspect` shows too.
pub(crate) fn default_paths() -> (Vec<String>, Vec<String>) {
    let owned = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect();
    (owned(&MASKED), owned(&READ_ONLY))
}

/// Builds the whole specification.
pub(crate) fn build(start: &Start<'_>) -> Result<Spec> {
    let record = start.record;
    let settings = start.settings;
    let (nodes, rules) = devices::build(record, settings)?;
    let (masked_paths, readonly_paths) = paths(record, settings);
    let block_io = block_io(&start.record.host_config.resources)?;
    let resources = LinuxResources { devices: rules, block_io, ..settings.resources.clone() };
    let process = process::first(record, settings, (&start.groups, &start.linked));
    let (uid_mappings, gid_mappings) = start.remap.map(Remap::mappings).unwrap_or_default();
    let is_own_uts = settings.uts == UtsMode::Private;
    Ok(Spec {
        oci_version: VERSION.to_owned(),
        process: Some(process),
        root: Some(Root {
            path: start.rootfs.display().to_string(),
            readonly: record.host_config.readonly_rootfs,
        }),
        hostname: is_own_uts.then(|| record.config.hostname.clone()),
        domainname: Some(record.config.domainname.clone())
            .filter(|name| is_own_uts && !name.is_empty()),
        linux: Some(Linux {
            sysctl: sysctls(start),
            resources: Some(resources),
            cgroups_path: Some(start.cgroup.clone()),
            namespaces: namespaces(start),
            uid_mappings,
            gid_mappings,
            devices: nodes,
            masked_paths,
            readonly_paths,
            ..Linux::default()
        }),
        annotations: record.host_config.annotations.clone(),
        mounts: mounts::build(start),
        hooks: None,
    })
}

fn paths(record: &ContainerRecord, settings: &Settings) -> (Vec<String>, Vec<String>) {
    if settings.security.system_paths == SystemPaths::Unconfined {
        return (Vec::new(), Vec::new());
    }
    let (masked, readonly) = default_paths();
    let host = &record.host_config;
    (host.masked_paths.clone().unwrap_or(masked), host.readonly_paths.clone().unwrap_or(readonly))
}

/// An own namespace of each kind unless the host's or another container's is used.
fn namespaces(start: &Start<'_>) -> Vec<Namespace> {
    let (settings, joins) = (start.settings, start.joins);
    let own = |kind| Some(Namespace { kind, path: None });
    let joined = |kind, pid: Option<u32>, name: &str| {
        Some(Namespace { kind, path: pid.map(|pid| format!("/proc/{pid}/ns/{name}")) })
    };
    let network = match settings.network {
        NetworkMode::Host => None,
        NetworkMode::Named(_) => own(NamespaceType::Network),
        NetworkMode::Container(_) => joined(NamespaceType::Network, joins.network, "net"),
    };
    let pid = match settings.pid {
        PidMode::Host => None,
        PidMode::Private => own(NamespaceType::Pid),
        PidMode::Container(_) => joined(NamespaceType::Pid, joins.pid, "pid"),
    };
    let ipc = match settings.ipc {
        IpcMode::Host => None,
        IpcMode::Private | IpcMode::Without | IpcMode::Shareable => own(NamespaceType::Ipc),
        IpcMode::Container(_) => joined(NamespaceType::Ipc, joins.ipc, "ipc"),
    };
    let uts = match settings.uts {
        UtsMode::Private => own(NamespaceType::Uts),
        UtsMode::Host => None,
    };
    let cgroup = match settings.cgroup {
        CgroupMode::Private => own(NamespaceType::Cgroup),
        CgroupMode::Host => None,
    };
    // Whose namespaces are shared has to have the same users, to whom they belong.
    let partner = joins.network.or(joins.pid).or(joins.ipc);
    let user = start.remap.and_then(|_| joined(NamespaceType::User, partner, "user"));
    [own(NamespaceType::Mount), network, pid, ipc, uts, cgroup, user]
        .into_iter()
        .flatten()
        .collect()
}

/// The user's, and as in Docker two that let any user of the container bind low ports and ping.
fn sysctls(start: &Start<'_>) -> std::collections::BTreeMap<String, String> {
    let (record, settings) = (start.record, start.settings);
    // The last group that there is.
    let last = start.remap.map_or(0x7fff_ffff, |remap| remap.groups().saturating_sub(1));
    let mut all = std::collections::BTreeMap::new();
    if settings.network.is_own() && !record.host_config.privileged {
        all.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        all.insert("net.ipv4.ping_group_range".to_owned(), format!("0 {last}"));
    }
    let own = &record.host_config.sysctls;
    let is_set = |name: &str| own.keys().any(|key| key.replace('/', ".") == name);
    // A network namespace that was made before its container has this already. To say it of all is to say it of these.
    if start.remap.is_some()
        && settings.network.is_own()
        && !["default", "all"].iter().any(|of| is_set(&format!("net.ipv6.conf.{of}.disable_ipv6")))
        && Path::new("/proc/sys/net/ipv6/conf/default/disable_ipv6").exists()
    {
        all.insert("net.ipv6.conf.default.disable_ipv6".to_owned(), "1".to_owned());
    }
    all.extend(own.clone());
    all
}

#[cfg(test)]
mod tests;
