//! Mounts that begin with nothing instead of with a copy of the host's.
//!
//! A new mount namespace is a copy of its maker's: with 500 containers on the host the kernel copies 500 mounts for each
//! one more, and takes them away again when the root becomes `/`. What a container shows of the host is opened first,
//! therefore, and brought along to a copy of a namespace that has nothing in it.

use std::os::fd::OwnedFd;

use barge_oci::runtime::{Linux, Spec};
use barge_sys::fds;
use barge_sys::mount::Propagation;
use barge_sys::namespace::{self, Kinds};

use crate::error::{At as _, Stage, StartError};
use crate::handshake::CONTROL_FD;
use crate::mount_options::{self, MountOptions};
use crate::outside;

/// File systems that need nothing of the host's tree.
const KINDS: [&str; 7] = ["cgroup", "cgroup2", "devpts", "mqueue", "proc", "sysfs", "tmpfs"];

/// Whether a container needs none of the host's mounts later on.
pub(crate) fn fits(spec: &Spec, linux: &Linux) -> bool {
    let propagation = linux.rootfs_propagation.as_deref().filter(|word| !word.is_empty());
    let is_private = propagation.is_none_or(|word| {
        let found = mount_options::propagation(word);
        found.is_some_and(|(kind, _)| kind == Propagation::PRIVATE)
    });
    let is_known = |kind: &str| KINDS.contains(&kind);
    is_private
        && spec.mounts.iter().all(|mount| {
            let kind = mount.kind.as_deref().unwrap_or_default();
            let is_bind = kind == "bind" || MountOptions::parse(&mount.options).bind.is_some();
            (is_bind && mount.uid_mappings.is_empty()) || is_known(kind)
        })
}

/// Opens the root and the binds, and moves to a copy of the namespace whose descriptor has this place after the control
/// socket.
pub(crate) fn enter(place: usize, spec: &Spec) -> Result<Vec<OwnedFd>, StartError> {
    let trees = outside::open_trees(spec, None)?;
    let shown = || "move to a mount namespace".to_owned();
    let number = i32::try_from(place).unwrap_or(i32::MAX).saturating_add(CONTROL_FD + 1);
    let bare = fds::inherited(number).at(Stage::Root, shown)?;
    namespace::join(&bare, Kinds::MOUNT).at(Stage::Root, shown)?;
    namespace::unshare(Kinds::MOUNT).at(Stage::Root, shown)?;
    Ok(trees)
}

#[cfg(test)]
mod tests {
    use barge_oci::runtime::Mount;

    use super::*;

    fn mount(kind: &str, options: &[&str]) -> Mount {
        Mount {
            kind: Some(kind.to_owned()),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            ..Mount::default()
        }
    }

    fn spec(mounts: Vec<Mount>) -> Spec {
        Spec { mounts, ..Spec::default() }
    }

    #[test]
    fn a_container_that_needs_the_hosts_mounts_begins_with_a_copy_of_them() {
        let linux = |propagation: &str| Linux {
            rootfs_propagation: Some(propagation.to_owned()).filter(|word| !word.is_empty()),
            ..Linux::default()
        };
        let usual =
            || spec(vec![mount("proc", &[]), mount("bind", &["rbind"]), mount("tmpfs", &[])]);
        assert!(fits(&usual(), &linux("")));
        assert!(fits(&usual(), &linux("rprivate")));
        assert!(!fits(&usual(), &linux("rslave")));
        assert!(!fits(&usual(), &linux("shared")));
        // A device of the host's, which is found by its path.
        assert!(!fits(&spec(vec![mount("ext4", &[])]), &linux("")));
        assert!(fits(&spec(vec![mount("none", &["bind"])]), &linux("")));
    }
}
