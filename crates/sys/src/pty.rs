//! Pseudo terminals, of the host's or of a container's own `devpts`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

/// Both ends of a terminal.
#[derive(Debug)]
pub struct Pty {
    /// What the engine reads and writes.
    pub master: OwnedFd,
    /// What the process gets as its stdio.
    pub slave: OwnedFd,
}

/// A new terminal of the host.
pub fn open() -> io::Result<Pty> {
    finish(rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?)
}

/// A new terminal of the `devpts` mounted at (or opened as) this folder.
pub fn open_in(devpts: impl AsFd) -> io::Result<Pty> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    finish(rustix::fs::openat(devpts, "ptmx", flags, Mode::empty())?)
}

fn finish(master: OwnedFd) -> io::Result<Pty> {
    rustix::pty::unlockpt(&master)?;
    // TIOCGPTPEER opens the other end without a path: it works in whatever mount namespace this is.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    Ok(Pty { master, slave })
}

/// The path of the other end as its `devpts` is usually mounted: `/dev/pts/3`.
pub fn slave_path(master: impl AsFd) -> io::Result<PathBuf> {
    let name = rustix::pty::ptsname(master, Vec::new())?;
    Ok(PathBuf::from(String::from_utf8_lossy(name.as_bytes()).into_owned()))
}

/// Tells the terminal (and with SIGWINCH its foreground processes) its size in characters.
pub fn resize(terminal: impl AsFd, rows: u16, columns: u16) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn what_is_written_on_one_end_is_read_on_the_other() {
        let pty = open().unwrap();
        resize(&pty.master, 33, 77).unwrap();
        assert_eq!(rustix::termios::tcgetwinsize(&pty.slave).unwrap().ws_col, 77);
        assert!(slave_path(&pty.master).unwrap().starts_with("/dev/pts"));
        std::fs::File::from(pty.slave).write_all(b"x\n").unwrap();
        let mut bytes = [0; 3];
        std::fs::File::from(pty.master).read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"x\r\n");
    }
}
