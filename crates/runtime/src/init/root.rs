//! The root file system: made a mount that nobody else sees, and then made `/`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use barge_oci::runtime::{Linux, Root};
use barge_sys::mount::{self, Change, Propagation, Reach};
use barge_sys::openat2;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use rustix::mount::UnmountFlags;

use crate::error::{At as _, Stage, StartError};
use crate::mount_options;

/// The container's root while it is not `/` yet.
#[derive(Debug)]
pub(super) struct OwnRoot {
    fd: OwnedFd,
    /// How the mounts of the host, copied into our namespace, hear from the host's.
    pub(super) propagation: Propagation,
    below: Below,
}

/// What the namespace has besides the container's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Below {
    /// A copy of the host's mounts.
    Host,
    /// An empty file system ([`crate::bare`]).
    Nothing,
}

impl AsFd for OwnRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Cuts our mounts off from the host's and makes sure that the root is a mount of its own.
pub(super) fn enter(path: &Path, linux: &Linux) -> Result<OwnRoot, StartError> {
    let shown = || format!("prepare rootfs {}", path.display());
    let propagation = wanted(linux)?.map_or(Propagation::PRIVATE, |(kind, _)| kind);
    let change = Change { propagation: Some(propagation), ..Change::NONE };
    mount::change_at(CWD, Path::new("/"), Reach::Tree, change)
        .at(Stage::Root, || "change the propagation of mounts".into())?;
    let stat =
        rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::TYPE).at(Stage::Root, shown)?;
    if !stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        let tree = mount::clone_tree(CWD, path, Reach::Tree).at(Stage::Root, shown)?;
        mount::attach_at(&tree, CWD, path).at(Stage::Root, shown)?;
    }
    let fd = openat2::open_root(path).at(Stage::Root, shown)?;
    if propagation != Propagation::PRIVATE {
        // Or the host's taking the root away would take it from us too; and pivot_root(2) wants the mount above to
        // be not shared.
        mount::change(&fd, Reach::One, Change::PRIVATE).at(Stage::Root, shown)?;
        let above = path.parent().unwrap_or(Path::new("/"));
        let above = mount_point_of(above).at(Stage::Root, shown)?;
        mount::change_at(CWD, &above, Reach::One, Change::PRIVATE).at(Stage::Root, shown)?;
    }
    Ok(OwnRoot { fd, propagation, below: Below::Host })
}

/// The same for a root that was opened outside: it is put onto what is there, where everyone may, and [`pivot`] finds it.
pub(super) fn enter_handed(
    tree: OwnedFd,
    (linux, below): (&Linux, Below),
) -> Result<OwnRoot, StartError> {
    let shown = || "prepare the rootfs".to_owned();
    let propagation = wanted(linux)?.map_or(Propagation::PRIVATE, |(kind, _)| kind);
    let change = Change { propagation: Some(propagation), ..Change::NONE };
    mount::change_at(CWD, Path::new("/"), Reach::Tree, change).at(Stage::Root, shown)?;
    // pivot_root(2) wants the mount below to be not shared.
    mount::change_at(CWD, Path::new("/"), Reach::One, Change::PRIVATE).at(Stage::Root, shown)?;
    mount::attach_at(&tree, CWD, Path::new("/")).at(Stage::Root, shown)?;
    Ok(OwnRoot { fd: tree, propagation, below })
}

/// The nearest folder upwards that is the root of a mount.
fn mount_point_of(path: &Path) -> std::io::Result<PathBuf> {
    let path = path.canonicalize()?;
    for folder in path.ancestors() {
        let stat = rustix::fs::statx(CWD, folder, AtFlags::empty(), StatxFlags::TYPE)?;
        if stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
            return Ok(folder.to_owned());
        }
    }
    Ok(PathBuf::from("/"))
}

fn wanted(linux: &Linux) -> Result<Option<(Propagation, Reach)>, StartError> {
    let Some(word) = linux.rootfs_propagation.as_ref().filter(|word| !word.is_empty()) else {
        return Ok(None);
    };
    let parsed = mount_options::propagation(word).ok_or_else(|| {
        StartError::new(Stage::Validate, format!("unknown rootfs propagation {word:?}"))
    })?;
    Ok(Some(parsed))
}

/// Makes the root `/`; the host's root, stacked on it by that, is taken away at once. No folder is needed for it.
///
/// Where there is nothing to take away, the root stays on top of the namespace's empty one, and `/` is changed for this
/// process alone: pivot_root(2) looks for the old root in every process of the host. To the kernel this is no chroot: it
/// takes what is mounted uppermost on a namespace's root for its root, also for whoever joins, and `..` does not lead below.
pub(super) fn pivot(root: &OwnRoot, linux: &Linux) -> Result<(), StartError> {
    let shown = || "pivot_root".to_owned();
    rustix::process::fchdir(&root.fd).at(Stage::Root, shown)?;
    if root.below == Below::Nothing {
        rustix::process::chroot(".").at(Stage::Root, || "chroot".to_owned())?;
        return rustix::process::chdir("/").at(Stage::Root, shown);
    }
    rustix::process::pivot_root(".", ".").at(Stage::Root, shown)?;
    if root.propagation == Propagation::SHARED {
        // Taking it away must not be seen by the host.
        mount::change_at(CWD, Path::new("/.."), Reach::Tree, Change::SLAVE)
            .at(Stage::Root, shown)?;
    }
    rustix::mount::unmount(".", UnmountFlags::DETACH).at(Stage::Root, shown)?;
    rustix::process::chdir("/").at(Stage::Root, shown)?;
    if let Some((kind, reach)) = wanted(linux)?
        && kind != Propagation::PRIVATE
    {
        let change = Change { propagation: Some(kind), ..Change::NONE };
        mount::change_at(CWD, Path::new("/"), reach, change).at(Stage::Root, shown)?;
    }
    Ok(())
}

/// The mounts that had to be written to until now become read-only, and so does the root if it shall.
pub(super) fn finish(root: &Root, later: &[PathBuf]) -> Result<(), StartError> {
    let root = root.readonly.then_some(Path::new("/"));
    for path in later.iter().map(PathBuf::as_path).chain(root) {
        mount::change_at(CWD, path, Reach::One, Change::READ_ONLY)
            .at(Stage::Root, || format!("make {} read-only", path.display()))?;
    }
    Ok(())
}
