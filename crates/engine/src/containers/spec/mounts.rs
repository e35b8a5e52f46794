//! The mounts section: Docker's defaults, the files of /etc, then what the user asked for.

use std::path::Path;

use barge_oci::runtime::{MOUNT_INSIDE, Mount};

use super::Start;
use crate::containers::record::{Access, MountRecord, MountSource, Recursion};
use crate::containers::settings::IpcMode;
use crate::remap::Remap;

/// What /dev/shm holds unless `--shm-size` says otherwise.
pub(crate) const SHM_SIZE: i64 = 64 << 20;

/// All mounts in the order in which they are made: a mount comes after those that it lies in.
pub(super) fn build(start: &Start<'_>) -> Vec<Mount> {
    let mut mounts = defaults(start);
    mounts.extend(etc_files(start));
    let is_covered = |mount: &Mount| {
        start.mounts.iter().any(|(record, _)| {
            record.destination == mount.destination
                || (record.destination == "/dev" && mount.destination.starts_with("/dev/"))
        })
    };
    mounts.retain(|mount| !is_covered(mount));
    mounts.extend(start.mounts.iter().map(|(record, path)| {
        let mount = user_mount(record, path);
        if is_own(start, record) { mapped(start, mount) } else { mount }
    }));
    mounts.sort_by_key(|mount| mount.destination.split('/').count());
    mounts
}

fn mount(destination: &str, kind: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: Some(kind.to_owned()),
        source: Some(kind.to_owned()),
        options: options.iter().map(|&option| option.to_owned()).collect(),
        ..Mount::default()
    }
}

fn bind(destination: &str, source: &Path, options: &[&str]) -> Mount {
    Mount { source: Some(source.display().to_string()), ..mount(destination, "bind", options) }
}

fn defaults(start: &Start<'_>) -> Vec<Mount> {
    let access = if start.record.host_config.privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
    ];
    // Also with the host's network: the host's own tree has writable mounts below it (tracing, debugging, BPF).
    mounts.push(mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", access]));
    mounts.push(mount(
        "/sys/fs/cgroup",
        "cgroup",
        &["nosuid", "noexec", "nodev", "relatime", access],
    ));
    mounts.extend(ipc_mounts(start));
    mounts
}

fn ipc_mounts(start: &Start<'_>) -> Vec<Mount> {
    let size = match start.record.host_config.shm_size {
        0 => SHM_SIZE,
        size => size,
    };
    let size = format!("size={size}");
    let shm_options = ["nosuid", "noexec", "nodev", "mode=1777", &size];
    let queues = mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]);
    match &start.settings.ipc {
        // Not every host has its queues mounted.
        IpcMode::Host => ["/dev/mqueue", "/dev/shm"]
            .into_iter()
            .filter(|path| Path::new(path).is_dir())
            .map(|path| bind(path, Path::new(path), &["rbind", "nosuid", "noexec", "nodev"]))
            .collect(),
        IpcMode::Without => vec![queues],
        IpcMode::Private | IpcMode::Shareable | IpcMode::Container(_) => {
            let shm = match &start.shm {
                Some(path) => bind("/dev/shm", path, &["rbind", "rprivate"]),
                None => mount("/dev/shm", "tmpfs", &shm_options),
            };
            vec![queues, shm]
        }
    }
}

/// Whether the files are ours to give away: a volume's that is no other file system.
fn is_own(start: &Start<'_>, record: &MountRecord) -> bool {
    match &record.source {
        MountSource::Volume { name, .. } => start.own_volumes.contains(name),
        MountSource::Bind { .. } | MountSource::Tmpfs { .. } | MountSource::Image { .. } => false,
    }
}

/// With the owners that the container's ids give its files. What is of the host stays as it is, as in Docker.
fn mapped(start: &Start<'_>, mount: Mount) -> Mount {
    let (uid_mappings, gid_mappings) = start.remap.map(Remap::mappings).unwrap_or_default();
    Mount { uid_mappings, gid_mappings, ..mount }
}

/// Bound over the image's own, so that they are never committed to an image.
fn etc_files(start: &Start<'_>) -> Vec<Mount> {
    let access = if start.record.host_config.readonly_rootfs { "ro" } else { "rw" };
    ["resolv.conf", "hostname", "hosts"]
        .into_iter()
        .map(|name| {
            let path = format!("/etc/{name}");
            let file = bind(&path, &start.files.join(name), &["rbind", "rprivate", access]);
            mapped(start, file)
        })
        .collect()
}

fn user_mount(record: &MountRecord, source: &Path) -> Mount {
    let access = match record.access {
        Access::ReadWrite => "rw",
        Access::ReadOnly | Access::TopReadOnly => "ro",
    };
    match &record.source {
        MountSource::Tmpfs { options } => {
            let mut all = vec![
                "noexec".to_owned(),
                "nosuid".to_owned(),
                "nodev".to_owned(),
                access.to_owned(),
            ];
            for option in options {
                let opposite =
                    option.strip_prefix("no").map_or_else(|| format!("no{option}"), str::to_owned);
                all.retain(|other| *other != opposite && other != option);
                all.push(option.clone());
            }
            Mount { options: all, ..mount(&record.destination, "tmpfs", &[]) }
        }
        MountSource::Bind { recursion, .. } => {
            let bind_word = match recursion {
                Recursion::Recursive => "rbind",
                Recursion::Shallow => "bind",
            };
            let propagation =
                if record.propagation.is_empty() { "rprivate" } else { &record.propagation };
            // What is mounted below the source is read-only too, as in Docker since 25.
            let access = match (record.access, recursion) {
                (Access::ReadOnly, Recursion::Recursive) => "rro",
                (Access::ReadOnly | Access::TopReadOnly | Access::ReadWrite, _) => access,
            };
            bind(&record.destination, source, &[bind_word, propagation, access])
        }
        MountSource::Image { .. } => {
            bind(&record.destination, source, &["rbind", "rprivate", "ro"])
        }
        MountSource::Volume { subpath, .. } => {
            let mut mount = bind(&record.destination, source, &["rbind", "rprivate", access]);
            if !subpath.is_empty() {
                mount.options.push(format!("{MOUNT_INSIDE}{}", subpath.trim_start_matches('/')));
            }
            mount
        }
    }
}
