//! Making a container up to the moment before its command runs, and then letting it run.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use barge_cgroups::{CgroupManager, Entry};
use barge_oci::runtime::{Linux, Spec};
use barge_sys::namespace::Kinds;
use barge_sys::spawn::{self, Cgroup, SpawnOptions, Spawned, UserMaps};
use barge_sys::{pidfd, user_namespace};

use crate::bare;
use crate::error::{At as _, Stage, StartError};
use crate::handshake::{Heard, ToInit};
use crate::namespaces::{self, Arrival, Namespaces};
use crate::outside::{self, Help};
use crate::plan::{CreatePlan, InitProcess, Limits, Plan};
use crate::{seccomp_flags, validate};

/// What a container is made of.
#[derive(Debug)]
pub struct CreateOptions<'a> {
    /// The specification. With `process.terminal` the container's terminal comes back in [`Created::terminal`].
    pub spec: &'a Spec,
    /// The folder that a relative `root.path` is below.
    pub bundle: &'a Path,
    /// The command's stdin, stdout and stderr; not used with a terminal.
    pub stdio: [BorrowedFd<'a>; 3],
    /// A network namespace to join, in place of what the specification says of it.
    pub netns: Option<BorrowedFd<'a>>,
    /// A namespace of [`barge_sys::namespace::make_bare_mounts`], of which the container's can be a copy instead of one of
    /// the caller's.
    pub bare_mounts: Option<BorrowedFd<'a>>,
    /// The control group, made and limited already; `None` leaves the container in that of the caller.
    pub cgroup: Option<&'a dyn CgroupManager>,
    /// The runtime program: [`barge_sys::exe::open_read_only`] of `barge-runtime`.
    pub runtime: BorrowedFd<'a>,
    /// The compiled seccomp filter in place of the specification's `linux.seccomp`: an array of `struct sock_filter`.
    pub seccomp_filter: Option<&'a [u8]>,
    /// Who is process 1.
    pub init: InitProcess,
}

/// A container that waits to be started. Dropped, it ends; the caller reaps it.
#[derive(Debug)]
pub struct Created {
    /// Process 1 as the caller sees it.
    pub pid: i32,
    /// Process 1 as a file.
    pub pidfd: OwnedFd,
    /// The engine's end of the terminal, if there is one.
    pub terminal: Option<OwnedFd>,
    control: ToInit,
}

/// Makes the container. On failure nothing of it is left but the control group, which is the caller's.
pub fn create(options: &CreateOptions<'_>) -> Result<Created, StartError> {
    validate::spec(options.spec)?;
    let default = Linux::default();
    let linux = options.spec.linux.as_ref().unwrap_or(&default);
    let given = if options.netns.is_some() { Kinds::NETWORK } else { Kinds::empty() };
    let mut namespaces = Namespaces::of(linux, given)?;
    if !namespaces.make.contains(Kinds::MOUNT) {
        let text = "a container needs a mount namespace of its own";
        return Err(StartError::new(Stage::Validate, text));
    }
    namespaces.make -= given;
    let mut join = namespaces.joins();
    join.extend(options.netns.map(|fd| (fd, Kinds::NETWORK)));
    let joins = |kind| join.iter().find(|(_, kinds)| kinds.contains(kind)).map(|(fd, _)| *fd);
    let users = joins(Kinds::USER);
    let own_cgroup_namespace =
        namespaces.make.contains(Kinds::CONTROL_GROUP) || joins(Kinds::CONTROL_GROUP).is_some();
    let is_mapped = users.is_some() || namespaces.user_maps.is_some();
    let bare_mounts = options
        .bare_mounts
        .filter(|_| !is_mapped && own_cgroup_namespace && bare::fits(options.spec, linux));
    let left = if bare_mounts.is_some() { Kinds::MOUNT } else { Kinds::empty() };
    let mut arrival = Arrival::of(namespaces.make - left, join);
    arrival.files.extend(bare_mounts);

    let mut spec = std::borrow::Cow::Borrowed(options.spec);
    absolute_root(&mut spec, options.bundle);
    let filter = filter_of(options)?;
    let mut plan = CreatePlan {
        own_cgroup_namespace,
        init: options.init,
        seccomp_flags: seccomp_flags(linux.seccomp.as_ref())?,
        spec,
        handed: 0,
        limits: Limits::Own,
        late: arrival.late.clone(),
        bare_mounts: bare_mounts.map(|_| arrival.files.len() - 1),
    };
    let (child, control) = launch(&Launch {
        runtime: options.runtime,
        arrival,
        user_maps: namespaces.user_maps.as_ref(),
        cgroup: options.cgroup,
        stdio: options.stdio,
    })?;
    let help = is_mapped.then(|| help(options, (linux, &plan.spec), (&child, users))).transpose();
    let help = help.map_err(|error| end(&child.pidfd, error))?.flatten();
    if let Some(help) = &help {
        (plan.handed, plan.limits) = (help.trees.len(), Limits::Parent);
    }
    let plan = Plan::Create(Box::new(plan));
    converse(child, control, (&plan, &filter, help.as_ref())).map(|(child, control, terminal)| {
        Created { pid: child.pid, pidfd: child.pidfd, terminal, control }
    })
}

/// What a container in a user namespace, its own or that it joins, cannot do for itself.
fn help<'a>(
    options: &CreateOptions<'a>,
    (linux, spec): (&Linux, &Spec),
    (child, users): (&Spawned, Option<BorrowedFd<'_>>),
) -> Result<Option<Help<'a>>, StartError> {
    let Some(process) = &options.spec.process else { return Ok(None) };
    let own = match users {
        Some(_) => None,
        None => {
            let shown = || "open the user namespace".to_owned();
            Some(user_namespace::open(child.pid).at(Stage::Spawn, shown)?)
        }
    };
    outside::own_stdio(process, (&namespaces::maps_of(linux), options.stdio))?;
    let trees = match users.or(own.as_ref().map(OwnedFd::as_fd)) {
        Some(users) => outside::open_trees(spec, Some(users))?,
        None => Vec::new(),
    };
    Ok(Some(Help { process, trees }))
}

impl Created {
    /// Runs the command; comes back when it is executed. On failure the process is gone and reaped.
    pub fn start(&mut self) -> Result<(), StartError> {
        self.control.go()?;
        match self.control.listen() {
            Ok(Heard::End) => Ok(()),
            Ok(Heard::Ready(_) | Heard::Wish(_)) => {
                Err(StartError::new(Stage::Handshake, "init is ready twice"))
            }
            Err(error) => Err(end(&self.pidfd, error)),
        }
    }
}

/// How long a killed process may take to go before it is left to whoever reaps the caller's other children: frozen by
/// cgroup v1, or asleep in the kernel, it takes its signal later.
const END_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// Ends and reaps a process that did not become what it was to be, and tells why; with how it ended when it said no
/// more than that.
pub(crate) fn end(process: &OwnedFd, why: StartError) -> StartError {
    // ESRCH: it has ended already, and waits to be reaped.
    pidfd::send_signal(process, 9).ok();
    match pidfd::wait_gone(process, Some(END_PATIENCE)) {
        Ok(true) => {}
        Ok(false) | Err(_) => return why,
    }
    match pidfd::wait(process) {
        Ok(exit) if why.stage == Stage::Handshake && why.errno.is_none() => {
            StartError { message: format!("{} ({exit:?})", why.message), ..why }
        }
        Ok(_) | Err(_) => why,
    }
}

/// The part of a start that a container and one more process of it have in common.
pub(crate) struct Launch<'a> {
    pub(crate) runtime: BorrowedFd<'a>,
    pub(crate) arrival: Arrival<'a>,
    pub(crate) user_maps: Option<&'a UserMaps>,
    pub(crate) cgroup: Option<&'a dyn CgroupManager>,
    pub(crate) stdio: [BorrowedFd<'a>; 3],
}

pub(crate) fn launch(launch: &Launch<'_>) -> Result<(Spawned, ToInit), StartError> {
    let door = launch.cgroup.map(Door::open).transpose()?;
    let files: Vec<_> = match &door {
        Some(Door::Files(entry)) => entry.files().map(|(_, file)| file).collect(),
        Some(Door::Folder(_)) | None => Vec::new(),
    };
    let cgroup = match &door {
        None => Cgroup::Inherit,
        Some(Door::Folder(folder)) => Cgroup::Into(folder.as_fd()),
        Some(Door::Files(_)) => Cgroup::Enter(&files),
    };
    let (control, theirs) = ToInit::pair().at(Stage::Spawn, || "make a socket".into())?;
    let [stdin, stdout, stderr] = launch.stdio;
    let arguments: [CString; 2] = [c"barge-runtime".into(), c"init".into()];
    let arrival = &launch.arrival;
    let mut fds = vec![stdin, stdout, stderr, theirs.as_fd()];
    fds.extend(&arrival.files);
    let child = spawn::spawn(&SpawnOptions {
        program: launch.runtime,
        arguments: &arguments,
        environment: &[],
        namespaces: arrival.make,
        join: &arrival.join,
        user_maps: launch.user_maps,
        cgroup,
        fds: &fds,
    })
    .map_err(|error| spawn_error(&error))?;
    Ok((child, control))
}

fn spawn_error(error: &spawn::SpawnError) -> StartError {
    StartError::system(Stage::Spawn, &error.to_string(), &error.source)
}

/// The way into a control group.
enum Door {
    Folder(OwnedFd),
    Files(Entry),
}

impl Door {
    fn open(cgroup: &dyn CgroupManager) -> Result<Self, StartError> {
        let text = |error: barge_cgroups::CgroupError| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let parts: Vec<_> = std::iter::once(error.to_string()).chain(cause).collect();
            StartError::new(Stage::Spawn, parts.join(": "))
        };
        match cgroup.dir_fd().map_err(text)? {
            Some(folder) => Ok(Self::Folder(folder)),
            None => cgroup.entry().map(Self::Files).map_err(text),
        }
    }
}

/// Tells init its plan, helps it where it needs that, and waits until it is ready; ends and reaps it when it is not.
pub(crate) fn converse(
    child: Spawned,
    mut control: ToInit,
    (plan, filter, help): (&Plan<'_>, &[u8], Option<&Help<'_>>),
) -> Result<(Spawned, ToInit, Option<OwnedFd>), StartError> {
    let mut heard = control.send_plan(plan, filter).and_then(|()| control.listen());
    while let (Ok(Heard::Wish(wish)), Some(help)) = (&heard, help) {
        let granted = help.grant(*wish, (&child, &mut control));
        heard = granted.and_then(|()| control.listen());
    }
    let error = match heard {
        Ok(Heard::Ready(terminal)) => return Ok((child, control, terminal)),
        Ok(Heard::End) => match child.executed() {
            // It has been reaped by this.
            Err(error) => return Err(spawn_error(&error)),
            Ok(()) => StartError::new(Stage::Handshake, "init ended before it was ready"),
        },
        Ok(Heard::Wish(_)) => StartError::new(Stage::Handshake, "init wants help and needs none"),
        Err(error) => error,
    };
    Err(end(&child.pidfd, error))
}

fn absolute_root(spec: &mut std::borrow::Cow<'_, Spec>, bundle: &Path) {
    let path = spec.root.as_ref().map(|root| bundle.join(&root.path));
    let is_lean = spec.linux.as_ref().is_none_or(|linux| linux.seccomp.is_none());
    let is_absolute = spec.root.as_ref().is_none_or(|root| root.path.starts_with('/'));
    if is_lean && is_absolute {
        return;
    }
    let spec = spec.to_mut();
    // Init gets the compiled filter; the text is by far the longest part of a specification.
    if let Some(linux) = spec.linux.as_mut() {
        linux.seccomp = None;
    }
    if let (Some(root), Some(path)) = (spec.root.as_mut(), path) {
        root.path = path.to_string_lossy().into_owned();
    }
}

/// The filter that the caller has compiled and keeps, or else that of the specification.
fn filter_of<'a>(options: &CreateOptions<'a>) -> Result<std::borrow::Cow<'a, [u8]>, StartError> {
    if let Some(filter) = options.seccomp_filter {
        return Ok(filter.into());
    }
    match options.spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref()) {
        None => Ok(Vec::new().into()),
        Some(profile) => Ok(crate::compile_seccomp(profile)?.into()),
    }
}
