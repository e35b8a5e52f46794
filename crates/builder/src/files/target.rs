//! Where files go to: folders of the layer that is written, found without leaving its root.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use barge_archive::path;
use rustix::fs::{Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::error::{FilesError, Result, shown};
use super::resolve::{self, Last, Resolved};

/// How new folders look that nobody asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewFolders {
    pub(super) owner: (u32, u32),
    pub(super) epoch: Option<i64>,
}

/// Whether links on the way to the destination count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Links {
    /// They are followed.
    Followed,
    /// The layer does not know what it is put on (`--link`): what is in the way is replaced.
    Replaced,
    /// The same, where the destination itself is to be a folder.
    ReplacedByFolder,
}

/// Opens a folder to write in.
pub(super) fn open_folder(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    resolve::open(root, path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|error| match error {
        Errno::NOTDIR | Errno::LOOP => FilesError::NotAFolder { path: shown(path) },
        error => FilesError::io("open", shown(path).as_bytes())(error),
    })
}

/// Finds a destination.
pub(super) fn find(root: BorrowedFd<'_>, wanted: &[u8], links: Links) -> Result<Resolved> {
    if links == Links::Followed {
        return resolve::resolve(root, wanted, Last::Followed);
    }
    let path = path::clean(&[b"/", wanted].concat()).unwrap_or_default();
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let last = (links == Links::ReplacedByFolder).then_some(path.len());
    for end in ends.chain(last) {
        let here = path.get(..end).unwrap_or_default();
        let found = resolve::resolve(root, here, Last::Itself)?;
        if found.stat.is_none() {
            break;
        }
        if !found.is_folder() {
            let (folder, name) = path::split(here);
            let folder = open_folder(root, folder)?;
            rustix::fs::unlinkat(&folder, name, rustix::fs::AtFlags::empty())
                .map_err(FilesError::io("replace", shown(here).as_bytes()))?;
            break;
        }
    }
    resolve::resolve(root, &path, Last::Itself)
}

/// Makes a folder and those above it as far as they are missing.
pub(super) fn make_missing(root: BorrowedFd<'_>, path: &[u8], new: NewFolders) -> Result<OwnedFd> {
    match resolve::open(root, path, OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(folder) => return Ok(folder),
        Err(Errno::NOENT) => {}
        Err(_) => return Err(FilesError::NotAFolder { path: shown(path) }),
    }
    let (parent, name) = path::split(path);
    let parent = make_missing(root, parent, new)?;
    let failed = || FilesError::io("make folder", shown(path).as_bytes());
    match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(failed()(error)),
    }
    let folder = open_folder(root, path)?;
    let (uid, gid) = new.owner;
    rustix::fs::fchown(&folder, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
        .map_err(failed())?;
    rustix::fs::fchmod(&folder, Mode::from_raw_mode(0o755)).map_err(failed())?;
    if let Some(epoch) = new.epoch {
        rustix::fs::futimens(folder.as_fd(), &moment(epoch, 0)).map_err(failed())?;
    }
    Ok(folder)
}

/// Makes a folder of a mounted layer and those above it as far as they are missing, links followed inside of its root; new
/// ones belong to `owner`.
///
/// # Errors
/// Something else in the way.
pub fn make_folders(root: impl AsFd, path: &std::path::Path, owner: (u32, u32)) -> Result<OwnedFd> {
    let root = root.as_fd();
    let found = find(root, path.as_os_str().as_encoded_bytes(), Links::Followed)?;
    make_missing(root, &found.path, NewFolders { owner, epoch: None })
}

/// Both times.
pub(super) fn moment(seconds: i64, nanoseconds: i64) -> Timestamps {
    let moment = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Timestamps { last_access: moment, last_modification: moment }
}
