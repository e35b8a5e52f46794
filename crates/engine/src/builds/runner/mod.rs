//! Runs the steps of builds: the same shim, specification, limits and network as a container, and no container.
//!
//! A step has no record beside the one by which it is ended after a crash of the daemon; nothing lists it and nothing
//! keeps its output. The builder mounts its files before and takes the mount away after.

mod devices;
mod frames;
mod spec;
mod stubs;
mod sweep;

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use barge_builder::runner::{Cancel, RunError, RunStep, Runner, StepNetwork, Stream};
use barge_network::{Endpoint, EndpointOptions, NetworkError};
use barge_shim_api::{
    AttachStreams, CgroupConfig, Create, Descriptor, EXIT_FILE, Event, ExitRecord, InitProcess,
    LogConfig, Request, SignalTarget, StdinMode, StdioConfig,
};
use barge_sys::user_namespace;
use barge_types::ContainerId;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use self::devices::Devices;
use self::frames::Frames;
use self::spec::{Place, Plan};
use self::stubs::Stubs;
use self::sweep::StepRecord;
use crate::containers::{Containers, FileSources, FileTexts, Handed, Link};
use crate::disk;
use crate::error::{EngineError, Result};
use crate::remap::Remap;
use crate::rollback::Rollback;
use crate::shims::{self, Connection, ShimEvent};

/// How often it is looked whether a build was cancelled while nothing else happens.
const GLANCE: Duration = Duration::from_millis(50);
/// How long a killed step may take to be gone, and a shim to go after its process.
const DEADLINE: Duration = Duration::from_secs(15);
/// Of a process that was killed by signal 9.
const KILLED: i32 = 137;

/// Runs steps.
#[derive(Debug)]
pub(crate) struct StepRunner {
    containers: Arc<Containers>,
    /// A folder for each step that runs, below the exec root.
    folder: PathBuf,
    runtime: Handle,
}

/// A step on its way.
#[derive(Debug)]
struct Going<'a> {
    id: &'a ContainerId,
    step: &'a RunStep,
    plan: &'a Plan,
    devices: Devices<'a>,
    folder: PathBuf,
    cgroup: String,
    /// How its ids are mapped.
    remap: Option<&'a Remap>,
}

/// Who hears a step's output and may end it.
struct Listener<'a> {
    output: &'a mut dyn FnMut(Stream, &[u8]),
    cancel: &'a Cancel,
}

/// What the shim is to be told, and where the output comes.
struct Prepared {
    create: Box<Create>,
    descriptors: Vec<OwnedFd>,
    link: Option<Link>,
    output: UnixStream,
}

/// A step whose process runs.
struct Live {
    shim: Arc<Connection>,
    heard: mpsc::UnboundedReceiver<ShimEvent>,
    output: UnixStream,
}

impl StepRunner {
    /// Ends what a killed daemon left of its steps. `runtime` is the daemon's.
    pub(crate) fn open(
        containers: Arc<Containers>,
        folder: PathBuf,
        runtime: Handle,
    ) -> Result<Self> {
        sweep::sweep(&folder, &containers)?;
        Ok(Self { containers, folder, runtime })
    }

    fn run_step(
        &self,
        step: &RunStep,
        output: &mut dyn FnMut(Stream, &[u8]),
        cancel: &Cancel,
    ) -> Result<i32> {
        if cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        let id: ContainerId = step.id.parse().map_err(super::request::invalid)?;
        let plan = Plan::new(&id, step, (&self.containers.defaults, &self.containers.machine))?;
        let folder = self.folder.join(id.as_str());
        let cgroup = plan.cgroup(&self.containers.defaults);
        let devices = Devices::find(&self.containers.cdi, step)?;
        let points = devices.mount_points()?;
        let remap = self.containers.remap_of(&plan.record.host_config);
        let going = Going { id: &id, step, plan: &plan, devices, folder, cgroup, remap };
        // Dropped last: mount points go after what was mounted on them.
        let _stubs = stubs(&step.rootfs, &points, remap)?;
        // Undone at the end whether it went well or not.
        let mut undo = Rollback::default();
        self.make_folder(&going.folder, &mut undo)?;
        let (control, mut child) = shims::spawn(&self.containers.programs, id.as_str())?;
        let outcome =
            self.run_in(&going, (control, &child), &mut Listener { output, cancel }, &mut undo);
        let reaped = self.reap(&going, &mut child, outcome.is_ok());
        drop(undo);
        let code = outcome?;
        reaped?;
        Ok(code)
    }

    fn make_folder(&self, folder: &Path, undo: &mut Rollback) -> Result<()> {
        for folder in [folder, &self.containers.shim_folder] {
            fs::create_dir_all(folder).map_err(EngineError::io("create", folder))?;
        }
        let folder = folder.to_owned();
        undo.push(move || {
            if let Err(error) = fs::remove_dir_all(&folder) {
                tracing::warn!(folder = %folder.display(), %error, "cannot remove the files of a build step");
            }
        });
        Ok(())
    }

    /// From the shim's start to the exit of the step's process.
    fn run_in(
        &self,
        going: &Going<'_>,
        (control, child): (UnixStream, &Child),
        listener: &mut Listener<'_>,
        undo: &mut Rollback,
    ) -> Result<i32> {
        StepRecord::new(child.id(), going.cgroup.clone()).save(&going.folder)?;
        let prepared = self.prepare(going, undo)?;
        let process = barge_sys::pidfd::open(i32::try_from(child.id()).unwrap_or(0)).ok();
        let mut live = self.runtime.block_on(self.start(going, (control, process), prepared))?;
        let followed = self.follow(&mut live, going, listener);
        let code = followed.and_then(|()| self.await_exit(&mut live, going, listener.cancel));
        self.runtime.block_on(dismiss(&mut live));
        code
    }

    fn prepare(&self, going: &Going<'_>, undo: &mut Rollback) -> Result<Prepared> {
        let Plan { record, settings } = going.plan;
        let endpoint = self.endpoint(going, undo)?;
        let (endpoint_of, defaults) = (endpoint.as_ref(), &self.containers.defaults);
        let sources = FileSources { endpoint: endpoint_of, linked: &[], defaults };
        FileTexts::new(record, settings, sources)?.write(&going.folder)?;
        give_files(going)?;
        let mut handed = Handed::default();
        let mut link = None;
        if going.remap.is_some() {
            // It has to belong to the step's users, who do not exist yet.
            link = endpoint.map(|endpoint| Link::Inside(endpoint, going.id.clone()));
        } else if going.step.network != StepNetwork::Host {
            let sandbox = self.containers.network.sandbox(endpoint.as_ref())?;
            handed.copy(Descriptor::NetworkNamespace, sandbox.netns())?;
            link = endpoint.map(|endpoint| Link::Ahead(endpoint, sandbox));
        }
        self.containers.hand_over(&settings.security, &mut handed)?;
        let (output, theirs) =
            UnixStream::pair().map_err(EngineError::io("make", "a socket pair"))?;
        let streams = AttachStreams { stdin: false, stdout: true, stderr: true };
        handed.add(Descriptor::Stream(streams), theirs.into());
        let place = Place { files: &going.folder, cgroup: &going.cgroup, remap: going.remap };
        let mut spec = going.plan.spec(going.step, place)?;
        going.devices.add(&mut spec)?;
        let create = Create {
            id: going.id.to_string(),
            spec: Box::new(spec),
            stdio: StdioConfig { stdin: StdinMode::Null, terminal: None },
            log: LogConfig {
                driver: "none".to_owned(),
                path: PathBuf::new(),
                options: Default::default(),
                attributes: Default::default(),
                origin: Default::default(),
            },
            cgroup: CgroupConfig { path: going.cgroup.clone(), is_made: false },
            init: InitProcess::Command,
            state_dir: going.folder.clone(),
            socket_path: self.containers.shim_folder.join(format!("{}.sock", going.id)),
            runtime_path: self.containers.programs.runtime.clone(),
            other_runtime: None,
            descriptors: handed.meanings,
        };
        let descriptors = handed.descriptors;
        Ok(Prepared { create: Box::new(create), descriptors, link, output })
    }

    /// A place in the default bridge, for a step that has a network at all.
    fn endpoint(&self, going: &Going<'_>, undo: &mut Rollback) -> Result<Option<Endpoint>> {
        let allocate = |network: &str| {
            let mode = barge_network::NetworkMode::Named(network.to_owned());
            let mut options = EndpointOptions::new(going.id.clone(), going.id.as_str());
            options.place = match going.remap {
                Some(_) => barge_network::Place::Process,
                None => barge_network::Place::Sandbox,
            };
            self.containers.network.allocate(&mode, options)
        };
        let is_mapped = going.remap.is_some();
        let endpoint = match going.step.network {
            StepNetwork::Default => match allocate("bridge") {
                // As dockerd: most steps need none.
                Err(NetworkError::BridgeDisabled) if is_mapped => allocate("none")?,
                Err(NetworkError::BridgeDisabled) => return Ok(None),
                allocated => allocated?,
            },
            // Nobody else switches loopback on in a namespace that the step brings along.
            StepNetwork::None if is_mapped => allocate("none")?,
            StepNetwork::None | StepNetwork::Host => return Ok(None),
        };
        let (network, id) = (Arc::clone(&self.containers.network), going.id.clone());
        undo.push(move || {
            if let Err(error) = network.release(&id) {
                tracing::warn!(step = %id, %error, "cannot release the network of a build step");
            }
        });
        Ok(Some(endpoint))
    }

    async fn start(
        &self,
        going: &Going<'_>,
        (control, process): (UnixStream, Option<OwnedFd>),
        prepared: Prepared,
    ) -> Result<Live> {
        let (events, heard) = mpsc::unbounded_channel();
        let shim = Connection::start(going.id.to_string(), control, process, events)?;
        let Prepared { create, descriptors, link, output } = prepared;
        self.containers.create_and_start(&shim, create, descriptors, link).await?;
        Ok(Live { shim, heard, output })
    }

    /// Hands on output until there will be none.
    fn follow(
        &self,
        live: &mut Live,
        going: &Going<'_>,
        listener: &mut Listener<'_>,
    ) -> Result<()> {
        let failed = || EngineError::io("read", "the output of a build step");
        live.output.set_read_timeout(Some(GLANCE)).map_err(failed())?;
        let mut frames = Frames::default();
        let mut buffer = vec![0; 64 << 10];
        loop {
            if listener.cancel.is_cancelled() {
                self.kill(live, going);
                return Ok(());
            }
            match live.output.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => frames.push(&buffer[..count], listener.output),
                Err(error) if is_early(&error) => {}
                Err(error) => return Err(failed()(error)),
            }
        }
    }

    /// Kills every process of a step, with the shim's help or without.
    fn kill(&self, live: &Live, going: &Going<'_>) {
        // Nobody reads the rest, which would keep the shim.
        live.output.shutdown(std::net::Shutdown::Both).ok();
        let kill = Request::Signal { signal: 9, target: SignalTarget::All };
        if self.runtime.block_on(live.shim.ask_soon("kill", &kill)).is_err() {
            live.shim.kill();
            self.clear(&going.cgroup);
        }
    }

    fn clear(&self, cgroup: &str) {
        if let Err(error) = self.containers.clear_group(cgroup) {
            tracing::warn!(
                cgroup,
                error = error.message(),
                "cannot end the processes of a build step"
            );
        }
    }

    /// The exit code of a step whose output has ended.
    fn await_exit(&self, live: &mut Live, going: &Going<'_>, cancel: &Cancel) -> Result<i32> {
        let mut since_cancel = None;
        loop {
            let next = async { tokio::time::timeout(GLANCE, live.heard.recv()).await };
            match self.runtime.block_on(next) {
                Ok(Some(ShimEvent::Event(Event::Exit(exit)))) => {
                    return finished(i32::from(exit.code), cancel);
                }
                Ok(Some(ShimEvent::Event(_))) => {}
                Ok(Some(ShimEvent::Closed) | None) => {
                    let record = disk::read_record::<ExitRecord>(&going.folder.join(EXIT_FILE));
                    let code = record.ok().flatten();
                    return finished(
                        code.map_or(KILLED, |found| i32::from(found.exit.code)),
                        cancel,
                    );
                }
                Err(_) if cancel.is_cancelled() => {
                    let since = *since_cancel.get_or_insert_with(|| {
                        self.kill(live, going);
                        std::time::Instant::now()
                    });
                    if since.elapsed() > DEADLINE {
                        return Err(EngineError::Deadline(format!(
                            "the process of build step {} was killed and is not gone after {} s",
                            going.id,
                            DEADLINE.as_secs()
                        )));
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// Waits for the shim, which has gone or is about to; one that failed is killed.
    fn reap(&self, going: &Going<'_>, child: &mut Child, was_well: bool) -> Result<()> {
        if !was_well {
            // It may have ended by itself.
            child.kill().ok();
        }
        let process = barge_sys::pidfd::open(i32::try_from(child.id()).unwrap_or(0));
        let is_gone =
            process.and_then(|process| barge_sys::pidfd::wait_gone(process, Some(DEADLINE)));
        if !matches!(is_gone, Ok(true)) {
            tracing::warn!(step = %going.id, "the shim of a build step does not end: it is killed");
            child.kill().ok();
        }
        child.wait().map_err(EngineError::io("wait for", "a shim"))?;
        // Both there only when the shim could not remove them itself.
        self.clear(&going.cgroup);
        fs::remove_file(self.containers.shim_folder.join(format!("{}.sock", going.id))).ok();
        Ok(())
    }
}

impl Runner for StepRunner {
    fn run(
        &self,
        step: &RunStep,
        output: &mut dyn FnMut(Stream, &[u8]),
        cancel: &Cancel,
    ) -> std::result::Result<i32, RunError> {
        let ended = self.run_step(step, output, cancel);
        ended.map_err(|error| match matches!(error, EngineError::Start { .. }) {
            true => NotStarted(error).into(),
            false => error.into(),
        })
    }
}

/// A step's process that could not be started: why, in a sentence. Which programs it went through on the way is of use to
/// clients that know `run` by it ([`Self::whole`]) and to nobody who reads a Dockerfile.
#[derive(Debug)]
pub(super) struct NotStarted(EngineError);

impl NotStarted {
    /// As `run` says it.
    pub(super) fn whole(&self) -> String {
        self.0.message()
    }
}

impl std::fmt::Display for NotStarted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = self.whole();
        let EngineError::Start { message, .. } = &self.0 else { return f.write_str(&whole) };
        let reason = message.strip_prefix("barge-runtime: ").unwrap_or(message);
        // The command stands before it.
        let after = reason.strip_prefix("exec: \"").and_then(|rest| rest.split_once("\": "));
        f.write_str(after.map_or(reason, |(_, after)| after))
    }
}

impl std::error::Error for NotStarted {}

/// Makes mount points that belong to somebody in there.
fn stubs(rootfs: &Path, points: &[(PathBuf, bool)], remap: Option<&Remap>) -> Result<Stubs> {
    let Some(remap) = remap else { return Stubs::make(rootfs, points) };
    user_namespace::as_owner(remap.root(), || Stubs::make(rootfs, points))
        .map_err(EngineError::io("act for the root of a build step in", rootfs))?
}

/// Gives the files of `/etc` to the step's root.
fn give_files(going: &Going<'_>) -> Result<()> {
    let Some((uid, gid)) = going.remap.map(Remap::root) else { return Ok(()) };
    for name in FileTexts::NAMES {
        let path = going.folder.join(name);
        std::os::unix::fs::chown(&path, Some(uid), Some(gid))
            .map_err(EngineError::io("change the owner of", &path))?;
    }
    Ok(())
}

fn finished(code: i32, cancel: &Cancel) -> Result<i32> {
    if cancel.is_cancelled() { Err(EngineError::Cancelled) } else { Ok(code) }
}

fn is_early(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Tells the shim that nobody needs it any more, and waits for its end.
async fn dismiss(live: &mut Live) {
    if live.shim.send(&Request::Shutdown, &[]).await.is_err() {
        return;
    }
    let closed = async {
        while let Some(event) = live.heard.recv().await {
            if matches!(event, ShimEvent::Closed) {
                break;
            }
        }
    };
    if tokio::time::timeout(DEADLINE, closed).await.is_err() {
        live.shim.kill();
    }
}
