//! What a path is, in Go's words, which the header `X-Docker-Container-Path-Stat` carries.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use barge_api_types::PathStat;
use barge_archive::resource::Resource;
use barge_sys::openat2;
use rustix::fs::{FileType, OFlags};

use super::path::ContainerPath;
use crate::time::rfc3339;

/// As many links as the kernel follows in one path.
const MOST_LINKS: usize = 40;

/// What was found at `path`.
pub(super) fn of(
    root: BorrowedFd<'_>,
    path: &ContainerPath,
    resource: &Resource,
) -> io::Result<PathStat> {
    let stat = resource.stat()?;
    let link_target = if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        follow(root, path.absolute()).to_string_lossy().into_owned()
    } else {
        String::new()
    };
    let nanos = Duration::from_nanos(stat.st_mtime_nsec);
    let seconds = Duration::from_secs(stat.st_mtime.unsigned_abs());
    let whole = if stat.st_mtime < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    let changed = whole.and_then(|whole| whole.checked_add(nanos));
    Ok(PathStat {
        name: path.name().to_owned(),
        size: stat.st_size,
        mode: go_mode(stat.st_mode),
        mtime: rfc3339(changed.unwrap_or(SystemTime::UNIX_EPOCH)),
        link_target,
    })
}

/// Go's `fs.FileMode` of a `st_mode`.
fn go_mode(mode: u32) -> u32 {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        FileType::BlockDevice => 1 << 26,
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        FileType::CharacterDevice => 1 << 26 | 1 << 21,
        FileType::RegularFile => 0,
        // Irregular.
        FileType::Unknown => 1 << 19,
    };
    let bits = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let bits = bits.into_iter().filter(|(own, _)| mode & own != 0).map(|(_, bit)| bit);
    bits.fold(kind | mode & 0o777, |mode, bit| mode | bit)
}

/// Where a path leads in the end, as far as there is something. A text for the client, which asks for it again: nothing
/// is opened by it.
fn follow(root: BorrowedFd<'_>, path: &Path) -> PathBuf {
    let parts = |path: &Path| path.components().map(to_part).collect::<VecDeque<_>>();
    let mut rest = parts(path);
    let mut found = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        match part {
            Part::Root => found = PathBuf::from("/"),
            Part::Up => drop(found.pop()),
            Part::Name(name) => {
                let next = found.join(name);
                match read_link(root, &next) {
                    Ok(target) if links < MOST_LINKS => {
                        links += 1;
                        let mut target = parts(&target);
                        target.append(&mut rest);
                        rest = target;
                    }
                    Ok(_) | Err(_) => found = next,
                }
            }
        }
    }
    found
}

/// A part of a path that changes where it leads.
enum Part {
    Root,
    Up,
    Name(OsString),
}

fn to_part(component: Component<'_>) -> Part {
    match component {
        Component::RootDir | Component::Prefix(_) => Part::Root,
        Component::ParentDir => Part::Up,
        Component::CurDir => Part::Name(".".into()),
        Component::Normal(name) => Part::Name(name.to_owned()),
    }
}

fn read_link(root: BorrowedFd<'_>, path: &Path) -> io::Result<PathBuf> {
    let link = openat2::open_without_links(root, path, OFlags::PATH | OFlags::NOFOLLOW)?;
    let target = rustix::fs::readlinkat(link, "", Vec::new())?;
    Ok(OsString::from_vec(target.into_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::symlink;

    #[test]
    fn modes_are_those_of_go() {
        for (mode, wanted) in [
            (0o40755, 2_147_484_141),
            (0o120777, 134_218_239),
            (0o104755, 8_389_101),
            (0o10644, 33_554_852),
            (0o20644, 69_206_436),
            (0o41777, 2_148_532_735),
        ] {
            assert_eq!(go_mode(mode), wanted, "{mode:o}");
        }
    }

    #[test]
    fn a_link_is_told_as_far_as_it_leads() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("data/deep")).unwrap();
        for (target, name) in [
            ("/data", "abs"),
            ("abs/deep", "twice"),
            ("../../..", "data/deep/up"),
            ("nowhere/x", "broken"),
            ("loop", "loop"),
        ] {
            symlink(target, folder.path().join(name)).unwrap();
        }
        let root = openat2::open_root(folder.path()).unwrap();
        for (path, wanted) in [
            ("/abs", "/data"),
            ("/twice", "/data/deep"),
            ("/abs/deep/up", "/"),
            ("/broken", "/nowhere/x"),
            ("/loop", "/loop"),
        ] {
            assert_eq!(follow(root.as_fd(), Path::new(path)), Path::new(wanted), "{path}");
        }
    }
}
