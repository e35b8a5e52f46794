//! Deletes trees, however deep they are: a container can nest folders deeper than any path, stack or table of descriptors.
//!
//! No link is followed. What is too deep is moved up beside the tree first and deleted from there.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, RenameFlags, renameat_with, unlinkat};
use rustix::io::Errno;

use crate::tree::FOLDER;

/// Folders open at a time, and calls on the stack.
const DEEPEST: usize = 32;

/// Deletes `name` in `folder` and everything in it; gone already is fine. Goes on after an error and tells the first.
pub fn tree(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let mut work = Work { folder, name, moved: Vec::new(), count: 0, first: None };
    work.remove(folder, name, 0);
    while let Some(name) = work.moved.pop() {
        work.remove(folder, &name, 0);
    }
    // What held the moved folders is empty now, unless something stays.
    work.remove(folder, name, 0);
    work.first.map_or(Ok(()), |error| Err(error.into()))
}

struct Work<'a> {
    folder: BorrowedFd<'a>,
    name: &'a [u8],
    /// Names in `folder` that still are to be deleted.
    moved: Vec<Vec<u8>>,
    count: u64,
    first: Option<Errno>,
}

impl Work<'_> {
    fn remove(&mut self, parent: BorrowedFd<'_>, name: &[u8], depth: usize) {
        if let Err(error) = self.try_remove(parent, name, depth)
            && error != Errno::NOENT
        {
            self.first.get_or_insert(error);
        }
    }

    fn try_remove(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        depth: usize,
    ) -> rustix::io::Result<()> {
        match rustix::fs::openat(parent, name, FOLDER, Mode::empty()) {
            Ok(folder) => self.empty(&folder, depth)?,
            Err(Errno::NOTDIR | Errno::LOOP) => return unlinkat(parent, name, AtFlags::empty()),
            Err(error) => return Err(error),
        }
        unlinkat(parent, name, AtFlags::REMOVEDIR)
    }

    fn empty(&mut self, folder: &OwnedFd, depth: usize) -> rustix::io::Result<()> {
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            match entry.file_type() {
                FileType::Directory if depth >= DEEPEST => self.move_up(folder, name)?,
                FileType::Directory | FileType::Unknown => {
                    self.remove(folder.as_fd(), name, depth + 1);
                }
                FileType::RegularFile
                | FileType::Symlink
                | FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice => {
                    if let Err(error) = unlinkat(folder, name, AtFlags::empty())
                        && error != Errno::NOENT
                    {
                        self.first.get_or_insert(error);
                    }
                }
            }
        }
        Ok(())
    }

    fn move_up(&mut self, from: &OwnedFd, name: &[u8]) -> rustix::io::Result<()> {
        loop {
            self.count += 1;
            let short = self.name.get(..self.name.len().min(200)).unwrap_or_default();
            let new = [short, format!(".deep{}", self.count).as_bytes()].concat();
            match renameat_with(from, name, self.folder, &*new, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    self.moved.push(new);
                    return Ok(());
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &OwnedFd) -> usize {
        Dir::read_from(folder).unwrap().count() - 2
    }

    #[test]
    fn trees_deeper_than_any_stack_or_path_go() {
        let place = tempfile::tempdir().unwrap();
        let root = crate::tree::open_root(place.path()).unwrap();
        let mode = Mode::RWXU;
        let mut here = rustix::io::fcntl_dupfd_cloexec(&root, 0).unwrap();
        for n in 0..20_000 {
            let name = if n == 0 { "tree" } else { "d" };
            rustix::fs::mkdirat(&here, name, mode).unwrap();
            here = rustix::fs::openat(&here, name, FOLDER, Mode::empty()).unwrap();
            if n % 1000 == 0 {
                rustix::fs::symlinkat("/", &here, "link").unwrap();
                rustix::fs::mkdirat(&here, "other", mode).unwrap();
            }
        }
        std::fs::write(place.path().join("tree.deep1"), "stays").unwrap();
        tree(root.as_fd(), b"tree").unwrap();
        assert_eq!(names(&root), 1);
        tree(root.as_fd(), b"tree").unwrap();
        tree(root.as_fd(), b"tree.deep1").unwrap();
        assert_eq!(names(&root), 0);
    }

    #[test]
    fn links_are_deleted_not_followed() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("tree/inner")).unwrap();
        std::fs::create_dir(place.path().join("other")).unwrap();
        std::fs::write(place.path().join("other/file"), "x").unwrap();
        for link in ["tree/link", "tree/inner/link"] {
            std::os::unix::fs::symlink(place.path().join("other"), place.path().join(link))
                .unwrap();
        }
        let root = crate::tree::open_root(place.path()).unwrap();
        tree(root.as_fd(), b"tree").unwrap();
        assert!(place.path().join("other/file").exists());
        assert_eq!(names(&root), 1);
    }
}
