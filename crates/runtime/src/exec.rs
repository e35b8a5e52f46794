//! Running one more process in a container.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::linux::fs::MetadataExt as _;

use barge_cgroups::CgroupManager;
use barge_oci::runtime::Process;
use barge_sys::namespace::{self, Kinds};

use crate::create::{Launch, converse, end, launch};
use crate::error::{At as _, Stage, StartError};
use crate::handshake::Heard;
use crate::plan::{ExecPlan, Plan};
use crate::validate;

/// What to run, and where.
#[derive(Debug)]
pub struct ExecOptions<'a> {
    /// Process 1 of the container.
    pub pid: i32,
    /// The same as a file: it makes sure that `pid` is not someone else by now.
    pub pidfd: BorrowedFd<'a>,
    /// What to run, as whom. With `terminal` its terminal comes back in [`Started::terminal`].
    pub process: &'a Process,
    /// Its stdin, stdout and stderr; not used with a terminal.
    pub stdio: [BorrowedFd<'a>; 3],
    /// The container's control group.
    pub cgroup: Option<&'a dyn CgroupManager>,
    /// The runtime program, as in [`crate::CreateOptions`].
    pub runtime: BorrowedFd<'a>,
    /// The container's compiled seccomp filter.
    pub seccomp_filter: Option<&'a [u8]>,
    /// `SECCOMP_FILTER_FLAG_…` of the container's profile ([`crate::seccomp_flags`]).
    pub seccomp_flags: u32,
}

/// A process that runs.
#[derive(Debug)]
pub struct Started {
    /// It as the caller sees it.
    pub pid: i32,
    /// It as a file.
    pub pidfd: OwnedFd,
    /// The engine's end of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
}

/// Runs the process; comes back when it is executed. On failure it is gone and reaped.
pub fn exec(options: &ExecOptions<'_>) -> Result<Started, StartError> {
    validate::process(options.process)?;
    let mut kinds = namespace::CONTAINER;
    if has_user_namespace(options.pid)? {
        kinds |= Kinds::USER;
    }
    let plan = Plan::Exec(Box::new(ExecPlan {
        process: std::borrow::Cow::Borrowed(options.process),
        seccomp_flags: options.seccomp_flags,
    }));
    let (child, control) = launch(&Launch {
        runtime: options.runtime,
        namespaces: Kinds::empty(),
        join: &[(options.pidfd, kinds)],
        user_maps: None,
        cgroup: options.cgroup,
        stdio: options.stdio,
    })?;
    let filter = options.seccomp_filter.unwrap_or_default();
    let (child, mut control, terminal) = converse(child, control, (&plan, filter))?;
    match control.listen() {
        Ok(Heard::End) => Ok(Started { pid: child.pid, pidfd: child.pidfd, terminal }),
        Ok(Heard::Ready(_)) => Err(StartError::new(Stage::Handshake, "init is ready twice")),
        Err(error) => Err(end(&child.pidfd, error)),
    }
}

/// Joining the user namespace one is in already is an error (`setns(2)`), so it has to be known.
fn has_user_namespace(pid: i32) -> Result<bool, StartError> {
    let number = |process: &str| {
        let path = format!("/proc/{process}/ns/user");
        let stat = std::fs::metadata(&path).at(Stage::Spawn, || format!("stat {path}"))?;
        Ok((stat.st_dev(), stat.st_ino()))
    };
    Ok(number("self")? != number(&pid.to_string())?)
}
