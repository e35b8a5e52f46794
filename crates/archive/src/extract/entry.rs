//! Makes one entry: file, folder, link or device, with its attributes.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::folders::{Folder, Missing};
use super::whiteout::{self, set_opaque};
use super::{Clashes, Extractor, Whiteouts, times};
use crate::error::{ArchiveError, Clashing, Result};
use crate::path;
use crate::tar::{EntryKind, Header, Timestamp};
use crate::tree::{self, FOLDER, Marks, Node};

/// Where an entry goes.
struct Place<'a> {
    folder: Arc<Folder>,
    name: &'a [u8],
    path: &'a [u8],
}

impl Place<'_> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.folder.fd.as_fd()
    }

    fn stat(&self) -> Result<Option<rustix::fs::Stat>> {
        Node::stat_of(self.fd(), self.name, self.path)
    }
}

impl Extractor<'_> {
    /// Applies the attributes of the archive's own folder to the destination.
    pub(crate) fn root(&mut self, header: &Header) -> Result<()> {
        if header.kind != EntryKind::Directory {
            return Err(ArchiveError::entry(&header.path, "the root is a folder"));
        }
        let base = self.base.clone();
        let folder = self.folders.existing(&base)?;
        self.dress(&folder.fd, header)?;
        self.times.insert(base, header.mtime);
        Ok(())
    }

    /// Whose attributes are refused.
    fn marks(&self) -> Marks {
        match self.options.whiteouts {
            Whiteouts::Overlay(marks) => marks,
            Whiteouts::Plain | Whiteouts::Names | Whiteouts::Ordinary => Marks::Trusted,
        }
    }

    /// Makes the entry at `clean`, in place of what is there; `content` writes a regular file's bytes.
    pub(crate) fn make(
        &mut self,
        clean: &[u8],
        header: &Header,
        content: &mut dyn FnMut(&OwnedFd) -> Result<()>,
    ) -> Result<()> {
        let (folder, name) = path::split(clean);
        let place = Place { folder: self.folder(folder)?, name, path: clean };
        match header.kind {
            EntryKind::Regular => self.regular(&place, header, content),
            EntryKind::Directory => self.directory(&place, header),
            EntryKind::HardLink => self.hard_link(&place, header),
            EntryKind::Symlink => {
                self.replacing(&place, || {
                    rustix::fs::symlinkat(header.link.as_slice(), place.fd(), name)
                })?;
                self.dress_name(&place, header)
            }
            EntryKind::CharDevice => self.node(&place, header, FileType::CharacterDevice),
            EntryKind::BlockDevice => self.node(&place, header, FileType::BlockDevice),
            EntryKind::Fifo => self.node(&place, header, FileType::Fifo),
            EntryKind::Other(flag) => {
                Err(ArchiveError::entry(clean, format!("unhandled tar header type {flag}")))
            }
        }
    }

    /// The folder with this path; what is missing of it is made, as the layers below have it.
    pub(super) fn folder(&mut self, clean: &[u8]) -> Result<Arc<Folder>> {
        let lowers = self.options.lowers;
        let times = &mut self.times;
        let implied = &mut self.implied;
        self.folders.open(clean, &mut |missing| {
            implied.insert(missing.path.to_vec());
            if let Some(time) = make_parent(missing, lowers)? {
                times.insert(missing.path.to_vec(), time);
            }
            Ok(())
        })
    }

    /// Looks again for the attributes of a folder that was made for what is in it.
    pub(super) fn inherit(&mut self, clean: &[u8]) -> Result<()> {
        let folder = self.folders.existing(clean)?;
        if let Some(time) = attributes_from_below(&folder.fd, clean, self.options.lowers)? {
            self.times.insert(clean.to_vec(), time);
        }
        Ok(())
    }

    fn regular(
        &mut self,
        place: &Place<'_>,
        header: &Header,
        content: &mut dyn FnMut(&OwnedFd) -> Result<()>,
    ) -> Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let private = Mode::RUSR | Mode::WUSR;
        let fd =
            self.replacing(place, || rustix::fs::openat(place.fd(), place.name, flags, private))?;
        content(&fd)?;
        self.applied.bytes += header.size;
        let (uid, gid) = owner(header)?;
        if (uid, gid) != self.me || place.folder.gives_group {
            chown(&fd, uid, gid).map_err(ArchiveError::io("change owner of", place.path))?;
        }
        chmod(&fd, header).map_err(ArchiveError::io("change mode of", place.path))?;
        set_xattrs((header, self.marks()), |name, value| {
            rustix::fs::fsetxattr(&fd, name, value, XattrFlags::empty())
        })?;
        rustix::fs::futimens(&fd, &times(header.mtime))
            .map_err(ArchiveError::io("set time of", place.path))
    }

    fn directory(&mut self, place: &Place<'_>, header: &Header) -> Result<()> {
        let mkdir = || rustix::fs::mkdirat(place.fd(), place.name, Mode::RWXU);
        match mkdir() {
            Ok(()) => {}
            Err(Errno::EXIST) => match place.stat()? {
                // Another entry made it, or it is of a lower layer: the new attributes count.
                Some(stat) if tree::is_folder(&stat) => self.folders.forget(),
                Some(_) if self.options.special.clashes == Clashes::Refused => {
                    return Err(self.clash(place, Clashing::Other));
                }
                stat => {
                    self.replacing(place, mkdir)?;
                    let was_removed = stat.as_ref().is_some_and(tree::is_whiteout);
                    if was_removed && let Whiteouts::Overlay(marks) = self.options.whiteouts {
                        set_opaque(place.fd(), place.name, (place.path, marks))?;
                    }
                }
            },
            Err(error) => return Err(ArchiveError::io("create folder", place.path)(error)),
        }
        let fd = rustix::fs::openat(place.fd(), place.name, FOLDER, Mode::empty())
            .map_err(ArchiveError::io("open", place.path))?;
        self.dress(&fd, header)?;
        self.times.insert(place.path.to_vec(), header.mtime);
        self.implied.remove(place.path);
        Ok(())
    }

    fn hard_link(&mut self, place: &Place<'_>, header: &Header) -> Result<()> {
        let target = self.renamed(path::clean(&header.link)?);
        if target.is_empty() {
            return Err(ArchiveError::entry(&header.path, "hard link to the root"));
        }
        let target = self.below_base(target);
        let (folder, name) = path::split(&target);
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = self.folders.existing(b"")?;
        let folder = if folder.is_empty() { &b"."[..] } else { folder };
        let parent = rustix::fs::openat2(&root.fd, folder, flags, Mode::empty(), resolve)
            .map_err(ArchiveError::io("open", &target))?;
        // A name linked to itself: nothing to do, and nothing may be removed.
        if target == place.path && place.stat()?.is_some() {
            return Ok(());
        }
        let link = || rustix::fs::linkat(&parent, name, place.fd(), place.name, AtFlags::empty());
        match self.replacing(place, link) {
            Err(ArchiveError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                let target = String::from_utf8_lossy(&header.link);
                Err(ArchiveError::entry(
                    &header.path,
                    format!("hard link to {target:?}, which is not there"),
                ))
            }
            result => result,
        }
    }

    fn node(&mut self, place: &Place<'_>, header: &Header, kind: FileType) -> Result<()> {
        let device = if kind == FileType::Fifo {
            0
        } else {
            rustix::fs::makedev(header.device.major, header.device.minor)
        };
        let mode = Mode::RUSR | Mode::WUSR;
        self.replacing(place, || rustix::fs::mknodat(place.fd(), place.name, kind, mode, device))?;
        self.dress_name(place, header)
    }

    /// Makes something; if a name is in the way, it is removed first.
    fn replacing<T>(
        &mut self,
        place: &Place<'_>,
        make: impl Fn() -> rustix::io::Result<T>,
    ) -> Result<T> {
        match make() {
            Err(Errno::EXIST) => {
                if self.options.special.clashes == Clashes::Refused
                    && place.stat()?.as_ref().is_some_and(tree::is_folder)
                {
                    return Err(self.clash(place, Clashing::Folder));
                }
                whiteout::remove(place.fd(), place.name, place.path)?;
                self.forget(place.path);
                make()
            }
            result => result,
        }
        .map_err(ArchiveError::io("create", place.path))
    }

    /// That `old`, which is to stay, is in the way.
    fn clash(&self, place: &Place<'_>, old: Clashing) -> ArchiveError {
        let shown = |path: &[u8]| format!("/{}", String::from_utf8_lossy(path)).into();
        ArchiveError::Clash { old, path: shown(place.path), place: shown(&self.base) }
    }

    /// Owner, mode and attributes of a folder; its time comes last of all.
    fn dress(&self, fd: &OwnedFd, header: &Header) -> Result<()> {
        let (uid, gid) = owner(header)?;
        chown(fd, uid, gid).map_err(ArchiveError::io("change owner of", &header.path))?;
        chmod(fd, header).map_err(ArchiveError::io("change mode of", &header.path))?;
        set_xattrs((header, self.marks()), |name, value| {
            rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty())
        })
    }

    /// The same for what is not opened: links, devices, pipes.
    fn dress_name(&self, place: &Place<'_>, header: &Header) -> Result<()> {
        let (uid, gid) = owner(header)?;
        if (uid, gid) != self.me || place.folder.gives_group {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            rustix::fs::chownat(
                place.fd(),
                place.name,
                Some(uid),
                Some(gid),
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .map_err(ArchiveError::io("change owner of", place.path))?;
        }
        if header.kind != EntryKind::Symlink {
            change_mode(place, header).map_err(ArchiveError::io("change mode of", place.path))?;
        }
        set_xattrs((header, self.marks()), |name, value| {
            rustix::fs::lsetxattr(
                tree::proc_path(place.fd(), place.name),
                name,
                value,
                XattrFlags::empty(),
            )
        })?;
        rustix::fs::utimensat(
            place.fd(),
            place.name,
            &times(header.mtime),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(ArchiveError::io("set time of", place.path))
    }
}

/// Changes the mode of what is not opened. fchmodat(2) follows links, and of a container that runs the name may have
/// become one since, to any file of the host: what it means is held first.
fn change_mode(place: &Place<'_>, header: &Header) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = rustix::fs::openat(place.fd(), place.name, flags, Mode::empty())?;
    if tree::file_type(&rustix::fs::fstat(&held)?) == FileType::Symlink {
        return Err(Errno::LOOP);
    }
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    rustix::fs::chmod(path, Mode::from_raw_mode(header.mode & 0o7777))
}

/// Makes a folder that the archive needs and does not have, and tells the time it must get.
fn make_parent(missing: &Missing<'_>, lowers: &[PathBuf]) -> Result<Option<Timestamp>> {
    rustix::fs::mkdirat(missing.parent, missing.name, Mode::RWXU)
        .map_err(ArchiveError::io("create folder", missing.path))?;
    let fd = rustix::fs::openat(missing.parent, missing.name, FOLDER, Mode::empty())
        .map_err(ArchiveError::io("open", missing.path))?;
    let time = attributes_from_below(&fd, missing.path, lowers)?;
    if time.is_none() {
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o755))
            .map_err(ArchiveError::io("change mode of", missing.path))?;
    }
    Ok(time)
}

/// Gives a folder what the nearest layer below that has it says, and tells its time.
fn attributes_from_below(
    fd: &OwnedFd,
    path: &[u8],
    lowers: &[PathBuf],
) -> Result<Option<Timestamp>> {
    for lower in lowers {
        let lower = tree::open_root(lower)?;
        // User marks are no harm here: nothing of theirs is about a folder that this layer has.
        let mut view = tree::View::with_marks(Some(lower.as_fd()), Marks::User);
        let Some(stat) = view.stat(path)? else {
            continue;
        };
        if !tree::is_folder(&stat) {
            break;
        }
        let mut header = Header::new(path, EntryKind::Directory);
        header.mode = stat.st_mode & 0o7777;
        header.xattrs = view.xattrs(path)?;
        chown(fd, stat.st_uid, stat.st_gid).map_err(ArchiveError::io("change owner of", path))?;
        chmod(fd, &header).map_err(ArchiveError::io("change mode of", path))?;
        set_xattrs((&header, Marks::User), |name, value| {
            rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty())
        })?;
        let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        return Ok(Some(Timestamp { seconds: stat.st_mtime, nanoseconds }));
    }
    Ok(None)
}

fn owner(header: &Header) -> Result<(u32, u32)> {
    // The last number means "leave it" to the kernel.
    let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
    match (id(header.uid), id(header.gid)) {
        (Some(uid), Some(gid)) => Ok((uid, gid)),
        _ => Err(ArchiveError::entry(
            &header.path,
            format!("no such owner: {}:{}", header.uid, header.gid),
        )),
    }
}

fn chown(fd: &OwnedFd, uid: u32, gid: u32) -> rustix::io::Result<()> {
    rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

/// After the owner: changing that takes setuid away.
fn chmod(fd: &OwnedFd, header: &Header) -> rustix::io::Result<()> {
    rustix::fs::fchmod(fd, Mode::from_raw_mode(header.mode & 0o7777))
}

/// Sets the attributes that belong to a layer: never overlayfs' own, which could show other layers of the host. What a
/// file system does not know is left out, as in Docker.
fn set_xattrs(
    (header, marks): (&Header, Marks),
    set: impl Fn(&[u8], &[u8]) -> rustix::io::Result<()>,
) -> Result<()> {
    for (name, value) in &header.xattrs {
        if marks.has(name) || name.contains(&0) {
            continue;
        }
        match set(name, value) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(error) => return Err(ArchiveError::io("set attribute of", &header.path)(error)),
        }
    }
    Ok(())
}
