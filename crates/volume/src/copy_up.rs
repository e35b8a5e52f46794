//! An empty volume begins with what the image has at its place: ownership, modes, times,
//! attributes, links and all.
//!
//! The image is not trusted: its path is looked up inside its root by the kernel, and below it no
//! link is followed. A copy that fails takes back what it made, so that the next start tries again.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use barge_sys::{copy, openat2, xattr};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::error::{Result, VolumeError};

/// Folders within folders, each level with two open descriptors.
const DEPTH: usize = 256;

/// Fills `target` with what `path` inside `rootfs` has, when `target` is an empty folder and `path`
/// is a folder; does nothing otherwise.
///
/// # Errors
/// What could not be copied; `target` is empty again then.
pub fn copy_up(rootfs: &Path, path: &Path, target: &Path) -> Result<()> {
    let root = openat2::open_root(rootfs).map_err(VolumeError::io("open", rootfs))?;
    let source = match openat2::open(&root, path, OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(source) => source,
        Err(error) if is_no_folder(&error) => return Ok(()),
        Err(error) => return Err(VolumeError::io("open", path)(error)),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(CWD, target, flags, Mode::empty())
        .map_err(VolumeError::io("open", target))?;
    if !is_empty(target)? {
        return Ok(());
    }
    let mut copier = Copier { target: folder.as_fd(), links: HashMap::new() };
    let done = copier.folder(source.as_fd(), folder.as_fd(), Path::new(""));
    if done.is_err() {
        // The first error is the one to tell.
        clear(target).ok();
    }
    done
}

fn is_no_folder(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}

fn is_empty(folder: &Path) -> Result<bool> {
    let mut entries = fs::read_dir(folder).map_err(VolumeError::io("list", folder))?;
    Ok(entries.next().is_none())
}

fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

struct Copier<'a> {
    target: BorrowedFd<'a>,
    /// Files with several names: device and inode → where the first name was copied to.
    links: HashMap<(u64, u64), PathBuf>,
}

/// One entry to be copied: its name in the source and the target folder, and its path in the target
/// for messages.
struct Place<'a> {
    source: BorrowedFd<'a>,
    target: BorrowedFd<'a>,
    name: &'a CStr,
    path: &'a Path,
}

impl Copier<'_> {
    /// Copies the content, then what the folder itself has: writing into it would change its time.
    fn folder(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        path: &Path,
    ) -> Result<()> {
        if path.components().count() > DEPTH {
            return Err(VolumeError::io("copy", path)(Errno::NAMETOOLONG));
        }
        let entries = Dir::read_from(source).map_err(VolumeError::io("list", path))?;
        for entry in entries {
            let entry = entry.map_err(VolumeError::io("list", path))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let path = path.join(OsStr::from_bytes(name.to_bytes()));
            self.entry(&Place { source, target, name, path: &path })?;
        }
        let stat = rustix::fs::fstat(source).map_err(VolumeError::io("look at", path))?;
        copy_metadata(source, target, &stat).map_err(VolumeError::io("copy", path))
    }

    fn entry(&mut self, place: &Place<'_>) -> Result<()> {
        let failed = || VolumeError::io::<io::Error>("copy", place.path);
        let stat = rustix::fs::statat(place.source, place.name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(VolumeError::io("look at", place.path))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            let (source, target) = make_folder(place).map_err(failed())?;
            return self.folder(source.as_fd(), target.as_fd(), place.path);
        }
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                let flags = AtFlags::empty();
                return rustix::fs::linkat(self.target, first, place.target, place.name, flags)
                    .map_err(VolumeError::io("link", place.path));
            }
            self.links.insert((stat.st_dev, stat.st_ino), place.path.to_owned());
        }
        match kind {
            FileType::RegularFile => copy_file(place),
            FileType::Symlink => copy_symlink(place, &stat),
            FileType::Directory
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => copy_node(place, &stat),
        }
        .map_err(failed())
    }
}

fn make_folder(place: &Place<'_>) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = rustix::fs::openat(place.source, place.name, flags, Mode::empty())?;
    rustix::fs::mkdirat(place.target, place.name, Mode::RWXU)?;
    let target = rustix::fs::openat(place.target, place.name, flags, Mode::empty())?;
    Ok((source, target))
}

fn copy_file(place: &Place<'_>) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let source = File::from(rustix::fs::openat(place.source, place.name, flags, Mode::empty())?);
    let stat = rustix::fs::fstat(&source)?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(Errno::AGAIN.into());
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let target = File::from(rustix::fs::openat(place.target, place.name, flags, mode)?);
    copy::file(&source, &target)?;
    copy_metadata(source.as_fd(), target.as_fd(), &stat)
}

fn copy_symlink(place: &Place<'_>, stat: &Stat) -> io::Result<()> {
    let text = rustix::fs::readlinkat(place.source, place.name, Vec::new())?;
    rustix::fs::symlinkat(text.as_c_str(), place.target, place.name)?;
    finish_by_name(place, stat)
}

/// Pipes, sockets and devices.
fn copy_node(place: &Place<'_>, stat: &Stat) -> io::Result<()> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    let mode = Mode::from_raw_mode(stat.st_mode);
    rustix::fs::mknodat(place.target, place.name, kind, mode, stat.st_rdev)?;
    finish_by_name(place, stat)
}

/// For what cannot be opened: owner, mode, attributes and times by name. Changing the owner takes
/// set-user-id bits and capabilities away, so it comes first.
fn finish_by_name(place: &Place<'_>, stat: &Stat) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let (uid, gid) = owner(stat);
    rustix::fs::chownat(place.target, place.name, Some(uid), Some(gid), flags)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        let mode = Mode::from_raw_mode(stat.st_mode);
        rustix::fs::chmodat(place.target, place.name, mode, AtFlags::empty())?;
    }
    let below = |folder: BorrowedFd<'_>| {
        let folder = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        folder.join(OsStr::from_bytes(place.name.to_bytes()))
    };
    let (source, target) = (below(place.source), below(place.target));
    for name in xattr::llist(&source)? {
        if is_copied(&name)
            && let Some(value) = xattr::lget(&source, &name)?
        {
            xattr::lset(&target, &name, &value)?;
        }
    }
    Ok(rustix::fs::utimensat(place.target, place.name, &times(stat), flags)?)
}

fn copy_metadata(source: BorrowedFd<'_>, target: BorrowedFd<'_>, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = owner(stat);
    rustix::fs::fchown(target, Some(uid), Some(gid))?;
    rustix::fs::fchmod(target, Mode::from_raw_mode(stat.st_mode))?;
    for name in xattr::flist(source)? {
        if is_copied(&name)
            && let Some(value) = xattr::fget(source, &name)?
        {
            xattr::fset(target, &name, &value)?;
        }
    }
    Ok(rustix::fs::futimens(target, &times(stat))?)
}

/// Overlay's own marks mean something in a layer only.
fn is_copied(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !name.starts_with(b"trusted.overlay.") && !name.starts_with(b"user.overlay.")
}

fn owner(stat: &Stat) -> (Uid, Gid) {
    (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid))
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or_default(),
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

#[cfg(test)]
mod tests;
