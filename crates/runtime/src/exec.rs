//! Running one more process in a container.

use std::os::fd::{BorrowedFd, OwnedFd};

use barge_cgroups::CgroupManager;
use barge_oci::runtime::Process;
use barge_sys::namespace::{self, Kinds};
use barge_sys::user_namespace;

use crate::create::{Launch, converse, end, launch};
use crate::error::{At as _, Stage, StartError};
use crate::handshake::Heard;
use crate::namespaces::Arrival;
use crate::outside::{self, Help};
use crate::plan::{ExecPlan, Limits, Plan};
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
    let maps = user_namespace::maps_of(options.pid)
        .at(Stage::Spawn, || "look at the user namespace".into())?;
    // Joining the user namespace one is in already is an error (`setns(2)`), so it has to be known.
    let (kinds, limits) = match maps {
        Some(_) => (namespace::CONTAINER | Kinds::USER, Limits::Parent),
        None => (namespace::CONTAINER, Limits::Own),
    };
    let arrival = Arrival::of(Kinds::empty(), vec![(options.pidfd, kinds)]);
    let plan = Plan::Exec(Box::new(ExecPlan {
        process: std::borrow::Cow::Borrowed(options.process),
        seccomp_flags: options.seccomp_flags,
        limits,
        late: arrival.late.clone(),
    }));
    let help = match &maps {
        Some(maps) => {
            outside::own_stdio(options.process, (maps, options.stdio))?;
            Some(Help { process: options.process, trees: Vec::new() })
        }
        None => None,
    };
    let (child, control) = launch(&Launch {
        runtime: options.runtime,
        arrival,
        user_maps: None,
        cgroup: options.cgroup,
        stdio: options.stdio,
    })?;
    let filter = options.seccomp_filter.unwrap_or_default();
    let (child, mut control, terminal) = converse(child, control, (&plan, filter, help.as_ref()))?;
    match control.listen() {
        Ok(Heard::End) => Ok(Started { pid: child.pid, pidfd: child.pidfd, terminal }),
        Ok(Heard::Ready(_) | Heard::Wish(_)) => {
            Err(StartError::new(Stage::Handshake, "init is ready twice"))
        }
        Err(error) => Err(end(&child.pidfd, error)),
    }
}
