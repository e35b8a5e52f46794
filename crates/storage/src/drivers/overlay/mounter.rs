//! How layers are stacked: what overlay2 and fuse-overlayfs do differently.

use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use barge_archive::Marks;
use barge_archive::extract::Whiteouts;

use crate::driver::Durability;
use crate::error::{Result, StorageError};

/// What to mount.
#[derive(Debug, Default)]
pub(crate) struct Stack {
    /// Nearest first.
    pub(crate) lowers: Vec<PathBuf>,
    /// The folder for changes and the mounter's own beside it; without, the mount is read-only.
    pub(crate) upper: Option<(PathBuf, PathBuf)>,
    pub(crate) durability: Durability,
}

/// A way to mount stacks.
pub(crate) trait Mounter: Debug + Send + Sync {
    /// The word users type, and the driver's folder.
    const NAME: &'static str;

    /// Mounts a stack at `target`.
    fn mount(&self, stack: &Stack, target: &Path) -> Result<()>;

    /// Why it cannot mount folders whose owners the kernel maps, if it cannot.
    fn cannot_map(&self) -> Option<&'static str>;

    /// Whether what is mounted at a path still works.
    fn is_alive(&self, target: &Path) -> bool;

    /// Mounts a stack without a place; `None` where that cannot be.
    fn detached(&self, stack: &Stack) -> Result<Option<OwnedFd>>;

    /// What becomes of names that remove, in a layer on others.
    fn whiteouts(&self) -> Whiteouts;

    /// The marks in upper folders, if those folders alone tell what a layer changes.
    fn native(&self) -> Option<Marks>;

    /// The error for a size that the file system cannot enforce.
    fn no_sizes(&self) -> StorageError;

    /// What `info` shows.
    fn status(&self, root: &Path) -> Vec<(&'static str, String)>;
}

/// Where a mount can be tried: empty folders `diff`, `work`, `merged` and `lower` in `path`.
pub(crate) struct Trial<'a> {
    pub(crate) path: &'a Path,
}

impl Trial<'_> {
    /// A stack of these folders.
    pub(crate) fn stack(&self) -> Stack {
        Stack {
            lowers: vec![self.path.join("lower")],
            upper: Some((self.path.join("diff"), self.path.join("work"))),
            ..Stack::default()
        }
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.path.join("merged")
    }
}
