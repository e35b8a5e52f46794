//! Names that remove: `.wh.x` and `.wh..wh..opq`.

use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode, XattrFlags};
use rustix::io::Errno;

use super::{Extractor, Whiteouts};
use crate::error::{ArchiveError, Result};
use crate::pack::{OPAQUE, WHITEOUT, WHITEOUT_META};
use crate::path;
use crate::tree::{self, FOLDER, Marks, Node};

/// What a name in a layer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    Ordinary,
    /// Left by aufs: `.wh..wh.plnk`, `.wh..wh.aufs` and what is in them.
    Meaningless,
    Opaque {
        folder: Vec<u8>,
    },
    Removed {
        path: Vec<u8>,
    },
}

pub(super) fn parse(clean: &[u8]) -> Result<Name> {
    let (folder, name) = path::split(clean);
    if name == OPAQUE {
        return Ok(Name::Opaque { folder: folder.to_vec() });
    }
    let first = clean.split(|byte| *byte == b'/').next().unwrap_or_default();
    if first.starts_with(WHITEOUT_META) || name.starts_with(WHITEOUT_META) {
        return Ok(Name::Meaningless);
    }
    match name.strip_prefix(WHITEOUT) {
        None => Ok(Name::Ordinary),
        Some(b"" | b"." | b"..") => {
            Err(ArchiveError::breakout(clean, "it would remove a folder above it"))
        }
        Some(removed) => Ok(Name::Removed { path: path::join(folder, removed) }),
    }
}

impl Extractor<'_> {
    /// `.wh.x`: nothing of `x` is seen from below this layer.
    pub(super) fn remove_below(&mut self, path: &[u8]) -> Result<()> {
        let (folder_path, name) = path::split(path);
        match self.options.whiteouts {
            Whiteouts::Overlay(marks) => {
                let folder = self.folder(folder_path)?;
                let made = rustix::fs::mknodat(
                    &folder.fd,
                    name,
                    FileType::CharacterDevice,
                    Mode::empty(),
                    0,
                );
                match made {
                    Ok(()) => Ok(()),
                    // This layer brought it: what is below is hidden already, or must be, for a folder.
                    Err(Errno::EXIST) => match Node::stat_of(folder.fd.as_fd(), name, path)? {
                        Some(stat) if tree::is_folder(&stat) => {
                            set_opaque(folder.fd.as_fd(), name, (path, marks))
                        }
                        _ => Ok(()),
                    },
                    Err(error) => Err(ArchiveError::io("make whiteout", path)(error)),
                }
            }
            Whiteouts::Names | Whiteouts::Ordinary => {
                self.name(folder_path, &[WHITEOUT, name].concat())
            }
            Whiteouts::Plain => {
                let parent = match self.folders.existing(folder_path) {
                    Ok(parent) => parent,
                    Err(ArchiveError::Io { source, .. })
                        if source.kind() == std::io::ErrorKind::NotFound =>
                    {
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                };
                if self.is_unpacked(path) {
                    return self.remove_old(parent.fd.as_fd(), name, path);
                }
                remove(parent.fd.as_fd(), name, path)?;
                self.forget(path);
                Ok(())
            }
        }
    }

    /// `.wh..wh..opq`: nothing of the folder is seen from below this layer.
    pub(super) fn hide_below(&mut self, path: &[u8]) -> Result<()> {
        match self.options.whiteouts {
            Whiteouts::Overlay(marks) if path.is_empty() => {
                let folder = self.folder(path)?;
                set_opaque(folder.fd.as_fd(), b".", (path, marks))
            }
            Whiteouts::Overlay(marks) => {
                self.folder(path)?;
                let (parent, name) = path::split(path);
                let parent = self.folder(parent)?;
                set_opaque(parent.fd.as_fd(), name, (path, marks))
            }
            Whiteouts::Names | Whiteouts::Ordinary => self.name(path, OPAQUE),
            Whiteouts::Plain => {
                let folder = match self.folders.existing(path) {
                    Ok(folder) => folder,
                    Err(ArchiveError::Io { source, .. })
                        if source.kind() == std::io::ErrorKind::NotFound =>
                    {
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                };
                for name in tree::names(folder.fd.as_fd(), path)? {
                    self.remove_old(folder.fd.as_fd(), &name, &path::join(path, &name))?;
                }
                Ok(())
            }
        }
    }

    /// Keeps a name that removes as an empty file.
    fn name(&mut self, folder: &[u8], name: &[u8]) -> Result<()> {
        let folder = self.folder(folder)?;
        let made = rustix::fs::mknodat(&folder.fd, name, FileType::RegularFile, Mode::RUSR, 0);
        match made {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(ArchiveError::io("make whiteout", name)(error)),
        }
    }

    /// Whether this layer brought the path, or something in it.
    fn is_unpacked(&self, path: &[u8]) -> bool {
        self.unpacked.contains(path)
    }

    /// Removes what this layer did not bring, in a folder that it did bring what is not its own.
    fn remove_old(&mut self, parent: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<()> {
        if !self.is_unpacked(path) {
            remove(parent, name, path)?;
            self.forget(path);
            return Ok(());
        }
        let Ok(folder) = rustix::fs::openat(parent, name, FOLDER, Mode::empty()) else {
            return Ok(());
        };
        for child in tree::names(folder.as_fd(), path)? {
            self.remove_old(folder.as_fd(), &child, &path::join(path, &child))?;
        }
        Ok(())
    }
}

/// Tells overlayfs to show nothing of this folder from below.
pub(super) fn set_opaque(
    parent: BorrowedFd<'_>,
    name: &[u8],
    (path, marks): (&[u8], Marks),
) -> Result<()> {
    let target = tree::proc_path(parent, name);
    rustix::fs::lsetxattr(target, marks.opaque(), b"y", XattrFlags::empty())
        .map_err(ArchiveError::io("make opaque", path))
}

/// Removes a name and everything in it; gone already is fine.
pub(super) fn remove(parent: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(ArchiveError::io("remove", path)(error)),
    }
    crate::remove::tree(parent, name).map_err(ArchiveError::io("remove", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_remove() {
        let removed = |path: &str| Name::Removed { path: path.into() };
        for (name, want) in [
            ("a/b", Name::Ordinary),
            ("a/.wh.b", removed("a/b")),
            (".wh.b", removed("b")),
            ("a/.wh..wh..opq", Name::Opaque { folder: b"a".into() }),
            (".wh..wh.plnk/12.34", Name::Meaningless),
            (".wh..wh.aufs", Name::Meaningless),
        ] {
            assert_eq!(parse(name.as_bytes()).unwrap(), want, "{name}");
        }
    }

    #[test]
    fn whiteouts_cannot_climb() {
        for name in ["a/.wh..", "a/.wh...", "a/.wh."] {
            assert!(matches!(parse(name.as_bytes()), Err(ArchiveError::Breakout { .. })), "{name}");
        }
    }
}
