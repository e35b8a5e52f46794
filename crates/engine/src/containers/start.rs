//! `start`: from a record to a running process.
//!
//! The shim is started first and makes the container up to the moment before its command runs, while the kernel work
//! for the network goes on beside it; the command runs when both are done.

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::Arc;

use barge_network::{Endpoint, Place, Sandbox};
use barge_shim_api::{
    AttachStreams, CgroupConfig, ConsoleSize, Create, Descriptor, Failure, InitProcess, Request,
    Response, StdinMode, StdioConfig,
};
use barge_sys::fault;
use barge_types::{ContainerId, RestartPolicy};
use tokio::sync::mpsc;

use super::container::{Container, Inner, Presence, Rest};
use super::exits::Run;
use super::handed::Handed;
use super::health::Health;
use super::record::{StateRecord, StoppedBy};
use super::settings::NetworkMode;
use super::spec::{self, Joins};
use super::state::{FailedStart, Freeze, Running, State};
use super::{Containers, first_process, to_the_end};
use crate::blocking;
use crate::error::{EngineError, Result};
use crate::rollback::Rollback;
use crate::shims::{self, Connection};

/// What `start` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It runs since now.
    Now,
    /// It ran already.
    AlreadyRunning,
}

/// What is ready for a start, and how it is taken back.
struct Prepared {
    control: UnixStream,
    child: Child,
    create: Box<Create>,
    descriptors: Vec<OwnedFd>,
    link: Option<Link>,
    undo: Rollback,
}

/// The network that a process is to be plugged into.
pub(crate) enum Link {
    /// Its namespace was made before it.
    Ahead(Endpoint, Sandbox),
    /// Its namespace comes with it, the first process of this container.
    Inside(Endpoint, ContainerId),
}

impl Containers {
    /// Starts a container.
    pub async fn start(self: &Arc<Self>, name: &str) -> Result<Started> {
        let container = self.registry.find(name)?;
        let this = Arc::clone(self);
        to_the_end(async move {
            let _verb = container.verb.lock().await;
            container.forget_restarts();
            this.start_locked(&container).await
        })
        .await
    }

    /// Starts a container whose verb lock the caller holds.
    pub(crate) async fn start_locked(
        self: &Arc<Self>,
        container: &Arc<Container>,
    ) -> Result<Started> {
        match container.state() {
            State::Running(Running { freeze: Freeze::Frozen, .. }) => {
                return Err(EngineError::Conflict(
                    "cannot start a paused container, try unpause instead".to_owned(),
                ));
            }
            State::Running(_) => return Ok(Started::AlreadyRunning),
            State::Removing(_) => {
                return Err(EngineError::Conflict(
                    "container is marked for removal and cannot be started".to_owned(),
                ));
            }
            State::Created(_) | State::Exited(_) | State::Restarting(_) => {}
        }
        container.settled().await?;
        self.take_pending(container).await?;
        match self.bring_up(container).await {
            Ok(()) => Ok(Started::Now),
            Err(error) => {
                self.start_failed(container, &error).await;
                Err(error)
            }
        }
    }

    async fn bring_up(self: &Arc<Self>, container: &Arc<Container>) -> Result<()> {
        let joins = self.joins(container)?;
        let prepared = {
            let (this, container) = (Arc::clone(self), Arc::clone(container));
            blocking::run(move || this.prepare(&container, joins)).await?
        };
        let Prepared { control, mut child, create, descriptors, link, undo } = prepared;
        let (events, heard) = mpsc::unbounded_channel();
        let process = barge_sys::pidfd::open(i32::try_from(child.id()).unwrap_or(0)).ok();
        let outcome = match Connection::start(container.id.to_string(), control, process, events) {
            Ok(shim) => {
                container.inner().starting = Some(Arc::clone(&shim));
                let outcome = self.create_and_start(&shim, create, descriptors, link).await;
                outcome.map(|running| (shim, running))
            }
            Err(error) => Err(error),
        };
        container.inner().starting = None;
        let (shim, running) = match outcome {
            Ok(done) => done,
            Err(error) => {
                // The shim takes back its own, unless it had to be killed; this takes back ours, after it is gone.
                let (this, target) = (Arc::clone(self), Arc::clone(container));
                blocking::run(move || {
                    child.kill().ok();
                    child.wait().ok();
                    this.clear_cgroup(&target);
                    // There only when the shim could not remove it itself.
                    fs::remove_file(&target.shim_socket).ok();
                    drop(undo);
                    Ok(())
                })
                .await?;
                return Err(error);
            }
        };
        undo.commit();
        container.advance(|progress| progress.rest = Rest::InUse);
        let mut late = Vec::new();
        let recorded = container.decide(|inner| {
            inner.shim = Some(Arc::clone(&shim));
            // Who stopped it before has nothing to do with how this run ends.
            inner.stop = StoppedBy::Itself;
            let before = inner.health.take();
            inner.health = inner.settings.health.as_ref().map(|_| Health::starting(before));
            late = std::mem::take(&mut inner.streams);
            State::Running(running)
        });
        if let Err(error) = recorded {
            tracing::warn!(container = %container.id, error = error.message(), "the start could not be recorded");
        }
        fault::point("start: recorded");
        sync_state(container);
        attach_late(&shim, late).await;
        self.groups.refill_low();
        self.network.refill();
        self.tell(container, "start");
        let run = Run { shim, child: Some(child), started: running.since };
        tokio::spawn(Arc::clone(self).supervise(Arc::clone(container), heard, run));
        Ok(())
    }

    /// Has a shim make its container and run its command, while the network is plugged beside it.
    pub(crate) async fn create_and_start(
        &self,
        shim: &Connection,
        create: Box<Create>,
        descriptors: Vec<OwnedFd>,
        link: Option<Link>,
    ) -> Result<Running> {
        let mut created = Some(shim.send(&Request::Create(create), &descriptors).await?);
        fault::point("start: creation asked for");
        drop(descriptors);
        let subscribed = shim.send(&Request::Subscribe, &[]).await?;
        let mut pid = 0;
        // Open until the container has mounted what its namespace already has.
        let mut sandbox = None;
        if let Some(link) = link {
            let network = Arc::clone(&self.network);
            if matches!(link, Link::Inside(..))
                && let Some(created) = created.take()
            {
                pid = made(shim, created.wait().await?).await?;
            }
            let plugged = blocking::run(move || {
                let (endpoint, sandbox) = match link {
                    Link::Ahead(endpoint, sandbox) => (endpoint, sandbox),
                    Link::Inside(endpoint, id) => (endpoint, sandbox_of(pid, &id)?),
                };
                network.plug(&endpoint, &sandbox)?;
                Ok(sandbox)
            })
            .await;
            match plugged {
                Ok(plugged) => sandbox = Some(plugged),
                Err(error) => {
                    shim.shut_down().await;
                    return Err(error);
                }
            }
        }
        fault::point("start: network plugged");
        let started = shim.send(&Request::Start, &[]).await?;
        fault::point("start: start asked for");
        if let Some(created) = created {
            pid = made(shim, created.wait().await?).await?;
        }
        fault::point("start: created");
        drop(sandbox);
        subscribed.wait().await?.ok();
        match started.wait().await? {
            Ok(Response::Started { at }) => {
                fault::point("start: started");
                Ok(Running { pid, since: at.into(), freeze: Freeze::Thawed })
            }
            Ok(_) => Err(EngineError::ShimGone { id: "(wrong answer)".to_owned() }),
            Err(failure) => {
                shim.shut_down().await;
                Err(start_error(failure))
            }
        }
    }

    /// Everything that blocks and that the shim's first request needs.
    fn prepare(self: &Arc<Self>, container: &Arc<Container>, joins: Joins) -> Result<Prepared> {
        let mut undo = Rollback::default();
        let (control, mut child) = shims::spawn(&self.programs, container.id.as_str())?;
        fault::point("start: shim spawned");
        let prepared = self.prepare_rest(container, joins, &mut undo);
        match prepared {
            Ok((create, descriptors, link)) => {
                Ok(Prepared { control, child, create, descriptors, link, undo })
            }
            Err(error) => {
                drop(control);
                child.kill().ok();
                child.wait().ok();
                Err(error)
            }
        }
    }

    fn prepare_rest(
        self: &Arc<Self>,
        container: &Arc<Container>,
        joins: Joins,
        undo: &mut Rollback,
    ) -> Result<(Box<Create>, Vec<OwnedFd>, Option<Link>)> {
        let record = container.record();
        let settings = container.settings();
        let remap = self.users_of(&record.host_config, &settings, joins)?;
        let rootfs = self.mount_layer((container, &container.layer), undo)?;
        fault::point("start: root mounted");
        for folder in [&container.run_folder, &self.shim_folder] {
            fs::create_dir_all(folder).map_err(EngineError::io("create", folder))?;
        }
        let run_folder = container.run_folder.clone();
        undo.push(move || {
            // What cannot be removed is empty and removed with the container.
            fs::remove_dir_all(run_folder).ok();
        });
        let place = if remap.is_some() { Place::Process } else { Place::Sandbox };
        let endpoint = self.allocate(container, place, undo)?;
        fault::point("start: address allocated");
        let (files, linked) = self.write_files_and_link(container, endpoint.as_ref())?;
        let mounts = self.resolve_mounts(container, undo)?;
        let shm = self.shared_memory(container, undo)?;
        fault::point("start: mounts made");
        let other = self.runtimes.find_recorded(&record.host_config.runtime)?;
        let mut handed = Handed::default();
        let link = match (endpoint, &settings.network) {
            // It has to belong to the container's users, who do not exist yet.
            (Some(endpoint), NetworkMode::Named(_)) if remap.is_some() => {
                Some(Link::Inside(endpoint, container.id.clone()))
            }
            (Some(endpoint), NetworkMode::Named(_)) => {
                let sandbox = self.network.sandbox(Some(&endpoint))?;
                handed.copy(Descriptor::NetworkNamespace, sandbox.netns())?;
                Some(Link::Ahead(endpoint, sandbox))
            }
            _ => None,
        };
        if other.is_none() {
            self.hand_over(&settings.security, &mut handed)?;
        }
        for (streams, socket) in std::mem::take(&mut container.inner().streams) {
            handed.add(Descriptor::Stream(streams), socket);
        }
        let cgroup = self.cgroup_path(&record);
        let mut spec = spec::build(&spec::Start {
            record: &record,
            settings: &settings,
            rootfs: &rootfs,
            files: &files,
            mounts,
            shm,
            joins,
            groups: self.additional_groups(&record, &rootfs)?,
            linked,
            remap,
            own_volumes: self.own_volumes(&record),
            cgroup: cgroup.clone(),
        })?;
        self.finish_spec(&mut spec, container, (&rootfs, other))?;
        let create = Create {
            id: container.id.to_string(),
            spec: Box::new(spec),
            stdio: stdio(&record),
            log: self.log_config(container)?,
            cgroup: CgroupConfig {
                is_made: self.groups.hand_over(&container.id, &cgroup),
                path: cgroup,
            },
            init: if record.host_config.init == Some(true) {
                InitProcess::Reaper
            } else {
                InitProcess::Command
            },
            state_dir: container.run_folder.clone(),
            socket_path: container.shim_socket.clone(),
            runtime_path: self.programs.runtime.clone(),
            other_runtime: other.cloned(),
            descriptors: handed.meanings,
        };
        Ok((Box::new(create), handed.descriptors, link))
    }

    /// Keeps why a start failed; a container that goes with its end goes now.
    async fn start_failed(self: &Arc<Self>, container: &Arc<Container>, error: &EngineError) {
        let code = error.exit_code(128);
        {
            let mut inner = container.inner();
            inner.streams.clear();
            inner.endpoint = None;
            inner.shim = None;
        }
        let error = error.message();
        let failed = |inner: &mut Inner| {
            let before = inner.state.ended();
            State::Created(Some(FailedStart { code, error, before }))
        };
        if let Err(error) = container.decide(failed) {
            tracing::warn!(container = %container.id, error = error.message(), "the failed start could not be recorded");
        }
        container.advance(|progress| {
            progress.exits += 1;
            progress.code = code;
        });
        if container.record().host_config.auto_remove {
            self.remove_ended(container).await;
        }
    }
}

impl Container {
    /// Waits until nothing is left of the last run.
    pub(crate) async fn settled(&self) -> Result<()> {
        let mut progress = self.watch();
        let settled = progress.wait_for(|progress| {
            progress.rest == Rest::Settled || progress.presence == Presence::Removed
        });
        match tokio::time::timeout(super::exits::TEAR_DOWN_DEADLINE, settled).await {
            Ok(_) => Ok(()),
            Err(_) => Err(EngineError::Deadline(format!(
                "container {}: its last run is still being taken down after {} s",
                self.id,
                super::exits::TEAR_DOWN_DEADLINE.as_secs()
            ))),
        }
    }
}

/// That a container is to be started again after a crash of the machine is in its state alone. Nobody waits for the
/// disk.
fn sync_state(container: &Arc<Container>) {
    if container.settings().restart == RestartPolicy::No {
        return;
    }
    let container = Arc::clone(container);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = StateRecord::sync(&container.folder) {
            tracing::warn!(container = %container.id, error = error.message(), "the state may not survive a crash of the machine");
        }
    });
}

/// Why a container did not start. Another runtime says its name itself.
fn start_error(failure: Failure) -> EngineError {
    let Failure { kind, stage, message, .. } = failure;
    let message = if stage == "runtime" { message } else { format!("barge-runtime: {message}") };
    EngineError::Start { message, kind }
}

/// Streams that were attached while the container was being made, after its shim had been given those of before.
async fn attach_late(shim: &Connection, late: Vec<(AttachStreams, OwnedFd)>) {
    for (streams, socket) in late {
        // Of a container that has ended already the stream is at its end: dropped, it says so.
        shim.send(&Request::Attach(streams), &[socket]).await.ok();
    }
}

/// The network namespace that came with a container.
fn sandbox_of(pid: u32, id: &ContainerId) -> Result<Sandbox> {
    let found = first_process::look(pid, id.as_str(), |process| process.try_clone());
    let process = found.map_err(EngineError::io("look at the first process of", id.as_str()))?;
    let process = process.ok_or_else(|| EngineError::ShimGone { id: id.to_string() })?;
    Ok(Sandbox::of_process(process.as_fd())?)
}

/// The process id of what a shim has made; a shim that made nothing is let go of.
async fn made(shim: &Connection, answer: std::result::Result<Response, Failure>) -> Result<u32> {
    match answer {
        Ok(Response::Created { pid }) => Ok(pid),
        Ok(_) => Err(EngineError::ShimGone { id: "(wrong answer)".to_owned() }),
        Err(failure) => {
            shim.shut_down().await;
            Err(create_failed(failure))
        }
    }
}

/// A shim that made nothing says why.
fn create_failed(failure: Failure) -> EngineError {
    if failure.stage == "log" {
        EngineError::OpenLog { message: failure.message }
    } else {
        start_error(failure)
    }
}

fn stdio(record: &super::record::ContainerRecord) -> StdioConfig {
    let config = &record.config;
    let stdin = match (config.open_stdin, config.stdin_once) {
        (false, _) => StdinMode::Null,
        (true, false) => StdinMode::Open,
        (true, true) => StdinMode::Once,
    };
    let [height, width] = record.host_config.console_size;
    StdioConfig { stdin, terminal: config.tty.then_some(ConsoleSize { height, width }) }
}
