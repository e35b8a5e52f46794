//! Where a path leads inside a tree, links followed as a process with that root would.
//!
//! The answer is a path without links. Whoever opens it does so with `RESOLVE_NO_SYMLINKS`, so that somebody who puts a
//! link there meanwhile gets an error and nothing else.

use std::os::fd::{BorrowedFd, OwnedFd};

use barge_archive::path;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::error::{FilesError, Result, shown};

/// As many as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// What of a path's last part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// A link is followed.
    Followed,
    /// A link is the thing itself.
    Itself,
}

/// Where it leads.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    /// Clean, relative to the root, without links as far as it exists.
    pub(super) path: Vec<u8>,
    /// What is there; nothing when it is missing.
    pub(super) stat: Option<Stat>,
}

impl Resolved {
    pub(super) fn kind(&self) -> Option<FileType> {
        self.stat.as_ref().map(|stat| FileType::from_raw_mode(stat.st_mode))
    }

    pub(super) fn is_folder(&self) -> bool {
        self.kind() == Some(FileType::Directory)
    }
}

/// Opens a path that has no links in it.
pub(super) fn open(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    let path = if path.is_empty() { &b"."[..] } else { path };
    loop {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Follows a path. What is missing is added as it stands.
pub(super) fn resolve(root: BorrowedFd<'_>, wanted: &[u8], last: Last) -> Result<Resolved> {
    let parts = |text: &[u8]| -> Vec<Vec<u8>> {
        let parts = text.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
        parts.rev().map(<[u8]>::to_vec).collect()
    };
    let mut left = parts(wanted);
    let mut done: Vec<u8> = Vec::new();
    let mut links = 0;
    let failed = || FilesError::io("look at", shown(wanted).as_bytes());
    let mut stat = Some(stat_of(root, b"").map_err(failed())?);
    while let Some(part) = left.pop() {
        if part == b".." {
            done = path::split(&done).0.to_vec();
            stat = stat_of(root, &done).ok();
            continue;
        }
        let next = path::join(&done, &part);
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let fd = match open(root, &next, flags) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => {
                (done, stat) = (next, None);
                continue;
            }
            Err(error) => return Err(failed()(error)),
        };
        let found = rustix::fs::fstat(&fd).map_err(failed())?;
        let is_link = FileType::from_raw_mode(found.st_mode) == FileType::Symlink;
        if is_link && (last == Last::Followed || !left.is_empty()) {
            links += 1;
            if links > MOST_LINKS {
                return Err(failed()(Errno::LOOP));
            }
            let target = rustix::fs::readlinkat(&fd, "", Vec::new()).map_err(failed())?;
            if target.to_bytes().first() == Some(&b'/') {
                done.clear();
            }
            stat = stat_of(root, &done).ok();
            left.extend(parts(target.to_bytes()));
            continue;
        }
        (done, stat) = (next, Some(found));
    }
    Ok(Resolved { path: done, stat })
}

fn stat_of(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<Stat> {
    rustix::fs::fstat(open(root, path, OFlags::PATH | OFlags::NOFOLLOW)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_inside_of_the_root() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        std::fs::create_dir_all(at("real/inner")).unwrap();
        std::fs::write(at("real/file"), "x").unwrap();
        symlink("/real", at("absolute")).unwrap();
        symlink("../../../real/file", at("climbing")).unwrap();
        symlink("absolute/inner", at("chain")).unwrap();
        symlink("/nowhere/at/all", at("dangling")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let root = barge_sys::openat2::open_root(place.path()).unwrap();
        let resolved = |path: &str, last| resolve(root.as_fd(), path.as_bytes(), last).unwrap();
        let path = |path: &str| String::from_utf8(resolved(path, Last::Followed).path).unwrap();
        assert_eq!(path("/absolute/file"), "real/file");
        assert_eq!(path("climbing"), "real/file");
        assert_eq!(path("chain/.."), "real");
        assert_eq!(path("dangling/more"), "nowhere/at/all/more");
        assert_eq!(path("../../etc"), "etc");
        assert_eq!(path("/"), "");
        assert!(resolved("dangling", Last::Followed).stat.is_none());
        assert!(resolved("real/file/below", Last::Followed).stat.is_none());
        assert_eq!(resolved("chain", Last::Itself).kind(), Some(FileType::Symlink));
        assert!(resolved("chain", Last::Followed).is_folder());
        assert!(resolve(root.as_fd(), b"loop", Last::Followed).is_err());
    }
}
