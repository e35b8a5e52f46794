//! A tree of mounts that only descriptors lead to: a container's files while it does not run.
//!
//! It is put together in a mount namespace of its own, whose root it becomes: the host's mounts are let go of, nobody
//! else sees the new ones, and they end with the last descriptor, however the process ends.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::mount::{self, Change, Reach};
use crate::{namespace, openat2};

/// A part of the host's tree in an assembled one.
#[derive(Clone, Debug)]
pub struct Part {
    /// What of the host.
    pub source: PathBuf,
    /// What in there, which no link leads out of; empty for all of it.
    pub inside: PathBuf,
    /// Where in the tree; made when it is missing.
    pub target: PathBuf,
    /// Whether what is mounted below the source comes along.
    pub reach: Reach,
    /// What is different from the source.
    pub change: Change,
    /// For which of the mounts that come along.
    pub change_reach: Reach,
    /// The user namespace that gives its files other owners.
    pub owners: Option<Arc<OwnedFd>>,
}

/// What could not be mounted, and why.
pub type Failed = (PathBuf, io::Error);

/// An assembled tree; it ends when this is dropped.
#[derive(Debug)]
pub struct Assembly {
    root: OwnedFd,
    /// Without it the kernel would take the mounts apart.
    _namespace: OwnedFd,
}

impl Assembly {
    /// Mounts `parts`, those above before those in them, on the folder `root`, and applies `change` to that itself in
    /// the end.
    ///
    /// # Errors
    /// The path that was being mounted, and why it was not.
    pub fn make(root: &Path, parts: &[Part], change: Change) -> Result<Self, Failed> {
        let at_root = |error| (root.to_owned(), error);
        let made = namespace::on_own_thread(|| assemble(root, parts, change));
        let (top, namespace) = made.map_err(at_root)??;
        Ok(Self { root: top, _namespace: namespace })
    }
}

impl AsFd for Assembly {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// The whole work, on a thread that ends with it.
fn assemble(root: &Path, parts: &[Part], change: Change) -> Result<(OwnedFd, OwnedFd), Failed> {
    let at_root = |error| (root.to_owned(), error);
    let (top, namespace) = begin(root).map_err(at_root)?;
    let mut trees = Vec::new();
    for part in parts {
        let at_part = |error| (part.source.clone(), error);
        trees.push((part, clone(part).map_err(at_part)?));
    }
    for (part, tree) in trees {
        let placed = place(&top, part, tree.as_fd());
        let attached = placed.and_then(|place| mount::attach(&tree, &place));
        attached.map_err(|error| (part.target.clone(), error))?;
    }
    mount::change(&top, Reach::One, change).map_err(at_root)?;
    become_root(top.as_fd()).map_err(at_root)?;
    Ok((top, namespace))
}

/// A namespace in which nothing reaches the host, and the root of the tree as a mount of its own there.
fn begin(root: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    namespace::unshare(namespace::Kinds::MOUNT)?;
    mount::change_at(CWD, Path::new("/"), Reach::Tree, Change::PRIVATE)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace = rustix::fs::openat(CWD, "/proc/thread-self/ns/mnt", flags, Mode::empty())?;
    mount::attach_at(mount::clone_tree(CWD, root, Reach::One)?, CWD, root)?;
    Ok((openat2::open_root(root)?, namespace))
}

fn clone(part: &Part) -> io::Result<OwnedFd> {
    let tree = if part.inside.as_os_str().is_empty() {
        mount::clone_tree(CWD, &part.source, part.reach)?
    } else {
        let root = openat2::open_root(&part.source)?;
        let found = openat2::open(root, &part.inside, OFlags::PATH)?;
        mount::clone_tree(found, Path::new(""), part.reach)?
    };
    if let Some(owners) = &part.owners {
        mount::map_ids(&tree, owners.as_fd())?;
    }
    mount::change(&tree, part.change_reach, part.change)?;
    Ok(tree)
}

/// What a part covers: what is there, or a new folder or file that fits it.
fn place(top: &OwnedFd, part: &Part, tree: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    match openat2::open(top, &part.target, OFlags::PATH) {
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
            let stat = rustix::fs::fstat(tree)?;
            if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() {
                openat2::create_folders(top, &part.target, Mode::from_raw_mode(0o755))
            } else {
                openat2::create_file(top, &part.target)
            }
        }
        result => result,
    }
}

/// pivot_root(2) onto the same folder, as it says: the old root lies on top of the new one, until it is let go of.
fn become_root(top: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::fchdir(top)?;
    rustix::process::pivot_root(".", ".")?;
    Ok(rustix::mount::unmount(".", UnmountFlags::DETACH)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;

    fn part(source: PathBuf, target: &str) -> Part {
        Part {
            source,
            inside: PathBuf::new(),
            target: target.into(),
            reach: Reach::Tree,
            change: Change::READ_ONLY,
            change_reach: Reach::Tree,
            owners: None,
        }
    }

    #[test]
    fn parts_are_seen_through_the_descriptor_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (root, other) = (folder.path().join("root"), folder.path().join("other"));
        std::fs::create_dir_all(root.join("in")).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("file"), "x").unwrap();
        std::os::unix::fs::symlink("/in", root.join("link")).unwrap();
        let parts = [part(other.clone(), "/link/new"), part(other.join("file"), "/alone")];
        let made = Assembly::make(&root, &parts, Change::NONE).unwrap();
        assert_eq!(openat2::read(&made, Path::new("/in/new/file")).unwrap(), b"x");
        assert_eq!(openat2::read(&made, Path::new("/alone")).unwrap(), b"x");
        let written = openat2::open(&made, Path::new("/in/new/f"), OFlags::CREATE | OFlags::WRONLY);
        assert_eq!(written.unwrap_err().raw_os_error(), Some(Errno::ROFS.raw_os_error()));
        openat2::create_file(&made, Path::new("/written")).unwrap();
        assert!(root.join("written").exists());
        assert!(!root.join("in/new/file").exists());
        // Nothing of the host is in there, nor has anything come out.
        let shown = std::fs::read_link(format!("/proc/self/fd/{}", made.as_fd().as_raw_fd()));
        assert_eq!(shown.unwrap(), Path::new("/"));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(root.to_str().unwrap()), "{mounts}");
        drop(made);
        std::fs::remove_dir(root.join("in/new")).unwrap();
    }

    #[test]
    fn no_link_leads_out_of_what_a_part_is_in() {
        let folder = tempfile::tempdir().unwrap();
        let (root, volume) = (folder.path().join("root"), folder.path().join("volume"));
        for path in [&root, &volume, &volume.join("sub"), &folder.path().join("other")] {
            std::fs::create_dir(path).unwrap();
        }
        std::fs::write(volume.join("sub/file"), "x").unwrap();
        for (target, name) in [("/sub", "in"), ("../other", "out")] {
            std::os::unix::fs::symlink(target, volume.join(name)).unwrap();
        }
        let make = |inside: &str| {
            let part = Part { inside: inside.into(), ..part(volume.clone(), "/at") };
            Assembly::make(&root, &[part], Change::NONE)
        };
        let made = make("in").unwrap();
        assert_eq!(openat2::read(&made, Path::new("/at/file")).unwrap(), b"x");
        assert_eq!(make("out").unwrap_err().1.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_missing_on_the_host_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let failed = Assembly::make(folder.path(), &[part(missing.clone(), "/a")], Change::NONE);
        let (path, error) = failed.unwrap_err();
        assert_eq!((path, error.kind()), (missing, io::ErrorKind::NotFound));
    }
}
