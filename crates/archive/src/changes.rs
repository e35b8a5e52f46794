//! What differs between two trees, in Docker's three letters.
//!
//! A file counts as changed by its attributes, size and time, as in Docker: contents are not compared. A folder counts
//! when its own attributes differ or when something in it does.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};

use crate::error::Result;
use crate::path;
use crate::tree::{self, Marks, Node, View};

/// How a path changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// `C`, 0 in the API.
    Modify,
    /// `A`, 1 in the API.
    Add,
    /// `D`, 2 in the API.
    Delete,
}

impl ChangeKind {
    /// The number in the API.
    pub fn number(self) -> u8 {
        match self {
            Self::Modify => 0,
            Self::Add => 1,
            Self::Delete => 2,
        }
    }

    /// The letter that `docker diff` prints.
    pub fn letter(self) -> char {
        match self {
            Self::Modify => 'C',
            Self::Add => 'A',
            Self::Delete => 'D',
        }
    }
}

/// A path that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Absolute, as the container sees it.
    pub path: PathBuf,
    /// How.
    pub kind: ChangeKind,
}

impl Change {
    /// The path from the root, without the leading slash.
    pub(crate) fn relative(&self) -> &[u8] {
        let path = self.path.as_os_str().as_bytes();
        path.strip_prefix(b"/").unwrap_or(path)
    }
}

#[derive(Default)]
struct Found(BTreeMap<Vec<u8>, ChangeKind>);

impl Found {
    fn add(&mut self, path: &[u8], kind: ChangeKind) {
        self.0.insert(path.to_vec(), kind);
        // The folders above are part of the change: a layer must carry their attributes.
        let (mut folder, _) = path::split(path);
        while !folder.is_empty() && !self.0.contains_key(folder) {
            self.0.insert(folder.to_vec(), ChangeKind::Modify);
            folder = path::split(folder).0;
        }
    }

    /// Names that `view` has in a folder and that are not in `kept`.
    fn deletions(&mut self, view: &View<'_>, folder: &[u8], kept: &[Vec<u8>]) -> Result<()> {
        let kept: HashSet<&Vec<u8>> = kept.iter().collect();
        for name in view.names(folder)? {
            if !kept.contains(&name) {
                self.add(&path::join(folder, &name), ChangeKind::Delete);
            }
        }
        Ok(())
    }

    fn into_changes(self) -> Vec<Change> {
        let absolute = |path: Vec<u8>| Path::new("/").join(OsStr::from_bytes(&path));
        self.0.into_iter().map(|(path, kind)| Change { path: absolute(path), kind }).collect()
    }
}

/// What `new` changes in `old`, by comparing two whole trees. Without `old` everything is added.
pub fn between(old: Option<&Path>, new: &Path) -> Result<Vec<Change>> {
    let old = old.map(tree::open_root).transpose()?;
    let new = tree::open_root(new)?;
    let mut view = View::new(old.as_ref().map(|fd| fd.as_fd()));
    let mut found = Found::default();
    found.deletions(&view, b"", &tree::names(new.as_fd(), b"")?)?;
    tree::walk(new.as_fd(), &mut |node| {
        if file_is_left_out(node) {
            return Ok(());
        }
        match view.stat(node.path)? {
            None => found.add(node.path, ChangeKind::Add),
            Some(old) => {
                if differs(node, &old, &mut view)? {
                    found.add(node.path, ChangeKind::Modify);
                }
                if tree::is_folder(&old) && tree::is_folder(&node.stat) {
                    found.deletions(&view, node.path, &names_in(node)?)?;
                }
            }
        }
        Ok(())
    })?;
    Ok(found.into_changes())
}

/// What the upper folder of an overlay changes in `lower`, the view of everything below.
pub fn of_upper(
    (upper, marks): (&Path, Marks),
    lower: Option<BorrowedFd<'_>>,
) -> Result<Vec<Change>> {
    let upper = tree::open_root(upper)?;
    let mut view = View::with_marks(lower, marks);
    let mut found = Found::default();
    tree::walk_upper(upper.as_fd(), marks, &mut |node| {
        if file_is_left_out(node) {
            return Ok(());
        }
        let old = view.stat(node.path)?;
        if tree::is_whiteout(&node.stat) {
            if old.is_some() {
                found.add(node.path, ChangeKind::Delete);
            }
            return Ok(());
        }
        let Some(old) = old else {
            found.add(node.path, ChangeKind::Add);
            return Ok(());
        };
        if differs(node, &old, &mut view)? {
            found.add(node.path, ChangeKind::Modify);
        }
        if tree::is_folder(&old) && tree::is_folder(&node.stat) && node.is_opaque()? {
            found.deletions(&view, node.path, &names_in(node)?)?;
        }
        Ok(())
    })?;
    Ok(found.into_changes())
}

/// Bytes of the regular files among `changes` in `tree`, each file once however many names it has.
pub fn size(tree: &Path, changes: &[Change]) -> Result<u64> {
    let root = tree::open_root(tree)?;
    let mut view = View::new(Some(root.as_fd()));
    let mut sum = Sum::default();
    for change in changes.iter().filter(|change| change.kind != ChangeKind::Delete) {
        if let Some(stat) = view.stat(change.relative())? {
            sum.add(&stat);
        }
    }
    Ok(sum.bytes)
}

/// Bytes of the regular files in a tree, each file once however many names it has.
pub fn content_size(tree: &Path) -> Result<u64> {
    let root = tree::open_root(tree)?;
    let mut sum = Sum::default();
    tree::walk(root.as_fd(), &mut |node| {
        sum.add(&node.stat);
        Ok(())
    })?;
    Ok(sum.bytes)
}

#[derive(Default)]
struct Sum {
    bytes: u64,
    seen: HashSet<(u64, u64)>,
}

impl Sum {
    fn add(&mut self, stat: &Stat) {
        let is_new = stat.st_nlink < 2 || self.seen.insert((stat.st_dev, stat.st_ino));
        if tree::file_type(stat) == FileType::RegularFile && is_new {
            self.bytes += u64::try_from(stat.st_size).unwrap_or_default();
        }
    }
}

/// Sockets cannot be archived and mean nothing without their process.
fn file_is_left_out(node: &Node<'_>) -> bool {
    tree::file_type(&node.stat) == FileType::Socket
}

fn names_in(node: &Node<'_>) -> Result<Vec<Vec<u8>>> {
    let fd = rustix::fs::openat(node.folder, node.name, tree::FOLDER, rustix::fs::Mode::empty())
        .map_err(crate::ArchiveError::io("open", node.path))?;
    tree::names(fd.as_fd(), node.path)
}

/// Docker's `statDifferent`, and all attributes instead of the capabilities only.
fn differs(node: &Node<'_>, old: &Stat, view: &mut View<'_>) -> Result<bool> {
    let new = &node.stat;
    if new.st_dev == old.st_dev && new.st_ino == old.st_ino {
        return Ok(false);
    }
    if new.st_mode != old.st_mode
        || new.st_uid != old.st_uid
        || new.st_gid != old.st_gid
        || new.st_rdev != old.st_rdev
    {
        return Ok(true);
    }
    if !tree::is_folder(new) && (new.st_size != old.st_size || !is_same_time(new, old)) {
        return Ok(true);
    }
    Ok(node.xattrs()? != view.xattrs(node.path)?)
}

/// Times out of an archive have no fraction: then seconds decide.
fn is_same_time(new: &Stat, old: &Stat) -> bool {
    new.st_mtime == old.st_mtime
        && (new.st_mtime_nsec == old.st_mtime_nsec
            || new.st_mtime_nsec == 0
            || old.st_mtime_nsec == 0)
}
