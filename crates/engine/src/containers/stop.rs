//! `stop`: the stop signal, a wait, then a kill. Never waits for ever, and says what blocked.

use std::sync::Arc;
use std::time::Duration;

use barge_shim_api::{FailureKind, Request, SignalTarget};
use barge_sys::fault;
use barge_types::Signal;

use super::container::Container;
use super::record::StoppedBy;
use super::settings::{invalid, to_timeout};
use super::state::{Freeze, State};
use super::{Containers, to_the_end};
use crate::error::{EngineError, Result};

/// How to stop.
#[derive(Clone, Debug, Default)]
pub struct StopOptions {
    /// Instead of the container's own stop signal.
    pub signal: Option<String>,
    /// Seconds to wait before the kill; negative for ever; the container's own when absent.
    pub timeout: Option<i64>,
}

/// What `stop` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It runs no more.
    Now,
    /// It did not run.
    AlreadyStopped,
}

/// A stop that has done all that takes the container's verb lock.
pub(super) struct Begun<'a> {
    container: &'a Container,
    going: Option<Going<'a>>,
    stopped: Stopped,
}

/// A container whose command has been told to end.
struct Going<'a> {
    container: &'a Container,
    /// How often it had ended before.
    exits: u64,
    patience: Option<Duration>,
}

impl<'a> Going<'a> {
    fn of(container: &'a Container, exits: u64, patience: Option<Duration>) -> Self {
        container.inner().stops += 1;
        Self { container, exits, patience }
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.container.inner().stops -= 1;
    }
}

/// How long a killed process may take to go. One that sleeps in the kernel cannot be killed.
pub(super) const KILL_DEADLINE: Duration = Duration::from_secs(10);

impl Containers {
    /// Stops a container.
    pub async fn stop(self: &Arc<Self>, name: &str, options: StopOptions) -> Result<Stopped> {
        let container = self.registry.find(name)?;
        let this = Arc::clone(self);
        to_the_end(async move { this.stop_now(&container, &options).await }).await
    }

    /// Stops a container, and tells of it.
    pub(super) async fn stop_now(
        &self,
        container: &Container,
        options: &StopOptions,
    ) -> Result<Stopped> {
        let begun = {
            let _verb = container.verb.lock().await;
            self.begin_stop(container, options).await?
        };
        self.end_stop(begun).await
    }

    /// Sends the stop signal to a container whose verb lock the caller holds.
    pub(super) async fn begin_stop<'a>(
        &self,
        container: &'a Container,
        options: &StopOptions,
    ) -> Result<Begun<'a>> {
        let settings = container.settings();
        let signal = match options.signal.as_deref().filter(|signal| !signal.is_empty()) {
            None => settings.stop_signal,
            Some(text) => text.parse().map_err(|error| invalid(format!("{error}")))?,
        };
        let exits = container.watch().borrow().exits;
        let Some(running) = container.end_by_user() else {
            return Ok(Begun { container, going: None, stopped: keep_stopped(container) });
        };
        let patience = to_timeout(options.timeout, settings.stop_timeout);
        let going = Some(Going::of(container, exits, patience));
        fault::point("stop: noted");
        self.tell_kill(container, signal);
        self.signal(container, signal, SignalTarget::Init).await?;
        fault::point("stop: signalled");
        if running.freeze == Freeze::Frozen {
            self.resume_now(container).await?;
        }
        Ok(Begun { container, going, stopped: Stopped::Now })
    }

    /// Waits for the end that was asked for, and kills what does not end. Without the verb lock: a stop may be told to
    /// wait for ever, and nobody else is to.
    pub(super) async fn end_stop(&self, begun: Begun<'_>) -> Result<Stopped> {
        let Begun { container, going, stopped } = begun;
        if let Some(going) = &going {
            let ended = container.ended_after(going.exits);
            match going.patience {
                None => ended.await,
                Some(patience) => {
                    if tokio::time::timeout(patience, ended).await.is_err() {
                        self.kill_and_wait(container).await?;
                    }
                }
            }
        }
        if stopped == Stopped::Now {
            self.tell(container, "stop");
        }
        Ok(stopped)
    }

    /// Kills every process of a running container and waits for the end.
    pub(super) async fn kill_and_wait(&self, container: &Container) -> Result<()> {
        let exits = container.watch().borrow().exits;
        if container.state().running().is_none() {
            return Ok(());
        }
        fault::point("end: about to be killed");
        self.tell_kill(container, Signal::KILL);
        self.signal(container, Signal::KILL, SignalTarget::All).await?;
        fault::point("end: killed");
        if tokio::time::timeout(KILL_DEADLINE, container.ended_after(exits)).await.is_ok() {
            return Ok(());
        }
        let pid = container.state().running().map_or(0, |running| running.pid);
        Err(EngineError::Deadline(format!(
            "container {} did not end within {} s after it was killed: process {pid} does not react (it may be waiting for a device in the kernel)",
            container.id,
            KILL_DEADLINE.as_secs()
        )))
    }

    /// As dockerd, which tells every signal that it sends, and before the end that comes of it.
    pub(super) fn tell_kill(&self, container: &Container, signal: Signal) {
        self.tell_with(container, "kill", &[("signal", signal.number().to_string())]);
    }

    /// Sends a signal by the container's shim. One that is gone meanwhile needs none.
    pub(super) async fn signal(
        &self,
        container: &Container,
        signal: Signal,
        target: SignalTarget,
    ) -> Result<()> {
        let Some(shim) = container.shim() else {
            return Ok(());
        };
        let number = u8::try_from(signal.number()).unwrap_or_default();
        let request = Request::Signal { signal: number, target: target.clone() };
        match shim.ask_soon("send a signal", &request).await {
            Ok(_) => Ok(()),
            Err(EngineError::ShimSilent { .. }) => {
                self.signal_without_shim(container, &shim, (signal, target)).await
            }
            // Its end is told next, or was.
            Err(EngineError::Shim { source, .. }) if source.kind == FailureKind::WrongState => {
                Ok(())
            }
            // A container whose shim was killed is killed by who supervises it.
            Err(EngineError::ShimGone { .. }) => Ok(()),
            Err(_) if container.state().running().is_none() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// It does not run; nor will it by its policy, which may have waited for its next try.
pub(super) fn keep_stopped(container: &Container) -> Stopped {
    let mut stopped = Stopped::AlreadyStopped;
    container.decide_anyway(|inner| {
        if let State::Restarting(ended) = inner.state {
            inner.stop = StoppedBy::User;
            stopped = Stopped::Now;
            return State::Exited(ended);
        }
        inner.state.clone()
    });
    stopped
}

impl Container {
    /// Waits until its command has ended once more than `exits` times.
    pub(super) async fn ended_after(&self, exits: u64) {
        // The sender lives as long as the container.
        self.watch().wait_for(|progress| progress.exits > exits).await.ok();
    }
}
