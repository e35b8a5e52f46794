//! Paths that the container may not read, and paths that it may not write to.
//!
//! This runs when the root is `/` already. The cover for a masked file is the container's `/dev/null`, checked to be
//! that device and held by a descriptor: a link put there by an image would otherwise be mounted in its place
//! (CVE-2025-31133).

use std::os::fd::OwnedFd;
use std::path::Path;

use barge_sys::mount::{self, Change, Reach};
use barge_sys::openat2;
use rustix::fs::{CWD, FileType, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use crate::error::{At as _, Stage, StartError};

fn is_missing(error: &std::io::Error) -> bool {
    let missing = [Errno::NOENT, Errno::NOTDIR].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|number| missing.contains(&number))
}

/// Makes each path that exists a read-only mount of itself.
pub(super) fn read_only(paths: &[String]) -> Result<(), StartError> {
    for path in paths {
        let shown = || format!("make {path} read-only");
        match rustix::mount::mount_bind_recursive(path, path) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            result => result.at(Stage::Hide, shown)?,
        }
        mount::change_at(CWD, Path::new(path), Reach::One, Change::READ_ONLY)
            .at(Stage::Hide, shown)?;
    }
    Ok(())
}

/// Covers each path that exists: a file with `/dev/null`, a folder with an empty read-only one.
pub(super) fn mask(paths: &[String]) -> Result<(), StartError> {
    let mut covers = Covers { null: None, empty: None };
    for path in paths {
        match covers.hide(path) {
            Err(error) if is_missing(&error) => {}
            result => result.at(Stage::Hide, || format!("mask path {path:?}"))?,
        }
    }
    Ok(())
}

struct Covers<'a> {
    null: Option<OwnedFd>,
    /// The first folder that was covered, to be shown in the place of the others too.
    empty: Option<&'a Path>,
}

impl<'a> Covers<'a> {
    /// Looks first: half of the usual paths do not exist, and closing a mount that was put nowhere waits for a grace
    /// period of RCU.
    fn hide(&mut self, path: &'a str) -> std::io::Result<()> {
        let path = Path::new(path);
        let is_folder = FileType::from_raw_mode(rustix::fs::stat(path)?.st_mode).is_dir();
        let cover = match self.empty {
            Some(empty) if is_folder => mount::clone_tree(CWD, empty, Reach::One)?,
            None if is_folder => {
                rustix::mount::mount("tmpfs", path, "tmpfs", MountFlags::RDONLY, c"nr_inodes=1")?;
                self.empty = Some(path);
                return Ok(());
            }
            _file => self.null_cover()?,
        };
        mount::attach_at(&cover, CWD, path)
    }

    fn null_cover(&mut self) -> std::io::Result<OwnedFd> {
        let null = match &self.null {
            Some(null) => null,
            None => self.null.insert(open_null()?),
        };
        mount::clone_tree(null, Path::new(""), Reach::One)
    }
}

fn open_null() -> std::io::Result<OwnedFd> {
    let missing = || {
        let text = "/dev/null is missing, which covers what is hidden";
        std::io::Error::new(std::io::ErrorKind::InvalidData, text)
    };
    // Not an ENOENT, which means that there is nothing to hide.
    let null = match openat2::open_without_links(CWD, Path::new("/dev/null"), OFlags::PATH) {
        Err(error) if is_missing(&error) => return Err(missing()),
        result => result?,
    };
    let stat = rustix::fs::fstat(&null)?;
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(1, 3);
    if is_null {
        return Ok(null);
    }
    Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "/dev/null is not the null device"))
}
