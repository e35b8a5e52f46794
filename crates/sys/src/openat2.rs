//! Looking up paths inside a root folder that someone else fills: a container's root file system, an image layer.
//!
//! Every lookup is done by the kernel with `RESOLVE_IN_ROOT` (Linux 5.6): absolute links and `..` stay inside, and
//! magic links of `/proc` are refused. Nothing here falls back to checking a path and then using it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Longest file that `read` takes: the texts it is for (`/etc/passwd`, `/etc/group`) are far smaller.
const READ_LIMIT: u64 = 16 * 1024 * 1024;

/// Opens the root folder itself, for use as the first argument of the others.
pub fn open_root(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

/// Opens `path` as a process whose root is `root` would. `O_CLOEXEC` is added; new files get mode 0644.
pub fn open(root: impl AsFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    open_with_mode(root, path, flags, Mode::from_raw_mode(0o644))
}

/// As [`open`], but a link anywhere on the way is an error (`ELOOP`).
pub fn open_without_links(root: impl AsFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    let flags = flags | OFlags::CLOEXEC;
    Ok(rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)?)
}

/// As [`open`], with the mode a newly made file gets.
pub fn open_with_mode(
    root: impl AsFd,
    path: &Path,
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    // openat2(2) refuses a mode without O_CREAT or O_TMPFILE.
    let creates = flags.contains(OFlags::CREATE) || flags.contains(OFlags::TMPFILE);
    let mode = if creates { mode } else { Mode::empty() };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::CLOEXEC;
    // The empty path means the root itself.
    let path = if path.as_os_str().is_empty() { Path::new("/") } else { path };
    loop {
        match rustix::fs::openat2(&root, path, flags, mode, resolve) {
            // A rename somewhere while `..` was resolved (openat2(2)): only asking again helps.
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// The whole content of a regular file inside `root`; fifos and devices are refused rather than read.
pub fn read(root: impl AsFd, path: &Path) -> io::Result<Vec<u8>> {
    let fd = open(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let stat = rustix::fs::fstat(&fd)?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut content = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(std::fs::File::from(fd), READ_LIMIT), &mut content)?;
    Ok(content)
}

/// Makes the folder `path` and those above it inside `root`, following links inside the root, and opens it (`O_PATH`).
pub fn create_folders(root: impl AsFd, path: &Path, mode: Mode) -> io::Result<OwnedFd> {
    create_below(root.as_fd(), path, mode)
}

fn create_below(root: BorrowedFd<'_>, path: &Path, mode: Mode) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    match open(root, path, flags) {
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
        result => return result,
    }
    let parent = parent_of(path)?;
    let folder = create_below(root, parent, mode)?;
    make_folder(folder.as_fd(), path, mode)?;
    // Looked up again from the root: what has just been made may have been replaced by a link
    // meanwhile.
    open(root, path, flags)
}

/// Makes an empty regular file at `path` inside `root`, with the folders above it, unless something is there; opens
/// it (`O_PATH`).
pub fn create_file(root: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    match open(&root, path, OFlags::PATH) {
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
        result => return result,
    }
    create_folders(&root, parent_of(path)?, Mode::from_raw_mode(0o755))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOCTTY | OFlags::NONBLOCK;
    let made = open(&root, path, flags)?;
    drop(made);
    open(&root, path, OFlags::PATH)
}

fn make_folder(parent: BorrowedFd<'_>, path: &Path, mode: Mode) -> io::Result<()> {
    let Some(Component::Normal(name)) = path.components().next_back() else {
        return Err(Errno::INVAL.into());
    };
    match rustix::fs::mkdirat(parent, name, mode) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn parent_of(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| Errno::NOENT.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn an_absolute_link_stays_inside() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/etc", folder.path().join("link")).unwrap();
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        std::fs::write(folder.path().join("etc/passwd"), "inside").unwrap();
        let root = open_root(folder.path()).unwrap();
        assert_eq!(read(&root, Path::new("/link/passwd")).unwrap(), b"inside");
        assert_eq!(read(&root, Path::new("../../link/../link/passwd")).unwrap(), b"inside");
    }

    #[test]
    fn folders_are_made_behind_links_and_inside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("real")).unwrap();
        symlink("/real", folder.path().join("link")).unwrap();
        let root = open_root(folder.path()).unwrap();
        create_folders(&root, Path::new("/link/a/b"), Mode::from_raw_mode(0o755)).unwrap();
        create_file(&root, Path::new("link/a/b/file")).unwrap();
        assert!(folder.path().join("real/a/b/file").is_file());
    }

    #[test]
    fn a_link_to_nowhere_is_an_error_and_makes_nothing_outside() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/../../../../tmp/barge-sys-escape", folder.path().join("link")).unwrap();
        let root = open_root(folder.path()).unwrap();
        assert!(create_folders(&root, Path::new("/link/a"), Mode::from_raw_mode(0o755)).is_err());
        assert!(!Path::new("/tmp/barge-sys-escape").exists());
    }

    #[test]
    fn a_fifo_is_refused_and_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("passwd");
        rustix::fs::mknodat(CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let root = open_root(folder.path()).unwrap();
        assert!(read(&root, Path::new("passwd")).is_err());
    }
}
