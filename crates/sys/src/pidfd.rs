//! Processes by file descriptor: no signal reaches the wrong process because a pid was used again.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus};

use crate::check;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It called `exit` with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// The code a shell (and Docker) shows: 128 plus the number of the signal.
    #[must_use]
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    fn from_status(status: &WaitIdStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            // Only with WNOHANG of a stopped child, which is not asked for.
            (None, None) => Self::Code(0),
        }
    }
}

/// Opens process `pid`. `ESRCH` when there is none.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// Sends signal number `signal` (0 only asks whether the process lives). Real-time signals too, hence a number.
pub fn send_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let pidfd = pidfd.as_fd().as_raw_fd();
    // SAFETY: pidfd_send_signal(2) reads no memory when its third argument is null; the descriptor is borrowed and
    // therefore open; a wrong signal number is answered with EINVAL.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd,
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    check(result).map(drop)
}

/// Waits for a child's end and reaps it.
pub fn wait(pidfd: impl AsFd) -> io::Result<Exit> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(Some(status)) => return Ok(Exit::from_status(&status)),
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reaps a child if it has ended.
pub fn try_wait(pidfd: impl AsFd) -> io::Result<Option<Exit>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let status = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options)?;
    Ok(status.map(|status| Exit::from_status(&status)))
}

/// Waits until any process (not only a child) has ended, at most for `limit`; tells whether it has.
pub fn wait_gone(pidfd: impl AsFd, limit: Option<std::time::Duration>) -> io::Result<bool> {
    let limit: Option<Timespec> =
        limit.map(Timespec::try_from).transpose().map_err(|_too_long| Errno::INVAL)?;
    loop {
        let mut wanted = [PollFd::new(&pidfd, PollFlags::IN)];
        match poll(&mut wanted, limit.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[allow(clippy::zombie_processes, reason = "reaped by what is tested here")]
    fn start(program: &str) -> OwnedFd {
        let child = Command::new("/bin/sh").args(["-c", program]).spawn().unwrap();
        open(child.id().try_into().unwrap()).unwrap()
    }

    #[test]
    fn a_code_and_a_signal_are_told_apart() {
        assert_eq!(wait(start("exit 7")).unwrap(), Exit::Code(7));
        let child = start("kill -9 $$");
        assert_eq!(wait(&child).unwrap(), Exit::Signal(9));
        assert_eq!(Exit::Signal(9).shell_code(), 137);
    }

    #[test]
    fn a_real_time_signal_arrives() {
        let child = start("exec sleep 100");
        assert_eq!(try_wait(&child).unwrap(), None);
        send_signal(&child, 40).unwrap();
        assert!(wait_gone(&child, None).unwrap());
        assert_eq!(wait(&child).unwrap(), Exit::Signal(40));
    }
}
