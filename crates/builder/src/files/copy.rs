//! Copies a selection into a layer.
//!
//! What is copied looks as BuildKit leaves it: folders of the source take the place of those of the destination with their
//! mode and owner, but the outermost one gives nothing but its content; files replace files and links, never folders; hard
//! links stay links, holes stay holes, times are kept to the nanosecond.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use barge_archive::path;
use barge_sys::openat2;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timestamps};
use rustix::io::Errno;

use super::digest::join;
use super::error::{FilesError, Result, shown};
use super::mode::ChmodSpec;
use super::select::{Root, Selection};
use super::target::{self, Links, NewFolders};
use super::tree::{Child, Visibility};
use super::{queue, resolve, unpack};

/// Where and how files are put.
#[derive(Clone, Debug, Default)]
pub struct Placement<'a> {
    /// An absolute path; a slash at its end says that it is a folder.
    pub destination: &'a str,
    /// `--chown`, resolved.
    pub owner: Option<(u32, u32)>,
    /// `--chmod`.
    pub mode: Option<ChmodSpec>,
    /// `--link`: links at the destination are replaced, not followed.
    pub link: bool,
    /// The time of everything that is made.
    pub epoch: Option<i64>,
    /// What becomes of archives.
    pub archives: Archives,
}

/// What becomes of archives among the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Archives {
    /// They are files as others.
    #[default]
    Copied,
    /// Their content takes their place (`ADD`).
    Unpacked,
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files, links, folders and what else there is.
    pub entries: u64,
    /// Bytes of regular files.
    pub bytes: u64,
}

/// Where copies of files with several names are.
type Names = HashMap<(u64, u64), Vec<u8>>;

pub(super) struct Copier<'a> {
    pub(super) selection: &'a Selection,
    pub(super) placement: &'a Placement<'a>,
    pub(super) into: OwnedFd,
    names: Mutex<Names>,
    /// Times of folders, set at the end: what is made in them changes them.
    pub(super) times: Mutex<Vec<(Vec<u8>, Timestamps)>>,
    pub(super) entries: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// An open folder to write in.
pub(super) struct Place {
    pub(super) fd: OwnedFd,
    pub(super) path: Vec<u8>,
    pub(super) gives_group: bool,
}

/// A folder to be copied.
struct Folder {
    /// Its path below the root of the selection.
    below: Vec<u8>,
    stat: Stat,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// There already, and stays as it is.
    Kept,
    /// Made; it is yet to get its attributes.
    Made,
    /// Made when something in it is.
    Pending,
}

impl Selection {
    /// Copies everything into the folder `into`, the root of a mounted layer.
    ///
    /// The files may be changed by somebody meanwhile: whoever remembers the result by [`Selection::digest`] asks for it
    /// again afterwards.
    ///
    /// # Errors
    /// A destination where this cannot be put; a disk that fails or is full. Part of it is there then.
    pub fn copy(&self, into: &Path, placement: &Placement<'_>) -> Result<Copied> {
        let failed = FilesError::io("open", into.as_os_str().as_encoded_bytes());
        let copier = Copier {
            selection: self,
            placement,
            into: openat2::open_root(into).map_err(failed)?,
            names: Mutex::default(),
            times: Mutex::default(),
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        };
        let is_folder = placement.destination.ends_with('/')
            || placement.destination.ends_with("/.")
            || placement.destination == ".";
        if self.has_several && !is_folder {
            return Err(FilesError::SeveralSources);
        }
        for root in &self.roots {
            copier.root(root, is_folder || self.roots.len() > 1)?;
            lock(&copier.names).clear();
        }
        copier.finish()
    }
}

impl Copier<'_> {
    fn root(&self, root: &Root, is_folder: bool) -> Result<()> {
        let links = match self.placement.link {
            false => Links::Followed,
            true if is_folder || root.kind == FileType::Directory => Links::ReplacedByFolder,
            true => Links::Replaced,
        };
        let wanted = self.placement.destination.as_bytes();
        let found = target::find(self.into.as_fd(), wanted, links)?;
        if let Some(pivot) = root.pivot {
            return self.with_parents(root, pivot, &found.path);
        }
        if root.kind == FileType::Directory {
            if found.stat.is_some() && !found.is_folder() {
                return Err(FilesError::NotAFolder { path: shown(&found.path) });
            }
            drop(self.make_folders(&found.path)?);
            return self.folder(root, &found.path, State::Kept);
        }
        if self.placement.archives == Archives::Unpacked
            && root.kind == FileType::RegularFile
            && unpack::unpack_root(self, root, &found.path)?
        {
            return Ok(());
        }
        let (folder, name) = match found.is_folder() || is_folder {
            true => (found.path.clone(), root.name.clone()),
            false => {
                let (folder, name) = path::split(&found.path);
                (folder.to_vec(), name.to_vec())
            }
        };
        self.single(root, &folder, &name)
    }

    /// Something that is no folder, into one.
    fn single(&self, root: &Root, folder: &[u8], name: &[u8]) -> Result<()> {
        let place = Place::open(self.make_folders(folder)?, folder.to_vec())?;
        let (from, own) = path::split(&root.path);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let fd = resolve::open(self.selection.tree.root(), from, flags)
            .map_err(|_| FilesError::changed(from))?;
        let child = Child { name: own.to_vec(), kind: root.kind, stat: root.stat };
        self.thing((&fd, from), &child, (&place, name))
    }

    /// The folders between the pivot and the source are made as they are there.
    fn with_parents(&self, root: &Root, pivot: usize, destination: &[u8]) -> Result<()> {
        self.make_folders(destination)?;
        for (parent, stat) in self.selection.parents(root, pivot)? {
            let below = parent.get(pivot..).unwrap_or_default();
            let below = below.strip_prefix(b"/").unwrap_or(below);
            let to = join(destination, below);
            if resolve::open(self.into.as_fd(), &to, OFlags::PATH | OFlags::DIRECTORY).is_err() {
                self.make_folder(&to)?;
            }
            self.dress_folder((&parent, &stat), &to)?;
        }
        let to = join(destination, &root.name);
        if root.kind != FileType::Directory {
            let (folder, name) = path::split(&to);
            return self.single(root, folder, name);
        }
        if root.name.is_empty() {
            return self.folder(root, &to, State::Kept);
        }
        self.make_folder(&to)?;
        self.folder(root, &to, State::Made)
    }

    /// A folder with everything in it, by several threads.
    fn folder(&self, root: &Root, to: &[u8], state: State) -> Result<()> {
        let first = vec![Folder { below: Vec::new(), stat: root.stat, state }];
        queue::run(first, &|folder: Folder, more| self.one_folder((root, to), &folder, more))
    }

    fn one_folder(
        &self,
        (root, to): (&Root, &[u8]),
        folder: &Folder,
        more: &mut Vec<Folder>,
    ) -> Result<()> {
        self.selection.tree.check_cancelled()?;
        let (from, target) = (join(&root.path, &folder.below), join(to, &folder.below));
        let (fd, children) = self.selection.tree.list(&from)?;
        let mut shown_children = Vec::with_capacity(children.len());
        for child in children {
            let below = path::join(&folder.below, &child.name);
            match self.selection.shows(root, &below, child.kind) {
                Visibility::Hidden => {}
                Visibility::IfInside => {
                    more.push(Folder { below, stat: child.stat, state: State::Pending });
                }
                Visibility::Shown => shown_children.push((below, child)),
            }
        }
        if folder.state == State::Pending {
            if shown_children.is_empty() {
                return Ok(());
            }
            self.make_pending(root, &folder.below, to)?;
        }
        let place = Place::open(target::open_folder(self.into.as_fd(), &target)?, target)?;
        if folder.state != State::Kept {
            self.dress_fd((&fd, &from, &folder.stat), &place)?;
        }
        for (below, child) in shown_children {
            if child.kind == FileType::Directory {
                self.make_in(&place, &child.name)?;
                more.push(Folder { below, stat: child.stat, state: State::Made });
            } else {
                self.thing((&fd, &from), &child, (&place, &child.name))?;
            }
        }
        Ok(())
    }

    /// Makes folders that were waiting for something in them.
    fn make_pending(&self, root: &Root, below: &[u8], to: &[u8]) -> Result<()> {
        let ends = below.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([below.len()]) {
            let part = below.get(..end).unwrap_or_default();
            let (from, target) = (join(&root.path, part), join(to, part));
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            if resolve::open(self.into.as_fd(), &target, flags).is_ok() {
                continue;
            }
            let fd = resolve::open(self.selection.tree.root(), &from, flags);
            let stat = fd.and_then(rustix::fs::fstat).map_err(|_| FilesError::changed(&from))?;
            self.make_folder(&target)?;
            self.dress_folder((&from, &stat), &target)?;
        }
        Ok(())
    }

    /// Anything but a folder.
    fn thing(
        &self,
        (from, place): (&OwnedFd, &[u8]),
        child: &Child,
        (to, name): (&Place, &[u8]),
    ) -> Result<()> {
        self.selection.tree.check_cancelled()?;
        let path = path::join(&to.path, name);
        self.entries.fetch_add(1, Ordering::Relaxed);
        match child.kind {
            FileType::RegularFile if child.stat.st_nlink > 1 => {
                let inode = (child.stat.st_dev, child.stat.st_ino);
                // Held while the file is made, so that nobody else makes it too.
                let mut names = lock(&self.names);
                if let Some(first) = names.get(&inode) {
                    return self.link(first, (to, name), &path);
                }
                let made = self.create((to, name), &path)?;
                names.insert(inode, path.clone());
                drop(names);
                self.fill((from, place), child, (&made, &path), to.gives_group)
            }
            FileType::RegularFile => {
                let made = self.create((to, name), &path)?;
                self.fill((from, place), child, (&made, &path), to.gives_group)
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, &*child.name, Vec::new())
                    .map_err(|_| FilesError::changed(&path::join(place, &child.name)))?;
                replacing((to, name), &path, || {
                    rustix::fs::symlinkat(target.as_c_str(), &to.fd, name)
                })?;
                self.dress_name(child, (to, name), &path)
            }
            FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
                let device = if child.kind == FileType::Fifo { 0 } else { child.stat.st_rdev };
                replacing((to, name), &path, || {
                    rustix::fs::mknodat(&to.fd, name, child.kind, Mode::RUSR, device)
                })?;
                self.dress_name(child, (to, name), &path)
            }
            // Sockets are nobody's without their process; folders do not come here.
            FileType::Socket | FileType::Directory | FileType::Unknown => Ok(()),
        }
    }

    fn create(&self, (to, name): (&Place, &[u8]), path: &[u8]) -> Result<OwnedFd> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        replacing((to, name), path, || rustix::fs::openat(&to.fd, name, flags, mode))
    }

    fn link(&self, first: &[u8], (to, name): (&Place, &[u8]), path: &[u8]) -> Result<()> {
        let (folder, own) = path::split(first);
        let folder = target::open_folder(self.into.as_fd(), folder)?;
        replacing((to, name), path, || {
            rustix::fs::linkat(&folder, own, &to.fd, name, AtFlags::empty())
        })
    }

    fn make_folder(&self, path: &[u8]) -> Result<()> {
        let (folder, name) = path::split(path);
        let fd = target::open_folder(self.into.as_fd(), folder)?;
        self.make_in(&Place { fd, path: folder.to_vec(), gives_group: false }, name)
    }

    /// Makes a folder, unless it is there; a file or link in the way is an error as in BuildKit.
    fn make_in(&self, place: &Place, name: &[u8]) -> Result<()> {
        let path = path::join(&place.path, name);
        match rustix::fs::mkdirat(&place.fd, name, Mode::RWXU) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) if self.placement.link => {
                let stat = rustix::fs::statat(&place.fd, name, AtFlags::SYMLINK_NOFOLLOW);
                if stat
                    .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
                {
                    return Ok(());
                }
                replacing((place, name), &path, || rustix::fs::mkdirat(&place.fd, name, Mode::RWXU))
            }
            // Whoever opens it says what is wrong.
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(FilesError::io("make folder", shown(&path).as_bytes())(error)),
        }
    }

    /// Makes folders that no source has.
    pub(super) fn make_folders(&self, path: &[u8]) -> Result<OwnedFd> {
        let owner = self.placement.owner.unwrap_or((0, 0));
        let new = NewFolders { owner, epoch: self.placement.epoch };
        target::make_missing(self.into.as_fd(), path, new)
    }

    pub(super) fn count(&self, entries: u64, bytes: u64) {
        self.entries.fetch_add(entries, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn finish(self) -> Result<Copied> {
        let times = self.times.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (path, times) in times {
            let name = if path.is_empty() { &b"."[..] } else { &path };
            rustix::fs::utimensat(&self.into, name, &times, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(FilesError::io("set time of", shown(&path).as_bytes()))?;
        }
        Ok(Copied { entries: self.entries.into_inner(), bytes: self.bytes.into_inner() })
    }
}

impl Place {
    pub(super) fn open(fd: OwnedFd, path: Vec<u8>) -> Result<Self> {
        let stat =
            rustix::fs::fstat(&fd).map_err(FilesError::io("look at", shown(&path).as_bytes()))?;
        Ok(Self { fd, path, gives_group: stat.st_mode & 0o2000 != 0 })
    }
}

/// Makes something; a file in the way is removed first.
fn replacing<T>(
    (to, name): (&Place, &[u8]),
    path: &[u8],
    make: impl Fn() -> rustix::io::Result<T>,
) -> Result<T> {
    let failed = || FilesError::io("create", shown(path).as_bytes());
    match make() {
        Err(Errno::EXIST) => {
            match rustix::fs::unlinkat(&to.fd, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) => {
                    return Err(FilesError::FolderInTheWay { path: shown(path) });
                }
                Err(error) => return Err(failed()(error)),
            }
            make().map_err(failed())
        }
        result => result.map_err(failed()),
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
