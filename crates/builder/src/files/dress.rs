//! What copies look like: content, owner, mode, attributes, times, in the order in which none takes another away.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::Ordering;

use barge_archive::path;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timestamps, Uid};

use super::copy::{Copier, Place, lock};
use super::error::{FilesError, Result, shown};
use super::target::{self, moment};
use super::tree::Child;
use super::{content, resolve, xattrs};

impl Copier<'_> {
    /// Content and attributes of a regular file.
    pub(super) fn fill(
        &self,
        (from, place): (&OwnedFd, &[u8]),
        child: &Child,
        (made, path): (&OwnedFd, &[u8]),
        gives_group: bool,
    ) -> Result<()> {
        let failed = || FilesError::io("write", shown(path).as_bytes());
        let own = path::join(place, &child.name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let source = rustix::fs::openat(from, &*child.name, flags, Mode::empty())
            .map_err(|_| FilesError::changed(&own))?;
        let stat = rustix::fs::fstat(&source).map_err(failed())?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(FilesError::changed(&own));
        }
        let source = std::fs::File::from(source);
        let bytes = content::copy(&source, made, &stat)
            .map_err(FilesError::io("copy to", shown(path).as_bytes()))?;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let (uid, gid) = self.owner(&stat);
        if gives_group || (uid, gid) != me() {
            rustix::fs::fchown(made, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .map_err(failed())?;
        }
        rustix::fs::fchmod(made, self.mode(&stat)).map_err(failed())?;
        xattrs::set_on(made, &xattrs::of_fd(&source, &own)?, path)?;
        rustix::fs::futimens(made, &self.times(&stat)).map_err(failed())
    }

    /// Attributes of what cannot be opened.
    pub(super) fn dress_name(
        &self,
        child: &Child,
        (to, name): (&Place, &[u8]),
        path: &[u8],
    ) -> Result<()> {
        let failed = || FilesError::io("set attributes of", shown(path).as_bytes());
        let (uid, gid) = self.owner(&child.stat);
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(&to.fd, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed())?;
        if child.kind != FileType::Symlink {
            rustix::fs::chmodat(&to.fd, name, self.mode(&child.stat), AtFlags::empty())
                .map_err(failed())?;
        }
        rustix::fs::utimensat(&to.fd, name, &self.times(&child.stat), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed())
    }

    pub(super) fn dress_folder(&self, (from, stat): (&[u8], &Stat), to: &[u8]) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = resolve::open(self.selection.tree.root(), from, flags)
            .map_err(|_| FilesError::changed(from))?;
        let place = Place::open(target::open_folder(self.into.as_fd(), to)?, to.to_vec())?;
        self.dress_fd((&fd, from, stat), &place)
    }

    /// Attributes of a folder; its time comes at the end.
    pub(super) fn dress_fd(
        &self,
        (fd, from, stat): (&OwnedFd, &[u8], &Stat),
        to: &Place,
    ) -> Result<()> {
        self.entries.fetch_add(1, Ordering::Relaxed);
        let failed = || FilesError::io("set attributes of", shown(&to.path).as_bytes());
        let (uid, gid) = self.owner(stat);
        rustix::fs::fchown(&to.fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .map_err(failed())?;
        rustix::fs::fchmod(&to.fd, self.mode(stat)).map_err(failed())?;
        xattrs::set_on(&to.fd, &xattrs::of_fd(fd, from)?, &to.path)?;
        lock(&self.times).push((to.path.clone(), self.times(stat)));
        Ok(())
    }

    fn owner(&self, stat: &Stat) -> (u32, u32) {
        self.placement.owner.unwrap_or_else(|| self.selection.tree.owner(stat))
    }

    fn mode(&self, stat: &Stat) -> Mode {
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let own = stat.st_mode & 0o7777;
        let mode = self.placement.mode.as_ref().map_or(own, |spec| spec.apply(own, is_folder));
        Mode::from_raw_mode(mode)
    }

    fn times(&self, stat: &Stat) -> Timestamps {
        match self.placement.epoch {
            Some(epoch) => moment(epoch, 0),
            None => moment(stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
        }
    }
}

fn me() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}
