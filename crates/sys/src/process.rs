//! Small settings of the calling process.

use std::io;
use std::os::fd::AsFd;

use rustix::process::Pid;
use rustix::thread::{Gid, Uid};

use crate::pidfd::Exit;

/// Makes orphans below us our children, to be reaped by us.
pub fn set_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Starts a new session without a terminal; an error when we lead a process group already.
pub fn setsid() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

/// Makes `terminal` the controlling one of our new session.
pub fn set_controlling_terminal(terminal: impl AsFd) -> io::Result<()> {
    Ok(rustix::process::ioctl_tiocsctty(terminal)?)
}

/// No program executed from here on gains privileges by its file (setuid, file capabilities). For good.
pub fn set_no_new_privs() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Whether others of the same user may trace us and read our memory.
pub fn set_undumpable() -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?)
}

/// Name in `ps` and `/proc/self/comm` (15 bytes).
pub fn set_name(name: &std::ffi::CStr) -> io::Result<()> {
    Ok(rustix::thread::set_name(name)?)
}

/// Changes groups, then group, then user of the calling thread, real, effective and saved.
pub fn set_ids(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    rustix::thread::set_thread_groups(&groups)?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Starts a command with no signal blocked, whatever we block: the standard library hands our mask on.
pub fn spawn_unblocked(command: &mut std::process::Command) -> io::Result<std::process::Child> {
    use std::os::unix::process::CommandExt as _;
    // SAFETY: between fork and exec this makes two calls that are async-signal-safe (sigemptyset, pthread_sigmask) on
    // its own stack; an error of theirs is a number and allocates nothing.
    unsafe { command.pre_exec(crate::signal::unblock_all) };
    command.spawn()
}

/// Reaps any child that has ended: its pid and how it ended. `None` when none has, or there are no children.
pub fn reap() -> io::Result<Option<(i32, Exit)>> {
    use rustix::process::{WaitOptions, wait};
    match wait(WaitOptions::NOHANG) {
        Ok(Some((pid, status))) => {
            let exit = status
                .exit_status()
                .map(Exit::Code)
                .or_else(|| status.terminating_signal().map(Exit::Signal));
            Ok(exit.map(|exit| (Pid::as_raw(Some(pid)), exit)))
        }
        Ok(None) | Err(rustix::io::Errno::CHILD) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
