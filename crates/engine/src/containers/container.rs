//! One container in memory: what it is, where it is in its life, who waits for it.
//!
//! Two locks with different meanings: `verb` is held by whoever changes the container, for as long as that takes;
//! `inner` is held for a moment by whoever looks or records. What ends by itself (an exit) takes only `inner`, so that
//! a `stop` that waits for the exit while it holds `verb` does get it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use barge_network::Endpoint;
use barge_shim_api::{AttachStreams, BUNDLE_FOLDER};
use barge_storage::LayerId;
use barge_types::{ContainerId, ContainerName};
use tokio::sync::watch;

use super::exec::Exec;
use super::health::{Health, HealthStatus};
use super::record::{ContainerRecord, StateRecord, StoppedBy};
use super::settings::Settings;
use super::state::{Running, State};
use crate::error::Result;
use crate::shims::Connection;

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) id: ContainerId,
    /// Its writable layer.
    pub(crate) layer: LayerId,
    /// Its folder below the data root.
    pub(crate) folder: PathBuf,
    /// Its folder below the exec root, which does not survive a reboot.
    pub(crate) run_folder: PathBuf,
    /// Where its shim listens.
    pub(crate) shim_socket: PathBuf,
    /// Held by whoever changes the container.
    pub(crate) verb: tokio::sync::Mutex<()>,
    inner: Mutex<Inner>,
    progress: watch::Sender<Progress>,
}

/// What changes in a container's life.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) record: Arc<ContainerRecord>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) state: State,
    /// The connection to its shim, from its start until everything of its run is taken down.
    pub(crate) shim: Option<Arc<Connection>>,
    /// The connection to the shim of a start that is under way.
    pub(crate) starting: Option<Arc<Connection>>,
    /// Streams that were attached before the start.
    pub(crate) streams: Vec<(AttachStreams, OwnedFd)>,
    pub(crate) endpoint: Option<Endpoint>,
    /// How often the restart policy started it since somebody last did.
    pub(crate) restarts: u32,
    /// How long the restart policy waits next time.
    pub(crate) delay: std::time::Duration,
    pub(crate) stop: StoppedBy,
    /// Whether it was told already that this run is short of memory.
    pub(crate) is_oom_told: bool,
    pub(crate) execs: BTreeMap<String, Arc<Exec>>,
    /// How well it is, when it has a health check and was started.
    pub(crate) health: Option<Health>,
    /// How often it was thawed: what took its time meanwhile is given more of it.
    pub(crate) thaws: u32,
    /// How often somebody has asked for the end of a run.
    pub(crate) ends_asked: u64,
    /// How many stops wait for the end of this run.
    pub(crate) stops: u32,
}

/// What waiters wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// How often its command has ended.
    pub(crate) exits: u64,
    /// The exit code of the last time.
    pub(crate) code: i32,
    /// Whether nothing of its last run is left: no mount, address or shim.
    pub(crate) rest: Rest,
    /// Whether it exists no more.
    pub(crate) presence: Presence,
}

/// Whether something of a container's last run is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Mounts, addresses or a shim.
    InUse,
    /// Nothing.
    Settled,
}

/// Whether a container exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It does.
    Present,
    /// It does, although it was to go with its end: that failed, and can be tried again.
    Stuck,
    /// It was removed.
    Removed,
}

/// The places of a container.
#[derive(Debug)]
pub(crate) struct Folders {
    pub(crate) layer: LayerId,
    pub(crate) data: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) shim_socket: PathBuf,
}

impl Container {
    /// A container as its records say.
    pub(crate) fn new(
        record: ContainerRecord,
        settings: Settings,
        state: StateRecord,
        folders: Folders,
    ) -> Self {
        Self {
            id: record.id.clone(),
            layer: folders.layer,
            folder: folders.data,
            run_folder: folders.run,
            shim_socket: folders.shim_socket,
            verb: tokio::sync::Mutex::default(),
            progress: watch::Sender::new(Progress {
                exits: 0,
                code: state.state.exit_code(),
                rest: Rest::Settled,
                presence: Presence::Present,
            }),
            inner: Mutex::new(Inner {
                record: Arc::new(record),
                settings: Arc::new(settings),
                state: state.state,
                shim: None,
                starting: None,
                streams: Vec::new(),
                endpoint: None,
                restarts: state.restarts,
                delay: super::exits::FIRST_DELAY,
                stop: state.stop,
                is_oom_told: false,
                execs: BTreeMap::new(),
                health: state.health,
                thaws: 0,
                ends_asked: 0,
                stops: 0,
            }),
        }
    }

    /// A look inside, or a change; never held across an await.
    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record(&self) -> Arc<ContainerRecord> {
        Arc::clone(&self.inner().record)
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.inner().settings)
    }

    /// It is something else from now on.
    pub(crate) fn replace(&self, record: ContainerRecord, settings: Settings) {
        let mut inner = self.inner();
        inner.record = Arc::new(record);
        inner.settings = Arc::new(settings);
    }

    pub(crate) fn name(&self) -> ContainerName {
        self.inner().record.name.clone()
    }

    pub(crate) fn state(&self) -> State {
        self.inner().state.clone()
    }

    /// How well it is; none when it has no health check or was never started.
    pub(crate) fn health(&self) -> Option<HealthStatus> {
        self.inner().health.as_ref().map(|health| health.status)
    }

    pub(crate) fn shim(&self) -> Option<Arc<Connection>> {
        self.inner().shim.clone()
    }

    /// Watches for exits, for the end of the tear-down, for the removal.
    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Tells the waiters.
    pub(crate) fn advance(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    /// Records a state: on disk, then in memory.
    pub(crate) fn set_state(&self, state: State) -> Result<()> {
        self.decide(|_| state)
    }

    /// The same for what has happened or must happen whether or not the disk has room to record it: a full disk keeps
    /// nobody from ending a container.
    pub(crate) fn decide_anyway(&self, decision: impl FnOnce(&mut Inner) -> State) {
        if let Err(error) = self.decide(decision) {
            tracing::warn!(container = %self.id, error = error.message(), "the state could not be recorded");
        }
    }

    /// Decides on a state and records it with nobody in between: an exit and a stop happen one after the other.
    pub(crate) fn decide(&self, decision: impl FnOnce(&mut Inner) -> State) -> Result<()> {
        let mut inner = self.inner();
        let state = decision(&mut inner);
        if state.running().is_none()
            && let Some(health) = &mut inner.health
        {
            // As Docker, whose clients take it for such.
            health.status = HealthStatus::Unhealthy;
        }
        let mut record = StateRecord::new(state, inner.restarts, inner.stop);
        record.health.clone_from(&inner.health);
        let saved = record.save(&self.folder);
        // An exit has happened whether or not the disk has room for it.
        inner.state = record.state;
        saved
    }

    /// Its user starts it: its restart policy counts from zero again.
    pub(super) fn forget_restarts(&self) {
        let mut inner = self.inner();
        inner.restarts = 0;
        inner.delay = super::exits::FIRST_DELAY;
    }

    /// Its restart policy is about to start it once more.
    pub(super) fn count_restart(&self) {
        self.decide_anyway(|inner| {
            inner.restarts = inner.restarts.saturating_add(1);
            inner.state.clone()
        });
    }

    /// Notes that its user ends it, also for a daemon that is killed while it waits. None when it does not run (any
    /// more).
    pub(crate) fn end_by_user(&self) -> Option<Running> {
        self.state().running()?;
        let mut running = None;
        self.decide_anyway(|inner| {
            running = inner.state.running();
            if running.is_some() {
                inner.stop = StoppedBy::User;
                inner.ends_asked += 1;
            }
            inner.state.clone()
        });
        running
    }

    /// Its place in a network, as it is shown: what has ended has none, although it is still being taken down.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        let inner = self.inner();
        inner.state.running()?;
        inner.endpoint.clone()
    }

    /// Whether another runtime has made this run: the shim that goes on knows, today's table of runtimes may not.
    pub(crate) fn is_by_other_runtime(&self) -> bool {
        self.run_folder.join(BUNDLE_FOLDER).exists()
    }

    /// What events say of a container: its image, its name and its labels.
    pub(crate) fn attributes(&self) -> BTreeMap<String, String> {
        let record = self.record();
        let mut attributes = record.config.labels.clone();
        attributes.insert("image".to_owned(), record.config.image.clone());
        attributes.insert("name".to_owned(), record.name.to_string());
        attributes
    }
}
