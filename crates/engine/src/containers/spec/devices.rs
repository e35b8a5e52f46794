//! Device nodes and the rules by which they can be used.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use barge_api_types::DeviceMapping;
use barge_oci::runtime::{LinuxDevice, LinuxDeviceCgroup};

use crate::containers::record::ContainerRecord;
use crate::containers::settings::{Settings, invalid};
use crate::error::{EngineError, Result};

/// Allowed in every container: making any node, and using those that the runtime always makes.
const DEFAULT_RULES: [(&str, Option<i64>, Option<i64>, &str); 11] = [
    ("c", None, None, "m"),
    ("b", None, None, "m"),
    ("c", Some(1), Some(3), "rwm"), // null
    ("c", Some(1), Some(5), "rwm"), // zero
    ("c", Some(1), Some(7), "rwm"), // full
    ("c", Some(1), Some(8), "rwm"), // random
    ("c", Some(1), Some(9), "rwm"), // urandom
    ("c", Some(5), Some(0), "rwm"), // tty
    ("c", Some(5), Some(1), "rwm"), // console
    ("c", Some(5), Some(2), "rwm"), // ptmx
    ("c", Some(136), None, "rwm"),  // pts
];

/// The nodes to make besides the runtime's own, and all rules.
pub(super) fn build(
    record: &ContainerRecord,
    settings: &Settings,
) -> Result<(Vec<LinuxDevice>, Vec<LinuxDeviceCgroup>)> {
    let mut nodes = Vec::new();
    if record.host_config.privileged {
        collect(Path::new("/dev"), Path::new("/dev"), &mut nodes)?;
        return Ok((nodes, vec![rule(true, "a", (None, None), "rwm")]));
    }
    let mut rules = vec![rule(false, "a", (None, None), "rwm")];
    rules.extend(
        DEFAULT_RULES
            .iter()
            .map(|(kind, major, minor, access)| rule(true, kind, (*major, *minor), access)),
    );
    for mapping in &record.host_config.resources.devices {
        let from = nodes.len();
        map(mapping, &mut nodes)?;
        let access =
            if mapping.cgroup_permissions.is_empty() { "rwm" } else { &mapping.cgroup_permissions };
        rules.extend(
            nodes[from..]
                .iter()
                .map(|node| rule(true, &node.kind, (Some(node.major), Some(node.minor)), access)),
        );
    }
    rules.extend(settings.resources.devices.clone());
    Ok((nodes, rules))
}

fn rule(
    allow: bool,
    kind: &str,
    numbers: (Option<i64>, Option<i64>),
    access: &str,
) -> LinuxDeviceCgroup {
    LinuxDeviceCgroup {
        allow,
        kind: Some(kind.to_owned()),
        major: numbers.0,
        minor: numbers.1,
        access: Some(access.to_owned()),
    }
}

/// `--device HOST[:CONTAINER[:rwm]]`: a node, or every node in a folder.
fn map(mapping: &DeviceMapping, nodes: &mut Vec<LinuxDevice>) -> Result<()> {
    let source = Path::new(&mapping.path_on_host);
    let target = if mapping.path_in_container.is_empty() {
        source
    } else {
        Path::new(&mapping.path_in_container)
    };
    let gathering = |error: String| {
        invalid(format!(
            "error gathering device information while adding custom device \"{}\": {error}",
            source.display()
        ))
    };
    let access = &mapping.cgroup_permissions;
    if !access.bytes().all(|letter| b"rwm".contains(&letter)) {
        return Err(invalid(format!("invalid device access {access:?}: expected letters of rwm")));
    }
    let found =
        std::fs::metadata(source).map_err(|error| gathering(crate::error::os_text(&error)))?;
    if found.is_dir() {
        return collect(source, target, nodes);
    }
    nodes.push(node(&found, target).ok_or_else(|| gathering("not a device node".to_owned()))?);
    Ok(())
}

/// Every device node below a folder, except what a container has of its own.
fn collect(source: &Path, target: &Path, nodes: &mut Vec<LinuxDevice>) -> Result<()> {
    let own = ["pts", "shm", "fd", "mqueue", ".udev", ".lxc", ".lxd-mounts", ".barge"]
        .map(|name| Path::new("/dev").join(name));
    let mut folders = vec![(source.to_owned(), target.to_owned())];
    while let Some((from, to)) = folders.pop() {
        let entries = std::fs::read_dir(&from).map_err(EngineError::io("read", &from))?;
        for entry in entries {
            let entry = entry.map_err(EngineError::io("read", &from))?;
            let (path, place): (PathBuf, PathBuf) = (entry.path(), to.join(entry.file_name()));
            // A node that went away while we looked is none.
            let Ok(found) = std::fs::symlink_metadata(&path) else {
                continue;
            };
            if found.is_dir() && !own.contains(&path) {
                folders.push((path, place));
            } else if path != Path::new("/dev/console") && path != Path::new("/dev/ptmx") {
                nodes.extend(node(&found, &place));
            }
        }
    }
    Ok(())
}

fn node(found: &std::fs::Metadata, place: &Path) -> Option<LinuxDevice> {
    let kind = match found.file_type() {
        kind if kind.is_char_device() => "c",
        kind if kind.is_block_device() => "b",
        _ => return None,
    };
    Some(LinuxDevice {
        path: place.display().to_string(),
        kind: kind.to_owned(),
        major: i64::from(rustix::fs::major(found.rdev())),
        minor: i64::from(rustix::fs::minor(found.rdev())),
        file_mode: Some(found.mode() & 0o7777),
        uid: Some(found.uid()),
        gid: Some(found.gid()),
    })
}
