//! The mount points of a step: made before it where its files lack them, taken back after it.
//!
//! What a step leaves is its layer, so nothing that only carries a mount may stay. What was made is remembered as an open
//! folder and a name in it, never as a path: a step that moves folders or puts links in their place cannot lead the
//! removal anywhere else (CVE-2024-23652).

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use barge_sys::openat2;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use crate::error::{EngineError, Result};

/// What every step gets mounted, as the runtime's specification of a container has it.
const FOLDERS: [&str; 3] = ["proc", "dev", "sys"];
const FILES: [&str; 3] = ["etc/hosts", "etc/hostname", "etc/resolv.conf"];

/// How many links are followed to the place of a mount point, as the kernel does (path_resolution(7)).
const LINKS: u32 = 40;

/// Mount points that were not there.
#[derive(Debug, Default)]
pub(super) struct Stubs {
    /// In the order in which they were made.
    made: Vec<Stub>,
}

/// Something that was made.
#[derive(Debug)]
struct Stub {
    folder: OwnedFd,
    name: OsString,
    inode: u64,
    is_folder: bool,
    /// The folder's times before and after it was made.
    before: Times,
    after: Times,
}

/// Access and change of a folder's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    accessed: (i64, i64),
    modified: (i64, i64),
}

impl Times {
    fn of(stat: &Stat) -> Self {
        // The types of the fields differ from machine to machine.
        #[allow(clippy::unnecessary_cast, clippy::cast_possible_wrap, reason = "per architecture")]
        Self {
            accessed: (stat.st_atime as i64, stat.st_atime_nsec as i64),
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        }
    }

    fn stamps(self) -> Timestamps {
        let spec =
            |(seconds, nanoseconds): (i64, i64)| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        Timestamps { last_access: spec(self.accessed), last_modification: spec(self.modified) }
    }
}

impl Stubs {
    /// Makes what is missing below a mounted root; `more` are points of the step's own, and whether each is a folder.
    pub(super) fn make(rootfs: &Path, more: &[(PathBuf, bool)]) -> Result<Self> {
        let failed = |path: &str| EngineError::io("make a mount point at", rootfs.join(path));
        let root = openat2::open_root(rootfs).map_err(EngineError::io("open", rootfs))?;
        let mut stubs = Self::default();
        for path in FOLDERS {
            stubs.folder(&root, Path::new(path), LINKS).map_err(failed(path))?;
        }
        for path in FILES {
            stubs.file(&root, Path::new(path), LINKS).map_err(failed(path))?;
        }
        for (path, is_folder) in more {
            let inside = normal(path);
            let made = match is_folder {
                true => stubs.folder(&root, &inside, LINKS),
                false => stubs.file(&root, &inside, LINKS),
            };
            made.map_err(EngineError::io("make a mount point at", path))?;
        }
        Ok(stubs)
    }

    /// A folder and those above it.
    fn folder(&mut self, root: &OwnedFd, path: &Path, links: u32) -> std::io::Result<()> {
        if path.parent().is_none() || exists(root, path)? {
            return Ok(());
        }
        if let Some(target) = link_target(root, path, links)? {
            return self.folder(root, &target, links - 1);
        }
        if let Some(parent) = path.parent() {
            self.folder(root, parent, links)?;
        }
        self.add(root, path, |folder, name| {
            rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o755))
        })
    }

    /// A file, with the folders above it.
    fn file(&mut self, root: &OwnedFd, path: &Path, links: u32) -> std::io::Result<()> {
        if exists(root, path)? {
            return Ok(());
        }
        if let Some(target) = link_target(root, path, links)? {
            return self.file(root, &target, links - 1);
        }
        if let Some(parent) = path.parent() {
            self.folder(root, parent, links)?;
        }
        self.add(root, path, |folder, name| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        })
    }

    fn add(
        &mut self,
        root: &OwnedFd,
        path: &Path,
        make: impl FnOnce(&OwnedFd, &OsStr) -> rustix::io::Result<()>,
    ) -> std::io::Result<()> {
        let Some(Component::Normal(name)) = path.components().next_back() else {
            return Err(Errno::INVAL.into());
        };
        let parent = path.parent().unwrap_or(Path::new(""));
        let folder = openat2::open(root, parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let before = Times::of(&rustix::fs::fstat(&folder)?);
        make(&folder, name)?;
        let made = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let after = Times::of(&rustix::fs::fstat(&folder)?);
        self.made.push(Stub {
            name: name.to_owned(),
            inode: made.st_ino,
            is_folder: FileType::from_raw_mode(made.st_mode).is_dir(),
            before,
            after,
            folder,
        });
        Ok(())
    }
}

impl Drop for Stubs {
    /// Takes back what is still as it was made. What a step put into such a folder is the step's.
    fn drop(&mut self) {
        while let Some(stub) = self.made.pop() {
            if let Err(errno) = stub.remove() {
                tracing::warn!(name = %stub.name.display(), error = %errno, "cannot remove a mount point of a build step");
            }
        }
    }
}

impl Stub {
    fn remove(&self) -> rustix::io::Result<()> {
        let found = match rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            found => found?,
        };
        let kind = FileType::from_raw_mode(found.st_mode);
        let is_same = found.st_ino == self.inode && kind.is_dir() == self.is_folder;
        if !is_same || (kind.is_file() && found.st_size != 0) {
            return Ok(());
        }
        let now = Times::of(&rustix::fs::fstat(&self.folder)?);
        let flags = if self.is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match rustix::fs::unlinkat(&self.folder, &self.name, flags) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(()),
            removed => removed?,
        }
        let times = if now.modified == self.after.modified { self.before } else { now };
        rustix::fs::futimens(&self.folder, &times.stamps())
    }
}

fn exists(root: &OwnedFd, path: &Path) -> std::io::Result<bool> {
    match openat2::open(root.as_fd(), path, OFlags::PATH) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where a link that leads nowhere leads, as a path from the root.
fn link_target(root: &OwnedFd, path: &Path, links: u32) -> std::io::Result<Option<PathBuf>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(None);
    };
    if !exists(root, parent)? {
        return Ok(None);
    }
    let folder = openat2::open(root.as_fd(), parent, OFlags::PATH | OFlags::DIRECTORY)?;
    let target = match rustix::fs::readlinkat(&folder, name, Vec::new()) {
        Ok(target) => PathBuf::from(OsString::from_vec(target.into_bytes())),
        Err(Errno::NOENT | Errno::INVAL) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    if links == 0 || target.as_os_str().as_bytes().is_empty() {
        return Err(Errno::LOOP.into());
    }
    Ok(Some(normal(&parent.join(target))))
}

/// The path without `.`, `..` and a root in front: what is above the root is the root.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    fn listing(folder: &Path) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(&next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path.clone());
                }
                names.push(path.strip_prefix(folder).unwrap().display().to_string());
            }
        }
        names.sort();
        names
    }

    #[test]
    fn what_was_missing_is_there_and_then_gone_again_with_the_times_of_its_folder() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/hosts"), "own").unwrap();
        let before = (listing(root.path()), fs::metadata(root.path().join("etc")).unwrap());
        let stubs = Stubs::make(root.path(), &[]).unwrap();
        for path in FOLDERS.iter().chain(&FILES) {
            assert!(root.path().join(path).exists(), "{path}");
        }
        drop(stubs);
        assert_eq!(listing(root.path()), before.0);
        let after = fs::metadata(root.path().join("etc")).unwrap();
        assert_eq!((after.mtime(), after.mtime_nsec()), (before.1.mtime(), before.1.mtime_nsec()));
        assert_eq!(fs::read_to_string(root.path().join("etc/hosts")).unwrap(), "own");
    }

    #[test]
    fn points_of_the_steps_own_go_with_their_folders() {
        let root = tempfile::tempdir().unwrap();
        let points = [("/usr/lib/driver/x.so".into(), false), ("/opt/vendor".into(), true)];
        let stubs = Stubs::make(root.path(), &points).unwrap();
        assert!(root.path().join("usr/lib/driver/x.so").is_file());
        assert!(root.path().join("opt/vendor").is_dir());
        drop(stubs);
        assert_eq!(listing(root.path()), Vec::<String>::new());
    }

    #[test]
    fn what_a_step_wrote_stays() {
        let root = tempfile::tempdir().unwrap();
        let stubs = Stubs::make(root.path(), &[]).unwrap();
        fs::write(root.path().join("etc/passwd"), "x").unwrap();
        fs::remove_file(root.path().join("etc/hostname")).unwrap();
        fs::write(root.path().join("etc/hostname"), "mine").unwrap();
        drop(stubs);
        assert_eq!(listing(root.path()), ["etc", "etc/hostname", "etc/passwd"]);
    }

    #[test]
    fn links_that_lead_nowhere_are_followed_inside_and_what_that_made_goes() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        symlink("../../run/resolve/stub.conf", root.path().join("etc/resolv.conf")).unwrap();
        symlink("/etc/loop", root.path().join("etc/loop")).unwrap();
        let before = listing(root.path());
        let stubs = Stubs::make(root.path(), &[]).unwrap();
        assert!(root.path().join("run/resolve/stub.conf").is_file());
        drop(stubs);
        assert_eq!(listing(root.path()), before);
        fs::remove_file(root.path().join("etc/resolv.conf")).unwrap();
        symlink("loop", root.path().join("etc/resolv.conf")).unwrap();
        Stubs::make(root.path(), &[]).unwrap_err();
    }

    #[test]
    fn a_step_that_puts_a_link_in_the_way_leads_the_removal_nowhere() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("hosts"), "").unwrap();
        let stubs = Stubs::make(root.path(), &[]).unwrap();
        fs::rename(root.path().join("etc"), root.path().join("moved")).unwrap();
        symlink(outside.path(), root.path().join("etc")).unwrap();
        drop(stubs);
        assert!(outside.path().join("hosts").exists());
        assert_eq!(listing(&root.path().join("moved")), Vec::<String>::new());
    }
}
