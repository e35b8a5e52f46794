//! A process for a moment, for what only one with a single thread may do: to be in a user namespace.
//!
//! It is a copy of the caller that makes a few system calls and then waits; it never runs a program. What it is in by then
//! is opened from outside, and lives as long as the descriptor does.

use std::io::{self, Read as _};
#[cfg(test)]
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{CWD, Mode, OFlags};

use crate::{check, pidfd};

/// The process. Dropped, it ends and is reaped.
#[derive(Debug)]
pub(crate) struct StandIn {
    pid: i32,
    process: OwnedFd,
    /// It waits for the end of this; none when it is let go.
    socket: Option<UnixStream>,
}

impl StandIn {
    /// Makes one in new namespaces (`CLONE_NEW…`) and has it do `work`, which makes system calls and nothing else: it
    /// must not allocate.
    pub(crate) fn make(
        namespaces: libc::c_int,
        work: impl Fn() -> io::Result<()>,
    ) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let flags = namespaces | libc::CLONE_PIDFD | libc::SIGCHLD;
        let mut process: RawFd = -1;
        let none = std::ptr::null::<u8>();
        // SAFETY: without CLONE_VM the child is a copy of us, as after fork(2), on a copy of this stack (the stack argument
        // is null); it only makes system calls, which is all that a copy of a process with threads may do. With
        // CLONE_PIDFD the kernel writes one int to `process`.
        let pid =
            unsafe { libc::syscall(libc::SYS_clone, flags, none, &raw mut process, none, none) };
        if pid == 0 {
            live(ours.as_raw_fd(), theirs.as_raw_fd(), work);
        }
        let pid = i32::try_from(check(pid)?).unwrap_or(i32::MAX);
        drop(theirs);
        // SAFETY: clone(2) succeeded with CLONE_PIDFD: the descriptor is open and nobody else's.
        let process = unsafe { OwnedFd::from_raw_fd(process) };
        let made = Self { pid, process, socket: Some(ours) };
        made.hear()?;
        Ok(made)
    }

    /// Its number; nobody else's as long as this is not dropped.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// It as a file.
    #[cfg(test)]
    pub(crate) fn process(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }

    /// A namespace that it is in: `user`, `mnt`.
    pub(crate) fn namespace(&self, name: &str) -> io::Result<OwnedFd> {
        open(self.pid, name)
    }

    /// Waits until it has done its work.
    fn hear(&self) -> io::Result<()> {
        let mut errno = [0; 4];
        let mut socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        socket.read_exact(&mut errno)?;
        match i32::from_ne_bytes(errno) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.socket.take());
        // Whatever was forked meanwhile and has not executed a program yet has a copy of our end, too: the end of the
        // socket alone might not come soon.
        pidfd::send_signal(&self.process, libc::SIGKILL).ok();
        // It may have been killed and reaped by nobody but us: an error means that there is nothing to wait for.
        pidfd::wait(&self.process).ok();
    }
}

/// A namespace of a process.
pub(crate) fn open(pid: i32, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, format!("/proc/{pid}/ns/{name}"), flags, Mode::empty())?)
}

/// The child's life: until the parent's end of the socket is closed, also by its death.
fn live(parents: RawFd, own: RawFd, work: impl Fn() -> io::Result<()>) -> ! {
    // SAFETY: close(2) takes a number; the copy of the parent's end is of no use here, and would keep the end away.
    unsafe { libc::close(parents) };
    // An error of the system is its number: nothing is allocated.
    let errno = work().map_or_else(|error| error.raw_os_error().unwrap_or(libc::EIO), |()| 0);
    // Of two that were made at once each would keep the other's socket, and so the other, for as long as it lives itself.
    let own_number = own.cast_unsigned();
    for (first, last) in [(0, own_number.saturating_sub(1)), (own_number + 1, libc::c_uint::MAX)] {
        // SAFETY: close_range(2) takes numbers; no descriptor but `own`, which is in neither range, is used any more.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
    let mut report = errno.to_ne_bytes();
    // SAFETY: write(2) reads the 4 bytes of `report`. When it fails the parent reads the end.
    unsafe { libc::write(own, report.as_ptr().cast(), report.len()) };
    // SAFETY: read(2) writes at most 4 bytes to `report`.
    unsafe { libc::read(own, report.as_mut_ptr().cast(), report.len()) };
    // SAFETY: _exit(2) runs no handlers and never returns.
    unsafe { libc::_exit(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ends_while_another_that_was_made_later_lives() {
        let first = StandIn::make(0, || Ok(())).unwrap();
        let pid = first.pid();
        let second = StandIn::make(0, || Ok(())).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            drop(first);
            tell.send(()).unwrap();
        });
        let ended = told.recv_timeout(std::time::Duration::from_secs(120));
        drop(second);
        ended.expect("nothing keeps the first one");
        // Reaped as well: nobody has its number.
        let gone = pidfd::open(pid).unwrap_err();
        assert_eq!(gone.raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn one_keeps_nothing_open_but_what_tells_it_of_the_end() {
        let other = tempfile::tempfile().unwrap();
        let made = StandIn::make(0, || Ok(())).unwrap();
        let files = std::fs::read_dir(format!("/proc/{}/fd", made.pid())).unwrap();
        assert_eq!(files.count(), 1);
        drop(other);
    }
}
