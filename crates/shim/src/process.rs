//! One process of the container that was started by the shim: the first one, or an exec.

use std::os::fd::OwnedFd;

use barge_shim_api::Exit;
use barge_sys::pidfd;
use rustix::process::{Pid, Signal};

use crate::stdio::Stdio;

/// Which process; numbers are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessId(pub(crate) u32);

/// One process that the shim has started.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: ProcessId,
    pub(crate) pid: u32,
    pidfd: OwnedFd,
    pub(crate) stdio: Stdio,
    exit: Option<Exit>,
}

impl Process {
    pub(crate) fn new(id: ProcessId, pid: u32, pidfd: OwnedFd, stdio: Stdio) -> Self {
        Self { id, pid, pidfd, stdio, exit: None }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.exit.is_none()
    }

    /// Notes its end; its output is drained from now on, through `scratch`.
    pub(crate) fn ended(&mut self, exit: Exit, scratch: &mut [u8]) {
        self.exit = Some(exit);
        self.stdio.process_ended(scratch);
    }

    /// Kills what an exec has started and what is still of its session's first group; nobody else would. It leads
    /// that group and is not reaped yet, so no other has its number.
    pub(crate) fn kill_children(&self) {
        if let Some(group) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // There may be none.
            rustix::process::kill_process_group(group, Signal::KILL).ok();
        }
    }

    pub(crate) fn signal(&self, signal: i32) -> std::io::Result<()> {
        pidfd::send_signal(&self.pidfd, signal)
    }
}
