//! What `rustix` does not tell of sockets.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use crate::check;

/// How much memory what was sent and not yet taken by the other side takes (unix(7), `SIOCOUTQ`); zero when the other
/// side has read all of it. For other sockets than Unix ones: what its kernel has not acknowledged.
pub fn unread(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (the same number as TIOCOUTQ) writes one int to the pointer, which is that of an int that lives
    // longer than the call; the descriptor is borrowed, so it is open.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    check(result.into())?;
    usize::try_from(bytes).map_err(|_negative| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_was_read_is_no_longer_there() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        assert_eq!(unread(ours.as_fd()).unwrap(), 0);
        ours.write_all(b"abc").unwrap();
        assert!(unread(ours.as_fd()).unwrap() > 0);
        theirs.read_exact(&mut [0; 3]).unwrap();
        assert_eq!(unread(ours.as_fd()).unwrap(), 0);
    }
}
