//! Signals as something to read, for a single-threaded event loop.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use rustix::io::Errno;

use crate::{check, signal};

/// Bytes of one `struct signalfd_siginfo`.
const RECORD: usize = 128;

/// Blocked signals that are read instead of delivered.
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

/// One signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// Who sent it; for SIGCHLD the child.
    pub pid: i32,
}

impl SignalFd {
    /// Blocks these signals in the calling thread and makes them readable here. Not blocking, close-on-exec.
    pub fn open(signals: &[i32]) -> io::Result<Self> {
        signal::block(signals)?;
        let set = signal::set_of(signals)?;
        // SAFETY: signalfd(2) reads the set, which outlives the call; -1 asks for a new descriptor.
        let fd =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) };
        check(fd.into())?;
        // SAFETY: the call above succeeded: `fd` is open and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal, if one has come.
    pub fn read(&self) -> io::Result<Option<Received>> {
        let mut record = [0_u8; RECORD];
        match rustix::io::read(&self.0, &mut record) {
            Ok(RECORD) => {}
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // ssi_signo is the first and ssi_pid the fourth of 32-bit fields (signalfd(2)).
        let field = |index: usize| {
            let (words, _) = record.as_chunks::<4>();
            words.get(index).map_or(0, |word| i32::from_ne_bytes(*word))
        };
        Ok(Some(Received { signal: field(0), pid: field(3) }))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for SignalFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::on_own_thread;

    #[test]
    fn a_blocked_signal_is_read_with_its_sender() {
        on_own_thread(|| {
            let signals = SignalFd::open(&[libc::SIGWINCH]).unwrap();
            assert_eq!(signals.read().unwrap(), None);
            // To the thread: other threads of the test program do not block it.
            let thread = rustix::thread::gettid().as_raw_nonzero().get();
            let own = rustix::process::getpid().as_raw_nonzero().get();
            // SAFETY: tgkill(2) takes numbers only.
            unsafe { libc::syscall(libc::SYS_tgkill, own, thread, libc::SIGWINCH) };
            let received = signals.read().unwrap().unwrap();
            assert_eq!(received, Received { signal: libc::SIGWINCH, pid: own });
        })
        .unwrap();
    }
}
