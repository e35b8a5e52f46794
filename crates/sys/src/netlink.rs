//! The one option of netlink(7) that rustix lacks.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use crate::check;

/// The size of a C int.
const INT: libc::socklen_t = 4;

/// Has the kernel say in a sentence why it refused a request (`NETLINK_EXT_ACK`).
pub fn explain_errors(socket: impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let socket = socket.as_fd().as_raw_fd();
    let value = std::ptr::from_ref(&on).cast();
    // SAFETY: `socket` is open for as long as the borrow lives, and `value` points to an int that outlives the call;
    // the kernel reads `INT` bytes of it and keeps nothing.
    let result =
        unsafe { libc::setsockopt(socket, libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, value, INT) };
    check(libc::c_long::from(result)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_sockets_have_no_such_option() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(explain_errors(&socket).is_err());
    }
}
