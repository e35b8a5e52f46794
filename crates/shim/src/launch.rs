//! How the container's processes are made: control group, stdio, log and runtime brought together.
//!
//! What fails is taken back here, and told in the form in which it is answered.

use std::error::Error;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use barge_cgroups::{CgroupError, CgroupManager, CgroupPath, Layout};
use barge_logdriver::{LogDriver, LogTarget};
use barge_oci::runtime::{NamespaceType, Process, Spec};
use barge_runtime_core::{CreateOptions, Created, ExecOptions, StartError, seccomp_flags};
use barge_shim_api::{
    AttachStreams, ConsoleSize, Create, Descriptor, Exec, Failure, FailureKind, InitProcess,
    LogConfig, OtherRuntime, StdioConfig,
};
use barge_sys::{exe, fault};
use rustix::fs::{Mode, OFlags};

use crate::other::{Made, Other};
use crate::stdio::{ChildEnds, Role, Stdio, pipes, terminal};

/// What is needed for every process of the container.
#[derive(Debug)]
pub(crate) struct Runtime {
    maker: Maker,
    pid: i32,
    pidfd: OwnedFd,
    /// Whether all of its processes end with the first one.
    pub(crate) owns_pids: bool,
}

/// Who makes the container's processes.
#[derive(Debug)]
enum Maker {
    Own(Own),
    Other(Other),
}

/// Our own runtime.
#[derive(Debug)]
struct Own {
    program: OwnedFd,
    /// Until the start.
    waiting: Option<Created>,
    seccomp_filter: Option<Vec<u8>>,
    seccomp_flags: u32,
}

/// A container that waits for its start.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) runtime: Runtime,
    pub(crate) cgroup: Box<dyn CgroupManager>,
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) stdio: Stdio,
}

/// One more process, which runs.
#[derive(Debug)]
pub(crate) struct StartedExec {
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) stdio: Stdio,
}

/// The descriptors that came with the request, by what they are.
#[derive(Debug, Default)]
struct Sent {
    netns: Option<OwnedFd>,
    bare_mounts: Option<OwnedFd>,
    seccomp_filter: Option<OwnedFd>,
    streams: Vec<(AttachStreams, OwnedFd)>,
}

impl Sent {
    fn sort(meanings: &[Descriptor], descriptors: Vec<OwnedFd>) -> Self {
        let mut sent = Self::default();
        for (meaning, descriptor) in meanings.iter().zip(descriptors) {
            match meaning {
                Descriptor::NetworkNamespace => sent.netns = Some(descriptor),
                Descriptor::BareMounts => sent.bare_mounts = Some(descriptor),
                Descriptor::SeccompFilter => sent.seccomp_filter = Some(descriptor),
                Descriptor::Stream(what) => sent.streams.push((*what, descriptor)),
            }
        }
        sent
    }
}

/// The command's first look at its terminal shows the size that was asked for.
pub(crate) fn size_terminal(process: &mut Process, config: StdioConfig) {
    process.console_size = config.terminal.map(|size| barge_oci::runtime::ConsoleSize {
        height: size.height.into(),
        width: size.width.into(),
    });
}

/// Makes the container up to the moment before its command runs.
pub(crate) fn create(create: &Create, descriptors: Vec<OwnedFd>) -> Result<Launched, Failure> {
    let sent = Sent::sort(&create.descriptors, descriptors);
    let log = open_log(&create.log)?;
    fault::point("shim: log opened");
    if let Some(runtime) = &create.other_runtime {
        return create_by_other(create, runtime, (sent, log));
    }
    let cgroup = make_cgroup(create)?;
    fault::point("shim: cgroup made");
    let made = create_in(create, sent, log, &*cgroup);
    match made {
        Ok((runtime, pidfd, stdio)) => {
            let pid = number(runtime.pid);
            Ok(Launched { runtime, cgroup, pid, pidfd, stdio })
        }
        Err(failure) => {
            // The first failure is what is told; the daemon sweeps what cannot be removed now.
            cgroup.destroy().ok();
            Err(failure)
        }
    }
}

fn create_in(
    create: &Create,
    sent: Sent,
    log: Box<dyn LogDriver>,
    cgroup: &dyn CgroupManager,
) -> Result<(Runtime, OwnedFd, Stdio), Failure> {
    let program = exe::open_read_only(&create.runtime_path)
        .map_err(os_failure("spawn", "cannot open the runtime program"))?;
    let seccomp_filter = sent
        .seccomp_filter
        .map(|file| read_whole(&file.into()))
        .transpose()
        .map_err(os_failure("seccomp", "cannot read the seccomp filter"))?;
    let seccomp = create.spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    let seccomp_flags = seccomp_flags(seccomp).map_err(|error| start_failure(&error))?;
    let ends = Ends::make(create.stdio, create.spec.process.as_ref())?;
    let created = barge_runtime_core::create(&CreateOptions {
        spec: &create.spec,
        bundle: Path::new("/"),
        stdio: ends.for_child(),
        netns: sent.netns.as_ref().map(OwnedFd::as_fd),
        bare_mounts: sent.bare_mounts.as_ref().map(OwnedFd::as_fd),
        cgroup: Some(cgroup),
        runtime: program.as_fd(),
        seccomp_filter: seccomp_filter.as_deref(),
        init: match create.init {
            InitProcess::Command => barge_runtime_core::InitProcess::Command,
            InitProcess::Reaper => barge_runtime_core::InitProcess::Reaper,
        },
    })
    .map_err(|error| start_failure(&error))?;
    fault::point("shim: process made");
    let mut created = Waiting(Some(created));
    let (stdio, pidfds) = created.furnish(ends, create.stdio, (log, sent.streams))?;
    let waiting = created.0.take();
    let pid = waiting.as_ref().map_or(0, |created| created.pid);
    let runtime = Runtime {
        maker: Maker::Own(Own { program, waiting, seccomp_filter, seccomp_flags }),
        pid,
        pidfd: pidfds.0,
        owns_pids: owns_pids(&create.spec),
    };
    Ok((runtime, pidfds.1, stdio))
}

/// The same by another runtime, which makes the control group, too.
fn create_by_other(
    create: &Create,
    runtime: &OtherRuntime,
    (sent, log): (Sent, Box<dyn LogDriver>),
) -> Result<Launched, Failure> {
    let cgroup = find_cgroup(create)?;
    let other = Other::new(create, runtime)?;
    let ends = Ends::make(create.stdio, create.spec.process.as_ref())?;
    let netns = sent.netns.as_ref().map(OwnedFd::as_fd);
    let made = other.create(&create.spec, netns, ends.for_child()).and_then(|made| {
        let stdio = ends.finish(create.stdio, made.terminal, Some(log))?;
        let stdio = attach_all(stdio, sent.streams)?;
        let pidfd = made.pidfd.try_clone().map_err(os_failure("stdio", "cannot make stdio"))?;
        Ok((made.pid, [made.pidfd, pidfd], stdio))
    });
    match made {
        Ok((pid, [first, second], stdio)) => {
            let owns_pids = owns_pids(&create.spec);
            let runtime = Runtime { maker: Maker::Other(other), pid, pidfd: first, owns_pids };
            Ok(Launched { runtime, cgroup, pid: number(pid), pidfd: second, stdio })
        }
        Err(failure) => {
            other.delete();
            cgroup.destroy().ok();
            Err(failure)
        }
    }
}

/// A created container that is killed when something fails after all.
struct Waiting(Option<Created>);

impl Waiting {
    fn furnish(
        &mut self,
        ends: Ends,
        config: StdioConfig,
        (log, streams): (Box<dyn LogDriver>, Vec<(AttachStreams, OwnedFd)>),
    ) -> Result<(Stdio, (OwnedFd, OwnedFd)), Failure> {
        let failed = || os_failure("stdio", "cannot make stdio");
        let Some(created) = &mut self.0 else {
            return Err(Failure::new(FailureKind::System, "stdio", "container is gone"));
        };
        let stdio = ends.finish(config, created.terminal.take(), Some(log))?;
        let stdio = attach_all(stdio, streams)?;
        let first = created.pidfd.try_clone().map_err(failed())?;
        let second = created.pidfd.try_clone().map_err(failed())?;
        Ok((stdio, (first, second)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(created) = self.0.take() {
            // It is reaped as any other child; there is nobody to tell of a failure.
            barge_sys::pidfd::send_signal(&created.pidfd, 9).ok();
        }
    }
}

impl Runtime {
    /// Lets the container's command run. Afterwards the container is gone if this failed.
    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        let outcome = match &mut self.maker {
            Maker::Other(other) => other.start(),
            Maker::Own(own) => {
                let Some(mut waiting) = own.waiting.take() else {
                    let text = "container was started";
                    return Err(Failure::new(FailureKind::WrongState, "state", text));
                };
                waiting.start().map_err(|error| start_failure(&error))
            }
        };
        outcome.inspect_err(|_| {
            // ESRCH when it is reaped already, which is the rule.
            barge_sys::pidfd::send_signal(&self.pidfd, 9).ok();
        })
    }

    /// Takes back what is kept of the container outside of its processes.
    pub(crate) fn delete(&self) {
        match &self.maker {
            Maker::Own(_) => {}
            Maker::Other(other) => other.delete(),
        }
    }
}

/// Runs one more process.
pub(crate) fn exec(
    runtime: &Runtime,
    cgroup: &dyn CgroupManager,
    exec: &Exec,
    streams: Vec<OwnedFd>,
) -> Result<StartedExec, Failure> {
    let ends = Ends::make(exec.stdio, Some(&exec.process))?;
    let made = match &runtime.maker {
        Maker::Other(other) => other.exec(&exec.process, ends.for_child())?,
        Maker::Own(own) => {
            let started = barge_runtime_core::exec(&ExecOptions {
                pid: runtime.pid,
                pidfd: runtime.pidfd.as_fd(),
                process: &exec.process,
                stdio: ends.for_child(),
                cgroup: Some(cgroup),
                runtime: own.program.as_fd(),
                seccomp_filter: own.seccomp_filter.as_deref(),
                seccomp_flags: own.seccomp_flags,
            })
            .map_err(|error| start_failure(&error))?;
            Made { pid: started.pid, pidfd: started.pidfd, terminal: started.terminal }
        }
    };
    let streams = exec.streams.iter().copied().zip(streams).collect();
    let stdio = ends
        .finish(exec.stdio, made.terminal, None)
        .and_then(|stdio| attach_all(stdio, streams))
        .inspect_err(|_| {
            // It is reaped as an orphan.
            barge_sys::pidfd::send_signal(&made.pidfd, 9).ok();
        })?;
    Ok(StartedExec { pid: number(made.pid), pidfd: made.pidfd, stdio })
}

/// Both ends of a process's stdio before there is a process.
enum Ends {
    Pipes(crate::stdio::Pair, ChildEnds),
    /// The terminal is made inside the container, by its init; until then there is nothing to read
    /// or write.
    Terminal(ConsoleSize, OwnedFd),
}

impl Ends {
    fn make(config: StdioConfig, process: Option<&Process>) -> Result<Self, Failure> {
        let failed = || os_failure("stdio", "cannot make stdio");
        if process.is_some_and(|process| process.terminal != config.terminal.is_some()) {
            let text = "process and stdio do not agree about a terminal";
            return Err(Failure::new(FailureKind::InvalidRequest, "console", text));
        }
        if let Some(size) = config.terminal {
            let flags = OFlags::RDWR | OFlags::CLOEXEC;
            let null = rustix::fs::open("/dev/null", flags, Mode::empty())
                .map_err(|errno| failed()(errno.into()))?;
            return Ok(Self::Terminal(size, null));
        }
        let (pair, ends) = pipes(config.stdin).map_err(failed())?;
        Ok(Self::Pipes(pair, ends))
    }

    fn for_child(&self) -> [BorrowedFd<'_>; 3] {
        match self {
            Self::Pipes(_, ends) => ends.as_fds(),
            Self::Terminal(_, null) => [null.as_fd(); 3],
        }
    }

    /// Our ends; the child's are closed here.
    fn finish(
        self,
        config: StdioConfig,
        master: Option<OwnedFd>,
        log: Option<Box<dyn LogDriver>>,
    ) -> Result<Stdio, Failure> {
        let pair = match (self, master) {
            (Self::Pipes(pair, _), _) => pair,
            (Self::Terminal(size, _), Some(master)) => terminal(master, size)
                .map_err(os_failure("console", "cannot set up the terminal"))?,
            (Self::Terminal(..), None) => {
                let text = "the runtime made no terminal";
                return Err(Failure::new(FailureKind::System, "console", text));
            }
        };
        Ok(Stdio::new(pair, config, log))
    }
}

fn attach_all(mut stdio: Stdio, streams: Vec<(AttachStreams, OwnedFd)>) -> Result<Stdio, Failure> {
    for (what, socket) in streams {
        stdio
            .attach(socket, what, Role::Starter)
            .map_err(os_failure("attach", "cannot attach stream"))?;
    }
    Ok(stdio)
}

fn open_log(log: &LogConfig) -> Result<Box<dyn LogDriver>, Failure> {
    barge_logdriver::open(&LogTarget {
        driver: &log.driver,
        path: &log.path,
        options: &log.options,
        attributes: &log.attributes,
        origin: &log.origin,
    })
    .map_err(|error| Failure::new(FailureKind::System, "log", joined(&error)))
}

fn find_cgroup(create: &Create) -> Result<Box<dyn CgroupManager>, Failure> {
    let path = CgroupPath::parse(&create.cgroup.path).map_err(|error| cgroup_failure(&error))?;
    Ok(Layout::detect().map_err(|error| cgroup_failure(&error))?.manager(&path))
}

fn make_cgroup(create: &Create) -> Result<Box<dyn CgroupManager>, Failure> {
    let cgroup = find_cgroup(create)?;
    let made = if create.cgroup.is_made { cgroup.complete() } else { cgroup.create() };
    made.map_err(|error| cgroup_failure(&error))?;
    let resources = create.spec.linux.as_ref().and_then(|linux| linux.resources.as_ref());
    if let Some(Err(error)) = resources.map(|resources| cgroup.set(resources)) {
        // The first failure is what is told.
        cgroup.destroy().ok();
        return Err(cgroup_failure(&error));
    }
    Ok(cgroup)
}

/// Whether the container has a process id namespace made for it alone.
fn owns_pids(spec: &Spec) -> bool {
    let namespaces = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    namespaces
        .filter(|namespace| namespace.kind == NamespaceType::Pid)
        .any(|namespace| namespace.path.as_ref().is_none_or(|path| path.is_empty()))
}

fn read_whole(file: &File) -> io::Result<Vec<u8>> {
    // By offset: the daemon shares the file's position with every shim that it gave it to.
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The kernel's process ids are positive.
fn number(pid: i32) -> u32 {
    u32::try_from(pid).unwrap_or(0)
}

fn joined(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// An answer about the kernel's refusal; for `map_err`.
pub(crate) fn os_failure(
    stage: &'static str,
    action: &'static str,
) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure {
        errno: error.raw_os_error(),
        ..Failure::new(FailureKind::System, stage, format_args!("{action}: {error}"))
    }
}

pub(crate) fn cgroup_failure(error: &CgroupError) -> Failure {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    Failure {
        errno: source.and_then(io::Error::raw_os_error),
        ..Failure::new(FailureKind::System, "cgroup", joined(error))
    }
}

fn start_failure(error: &StartError) -> Failure {
    use barge_runtime_core::Failure as Kind;
    let kind = match error.kind() {
        Kind::CommandNotFound => FailureKind::CommandNotFound,
        Kind::CommandNotExecutable => FailureKind::CommandNotExecutable,
        Kind::BadWorkingDirectory => FailureKind::BadWorkingDirectory,
        Kind::InvalidSpec => FailureKind::InvalidRequest,
        Kind::System => FailureKind::System,
    };
    Failure { errno: error.errno, ..Failure::new(kind, error.stage.name(), joined(error)) }
}
