//! After a restart of the daemon: finds the containers that went on without it, and what became of the others.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use barge_shim_api::{
    EXIT_FILE, ExecState, ExitRecord, Request, Response, State as ShimState, Status,
};
use barge_storage::LayerId;
use barge_types::{ContainerId, RestartPolicy};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::container::{Container, Rest};
use super::exits::{Run, facts_of, facts_of_exec};
use super::health::HEALTH_FILE;
use super::record::{ContainerRecord, MountRecord, MountSource, StateRecord, StoppedBy};
use super::settings::Settings;
use super::state::{Ended, Freeze, Oom, Running, State};
use super::volumes::SHARED_MEMORY;
use super::{Containers, Folders};
use crate::error::{EngineError, Result};
use crate::shims::{Answer, Connection, ShimEvent};
use crate::{blocking, disk};

/// How long a shim may take to answer a daemon that comes back.
const MEETING: Duration = Duration::from_secs(5);

/// What Docker shows for a container whose end nobody saw.
const UNKNOWN_EXIT: i32 = 255;

/// What the records did not know of a container that no shim looks after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absence {
    /// It ended, or waited for its next try: a start is a restart.
    Ended,
    /// It had ended before.
    Uneventful,
}

/// A container that goes on, and the connection to its shim.
struct Live {
    container: Arc<Container>,
    shim: Arc<Connection>,
    heard: mpsc::UnboundedReceiver<ShimEvent>,
    running: Running,
    execs: Vec<ExecState>,
}

impl Containers {
    /// Reads the records. A record that makes no sense is reported and left alone.
    pub(crate) fn load(&self) -> Result<()> {
        for folder in [&self.folder, &self.run_folder, &self.shim_folder] {
            fs::create_dir_all(folder).map_err(EngineError::io("create", folder))?;
        }
        let mut half_made = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(EngineError::io("read", &self.folder))? {
            let entry = entry.map_err(EngineError::io("read", &self.folder))?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if name.ends_with(".removing") {
                remove_leftover(&path);
                continue;
            }
            let Ok(id) = name.parse::<ContainerId>() else {
                // Not ours: lost+found, or what a person put there.
                continue;
            };
            match self.load_one(&path) {
                Ok(Some(container)) => self.registry.insert(Arc::new(container)),
                // Killed before the record was written: the container never was.
                Ok(None) => half_made.push(path),
                Err(error) => {
                    tracing::error!(folder = %path.display(), error = error.message(), "cannot load a container: it is left alone");
                    self.keep_volumes(&path, &id);
                }
            }
        }
        self.sweep_run_folders()?;
        for container in self.registry.all() {
            self.keep_volumes_of(&container.id, &container.record().mounts);
        }
        // Now it is known which volumes somebody has.
        for container in self.registry.all() {
            self.sweep_unrecorded(&container.folder, Some(&container.record()));
        }
        for folder in half_made {
            self.sweep_unrecorded(&folder, None);
            remove_leftover(&folder);
        }
        Ok(())
    }

    /// What a container that cannot be loaded has in volumes is nothing to prune: it may run, and a person may still
    /// want to save it.
    fn keep_volumes(&self, folder: &Path, id: &ContainerId) {
        match ContainerRecord::load_mounts(folder) {
            Ok(mounts) => self.keep_volumes_of(id, &mounts),
            Err(error) => {
                tracing::warn!(container = %id, error = error.message(), "its volumes are not known");
            }
        }
    }

    fn keep_volumes_of(&self, id: &ContainerId, mounts: &[MountRecord]) {
        for mount in mounts {
            if let MountSource::Volume { name, .. } = &mount.source {
                self.keep_volume(name, id);
            }
        }
    }

    fn keep_volume(&self, name: &str, id: &ContainerId) {
        if let Err(error) = self.acquire_volume(name, id) {
            tracing::warn!(container = %id, volume = name, error = error.message(), "a volume is missing");
        }
    }

    /// What a killed daemon left of starts that it did not end.
    fn sweep_run_folders(&self) -> Result<()> {
        for entry in
            fs::read_dir(&self.run_folder).map_err(EngineError::io("read", &self.run_folder))?
        {
            let entry = entry.map_err(EngineError::io("read", &self.run_folder))?;
            let name = entry.file_name();
            // One whose record cannot be read may be running.
            if !self.folder.join(&name).exists() {
                super::volumes::unmount(&entry.path().join(SHARED_MEMORY));
                remove_leftover(&entry.path());
            }
        }
        Ok(())
    }

    fn load_one(&self, folder: &Path) -> Result<Option<Container>> {
        let Some(record) = ContainerRecord::load(folder)? else {
            return Ok(None);
        };
        barge_sys::durable::sweep(folder).map_err(EngineError::io("sweep", folder))?;
        let state = match StateRecord::load(folder) {
            Ok(Some(record)) => record,
            Ok(None) => StateRecord::new(State::Created(None), 0, StoppedBy::Itself),
            // A crash of the machine took it: it was written with a start, and its end is not known.
            Err(error) => {
                tracing::warn!(container = %record.id, error = error.message(), "the state cannot be read");
                let now = SystemTime::now();
                StateRecord::new(State::Exited(unknown_end(now)), 0, StoppedBy::Itself)
            }
        };
        let machine = self.machine.for_records();
        let settings = Settings::parse(&record.config, &record.host_config, &machine)?;
        let folders = Folders { data: folder.to_owned(), ..self.folders(&record.id)? };
        let state = with_last_health(state, &folders.run);
        Ok(Some(Container::new(record, settings, state, folders)))
    }

    /// The layers that containers need.
    pub(crate) fn layers_in_use(&self) -> HashSet<LayerId> {
        let own: Vec<LayerId> =
            self.registry.all().iter().flat_map(|container| container.layers()).collect();
        let below = own.iter().filter_map(|layer| self.storage.parent(layer).ok().flatten());
        below.collect::<HashSet<_>>().into_iter().chain(own.iter().cloned()).collect()
    }

    /// The layers of every folder that is there, also of those whose record cannot be read: what a person may still
    /// want to save is not swept.
    pub(crate) fn layers_of_folders(&self) -> Result<HashSet<LayerId>> {
        let mut layers = HashSet::new();
        for entry in fs::read_dir(&self.folder).map_err(EngineError::io("read", &self.folder))? {
            let entry = entry.map_err(EngineError::io("read", &self.folder))?;
            let Ok(layer) = entry.file_name().to_string_lossy().parse::<LayerId>() else {
                continue;
            };
            layers.extend(self.storage.parent(&layer).ok().flatten());
            layers.insert(layer);
            let mounts = ContainerRecord::load_mounts(&entry.path()).unwrap_or_default();
            layers.extend(mounts.iter().filter_map(MountRecord::image_layer));
        }
        Ok(layers)
    }

    /// Meets the shims that are still there, records the ends of the others, and starts what its policy starts.
    pub(crate) async fn recover(self: &Arc<Self>) -> Result<()> {
        let mut meetings = JoinSet::new();
        for container in self.registry.all() {
            // All at once: one that does not answer is waited for only once.
            meetings.spawn(async move {
                let found = meet(&container).await;
                (container, found)
            });
        }
        let (mut live, mut ended) = (Vec::new(), Vec::new());
        while let Some(met) = meetings.join_next().await {
            match met? {
                (_, Some(found)) => live.push(found),
                (container, None) => ended.push(container),
            }
        }
        self.restore_networks(&live).await;
        for found in live {
            self.go_on(found).await;
        }
        self.link_again().await?;
        let mut endings = JoinSet::new();
        for container in ended {
            let this = Arc::clone(self);
            endings.spawn(async move { this.end_after_absence(&container).await });
        }
        while let Some(end) = endings.join_next().await {
            end?;
        }
        Ok(())
    }

    async fn restore_networks(&self, live: &[Live]) {
        let ids: HashSet<ContainerId> =
            live.iter().map(|found| found.container.id.clone()).collect();
        let network = Arc::clone(&self.network);
        let restored = blocking::run(move || Ok(network.restore(&ids)?)).await;
        let endpoints = restored.unwrap_or_else(|error| {
            // What could not be undone of those that ended must not keep the others from going on.
            tracing::error!(error = error.message(), "cannot restore the networks as they were");
            live.iter().filter_map(|found| self.network.endpoint(&found.container.id)).collect()
        });
        for endpoint in endpoints {
            if let Ok(container) = self.registry.find(endpoint.container.as_str()) {
                container.inner().endpoint = Some(endpoint);
            }
        }
    }

    async fn go_on(self: &Arc<Self>, found: Live) {
        let Live { container, shim, heard, running, execs } = found;
        for exec in execs.iter().filter(|exec| exec.is_untold) {
            if let Some(exit) = &exec.exit {
                let facts = facts_of_exec(&exec.exec_id, exit);
                self.tell_late(&container, (exit.at.into(), "exec_die"), &facts);
            }
        }
        self.resume_execs(&container, execs);
        // A commit stopped it for a moment and was killed with the daemon; only a pause is recorded.
        let is_forgotten = running.freeze == Freeze::Frozen
            && container.state().running().is_none_or(|known| known.freeze == Freeze::Thawed);
        container.inner().shim = Some(Arc::clone(&shim));
        container.advance(|progress| progress.rest = Rest::InUse);
        let freeze = if is_forgotten { Freeze::Thawed } else { running.freeze };
        if let Err(error) = container.set_state(State::Running(Running { freeze, ..running })) {
            tracing::warn!(container = %container.id, error = error.message(), "the state could not be recorded");
        }
        if is_forgotten && let Err(error) = self.resume_now(&container).await {
            tracing::error!(container = %container.id, error = error.message(), "cannot thaw what a killed daemon froze for a commit");
        }
        // Counts the mount, which is there.
        for layer in container.layers() {
            let (storage, options) = (Arc::clone(&self.storage), self.mount_options(&container));
            let mounted =
                blocking::run(move || Ok(storage.mount(&layer, &options).map(|_| ())?)).await;
            if let Err(error) = mounted {
                tracing::warn!(container = %container.id, error = error.message(), "a layer of a running container is not mounted");
            }
        }
        for mount in &container.record().mounts {
            if let MountSource::Volume { name, .. } = &mount.source
                && let Err(error) = self.mount_volume(name, &container.id)
            {
                tracing::warn!(container = %container.id, volume = name, error = error.message(), "a volume is missing");
            }
        }
        tracing::info!(container = %container.id, "found a running container again");
        self.finish_update(&container);
        let run = Run { shim, child: None, started: running.since };
        tokio::spawn(Arc::clone(self).supervise(container, heard, run));
    }

    /// A container without a shim: says how it ended if it ran, cleans up after it, and heeds its policy.
    async fn end_after_absence(self: &Arc<Self>, container: &Arc<Container>) {
        let mut absence = Absence::Uneventful;
        if matches!(container.state(), State::Restarting(_)) {
            absence = Absence::Ended;
        }
        if let Some(exit) = self.last_exit(container).await {
            absence = Absence::Ended;
            container.advance(|progress| progress.code = exit.code);
            if let Err(error) = container.set_state(State::Exited(exit)) {
                tracing::warn!(container = %container.id, error = error.message(), "the exit could not be recorded");
            }
            if exit.oom == Oom::Killed {
                self.tell_late(container, (exit.finished, "oom"), &[]);
            }
            self.tell_late(container, (exit.finished, "die"), &facts_of(&exit));
        }
        let (this, target) = (Arc::clone(self), Arc::clone(container));
        let cleaned = blocking::run(move || {
            Self::forget_update(&target);
            this.clear_cgroup(&target);
            this.release(&target);
            Ok(())
        })
        .await;
        if let Err(error) = cleaned {
            tracing::warn!(container = %container.id, error = error.message(), "cannot clean up after a container");
        }
        let was_started = container.state().was_started();
        if container.record().host_config.auto_remove && was_started {
            self.remove_ended(container).await;
            return;
        }
        if matches!(container.state(), State::Removing(_)) {
            self.remove_ended(container).await;
            return;
        }
        if was_started {
            self.start_by_policy(container, absence);
        }
    }

    /// How a container ended that the records do not know to have ended: it ran, or was killed with the daemon
    /// between its start and the record of that.
    async fn last_exit(&self, container: &Arc<Container>) -> Option<Ended> {
        let state = container.state();
        let path = container.run_folder.join(EXIT_FILE);
        let found = blocking::run(move || disk::read_record::<ExitRecord>(&path)).await;
        let found = found.ok().flatten();
        match (state.running(), found) {
            (Some(running), Some(record)) => {
                let started = record.started_at.map_or(running.since, SystemTime::from);
                Some(Ended::from_exit(started, &record.exit))
            }
            (Some(running), None) => Some(unknown_end(running.since)),
            (None, Some(ExitRecord { started_at: Some(started), exit, .. })) => {
                let ended = Ended::from_exit(started.into(), &exit);
                let is_known = state.ended().is_some_and(|known| known.finished == ended.finished);
                (!is_known).then_some(ended)
            }
            (None, Some(_) | None) => None,
        }
    }

    fn start_by_policy(self: &Arc<Self>, container: &Arc<Container>, absence: Absence) {
        let (stop, restarts, state) = {
            let inner = container.inner();
            (inner.stop, inner.restarts, inner.state.clone())
        };
        let (stopped_by_user, code) = (stop == StoppedBy::User, state.exit_code());
        let policy = container.settings().restart;
        let starts = match policy {
            RestartPolicy::No => false,
            RestartPolicy::Always => true,
            RestartPolicy::UnlessStopped => !stopped_by_user,
            // What had its last try before the daemon went has had it.
            RestartPolicy::OnFailure { .. } => {
                !stopped_by_user && policy.restarts_after(code, restarts)
            }
        };
        if !starts {
            if let State::Restarting(ended) = container.state()
                && let Err(error) = container.set_state(State::Exited(ended))
            {
                tracing::warn!(container = %container.id, error = error.message(), "the state could not be recorded");
            }
            return;
        }
        let (this, container) = (Arc::clone(self), Arc::clone(container));
        tokio::spawn(async move {
            this.await_targets(&container).await;
            let _verb = container.verb.lock().await;
            if container.state() != state || container.inner().stop != stop {
                // Somebody has been faster, and knows better.
                return;
            }
            if absence == Absence::Ended {
                // On disk before it starts: daemons that are killed again and again give no more tries than there are.
                container.count_restart();
            }
            if let Err(error) = Box::pin(this.start_locked(&container)).await {
                tracing::warn!(container = %container.id, error = error.message(), "the restart policy could not start it");
            }
        });
    }
}

/// A running container's shim. One that does not answer now and whose container ran is kept as it was: it may go on.
async fn meet(container: &Arc<Container>) -> Option<Live> {
    if !container.shim_socket.exists() {
        return None;
    }
    let (events, heard) = mpsc::unbounded_channel();
    let opened = Connection::open(container.id.to_string(), &container.shim_socket, events).await;
    let shim = opened.ok()?;
    let live = |running, execs| Live {
        container: Arc::clone(container),
        shim: Arc::clone(&shim),
        heard,
        running,
        execs,
    };
    let asked = shim.send(&Request::Subscribe, &[]).await.ok()?;
    let (answer, late) = asked.within(MEETING).await;
    let Some(answer) = answer else {
        let Some(running) = container.state().running() else {
            // It hangs in the middle of a start that the killed daemon did not see the end of.
            shim.kill();
            shim.gone_soon().await;
            return None;
        };
        tracing::warn!(container = %container.id, "the shim does not answer: the container is kept as it was");
        tokio::spawn(heed_late(Arc::clone(&shim), late));
        return Some(live(running, Vec::new()));
    };
    let Ok(Ok(Response::State(ShimState { status, execs, .. }))) = answer else {
        return None;
    };
    match status {
        Status::Running { pid, started_at, paused } => {
            let freeze = if paused { Freeze::Frozen } else { Freeze::Thawed };
            Some(live(Running { pid, since: started_at.into(), freeze }, execs))
        }
        Status::Empty | Status::Created { .. } | Status::Exited { .. } => {
            // Nobody waits for its start any more; an exit is on disk.
            shim.shut_down().await;
            None
        }
    }
}

/// What a shim says that took its time. One whose container has ended tells no exit to who comes after it; the end of
/// the connection does, and the exit is on disk.
async fn heed_late(shim: Arc<Connection>, late: Answer) {
    if let Ok(Ok(Response::State(ShimState { status, .. }))) = late.whenever().await
        && !matches!(status, Status::Running { .. })
    {
        shim.shut_down().await;
    }
}

/// What the last probe of a run left, which is younger than what its start did.
fn with_last_health(state: StateRecord, run_folder: &Path) -> StateRecord {
    if state.state.running().is_none() {
        return state;
    }
    let path = run_folder.join(HEALTH_FILE);
    match disk::read_record(&path) {
        Ok(Some(health)) => StateRecord { health: Some(health), ..state },
        Ok(None) => state,
        Err(error) => {
            tracing::warn!(file = %path.display(), error = error.message(), "what came of health checks cannot be read");
            state
        }
    }
}

fn unknown_end(started: SystemTime) -> Ended {
    Ended { started, finished: SystemTime::now(), code: UNKNOWN_EXIT, oom: Oom::Spared }
}

/// What stays is no container, and no reason not to serve those that are.
fn remove_leftover(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::warn!(folder = %path.display(), %error, "cannot remove what a killed daemon left");
    }
}
