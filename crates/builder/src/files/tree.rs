//! What `COPY` reads from: a context, or the files of a stage or an image.
//!
//! Nothing is read outside of its root: every path is looked up by the kernel with that folder as the root, and what was
//! found once is opened without following links.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use barge_archive::path;
use barge_dockerfile::ignore::Patterns;
use barge_sys::openat2;
use rustix::fs::{AtFlags, FileType, OFlags, RawDir, Stat};
use rustix::io::Errno;

use super::error::{FilesError, Result, shown};
use super::memory::{ChecksumMemory, Memory, is_gone};
use super::resolve;
use crate::runner::Cancel;

/// A tree of files. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Tree(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: OwnedFd,
    name: String,
    owners: Owners,
    ignore: Option<Patterns>,
    memory: Option<Memory>,
    cancel: OnceLock<Cancel>,
}

/// Whose the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owners {
    /// As they are: files of an image.
    Kept,
    /// root's: files of somebody's own machine.
    Root,
}

impl Tree {
    /// A context: everything in it is root's, and what is ignored is not there. `identity` finds the checksums of earlier
    /// builds; empty, nothing is remembered.
    ///
    /// # Errors
    /// A folder that cannot be opened.
    pub fn context(
        folder: &Path,
        ignore: Option<&Patterns>,
        memory: &ChecksumMemory,
        identity: &str,
    ) -> Result<Self> {
        let memory = (!identity.is_empty()).then(|| memory.load(identity));
        Self::open(folder, ("the build context", Owners::Root), (ignore.cloned(), memory))
    }

    /// The mounted files of a stage or an image, of which `name` is shown: owners are kept.
    ///
    /// # Errors
    /// A folder that cannot be opened.
    pub fn layer(root: &Path, name: &str) -> Result<Self> {
        Self::open(root, (name, Owners::Kept), (None, None))
    }

    /// A folder that the builder itself filled (heredocs, downloads): root's.
    ///
    /// # Errors
    /// A folder that cannot be opened.
    pub fn made(folder: &Path, name: &str) -> Result<Self> {
        Self::open(folder, (name, Owners::Root), (None, None))
    }

    /// A folder of the client beside the main context, with what it ignores: root's.
    ///
    /// # Errors
    /// A folder that cannot be opened.
    pub fn named(folder: &Path, name: &str, ignore: Option<&Patterns>) -> Result<Self> {
        Self::open(folder, (name, Owners::Root), (ignore.cloned(), None))
    }

    fn open(
        folder: &Path,
        (name, owners): (&str, Owners),
        (ignore, memory): (Option<Patterns>, Option<Memory>),
    ) -> Result<Self> {
        let failed = FilesError::io("open", folder.as_os_str().as_encoded_bytes());
        let root = openat2::open_root(folder).map_err(failed)?;
        let ignore = ignore.filter(|patterns| !patterns.is_empty());
        Ok(Self(Arc::new(Inner {
            root,
            name: name.to_owned(),
            owners,
            ignore,
            memory,
            cancel: OnceLock::new(),
        })))
    }

    /// Lets walks and copies of this tree end early; the first word counts.
    #[must_use]
    pub fn until(self, cancel: &Cancel) -> Self {
        self.0.cancel.get_or_init(|| cancel.clone());
        self
    }

    pub(super) fn check_cancelled(&self) -> Result<()> {
        match self.0.cancel.get() {
            Some(cancel) if cancel.is_cancelled() => Err(FilesError::Cancelled),
            _ => Ok(()),
        }
    }

    /// A small regular file (at most 16 MiB), whether it is ignored or not: the Dockerfile and the file of what is
    /// ignored. Nothing when it is not there.
    ///
    /// # Errors
    /// What is no regular file.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match openat2::read(&self.0.root, Path::new(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(FilesError::io("read", path.as_bytes())(error)),
        }
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.0.root.as_fd()
    }

    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    pub(super) fn memory(&self) -> Option<&Memory> {
        self.0.memory.as_ref()
    }

    /// Owner and group of something.
    pub(super) fn owner(&self, stat: &Stat) -> (u32, u32) {
        match self.0.owners {
            Owners::Kept => (stat.st_uid, stat.st_gid),
            Owners::Root => (0, 0),
        }
    }

    /// How something shows to whoever copies it.
    pub(super) fn visibility(&self, path: &[u8], kind: FileType) -> Visibility {
        self.0.ignore.as_ref().map_or(Visibility::Shown, |ignore| visibility(ignore, path, kind))
    }

    /// What is in a folder, sorted by name, with the open folder.
    pub(super) fn list(&self, folder: &[u8]) -> Result<(OwnedFd, Vec<Child>)> {
        let fd = resolve::open(self.root(), folder, OFlags::RDONLY | OFlags::DIRECTORY);
        let fd = fd.map_err(|error| match error {
            // It was a folder a moment ago.
            Errno::LOOP | Errno::NOTDIR | Errno::NOENT => FilesError::changed(folder),
            error => FilesError::io("open", shown(folder).as_bytes())(error),
        })?;
        let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
        let mut entries = RawDir::new(&fd, &mut buffer);
        let mut children = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(FilesError::io("read", shown(folder).as_bytes()))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // Removed since.
                Err(Errno::NOENT) => continue,
                Err(error) => {
                    let path = path::join(folder, name.to_bytes());
                    return Err(FilesError::io("look at", shown(&path).as_bytes())(error));
                }
            };
            let name = name.to_bytes().to_vec();
            children.push(Child { kind: FileType::from_raw_mode(stat.st_mode), name, stat });
        }
        children.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok((fd, children))
    }
}

/// Something in a folder.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: Vec<u8>,
    pub(super) kind: FileType,
    pub(super) stat: Stat,
}

/// How something shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visibility {
    /// It is there.
    Shown,
    /// A folder that is there when something in it is.
    IfInside,
    /// It is not there.
    Hidden,
}

impl Visibility {
    /// By two lists.
    pub(super) fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Hidden => Self::Hidden,
            Self::Shown => other(),
            Self::IfInside => match other() {
                Self::Shown => Self::IfInside,
                other @ (Self::IfInside | Self::Hidden) => other,
            },
        }
    }
}

/// How something shows by a list of patterns.
pub(super) fn visibility(patterns: &Patterns, path: &[u8], kind: FileType) -> Visibility {
    if path.is_empty() || patterns.is_empty() {
        return Visibility::Shown;
    }
    // Patterns are text; a name that is not, matches as it is shown.
    let path = String::from_utf8_lossy(path);
    if !patterns.matches(&path) {
        Visibility::Shown
    } else if kind == FileType::Directory && !patterns.can_skip_folder(&path) {
        Visibility::IfInside
    } else {
        Visibility::Hidden
    }
}
