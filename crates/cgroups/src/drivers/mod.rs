//! The two versions of cgroups: a folder each, a file per controller.

mod v1;
mod v2;

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};

use crate::error::{CgroupError, Result};

pub(crate) use v1::V1;
pub(crate) use v2::V2;

/// Sends SIGKILL to each; those that are gone are fine.
fn kill_each(pids: &[u32]) -> Result<()> {
    for &pid in pids {
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            continue;
        };
        match kill_process(raw, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => {
                return Err(CgroupError::Process { action: "kill", pid, source: errno.into() });
            }
        }
    }
    Ok(())
}
