//! Descriptors as a table: handing them on, and closing what must not be.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

use crate::check;

/// Marks every descriptor from `first` on close-on-exec (`close_range`, Linux 5.11).
pub fn cloexec_from(first: RawFd) -> io::Result<()> {
    let first = libc::c_uint::try_from(first).map_err(|_negative| io::ErrorKind::InvalidInput)?;
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: with CLOSE_RANGE_CLOEXEC nothing is closed, so no descriptor that someone owns becomes invalid; the call
    // takes numbers only.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) };
    check(result).map(drop)
}

/// Takes over a descriptor that the starter of this program handed to it under this number: once per number.
///
/// `EBADF` when it is not open. Meant for the first lines of a program's `main`; a number is refused the second time.
pub fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    if !(0..64).contains(&fd) {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: fcntl(2) with F_SETFD takes numbers only and answers EBADF for a closed descriptor.
    let result = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    check(result.into())?;
    if TAKEN.fetch_or(1 << fd, Ordering::Relaxed) & (1 << fd) != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open (checked above), it came from outside (so no value of this process owns it, which is this
    // function's contract), and the table above hands each number out once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
