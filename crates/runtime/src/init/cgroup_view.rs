//! What the container sees of control groups at `/sys/fs/cgroup`: its own group as the root, read-only unless asked.
//!
//! With version 2 that is one mount. With version 1 it is a tmpfs with one mount for each hierarchy and links for the
//! controllers that share one, as systemd lays it out.

use std::path::Path;

use barge_oci::runtime::{Mount, Spec};
use barge_sys::mount::{self, Change, Reach};
use rustix::fs::{CWD, Mode};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::mounts::{Described, folder};
use super::root::OwnRoot;
use crate::error::{At as _, Stage, StartError};

/// One line of `/proc/self/cgroup`.
struct Membership<'a> {
    /// Controllers, or `name=…`; empty for version 2.
    controllers: &'a str,
    path: &'a str,
}

fn memberships(text: &str) -> impl Iterator<Item = Membership<'_>> {
    text.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        Some(Membership { controllers, path })
    })
}

/// The folder of a hierarchy: `name=systemd` is at `systemd`.
fn folder_name(controllers: &str) -> &str {
    controllers.strip_prefix("name=").unwrap_or(controllers)
}

/// What is known of this process's groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups<'a> {
    /// `/proc/self/cgroup`.
    pub(super) text: &'a str,
    /// Whether its namespace of cgroups is its own, with the group as its root.
    pub(super) is_own_namespace: bool,
}

/// Whether a mount is to be a view of control groups.
pub(super) fn is_meant(mount: &Mount) -> bool {
    matches!(mount.kind.as_deref(), Some("cgroup" | "cgroup2"))
}

/// The text for [`Groups`], while `/proc` is still the host's; empty when there is to be no view.
pub(super) fn read(spec: &Spec) -> Result<String, StartError> {
    if !spec.mounts.iter().any(is_meant) {
        return Ok(String::new());
    }
    let path = "/proc/self/cgroup";
    std::fs::read_to_string(path).at(Stage::Mount, || format!("read {path}"))
}

fn has_version_1(text: &str) -> bool {
    memberships(text).any(|membership| !membership.controllers.is_empty())
}

/// Makes the view at the mount's destination; whether that is a folder of mounts that is still writable itself.
pub(super) fn make(
    root: &OwnRoot,
    what: &Described<'_>,
    groups: Groups<'_>,
) -> Result<bool, StartError> {
    let Groups { text, is_own_namespace: own_namespace } = groups;
    let target = folder(root, what)?;
    let failed = || what.failed();
    rustix::process::fchdir(&target).at(Stage::Mount, failed)?;
    if !has_version_1(text) {
        let path = memberships(text).map(|membership| membership.path).next().unwrap_or("/");
        return one(what, own_namespace, (Path::new("."), "", path)).map(|()| false);
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("tmpfs", ".", "tmpfs", flags, c"mode=755").at(Stage::Mount, failed)?;
    // The descriptor is of the folder below the new mount.
    let target = folder(root, what)?;
    rustix::process::fchdir(&target).at(Stage::Mount, failed)?;
    for membership in memberships(text).filter(|one| !one.controllers.is_empty()) {
        let name = folder_name(membership.controllers);
        rustix::fs::mkdirat(CWD, name, Mode::from_raw_mode(0o755)).at(Stage::Mount, failed)?;
        let place = (Path::new(name), membership.controllers, membership.path);
        one(what, own_namespace, place)?;
        if name.contains(',') {
            for controller in name.split(',') {
                rustix::fs::symlinkat(name, CWD, controller).at(Stage::Mount, failed)?;
            }
        }
    }
    Ok(true)
}

/// One hierarchy, on a path below the working directory.
fn one(
    what: &Described<'_>,
    own_namespace: bool,
    (place, controllers, group): (&Path, &str, &str),
) -> Result<(), StartError> {
    let failed = || what.failed();
    if own_namespace {
        // A mount made inside a namespace of cgroups has that namespace's root as its own.
        let flags = MountFlags::from_bits_retain(what.options.classic_flags());
        let (kind, data) = match controllers {
            "" => ("cgroup2", String::new()),
            named if named.starts_with("name=") => ("cgroup", format!("none,{named}")),
            controllers => ("cgroup", controllers.to_owned()),
        };
        let data = std::ffi::CString::new(data).at(Stage::Mount, failed)?;
        return rustix::mount::mount("cgroup", place, kind, flags, data.as_c_str())
            .at(Stage::Mount, failed);
    }
    // In the host's namespace of cgroups: its own group out of the host's mount.
    let host = Path::new("/sys/fs/cgroup")
        .join(folder_name(controllers))
        .join(group.trim_start_matches('/'));
    let tree = match mount::clone_tree(CWD, &host, Reach::One) {
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => return Ok(()),
        result => result.at(Stage::Mount, failed)?,
    };
    let change = Change { propagation: None, ..what.options.here };
    mount::change(&tree, Reach::One, change).at(Stage::Mount, failed)?;
    if place == Path::new(".") {
        // The working directory itself.
        let here = rustix::fs::openat(
            CWD,
            ".",
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
            Mode::empty(),
        )
        .at(Stage::Mount, failed)?;
        return mount::attach(&tree, &here).at(Stage::Mount, failed);
    }
    mount::attach_at(&tree, CWD, place).at(Stage::Mount, failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_both_versions_are_read() {
        let text = "3:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/c:d\n";
        let read: Vec<_> =
            memberships(text).map(|one| (folder_name(one.controllers), one.path)).collect();
        assert_eq!(read, [("cpu,cpuacct", "/a"), ("systemd", "/b"), ("", "/c:d")]);
        assert!(has_version_1(text));
        assert!(!has_version_1("0::/x\n"));
    }
}
