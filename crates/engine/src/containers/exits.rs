//! What happens when a container ends: told at once, taken down after that, and perhaps started again.

use std::io;
use std::pin::Pin;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use barge_shim_api::{EXIT_FILE, Event, Exit, ExitRecord, Request};
use barge_sys::fault;
use tokio::sync::mpsc;

use super::Containers;
use super::container::{Container, Rest};
use super::record::StoppedBy;
use super::state::{Ended, Oom, Removal, State};
use crate::error::{EngineError, Result};
use crate::shims::{Connection, ShimEvent};
use crate::{blocking, disk};

/// How long the restart policy waits before its first restart; doubled with each, as Docker does.
pub(super) const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// A container that ran so long has recovered: the next delay is the first again.
const RECOVERED: Duration = Duration::from_secs(10);
/// How long a shim may take to drain and go after the exit; then it is killed.
const DRAIN_DEADLINE: Duration = Duration::from_secs(15);
/// How long the tear-down of a run may take before a verb that waits for it says so.
pub(super) const TEAR_DOWN_DEADLINE: Duration = Duration::from_secs(30);

/// For a thread that makes one system call.
const REAPER_STACK: usize = 64 * 1024;

/// A run of a container: its shim, and since when.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) shim: Arc<Connection>,
    /// The shim's process, when it is a child of this daemon.
    pub(super) child: Option<Child>,
    pub(super) started: SystemTime,
}

impl Containers {
    /// Follows a run to its end and takes it down.
    pub(super) async fn supervise(
        self: Arc<Self>,
        container: Arc<Container>,
        mut heard: mpsc::UnboundedReceiver<ShimEvent>,
        run: Run,
    ) {
        let exit = tokio::select! {
            exit = self.await_exit(&container, &mut heard) => exit,
            never = Box::pin(self.watch_health(&container, &run)) => match never {},
        };
        let exit = match exit {
            Some(exit) => exit,
            None => self.exit_without_shim(&container).await,
        };
        self.exited(&container, run.started, &exit);
        self.take_down(&container, heard, run).await;
        self.settle(&container).await;
    }

    /// The exit; none when the shim went without one.
    async fn await_exit(
        &self,
        container: &Container,
        heard: &mut mpsc::UnboundedReceiver<ShimEvent>,
    ) -> Option<Exit> {
        while let Some(event) = heard.recv().await {
            match event {
                ShimEvent::Event(Event::Exit(exit)) => return Some(exit),
                ShimEvent::Event(Event::ExecExit { exec_id, exit }) => {
                    self.exec_exited(container, &exec_id, &exit);
                }
                ShimEvent::Event(Event::Oom) => {
                    container.inner().is_oom_told = true;
                    self.tell(container, "oom");
                }
                ShimEvent::Closed => return None,
            }
        }
        None
    }

    /// The shim was killed: what it wrote before that counts; otherwise its container cannot be kept, for nobody has
    /// its output and its exit any more.
    async fn exit_without_shim(self: &Arc<Self>, container: &Arc<Container>) -> Exit {
        let path = container.run_folder.join(EXIT_FILE);
        let (this, target) = (Arc::clone(self), Arc::clone(container));
        let found = blocking::run(move || {
            let found = disk::read_record::<ExitRecord>(&path);
            this.clear_cgroup(&target);
            found
        })
        .await;
        match found {
            Ok(Some(record)) => record.exit,
            Ok(None) | Err(_) => {
                tracing::warn!(container = %container.id, "the shim was killed; its container was killed with it");
                Exit { code: 137, signal: Some(9), oom_killed: false, at: SystemTime::now().into() }
            }
        }
    }

    /// Records an exit and tells of it; nothing is taken down yet.
    pub(super) fn exited(&self, container: &Container, started: SystemTime, exit: &Exit) {
        let ended = Ended::from_exit(started, exit);
        let ran = ended.finished.duration_since(started).unwrap_or_default();
        let settings = container.settings();
        fault::point("exit: heard of");
        let recorded = container.decide(|inner| {
            if ran >= RECOVERED {
                inner.delay = FIRST_DELAY;
            }
            let restarts = inner.stop == StoppedBy::Itself
                && !matches!(inner.state, State::Removing(_))
                && settings.restart.restarts_after(ended.code, inner.restarts);
            match (&inner.state, restarts) {
                (State::Removing(removal), _) => {
                    State::Removing(Removal { ended: Some(ended), ..*removal })
                }
                (_, true) => State::Restarting(ended),
                (_, false) => State::Exited(ended),
            }
        });
        if let Err(error) = recorded {
            tracing::error!(container = %container.id, error = error.message(), "the exit could not be recorded");
        }
        fault::point("exit: recorded");
        container.advance(|progress| {
            progress.exits += 1;
            progress.code = ended.code;
        });
        let is_oom_told = std::mem::take(&mut container.inner().is_oom_told);
        if ended.oom == Oom::Killed && !is_oom_told {
            self.tell(container, "oom");
        }
        self.tell_with(container, "die", &facts_of(&ended));
    }

    /// Takes down what a run used: its shim, network, mounts. Failures are reported and do not stop the rest.
    pub(super) async fn take_down(
        self: &Arc<Self>,
        container: &Arc<Container>,
        mut heard: mpsc::UnboundedReceiver<ShimEvent>,
        run: Run,
    ) {
        // The answer is the end of the connection.
        run.shim.send(&Request::Shutdown, &[]).await.ok();
        let this = Arc::clone(self);
        let target = Arc::clone(container);
        let released = blocking::run(move || {
            this.release(&target);
            Ok(())
        })
        .await;
        if let Err(error) = released {
            tracing::error!(container = %container.id, error = error.message(), "tear-down failed");
        }
        if container.record().host_config.auto_remove {
            self.remove_ended(container).await;
        }
        let drained = async {
            while let Some(event) = heard.recv().await {
                match event {
                    ShimEvent::Event(Event::ExecExit { exec_id, exit }) => {
                        self.exec_exited(container, &exec_id, &exit);
                    }
                    ShimEvent::Event(Event::Exit(_) | Event::Oom) => {}
                    ShimEvent::Closed => break,
                }
            }
        };
        let is_done = tokio::time::timeout(DRAIN_DEADLINE, drained).await.is_ok();
        let reaped = if is_done {
            // One that was killed after it had told the exit left the group.
            let (this, target) = (Arc::clone(self), Arc::clone(container));
            let clearing = blocking::run(move || {
                this.clear_cgroup(&target);
                Ok(())
            });
            clearing.await.and(run.child.map_or(Ok(()), |child| reap_beside(child).map(drop)))
        } else {
            tracing::warn!(container = %container.id, "the shim does not end: it is killed");
            run.shim.kill();
            let (this, target, child) = (Arc::clone(self), Arc::clone(container), run.child);
            blocking::run(move || {
                if let Some(mut child) = child {
                    // It may have ended meanwhile.
                    child.kill().ok();
                    child.wait().map_err(EngineError::io("wait for", "a shim"))?;
                }
                this.clear_cgroup(&target);
                Ok(())
            })
            .await
        };
        if let Err(error) = reaped {
            tracing::warn!(container = %container.id, error = error.message(), "a shim was not reaped");
        }
    }

    /// Network first, so that nobody reaches an address that is given to somebody else; then mounts.
    pub(super) fn release(&self, container: &Container) {
        let report = |what: &str, error: &dyn std::fmt::Display| {
            tracing::warn!(container = %container.id, error = %error, "cannot {what}");
        };
        let endpoint = self.network.endpoint(&container.id);
        if let Err(error) = self.network.release(&container.id) {
            report("release the network", &error);
        }
        if let Some(endpoint) = endpoint {
            self.tell_endpoint("disconnect", &endpoint);
        }
        fault::point("exit: network released");
        if let Err(error) = self.storage.unmount(&container.layer) {
            report("unmount the root file system", &error);
        }
        fault::point("exit: root unmounted");
        if let Err(error) = self.release_mounts(container) {
            report("release volumes", &error.message());
        }
        fault::point("exit: mounts released");
        // A shim that was killed could not remove its socket.
        let socket = std::fs::remove_file(&container.shim_socket);
        for removed in [socket, std::fs::remove_dir_all(&container.run_folder)] {
            if let Err(error) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                report("remove the files of the run", &error);
            }
        }
    }

    /// Nothing of the run is left: lets verbs go on, and starts again what its policy starts again.
    pub(super) async fn settle(self: &Arc<Self>, container: &Arc<Container>) {
        {
            let mut inner = container.inner();
            inner.shim = None;
            inner.endpoint = None;
        }
        self.end_execs(container);
        container.advance(|progress| progress.rest = Rest::Settled);
        self.groups.refill();
        if matches!(container.state(), State::Restarting(_)) {
            let (this, container) = (Arc::clone(self), Arc::clone(container));
            tokio::spawn(this.restart_later(container));
        }
    }

    /// Starts a container again after its delay, unless somebody stopped or removed it meanwhile.
    ///
    /// Boxed by name: a start leads to a supervision, which leads to the next start.
    fn restart_later(
        self: Arc<Self>,
        container: Arc<Container>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { self.restart_after_delay(&container).await })
    }

    async fn restart_after_delay(self: &Arc<Self>, container: &Arc<Container>) {
        let delay = {
            let mut inner = container.inner();
            let delay = inner.delay;
            inner.delay = (delay * 2).min(LONGEST_DELAY);
            delay
        };
        tokio::time::sleep(delay).await;
        let _verb = container.verb.lock().await;
        if !matches!(container.state(), State::Restarting(_)) {
            return;
        }
        container.count_restart();
        let restarted: Result<_> = self.start_locked(container).await;
        if let Err(error) = restarted {
            // As Docker, it is not tried again; `inspect` says why.
            tracing::warn!(container = %container.id, error = error.message(), "the restart policy could not start it");
        }
    }

    /// Kills what is left in a container's cgroup and removes it, where there is no shim (any more) to do so.
    pub(super) fn clear_cgroup(&self, container: &Container) {
        if let Err(error) = self.clear_group(&self.cgroup_path(&container.record())) {
            tracing::warn!(container = %container.id, error = error.message(), "cannot end the processes of a container without a shim");
        }
    }

    /// The same of a cgroup by its path below each hierarchy's mount point.
    pub(crate) fn clear_group(&self, path: &str) -> Result<()> {
        let cgroup = self.layout.manager(&barge_cgroups::CgroupPath::parse(path)?);
        if cgroup.exists() {
            cgroup.kill_all()?;
            if cgroup.is_frozen()? {
                // On v1 a frozen process takes its SIGKILL only when it is thawed.
                cgroup.thaw()?;
            }
        }
        // Also when it is not there as a whole: a shim that was killed while it made or removed it left a part.
        Ok(cgroup.destroy()?)
    }

    /// The cgroup of a container, for what is done without its shim.
    pub(super) fn cgroup(
        &self,
        container: &Container,
    ) -> Result<Box<dyn barge_cgroups::CgroupManager>> {
        let path = self.cgroup_path(&container.record());
        Ok(self.layout.manager(&barge_cgroups::CgroupPath::parse(&path)?))
    }

    /// The path below each hierarchy's mount point.
    pub(super) fn cgroup_path(&self, record: &super::record::ContainerRecord) -> String {
        let asked = record.host_config.resources.cgroup_parent.trim_matches('/');
        let parent =
            if asked.is_empty() { self.defaults.cgroup_parent.trim_matches('/') } else { asked };
        format!("{parent}/{}", record.id)
    }

    fn exec_exited(&self, container: &Container, id: &str, exit: &Exit) {
        let exec = container.inner().execs.get(id).cloned();
        if let Some(exec) = exec {
            exec.ended(exit);
            self.tell_with(container, "exec_die", &facts_of_exec(id, exit));
        }
    }
}

/// What is told of an end besides whose it is.
pub(super) fn facts_of(ended: &Ended) -> [(&'static str, String); 2] {
    let ran = ended.finished.duration_since(ended.started).unwrap_or_default();
    [("exitCode", ended.code.to_string()), ("execDuration", ran.as_secs().to_string())]
}

/// The same of an exec.
pub(super) fn facts_of_exec(id: &str, exit: &Exit) -> [(&'static str, String); 2] {
    [("execID", id.to_owned()), ("exitCode", exit.code.to_string())]
}

/// Takes the exit status of a shim that closed its connection, whenever it ends. By then its socket and its cgroup are
/// gone, and nothing is left of it but its log, which a slow remote may keep open for seconds: no verb waits for that.
///
/// A thread of its own: one of tokio's pool would keep the daemon from ending.
fn reap_beside(mut child: Child) -> Result<Option<JoinHandle<io::Result<ExitStatus>>>> {
    let failed = || EngineError::io("wait for", "a shim");
    if child.try_wait().map_err(failed())?.is_some() {
        return Ok(None);
    }
    let thread = std::thread::Builder::new().name("shim-reap".to_owned()).stack_size(REAPER_STACK);
    thread.spawn(move || child.wait()).map(Some).map_err(failed())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn nobody_waits_for_a_shim_that_lingers_and_it_is_reaped() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        // It ends with its input: waiting for it would take for ever here.
        let reaper = reap_beside(child).unwrap().unwrap();
        drop(input);
        assert!(reaper.join().unwrap().unwrap().success());
    }
}
