//! Open folders of the destination: the way to the last one used, so that neighbours cost no walk.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{ArchiveError, Result};
use crate::tree::{FOLDER, OPEN_FOLDERS};

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) fd: OwnedFd,
    /// Whether new files get the folder's group.
    pub(super) gives_group: bool,
}

impl Folder {
    fn new(fd: OwnedFd, path: &[u8]) -> Result<Arc<Self>> {
        let stat = rustix::fs::fstat(&fd).map_err(ArchiveError::io("stat", path))?;
        Ok(Arc::new(Self { fd, gives_group: stat.st_mode & 0o2000 != 0 }))
    }
}

/// A folder that is needed and missing.
pub(super) struct Missing<'a> {
    pub(super) parent: BorrowedFd<'a>,
    pub(super) name: &'a [u8],
    pub(super) path: &'a [u8],
}

struct Level {
    /// Length of the path up to and with this folder.
    end: usize,
    folder: Option<Arc<Folder>>,
}

pub(super) struct Folders {
    root: Arc<Folder>,
    path: Vec<u8>,
    levels: Vec<Level>,
}

impl Folders {
    pub(super) fn new(root: OwnedFd) -> Result<Self> {
        Ok(Self { root: Folder::new(root, b"/")?, path: Vec::new(), levels: Vec::new() })
    }

    /// Closes everything but the root.
    pub(super) fn forget(&mut self) {
        self.levels.clear();
        self.path.clear();
    }

    /// Opens the folder with this clean path; `make` is asked for every part that is missing.
    pub(super) fn open(
        &mut self,
        path: &[u8],
        make: &mut dyn FnMut(&Missing<'_>) -> Result<()>,
    ) -> Result<Arc<Folder>> {
        let kept =
            self.levels.iter().take_while(|level| is_ancestor(&self.path, level.end, path)).count();
        self.levels.truncate(kept);
        self.path.truncate(self.levels.last().map_or(0, |level| level.end));
        while self.path.len() < path.len() {
            let start = if self.path.is_empty() { 0 } else { self.path.len() + 1 };
            let rest = path.get(start..).unwrap_or_default();
            let length = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let here = path.get(..start + length).unwrap_or_default();
            let name = rest.get(..length).unwrap_or_default();
            let parent = self.top()?;
            let folder =
                self.child(&Missing { parent: parent.fd.as_fd(), name, path: here }, make)?;
            self.push(here, folder);
        }
        self.top()
    }

    /// Opens a folder that must be there.
    pub(super) fn existing(&mut self, path: &[u8]) -> Result<Arc<Folder>> {
        self.open(path, &mut |missing| Err(ArchiveError::io("open", missing.path)(Errno::NOENT)))
    }

    fn push(&mut self, path: &[u8], folder: Arc<Folder>) {
        self.path = path.to_vec();
        self.levels.push(Level { end: path.len(), folder: Some(folder) });
        let far =
            self.levels.len().checked_sub(OPEN_FOLDERS).and_then(|at| self.levels.get_mut(at));
        if let Some(far) = far {
            far.folder = None;
        }
    }

    fn top(&mut self) -> Result<Arc<Folder>> {
        let Some(level) = self.levels.last_mut() else {
            return Ok(Arc::clone(&self.root));
        };
        if let Some(folder) = &level.folder {
            return Ok(Arc::clone(folder));
        }
        let folder = resolve(&self.root, &self.path)?;
        level.folder = Some(Arc::clone(&folder));
        Ok(folder)
    }

    fn child(
        &self,
        at: &Missing<'_>,
        make: &mut dyn FnMut(&Missing<'_>) -> Result<()>,
    ) -> Result<Arc<Folder>> {
        let open = || rustix::fs::openat(at.parent, at.name, FOLDER, Mode::empty());
        let result = match open() {
            Err(Errno::NOENT) => {
                make(at)?;
                open()
            }
            result => result,
        };
        match result {
            Ok(fd) => Folder::new(fd, at.path),
            // A symbolic link: the kernel follows it with the destination as the root.
            Err(Errno::NOTDIR | Errno::LOOP) => resolve(&self.root, at.path),
            Err(error) => Err(ArchiveError::io("open", at.path)(error)),
        }
    }
}

/// Whether `old[..end]` is `path` or a folder above it.
fn is_ancestor(old: &[u8], end: usize, path: &[u8]) -> bool {
    old.get(..end).is_some_and(|old| path.get(..end) == Some(old))
        && matches!(path.get(end), None | Some(b'/'))
}

fn resolve(root: &Folder, path: &[u8]) -> Result<Arc<Folder>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let fd = rustix::fs::openat2(&root.fd, path, flags, Mode::empty(), resolve)
        .map_err(ArchiveError::io("open", path))?;
    Folder::new(fd, path)
}
