//! What runs inside the new namespaces, from the first line of `barge-runtime init` to the user's process.
//!
//! One file per step, in the order in which they happen:
//!
//! | step | file |
//! |---|---|
//! | namespaces that this program is to come into hidden | `enter.rs` |
//! | the root file system becomes a private mount | `root.rs` |
//! | mounts, below the root as the container will see it | `mounts.rs`, `cgroup_view.rs` |
//! | device files and links | `devices.rs` |
//! | the terminal | `console.rs` |
//! | the root becomes `/`, everything else is gone | `root.rs` |
//! | host name, kernel settings | `kernel.rs` |
//! | masked and read-only paths | `hide.rs` |
//! | in a user namespace: mounts that its root cannot undo | `locked.rs` |
//! | limits | `limits.rs` |
//! | user, working directory, capabilities, labels | `identity.rs`, `workdir.rs` |
//! | finding the command | `command.rs` |
//! | word from the parent, seccomp, exec | here |
//!
//! Paths of the container are looked up by the kernel inside its root (`openat2`) until the root is `/`. After that
//! nothing of the host is reachable any more, so plain paths are safe.

mod cgroup_view;
mod command;
mod console;
mod devices;
mod enter;
mod hide;
mod identity;
mod kernel;
pub(crate) mod limits;
mod locked;
pub(crate) mod mounts;
mod root;
mod workdir;

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use barge_oci::runtime::{Linux, Process};
use barge_sys::{exec, process, seccomp, signal};

use self::cgroup_view::Groups;
use self::root::Below;
use self::workdir::Missing;
use crate::bare;
use crate::error::{At as _, Stage, StartError};
use crate::handshake::ToParent;
use crate::plan::{CreatePlan, InitProcess, Limits, Plan};

/// The whole life of `barge-runtime init`; comes back only when it did not become the user's process.
#[must_use]
pub fn main() -> ExitCode {
    let Ok(mut parent) = ToParent::inherited() else {
        // Started by hand: there is nobody to tell.
        return ExitCode::FAILURE;
    };
    let outcome = parent
        .receive_plan()
        .at(Stage::Handshake, || "receive the plan".into())
        .and_then(|(text, filter)| run(&text, &filter, &mut parent));
    if let Err(error) = outcome {
        // A parent that does not listen any more needs no answer.
        parent.fail(&error).ok();
    }
    ExitCode::FAILURE
}

/// `Ok` only when the parent gave up.
fn run(text: &[u8], filter: &[u8], parent: &mut ToParent) -> Result<(), StartError> {
    let plan: Plan<'_> = serde_json::from_slice(text)
        .map_err(|error| StartError::new(Stage::Handshake, error.to_string()))?;
    // Until the user's rights are all it has, nobody in the container may look into this process.
    enter::hide()?;
    match plan {
        Plan::Create(plan) => {
            enter::late(plan.late.as_ref())?;
            create(&plan, filter, parent)
        }
        Plan::Exec(plan) => {
            enter::late(plan.late.as_ref())?;
            let filter = Filter::of(filter, plan.seccomp_flags)?;
            let terminal = if plan.process.terminal {
                Some(console::open_inside(&plan.process)?)
            } else {
                new_session()?;
                None
            };
            set_limits(plan.limits, &plan.process, parent)?;
            let command = become_process(&plan.process, None, Missing::Refused)?;
            parent.ready(terminal.as_ref().map(std::os::fd::AsFd::as_fd))?;
            drop(terminal);
            execute(&plan.process, &filter, &command)
        }
    }
}

fn create(plan: &CreatePlan<'_>, filter: &[u8], parent: &mut ToParent) -> Result<(), StartError> {
    let spec = &*plan.spec;
    let default = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&default);
    let (Some(process), Some(root)) = (&spec.process, &spec.root) else {
        return Err(StartError::new(Stage::Validate, "no process or no root"));
    };
    let filter = Filter::of(filter, plan.seccomp_flags)?;
    // Modes of devices and mount points are meant as they are written.
    rustix::process::umask(rustix::fs::Mode::empty());
    // Found now, for /proc/self/exe is the host's file only as long as this program runs.
    let reaper = match plan.init {
        InitProcess::Command => None,
        InitProcess::Reaper => Some(command::own_program()?),
    };
    if plan.limits == Limits::Own {
        // While `/proc` is still the host's.
        limits::set_oom_score(process, "/proc/self/oom_score_adj")?;
    }

    let groups = cgroup_view::read(spec)?;
    let (handed, below) = match plan.bare_mounts {
        Some(place) => (bare::enter(place, spec)?, Below::Nothing),
        None => (parent.ask_for_trees(plan.handed)?, Below::Host),
    };
    let mut handed = handed.into_iter();
    let own_root = match handed.next() {
        Some(tree) => root::enter_handed(tree, (linux, below))?,
        None => root::enter(std::path::Path::new(&root.path), linux)?,
    };
    let groups = Groups { text: &groups, is_own_namespace: plan.own_cgroup_namespace };
    let later = mounts::make(&own_root, (spec, &mut handed), groups)?;
    devices::make(&own_root, spec)?;
    let terminal = if process.terminal {
        Some(console::open_for_container(&own_root, process)?)
    } else {
        new_session()?;
        None
    };
    root::pivot(&own_root, linux)?;
    drop(own_root);

    kernel::set_names(spec)?;
    kernel::set_sysctls(linux)?;
    hide::read_only(&linux.readonly_paths)?;
    hide::mask(&linux.masked_paths)?;
    root::finish(root, &later)?;
    if plan.limits == Limits::Parent {
        locked::move_to(&parent.ask_for_locked()?, terminal.as_ref())?;
    }
    set_limits(plan.limits, process, parent)?;
    let command = become_process(process, reaper, Missing::Made)?;
    parent.ready(terminal.as_ref().map(std::os::fd::AsFd::as_fd))?;
    drop(terminal);
    if !parent.wait_for_go() {
        return Ok(());
    }
    execute(process, &filter, &command)
}

fn set_limits(who: Limits, process: &Process, parent: &mut ToParent) -> Result<(), StartError> {
    match who {
        Limits::Own => limits::set_rlimits(process, None),
        Limits::Parent => parent.ask_for_limits(),
    }
}

/// What a container and one more process of it have in common, up to the moment before the exec.
fn become_process(
    process: &Process,
    reaper: Option<OwnedFd>,
    folder: Missing,
) -> Result<command::Command, StartError> {
    let user = identity::resolve(process)?;
    workdir::enter(&process.cwd, folder)?;
    identity::set_labels(process)?;
    let environment = identity::environment(process, &user)?;
    identity::become_user(process, &user)?;
    command::find(process, environment, reaper)
}

/// The seccomp filter, read before there is a root that it could be wrong in.
struct Filter {
    instructions: Vec<seccomp::SockFilter>,
    flags: u32,
}

impl Filter {
    fn of(bytes: &[u8], flags: u32) -> Result<Self, StartError> {
        if bytes.is_empty() {
            return Ok(Self { instructions: Vec::new(), flags });
        }
        let instructions = seccomp::SockFilter::from_bytes(bytes)
            .at(Stage::Seccomp, || "read the seccomp filter".into())?;
        Ok(Self { instructions, flags })
    }

    fn install(&self) -> Result<(), StartError> {
        if self.instructions.is_empty() {
            return Ok(());
        }
        seccomp::install(&self.instructions, self.flags)
            .at(Stage::Seccomp, || "unable to init seccomp".into())
    }
}

/// A process of a container leads a session of its own, without a terminal.
fn new_session() -> Result<(), StartError> {
    process::setsid().at(Stage::Console, || "setsid".into())
}

/// The last steps. The filter comes before capabilities are given up only where it must: without `no_new_privs` the
/// kernel takes one from `CAP_SYS_ADMIN` alone.
fn execute(
    process: &Process,
    filter: &Filter,
    command: &command::Command,
) -> Result<(), StartError> {
    if !process.no_new_privileges && !filter.instructions.is_empty() {
        identity::raise_capabilities()?;
        filter.install()?;
    }
    identity::drop_capabilities(process)?;
    if process.no_new_privileges {
        process::set_no_new_privs().at(Stage::Capability, || "no_new_privs".into())?;
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(
        process.user.umask.unwrap_or(limits::DEFAULT_UMASK) & 0o777,
    ));
    signal::reset_for_exec().at(Stage::Exec, || "reset signals".into())?;
    if process.no_new_privileges {
        filter.install()?;
    }
    let cause = match &command.program {
        command::Program::Path(path) => {
            exec::execve(path, &command.arguments, &command.environment)
        }
        command::Program::Reaper(fd) => exec::fexecve(fd, &command.arguments, &command.environment),
    };
    Err(StartError::system(Stage::Exec, &format!("exec {}", command.shown), &cause))
}
