//! btrfs: subvolumes, snapshots and their quotas (linux/btrfs.h), without a program.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::check;

/// `BTRFS_SUPER_MAGIC`, linux/magic.h.
const MAGIC: i64 = 0x9123_683e;
/// `BTRFS_FIRST_FREE_OBJECTID`: the inode number of every subvolume's root.
const ROOT_INODE: u64 = 256;

const SUBVOL_CREATE: libc::c_ulong = 0x5000_940e;
const SNAP_DESTROY: libc::c_ulong = 0x5000_940f;
const INO_LOOKUP: libc::c_ulong = 0xd000_9412;
const SNAP_CREATE_V2: libc::c_ulong = 0x5000_9417;
const SYNC: libc::c_ulong = 0x9408;
const QUOTA_CTL: libc::c_ulong = 0xc010_9428;
const QGROUP_CREATE: libc::c_ulong = 0x4010_942a;
const QGROUP_LIMIT: libc::c_ulong = 0x8030_942b;
const GET_SUBVOL_ROOTREF: libc::c_ulong = 0xd000_943d;
/// `BTRFS_QUOTA_CTL_ENABLE`.
const ENABLE: u64 = 1;
/// `BTRFS_QGROUP_LIMIT_MAX_RFER`.
const MAX_REFERENCED: u64 = 1;

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct VolumeArgs {
    fd: i64,
    name: [u8; 4088],
}

/// `struct btrfs_ioctl_vol_args_v2`.
#[repr(C)]
struct VolumeArgs2 {
    fd: i64,
    transaction: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; 4040],
}

/// `struct btrfs_ioctl_ino_lookup_args`.
#[repr(C)]
struct InodeLookup {
    tree: u64,
    object: u64,
    name: [u8; 4080],
}

/// `struct btrfs_ioctl_get_subvol_rootref_args`.
#[repr(C)]
struct RootRefs {
    min_tree: u64,
    refs: [[u64; 2]; 255],
    count: u8,
    padding: [u8; 7],
}

/// `struct btrfs_ioctl_qgroup_limit_args`.
#[repr(C)]
struct GroupLimit {
    group: u64,
    flags: u64,
    max_referenced: u64,
    max_exclusive: u64,
    reserved: [u64; 2],
}

/// Calls an ioctl of btrfs.
///
/// # Safety
/// `request` takes a pointer to a `T` and keeps nothing of it.
unsafe fn call<T>(fd: BorrowedFd<'_>, request: libc::c_ulong, argument: &mut T) -> io::Result<()> {
    // SAFETY: the caller vouches for the type; the reference is valid and exclusive until the call returns.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request, std::ptr::from_mut(argument)) };
    check(result.into()).map(drop)
}

/// Whether a file or folder is on btrfs.
pub fn is_here(file: impl AsFd) -> io::Result<bool> {
    Ok(rustix::fs::fstatfs(file)?.f_type == MAGIC)
}

/// Whether a folder is the root of a subvolume.
pub fn is_subvolume(folder: impl AsFd) -> io::Result<bool> {
    Ok(rustix::fs::fstat(&folder)?.st_ino == ROOT_INODE && is_here(&folder)?)
}

/// Makes the empty subvolume `name` in `folder`.
pub fn create_subvolume(folder: impl AsFd, name: &OsStr) -> io::Result<()> {
    let mut arguments = VolumeArgs { fd: 0, name: [0; 4088] };
    put(&mut arguments.name, name)?;
    // SAFETY: BTRFS_IOC_SUBVOL_CREATE takes a `struct btrfs_ioctl_vol_args`.
    unsafe { call(folder.as_fd(), SUBVOL_CREATE, &mut arguments) }
}

/// Makes a writable snapshot of the subvolume `source`: `name` in `folder`. Subvolumes inside it become empty folders.
pub fn snapshot(source: impl AsFd, folder: impl AsFd, name: &OsStr) -> io::Result<()> {
    let mut arguments = VolumeArgs2 {
        fd: source.as_fd().as_raw_fd().into(),
        transaction: 0,
        flags: 0,
        unused: [0; 4],
        name: [0; 4040],
    };
    put(&mut arguments.name, name)?;
    // SAFETY: BTRFS_IOC_SNAP_CREATE_V2 takes a `struct btrfs_ioctl_vol_args_v2`; the descriptor in it is borrowed.
    unsafe { call(folder.as_fd(), SNAP_CREATE_V2, &mut arguments) }
}

/// Deletes the subvolume `name` in `folder` with every subvolume inside it, and their quota groups.
pub fn delete_subvolume(folder: impl AsFd, name: &OsStr) -> io::Result<()> {
    let subvolume = open_below(folder.as_fd(), name)?;
    if !is_subvolume(&subvolume)? {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    for holder in folders_of_subvolumes(&subvolume)? {
        let holder = open_below(subvolume.as_fd(), OsStr::from_bytes(&holder))?;
        for inner in subvolumes_in(&holder)? {
            delete_subvolume(&holder, OsStr::from_bytes(&inner))?;
        }
    }
    let group = tree(&subvolume)?;
    drop(subvolume);
    let mut arguments = VolumeArgs { fd: 0, name: [0; 4088] };
    put(&mut arguments.name, name)?;
    // SAFETY: BTRFS_IOC_SNAP_DESTROY takes a `struct btrfs_ioctl_vol_args`.
    unsafe { call(folder.as_fd(), SNAP_DESTROY, &mut arguments) }?;
    // Newer kernels do it when the subvolume is really gone; without quotas there is none.
    delete_group(folder.as_fd(), group).ok();
    Ok(())
}

/// Gets everything to the disk, after which the kernel gives the room of deleted subvolumes back: at once instead of
/// within half a minute.
pub fn sync(folder: impl AsFd) -> io::Result<()> {
    // SAFETY: BTRFS_IOC_SYNC takes no argument: the pointer to nothing is not looked at.
    unsafe { call(folder.as_fd(), SYNC, &mut ()) }
}

/// Turns the counting of subvolumes' sizes on; it stays on. The kernel begins to count what is there.
pub fn enable_quotas(folder: impl AsFd) -> io::Result<()> {
    let mut arguments = [ENABLE, 0];
    // SAFETY: BTRFS_IOC_QUOTA_CTL takes a `struct btrfs_ioctl_quota_ctl_args`: two 64-bit numbers.
    match unsafe { call(folder.as_fd(), QUOTA_CTL, &mut arguments) } {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        result => result,
    }
}

/// Sets the upper bound of what a subvolume refers to, in bytes: shared with others or not.
pub fn limit(subvolume: impl AsFd, bytes: u64) -> io::Result<()> {
    let mut arguments = GroupLimit {
        // The subvolume's own.
        group: 0,
        flags: MAX_REFERENCED,
        max_referenced: bytes,
        max_exclusive: 0,
        reserved: [0; 2],
    };
    // SAFETY: BTRFS_IOC_QGROUP_LIMIT takes a `struct btrfs_ioctl_qgroup_limit_args`.
    unsafe { call(subvolume.as_fd(), QGROUP_LIMIT, &mut arguments) }
}

fn delete_group(folder: BorrowedFd<'_>, group: u64) -> io::Result<()> {
    let mut arguments = [0, group];
    // SAFETY: BTRFS_IOC_QGROUP_CREATE takes a `struct btrfs_ioctl_qgroup_create_args`: two 64-bit numbers.
    unsafe { call(folder, QGROUP_CREATE, &mut arguments) }
}

/// The number of the tree that a file is in.
fn tree(file: impl AsFd) -> io::Result<u64> {
    let mut arguments = InodeLookup { tree: 0, object: ROOT_INODE, name: [0; 4080] };
    // SAFETY: BTRFS_IOC_INO_LOOKUP takes a `struct btrfs_ioctl_ino_lookup_args`.
    unsafe { call(file.as_fd(), INO_LOOKUP, &mut arguments) }?;
    Ok(arguments.tree)
}

/// The path of a folder in its subvolume, without a leading slash.
fn path_of(file: impl AsFd, folder: u64) -> io::Result<Vec<u8>> {
    let mut arguments = InodeLookup { tree: 0, object: folder, name: [0; 4080] };
    // SAFETY: as above.
    unsafe { call(file.as_fd(), INO_LOOKUP, &mut arguments) }?;
    let path = arguments.name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(path.strip_suffix(b"/").unwrap_or(path).to_vec())
}

/// The folders of a subvolume that have subvolumes in them.
fn folders_of_subvolumes(subvolume: impl AsFd) -> io::Result<Vec<Vec<u8>>> {
    let mut numbers = Vec::new();
    let mut arguments = RootRefs { min_tree: 0, refs: [[0; 2]; 255], count: 0, padding: [0; 7] };
    loop {
        // SAFETY: BTRFS_IOC_GET_SUBVOL_ROOTREF takes a `struct btrfs_ioctl_get_subvol_rootref_args`.
        let result = unsafe { call(subvolume.as_fd(), GET_SUBVOL_ROOTREF, &mut arguments) };
        let found = arguments.refs.iter().take(arguments.count.into());
        numbers.extend(found.map(|[_, folder]| *folder));
        match result {
            Ok(()) => break,
            // There are more: `min_tree` is where to go on.
            Err(error) if error.raw_os_error() == Some(libc::EOVERFLOW) => {}
            Err(error) => return Err(error),
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().map(|folder| path_of(&subvolume, folder)).collect()
}

fn subvolumes_in(folder: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if entry.file_type() == rustix::fs::FileType::Directory
            && !matches!(name, b"." | b"..")
            && is_subvolume(open_below(folder.as_fd(), OsStr::from_bytes(name))?)?
        {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

/// Opens a folder, no link on the way.
fn open_below(folder: BorrowedFd<'_>, path: &OsStr) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { OsStr::new(".") } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(rustix::fs::openat2(folder, path, flags, Mode::empty(), resolve)?)
}

/// Copies a single name with its NUL.
fn put(field: &mut [u8], name: &OsStr) -> io::Result<()> {
    let name = name.as_bytes();
    if name.len() > 255 || name.contains(&b'/') || name.contains(&0) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    for (to, from) in field.iter_mut().zip(name) {
        *to = *from;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structs_are_as_long_as_the_kernels() {
        assert_eq!((size_of::<VolumeArgs>(), size_of::<VolumeArgs2>()), (4096, 4096));
        assert_eq!((size_of::<InodeLookup>(), size_of::<RootRefs>()), (4096, 4096));
        assert_eq!(size_of::<GroupLimit>(), 48);
    }

    #[test]
    fn another_file_system_is_none() {
        let folder = std::fs::File::open("/proc").unwrap();
        assert!(!is_here(&folder).unwrap());
        create_subvolume(&folder, OsStr::new("x")).unwrap_err();
        let error = create_subvolume(&folder, OsStr::new("a/b")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}
