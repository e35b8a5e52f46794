//! What a specification may ask for: refused here, before anything is made, is what nobody would do later.

use barge_oci::runtime::{Linux, Mount, NamespaceType, Process, Spec};

use crate::error::{Stage, StartError};

fn refuse<T>(text: impl Into<String>) -> Result<T, StartError> {
    Err(StartError::new(Stage::Validate, text))
}

/// A container's specification.
pub(crate) fn spec(spec: &Spec) -> Result<(), StartError> {
    if spec.root.is_none() {
        return refuse("the specification has no root");
    }
    match &spec.process {
        Some(process) => self::process(process)?,
        None => return refuse("the specification has no process"),
    }
    if spec.hooks.as_ref().is_some_and(|hooks| *hooks != barge_oci::runtime::Hooks::default()) {
        return refuse("hooks are not supported");
    }
    let Some(linux) = &spec.linux else {
        return Ok(());
    };
    let unsupported = [
        ("linux.intelRdt", linux.intel_rdt.is_some()),
        ("linux.personality", linux.personality.is_some()),
        ("linux.timeOffsets", !linux.time_offsets.is_empty()),
    ];
    if let Some((name, _)) = unsupported.iter().find(|(_, is_asked)| *is_asked) {
        return refuse(format!("{name} is not supported"));
    }
    for mount in &spec.mounts {
        self::mount(mount)?;
        mappings(mount, linux)?;
    }
    let has = |kind| linux.namespaces.iter().any(|namespace| namespace.kind == kind);
    let names = [("hostname", spec.hostname.is_some()), ("domainname", spec.domainname.is_some())];
    let misplaced = names.iter().find(|(_, is_asked)| *is_asked && !has(NamespaceType::Uts));
    if let Some((name, _)) = misplaced {
        return refuse(format!("unable to set {name} without a private UTS namespace"));
    }
    if has(NamespaceType::User) && (linux.uid_mappings.is_empty() || linux.gid_mappings.is_empty())
    {
        let given = |kind| linux.namespaces.iter().any(|n| n.kind == kind && n.path.is_some());
        if !given(NamespaceType::User) {
            return refuse("a user namespace needs mappings of user and group ids");
        }
    }
    for name in linux.sysctl.keys() {
        sysctl(name, &has)?;
    }
    Ok(())
}

/// A process of a container.
pub(crate) fn process(process: &Process) -> Result<(), StartError> {
    if process.args.is_empty() {
        return refuse("args must not be empty");
    }
    if !process.cwd.starts_with('/') {
        return refuse("Cwd must be an absolute path");
    }
    let unsupported = [
        ("scheduler", process.scheduler.is_some()),
        ("ioPriority", process.io_priority.is_some()),
        ("execCPUAffinity", process.exec_cpu_affinity.is_some()),
    ];
    if let Some((name, _)) = unsupported.iter().find(|(_, is_asked)| *is_asked) {
        return refuse(format!("process.{name} is not supported"));
    }
    Ok(())
}

/// Files of /proc that may be covered; anything else there could make init write to the wrong one.
const COVERABLE: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// The kernel's, or the host's shown to the container: masked paths and labels are written below it.
fn is_proc(mount: &Mount) -> bool {
    let is_bind = mount.options.iter().any(|option| option == "bind" || option == "rbind");
    match mount.kind.as_deref() {
        Some("proc") if !is_bind => true,
        _ => mount.source.as_deref() == Some("/proc"),
    }
}

fn mount(mount: &Mount) -> Result<(), StartError> {
    use std::path::{Component, Path};
    let path = Path::new(&mount.destination);
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return refuse(format!(
            "mount destination {:?} is not a plain absolute path",
            mount.destination
        ));
    }
    if path == Path::new("/proc") && !is_proc(mount) {
        return refuse(format!(
            "{:?} cannot be mounted because it is not of type proc",
            mount.destination
        ));
    }
    let inside = path.starts_with("/proc") && path != Path::new("/proc");
    if inside && !COVERABLE.iter().any(|file| path == Path::new(file)) {
        return refuse(format!(
            "{:?} cannot be mounted because it is inside /proc",
            mount.destination
        ));
    }
    if is_bind(mount) && !mount.source.as_deref().is_some_and(|source| source.starts_with('/')) {
        return refuse(format!(
            "the source of the bind mount at {:?} must be an absolute path",
            mount.destination
        ));
    }
    if mount.options.iter().any(|option| option == "tmpcopyup") {
        return refuse("the mount option tmpcopyup is not supported");
    }
    Ok(())
}

/// Owners of a bind can be those that the container's own user namespace gives them.
fn mappings(mount: &Mount, linux: &Linux) -> Result<(), StartError> {
    if mount.uid_mappings.is_empty() && mount.gid_mappings.is_empty() {
        return Ok(());
    }
    let is_own = mount.uid_mappings == linux.uid_mappings
        && mount.gid_mappings == linux.gid_mappings
        && linux.namespaces.iter().any(|namespace| namespace.kind == NamespaceType::User);
    if is_own && is_bind(mount) {
        return Ok(());
    }
    refuse(format!(
        "mount {}: id mappings are supported for a bind only, and those of the container only",
        mount.destination
    ))
}

fn is_bind(mount: &Mount) -> bool {
    mount.kind.as_deref() == Some("bind")
        || mount.options.iter().any(|option| option == "bind" || option == "rbind")
}

/// Settings of the container's own namespaces only: everything else is the host's.
fn sysctl(name: &str, has: &dyn Fn(NamespaceType) -> bool) -> Result<(), StartError> {
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    // Both forms of sysctl(8) are taken: with dots, and with slashes (a dot is then part of a name).
    let dotted = match (name.find('.'), name.find('/')) {
        (_, None) => name.to_owned(),
        (Some(dot), Some(slash)) if dot < slash => name.to_owned(),
        (_, Some(_)) => name.replace('/', "."),
    };
    let needs = if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
        NamespaceType::Ipc
    } else if dotted.starts_with("net.") {
        NamespaceType::Network
    } else if dotted == "kernel.domainname" {
        NamespaceType::Uts
    } else if dotted.starts_with("user.") {
        NamespaceType::User
    } else if dotted == "kernel.hostname" {
        return refuse("sysctl \"kernel.hostname\" conflicts with the hostname");
    } else {
        return refuse(format!("sysctl {name:?} is not in a separate kernel namespace"));
    };
    if has(needs) {
        return Ok(());
    }
    refuse(format!("sysctl {name:?} is not allowed in the hosts {needs} namespace"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(kind: NamespaceType) -> impl Fn(NamespaceType) -> bool {
        move |asked| asked == kind
    }

    #[test]
    fn only_a_procfs_is_mounted_on_proc() {
        let on_proc = |kind: &str, source: &str, options: &[&str]| Mount {
            destination: "/proc".to_owned(),
            kind: Some(kind.to_owned()),
            source: Some(source.to_owned()),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            ..Mount::default()
        };
        assert!(mount(&on_proc("proc", "proc", &["nosuid"])).is_ok());
        assert!(mount(&on_proc("bind", "/proc", &["rbind"])).is_ok());
        for other in [on_proc("bind", "/tmp", &["rbind"]), on_proc("tmpfs", "tmpfs", &[])] {
            assert!(mount(&other).unwrap_err().message.contains("not of type proc"));
        }
        assert!(mount(&on_proc("proc", "/tmp", &["bind"])).is_err());
    }

    #[test]
    fn settings_of_the_host_are_refused() {
        let network = only(NamespaceType::Network);
        assert!(sysctl("net.ipv4.ip_forward", &network).is_ok());
        assert!(sysctl("net/ipv4/conf/eth0.1/forwarding", &network).is_ok());
        assert!(sysctl("kernel.shmmax", &network).is_err());
        let error = sysctl("vm.swappiness", &network).unwrap_err();
        assert_eq!(error.message, "sysctl \"vm.swappiness\" is not in a separate kernel namespace");
        let error = sysctl("net.ipv4.ip_forward", &only(NamespaceType::Ipc)).unwrap_err();
        assert!(error.message.contains("is not allowed in the hosts network namespace"));
    }
}
