//! Mounts, with the descriptor-based calls of Linux 5.2 and later where they save work or close a race.
//!
//! A mount made with [`Filesystem`] or [`clone_tree`] is nowhere until [`attach`] puts it somewhere: its options are
//! right before anyone can see it, and its place is a descriptor that was looked up safely.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

use crate::check;

/// Options of a mount (`MOUNT_ATTR_…`): read-only, nosuid, nodev, noexec, access times.
pub use rustix::mount::MountAttrFlags as Attributes;
/// Shared, slave, private, unbindable.
pub use rustix::mount::MountPropagationFlags as Propagation;

/// Whether something is meant for one mount or for all below it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This mount alone.
    One,
    /// Every mount of the tree.
    Tree,
}

/// A file system being configured (`fsopen`).
#[derive(Debug)]
pub struct Filesystem(OwnedFd);

impl Filesystem {
    /// Begins a mount of this type: `overlay`, `tmpfs`, `proc`.
    pub fn open(kind: &str) -> io::Result<Self> {
        Ok(Self(rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?))
    }

    /// Sets an option that has a value.
    pub fn set(&self, key: &str, value: impl rustix::path::Arg) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_string(&self.0, key, value)?)
    }

    /// Sets an option to an open file or folder (overlay's `lowerdir+` since Linux 6.13).
    pub fn set_fd(&self, key: &str, value: impl AsFd) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_fd(&self.0, key, value)?)
    }

    /// Sets an option that has none: `ro`, `newinstance`.
    pub fn flag(&self, key: &str) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_flag(&self.0, key)?)
    }

    /// Makes the file system and a mount of it that is nowhere yet.
    pub fn create(&self, attributes: Attributes) -> io::Result<OwnedFd> {
        rustix::mount::fsconfig_create(&self.0)?;
        let flags = FsMountFlags::FSMOUNT_CLOEXEC;
        Ok(rustix::mount::fsmount(&self.0, flags, attributes)?)
    }

    /// What the kernel said about the last failure, without its `e ` mark; empty when it said nothing.
    #[must_use]
    pub fn complaint(&self) -> String {
        let mut lines = Vec::new();
        let mut buffer = [0_u8; 1024];
        // Each read takes one message; ENODATA is the end.
        while let Ok(length) = rustix::io::read(&self.0, &mut buffer) {
            if length == 0 || lines.len() > 16 {
                break;
            }
            let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            let text = text.trim();
            lines.push(text.strip_prefix("e ").unwrap_or(text).to_owned());
        }
        lines.join("; ")
    }
}

/// A copy of the mount at `path` below `folder` (the folder itself when empty) that is nowhere yet: a bind mount.
pub fn clone_tree(folder: impl AsFd, path: &Path, reach: Reach) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if reach == Reach::Tree {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    Ok(rustix::mount::open_tree(folder, path, flags)?)
}

/// Puts a mount that is nowhere yet onto an open file or folder.
pub fn attach(tree: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(tree, "", target, "", flags)?)
}

/// Puts a mount that is nowhere yet onto a path below `folder`.
pub fn attach_at(tree: impl AsFd, folder: impl AsFd, path: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(tree, "", folder, path, flags)?)
}

/// A change of options of existing mounts (`mount_setattr`, Linux 5.12).
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Options to turn on.
    pub set: Attributes,
    /// Options to turn off; changing the access time needs `_ATIME` (all its bits) here.
    pub clear: Attributes,
    /// New propagation, when there is to be one.
    pub propagation: Option<Propagation>,
}

impl Change {
    /// A change of nothing, to start from.
    pub const NONE: Self =
        Self { set: Attributes::empty(), clear: Attributes::empty(), propagation: None };
    /// Makes it read-only.
    pub const READ_ONLY: Self = Self { set: Attributes::MOUNT_ATTR_RDONLY, ..Self::NONE };
    /// Makes it private.
    pub const PRIVATE: Self = Self { propagation: Some(Propagation::PRIVATE), ..Self::NONE };
    /// Makes it a slave: the host's mounts come in, ours do not go out.
    pub const SLAVE: Self = Self { propagation: Some(Propagation::DOWNSTREAM), ..Self::NONE };
}

/// `struct mount_attr` of linux/mount.h, first version.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Changes the mount that is (the root of) the open file `fd`.
pub fn change(fd: impl AsFd, reach: Reach, change: Change) -> io::Result<()> {
    set_attributes(fd.as_fd(), c"", (reach, change))
}

/// Changes the mount at `path` below `folder`.
pub fn change_at(folder: impl AsFd, path: &Path, reach: Reach, change: Change) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    set_attributes(folder.as_fd(), &path, (reach, change))
}

fn set_attributes(
    folder: BorrowedFd<'_>,
    path: &std::ffi::CStr,
    (reach, change): (Reach, Change),
) -> io::Result<()> {
    let attributes = MountAttr {
        attr_set: u64::from(change.set.bits()),
        attr_clr: u64::from(change.clear.bits()),
        propagation: change.propagation.map_or(0, |wanted| u64::from(wanted.bits())),
        userns_fd: 0,
    };
    let mut flags = 0;
    if path.is_empty() {
        flags |= libc::AT_EMPTY_PATH;
    }
    if reach == Reach::Tree {
        flags |= libc::AT_RECURSIVE;
    }
    set_mount_attr(folder, (path, flags), &attributes)
}

fn set_mount_attr(
    folder: BorrowedFd<'_>,
    (path, flags): (&std::ffi::CStr, libc::c_int),
    attributes: &MountAttr,
) -> io::Result<()> {
    // SAFETY: mount_setattr(2) reads a C string and `size_of::<MountAttr>()` bytes; both live on until it returns, and
    // the descriptor is borrowed, therefore open. It writes to no memory of ours.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            folder.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const *attributes,
            size_of::<MountAttr>(),
        )
    };
    check(result).map(drop)
}

/// Lets a mount that is nowhere yet show its files with other owners: those that a user namespace gives them (Linux
/// 5.12). What is stored as 0 is seen as what 0 of the namespace is outside of it, and the other way round for what is
/// written. What is mounted below stays as it is. `EINVAL` where the file system cannot.
pub fn map_ids(tree: impl AsFd, user_namespace: BorrowedFd<'_>) -> io::Result<()> {
    /// `MOUNT_ATTR_IDMAP` of linux/mount.h.
    const IDMAP: u64 = 0x0010_0000;
    let attributes = MountAttr {
        attr_set: IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: user_namespace.as_raw_fd().unsigned_abs().into(),
    };
    set_mount_attr(tree.as_fd(), (c"", libc::AT_EMPTY_PATH), &attributes)
}

/// Takes the topmost mount at `path` away at once, and its file system when nobody uses it any more.
pub fn detach(path: &Path) -> io::Result<()> {
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    Ok(rustix::mount::unmount(path, flags)?)
}

/// A bind mount of an existing path on another, in one go.
pub fn bind(source: &Path, target: &Path, reach: Reach, change_: Change) -> io::Result<()> {
    let tree = clone_tree(CWD, source, reach)?;
    change(&tree, reach, change_)?;
    attach_at(&tree, CWD, target)
}

/// The classic options of mount(8) as attributes: `ro`, `nosuid`, …; `None` for one that is none.
#[must_use]
pub fn attribute_of_option(option: &str) -> Option<Change> {
    let all_times = MountAttrFlags::from_bits_retain(0x70);
    let set = |set| Change { set, ..Change::NONE };
    let clear = |clear| Change { clear, ..Change::NONE };
    let time = |set| Change { set, clear: all_times, ..Change::NONE };
    Some(match option {
        "ro" => set(Attributes::MOUNT_ATTR_RDONLY),
        "rw" => clear(Attributes::MOUNT_ATTR_RDONLY),
        "nosuid" => set(Attributes::MOUNT_ATTR_NOSUID),
        "suid" => clear(Attributes::MOUNT_ATTR_NOSUID),
        "nodev" => set(Attributes::MOUNT_ATTR_NODEV),
        "dev" => clear(Attributes::MOUNT_ATTR_NODEV),
        "noexec" => set(Attributes::MOUNT_ATTR_NOEXEC),
        "exec" => clear(Attributes::MOUNT_ATTR_NOEXEC),
        "nodiratime" => set(Attributes::MOUNT_ATTR_NODIRATIME),
        "diratime" => clear(Attributes::MOUNT_ATTR_NODIRATIME),
        "nosymfollow" => set(MountAttrFlags::from_bits_retain(0x0020_0000)),
        "symfollow" => clear(MountAttrFlags::from_bits_retain(0x0020_0000)),
        "noatime" => time(Attributes::MOUNT_ATTR_NOATIME),
        "strictatime" => time(Attributes::MOUNT_ATTR_STRICTATIME),
        "relatime" | "atime" => time(Attributes::MOUNT_ATTR_RELATIME),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::{Kinds, on_own_thread, unshare};

    /// In a mount namespace of its own, so that nothing is left behind.
    fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        on_own_thread(|| {
            unshare(Kinds::MOUNT).unwrap();
            change_at(CWD, Path::new("/"), Reach::Tree, Change::PRIVATE).unwrap();
            work()
        })
        .unwrap()
    }

    #[test]
    fn a_file_system_has_its_options_before_it_is_visible() {
        let folder = tempfile::tempdir().unwrap();
        apart(|| {
            let tmpfs = Filesystem::open("tmpfs").unwrap();
            tmpfs.set("size", "64k").unwrap();
            let tree = tmpfs.create(Attributes::MOUNT_ATTR_NODEV).unwrap();
            attach_at(&tree, CWD, folder.path()).unwrap();
            let text = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
            let line = text.lines().find(|line| line.contains(folder.path().to_str().unwrap()));
            assert!(line.unwrap().contains("nodev"), "{line:?}");
            assert!(line.unwrap().ends_with("size=64k"), "{line:?}");
            detach(folder.path()).unwrap();
        });
    }

    #[test]
    fn the_kernel_says_what_it_did_not_like() {
        let tmpfs = Filesystem::open("tmpfs").unwrap();
        tmpfs.set("nonsense", "1").unwrap_err();
        assert!(tmpfs.complaint().contains("nonsense"), "{}", tmpfs.complaint());
    }

    #[test]
    fn a_read_only_bind_refuses_writes_and_its_source_does_not() {
        let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        apart(|| {
            bind(source.path(), target.path(), Reach::Tree, Change::READ_ONLY).unwrap();
            std::fs::write(source.path().join("file"), "x").unwrap();
            let error = std::fs::write(target.path().join("file"), "y").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ReadOnlyFilesystem);
        });
    }
}
