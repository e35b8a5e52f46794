//! The socket where later daemons find the shim.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Longest path of a socket's address, without its end (unix(7)).
const MAX_PATH: usize = 107;

/// A listening socket; its file goes with it.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    path: PathBuf,
}

impl Listener {
    /// Listens at `path`, in place of what an earlier shim may have left there.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        bind(&socket, path)?;
        let listener = Self { socket, path: path.to_owned() };
        // Before listen(2) nobody can connect, so nobody gets in before this.
        rustix::fs::chmodat(CWD, path, Mode::RUSR | Mode::WUSR, AtFlags::empty())?;
        rustix::net::listen(&listener.socket, 16)?;
        Ok(listener)
    }

    /// The next one who wants to talk.
    pub(crate) fn accept(&self) -> Option<OwnedFd> {
        // Whatever goes wrong here goes wrong for that peer only.
        rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC).ok()
    }
}

/// Addresses are short and folders may be deep: a long path is reached through the open folder.
fn bind(socket: &OwnedFd, path: &Path) -> io::Result<()> {
    if path.as_os_str().as_bytes().len() <= MAX_PATH {
        return Ok(rustix::net::bind(socket, &SocketAddrUnix::new(path)?)?);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL.into());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&folder);
    let short = Path::new("/proc/self/fd").join(number.to_string()).join(name);
    Ok(rustix::net::bind(socket, &SocketAddrUnix::new(&short)?)?)
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The next shim of this container replaces a leftover, and a daemon finds it dead.
        std::fs::remove_file(&self.path).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_leftover_is_replaced_and_the_file_goes_with_the_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        std::fs::write(&path, "leftover").unwrap();
        let listener = Listener::create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let _client = UnixStream::connect(&path).unwrap();
        assert!(listener.accept().is_some());
        assert!(listener.accept().is_none());
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn a_path_longer_than_an_address_works() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let listener = Listener::create(&deep.join("x.sock")).unwrap();
        assert!(deep.join("x.sock").exists());
        drop(listener);
        assert!(!deep.join("x.sock").exists());
    }
}
