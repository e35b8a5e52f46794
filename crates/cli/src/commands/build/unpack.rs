//! Files of a result into a folder of ours.
//!
//! What is made belongs to whoever builds. Names come from an image, which is not ours: no link on
//! the way is followed, neither one of the archive nor one that was there, and nothing outside the
//! folder is touched. Devices are left out, as there is no use for them in a folder.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use barge_archive::tar::{EntryKind, Header, Reader, Timestamp};
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT, chmodat, fchmod,
    linkat, mkdirat, openat, openat2, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::fields::wrong;
use crate::error::{CliError, Result};

/// Unpacks an archive into `folder`, made if it is not there.
pub(super) fn into(folder: &Path, archive: impl Read) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(CliError::file("mkdir", folder))?;
    let root = openat(CWD, folder, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| CliError::file("open", folder)(error.into()))?;
    let mut reader = Reader::new(archive);
    // Times of folders change with what is put into them.
    let mut folders: Vec<(Vec<u8>, u32, Timestamp)> = Vec::new();
    loop {
        let entry = reader.next_entry().map_err(|error| broken(&error))?;
        let Some(mut entry) = entry else {
            break;
        };
        let header = entry.header().clone();
        let Some(path) = clean(&header.path) else {
            return Err(wrong(format!("the result has the name {}", shown(&header.path))));
        };
        if path.is_empty() {
            continue;
        }
        put(&root, (&path, &header), &mut entry)
            .map_err(|error| CliError::file("write", folder.join(shown(&path)))(error))?;
        if header.kind == EntryKind::Directory {
            folders.push((path, header.mode, header.mtime));
        }
    }
    for (path, mode, mtime) in folders.iter().rev() {
        let failed = |error: Errno| CliError::file("write", folder.join(shown(path)))(error.into());
        let opened = beneath(root.as_fd(), path, OFlags::DIRECTORY).map_err(failed)?;
        fchmod(&opened, Mode::from_raw_mode(*mode)).map_err(failed)?;
        set_times(opened.as_fd(), b".", *mtime).map_err(failed)?;
    }
    Ok(())
}

fn broken(error: &dyn std::error::Error) -> CliError {
    let mut text = format!("cannot read the result: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    wrong(text)
}

/// The name without what means nothing; none for one that leads out.
fn clean(path: &[u8]) -> Option<Vec<u8>> {
    let parts = path.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    let parts: Vec<&[u8]> = parts.collect();
    if parts.contains(&&b".."[..]) || path.contains(&0) {
        return None;
    }
    Some(parts.join(&b'/'))
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// Opens something in the folder without following any link.
fn beneath(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// The folder of a name, made where the archive does not have it, and the name in it.
fn parent<'a>(root: &OwnedFd, path: &'a [u8]) -> rustix::io::Result<(OwnedFd, &'a [u8])> {
    let Some(place) = path.iter().rposition(|&byte| byte == b'/') else {
        return Ok((beneath(root.as_fd(), b".", OFlags::DIRECTORY)?, path));
    };
    let (folder, name) = (&path[..place], &path[place + 1..]);
    match beneath(root.as_fd(), folder, OFlags::DIRECTORY) {
        Err(Errno::NOENT) => {
            let (above, last) = parent(root, folder)?;
            make_folder(&above, last)?;
            Ok((beneath(root.as_fd(), folder, OFlags::DIRECTORY)?, name))
        }
        opened => Ok((opened?, name)),
    }
}

/// Makes a folder that can be written to; its own mode comes last.
fn make_folder(parent: &OwnedFd, name: &[u8]) -> rustix::io::Result<()> {
    let mode = Mode::from_raw_mode(0o755);
    match mkdirat(parent, name, mode) {
        Err(Errno::EXIST) => match beneath(parent.as_fd(), name, OFlags::DIRECTORY) {
            Ok(_) => Ok(()),
            // A file or a link stands there: the result's goes in its place.
            Err(Errno::NOTDIR | Errno::LOOP) => {
                unlinkat(parent, name, AtFlags::empty())?;
                mkdirat(parent, name, mode)
            }
            Err(error) => Err(error),
        },
        made => made,
    }
}

fn put(
    root: &OwnedFd,
    (path, header): (&[u8], &Header),
    content: &mut impl Read,
) -> io::Result<()> {
    let (folder, name) = parent(root, path)?;
    match header.kind {
        EntryKind::Directory => return Ok(make_folder(&folder, name)?),
        EntryKind::Regular => {
            remove(&folder, name)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let mode = Mode::from_raw_mode(0o600);
            let mut file = File::from(openat(&folder, name, flags | OFlags::CLOEXEC, mode)?);
            io::copy(content, &mut file)?;
            fchmod(&file, Mode::from_raw_mode(header.mode & 0o7777))?;
        }
        EntryKind::Symlink => {
            remove(&folder, name)?;
            symlinkat(header.link.as_slice(), &folder, name)?;
        }
        EntryKind::HardLink => {
            let target = clean(&header.link).filter(|target| !target.is_empty());
            let target = target.ok_or(Errno::INVAL)?;
            let (from, old) = parent(root, &target)?;
            remove(&folder, name)?;
            linkat(&from, old, &folder, name, AtFlags::empty())?;
            return Ok(());
        }
        EntryKind::Fifo => {
            remove(&folder, name)?;
            let mode = Mode::from_raw_mode(header.mode & 0o777);
            rustix::fs::mknodat(&folder, name, rustix::fs::FileType::Fifo, mode, 0)?;
            chmodat(&folder, name, mode, AtFlags::empty())?;
        }
        EntryKind::CharDevice | EntryKind::BlockDevice | EntryKind::Other(_) => return Ok(()),
    }
    Ok(set_times(folder.as_fd(), name, header.mtime)?)
}

/// Takes away what stands in the way; a folder is not, as there may be more of the user's in it.
fn remove(folder: &OwnedFd, name: &[u8]) -> rustix::io::Result<()> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

fn set_times(folder: BorrowedFd<'_>, name: &[u8], mtime: Timestamp) -> rustix::io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: mtime.seconds,
            tv_nsec: i64::from(mtime.nanoseconds),
        },
    };
    utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use barge_archive::tar::Writer;

    use super::*;

    fn entry(path: &str, kind: EntryKind, link: &str) -> Header {
        let mut header = Header::new(path, kind);
        header.link = link.into();
        header.mtime = Timestamp { seconds: 1_000_000_000, nanoseconds: 5 };
        header
    }

    fn archive(entries: &[(Header, &str)]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (header, text) in entries {
            writer.append_bytes(header, text.as_bytes()).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn files_come_with_modes_times_and_links() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("made/here");
        let mut locked = entry("d/", EntryKind::Directory, "");
        locked.mode = 0o500;
        let mut program = entry("d/run", EntryKind::Regular, "");
        program.mode = 0o755;
        let tar = archive(&[
            (locked, ""),
            (program, "text"),
            (entry("d/twin", EntryKind::HardLink, "d/run"), ""),
            (entry("link", EntryKind::Symlink, "/etc/passwd"), ""),
            (entry("implied/below/file", EntryKind::Regular, ""), "x"),
            (entry("null", EntryKind::CharDevice, ""), ""),
        ]);
        into(&root, &tar[..]).unwrap();
        let run = root.join("d/run").metadata().unwrap();
        assert_eq!(run.permissions().mode() & 0o7777, 0o755);
        assert_eq!((run.mtime(), run.mtime_nsec(), run.nlink()), (1_000_000_000, 5, 2));
        let d = root.join("d").metadata().unwrap();
        assert_eq!((d.permissions().mode() & 0o7777, d.mtime()), (0o500, 1_000_000_000));
        assert_eq!(std::fs::read_link(root.join("link")).unwrap(), Path::new("/etc/passwd"));
        assert_eq!(std::fs::read(root.join("implied/below/file")).unwrap(), b"x");
        assert!(!root.join("null").exists());
        // Once more over what is there.
        into(&root, &tar[..]).unwrap();
        assert_eq!(std::fs::read(root.join("d/twin")).unwrap(), b"text");
    }

    #[test]
    fn nothing_outside_the_folder_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(outside.join("kept"), "kept").unwrap();
        symlink(&outside, root.join("out")).unwrap();
        symlink(outside.join("kept"), root.join("file")).unwrap();
        let name = outside.to_string_lossy().into_owned();
        for entries in [
            vec![(entry("../outside/kept", EntryKind::Regular, ""), "gone")],
            vec![(entry("out/kept", EntryKind::Regular, ""), "gone")],
            vec![
                (entry("way", EntryKind::Symlink, &name), ""),
                (entry("way/kept", EntryKind::Regular, ""), "gone"),
            ],
            vec![(entry("hard", EntryKind::HardLink, "../outside/kept"), "")],
            vec![(entry("hard", EntryKind::HardLink, "out/kept"), "")],
        ] {
            assert!(into(&root, &archive(&entries)[..]).is_err(), "{entries:?}");
        }
        // A link in the place of a file or a folder is replaced, not followed.
        let tar = archive(&[
            (entry("file", EntryKind::Regular, ""), "mine"),
            (entry("out", EntryKind::Directory, ""), ""),
            (entry("out/kept", EntryKind::Regular, ""), "mine"),
        ]);
        into(&root, &tar[..]).unwrap();
        assert_eq!(std::fs::read(outside.join("kept")).unwrap(), b"kept");
        assert_eq!(std::fs::read(root.join("out/kept")).unwrap(), b"mine");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    }

    #[test]
    fn an_archive_that_breaks_off_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let tar = archive(&[(entry("a", EntryKind::Regular, ""), "0123456789")]);
        assert!(into(folder.path(), &tar[..515]).is_err());
    }
}
