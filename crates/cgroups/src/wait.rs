//! Waiting for a group to change, always with a deadline.
//!
//! v2 tells (`cgroup.events` wakes a poll), and a process that ends tells by its pidfd. Two things nobody tells on v1:
//! that a freeze is complete, and that the last reference of an ended task is gone (the directory stays EBUSY for a
//! moment after the last exit). Only for those is there [`Deadline::look_again`].

use std::{
    fs::File,
    io::{Read as _, Seek as _},
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::{
    directory::{Directory, io_error, value_of},
    error::{CgroupError, Result},
};

/// The end of a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    start: Instant,
    length: Duration,
}

impl Deadline {
    pub(crate) fn after(length: Duration) -> Self {
        Self { start: Instant::now(), length }
    }

    pub(crate) fn has_passed(&self) -> bool {
        self.start.elapsed() >= self.length
    }

    pub(crate) fn error(&self, what: &'static str, path: &Path) -> CgroupError {
        CgroupError::Deadline { what, path: path.to_owned(), waited: self.start.elapsed() }
    }

    fn left(&self) -> Timespec {
        let left = self.length.saturating_sub(self.start.elapsed());
        Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        }
    }

    /// Gives the kernel 200 µs to get on with what it has no event for.
    pub(crate) fn look_again(&self) {
        let moment = Timespec { tv_sec: 0, tv_nsec: 200_000 };
        // Nothing is polled, so there is no result; a signal only shortens the moment.
        poll(&mut [], Some(&moment)).ok();
    }
}

/// Waits until `cgroup.events` of a v2 group says `key` is `wanted`.
pub(crate) fn for_event(
    group: &Directory,
    (key, wanted, what): (&str, u64, &'static str),
    deadline: Deadline,
) -> Result<()> {
    let path = group.file("cgroup.events");
    let mut file = File::open(&path).map_err(io_error("open", &path))?;
    loop {
        let mut text = String::new();
        file.rewind().map_err(io_error("read", &path))?;
        file.read_to_string(&mut text).map_err(io_error("read", &path))?;
        if value_of(&text, key) == Some(wanted) {
            return Ok(());
        }
        if deadline.has_passed() {
            return Err(deadline.error(what, &path));
        }
        wait_on(PollFd::new(&file, PollFlags::PRI), deadline)
            .map_err(|errno| io_error("poll", &path)(errno.into()))?;
    }
}

/// Waits until each of `pids` has ended or the deadline passed. A process that is gone already has ended.
pub(crate) fn for_exit(pids: &[u32], deadline: Deadline) -> Result<()> {
    for &pid in pids {
        let Some(process) = watch(pid)? else {
            continue;
        };
        wait_on(PollFd::new(&process, PollFlags::IN), deadline)
            .map_err(|errno| CgroupError::Process { action: "watch", pid, source: errno.into() })?;
    }
    Ok(())
}

fn watch(pid: u32) -> Result<Option<OwnedFd>> {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(None);
    };
    match pidfd_open(raw, PidfdFlags::empty()) {
        Ok(process) => Ok(Some(process)),
        Err(Errno::SRCH) => Ok(None),
        Err(errno) => Err(CgroupError::Process { action: "watch", pid, source: errno.into() }),
    }
}

fn wait_on(what: PollFd<'_>, deadline: Deadline) -> rustix::io::Result<()> {
    match poll(&mut [what], Some(&deadline.left())) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}
