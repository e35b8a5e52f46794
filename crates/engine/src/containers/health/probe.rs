//! One probe: an exec with the container's user, environment and folder, killed when it takes too long.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use barge_api_types::{ExecCreateRequest, ExecStartRequest};
use barge_shim_api::{FailureKind, Request, Response, SignalTarget};

use super::check::HealthCheck;
use super::monitor::is_frozen;
use super::output::Output;
use super::verdict::Probe;
use crate::containers::Containers;
use crate::containers::attach::Attached;
use crate::containers::container::Container;
use crate::containers::create::new_id;
use crate::containers::exec::{Exec, ExecStarted};
use crate::containers::stop::KILL_DEADLINE;
use crate::error::{EngineError, Result};
use crate::shims::Connection;
use crate::time;

/// How long output is waited for that a probe's children hold back after its end.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(1);
/// What a probe shows that was not run, or not to its end.
const NOT_RUN: i64 = -1;
/// How many digits of a probe's id are its container's.
const PREFIX: usize = 32;
/// The exit code of what was killed.
const KILLED: i64 = 137;

/// A probe that was run.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) probe: Probe,
    pub(super) exec: Arc<Exec>,
    /// Whether it may have failed because its container came to its end.
    pub(super) is_doubtful: bool,
}

impl Containers {
    /// Runs one probe. None when the container was paused or ended in between: that says nothing of its health.
    pub(super) async fn probe(
        self: &Arc<Self>,
        container: &Arc<Container>,
        check: &HealthCheck,
    ) -> Option<Ran> {
        let start = SystemTime::now();
        let request = ExecCreateRequest {
            attach_stdout: true,
            attach_stderr: true,
            cmd: check.command.clone().into(),
            ..ExecCreateRequest::default()
        };
        let exec =
            probe_id(container).and_then(|id| self.keep_exec(container, id, request)).ok()?;
        let mut output = Output::default();
        let run = self.run_probe(container, &exec, &mut output);
        let outcome = in_time(container, check.timeout, run).await;
        let end = SystemTime::now();
        let (code, text) = match outcome {
            Some(Ok(code)) => (code, output.into_text()),
            Some(Err(error)) if is_no_verdict(&error) => {
                self.drop_exec(container, &exec);
                return None;
            }
            Some(Err(error)) => (NOT_RUN, error.message()),
            None => {
                self.kill_probe(container, &exec).await;
                (NOT_RUN, too_late(check.timeout, &output.into_text()))
            }
        };
        let is_late = code == NOT_RUN && exec.has_run();
        let is_doubtful = code == KILLED || (code == NOT_RUN && !is_late);
        Some(Ran { probe: Probe { start, end, code, output: text }, exec, is_doubtful })
    }

    async fn run_probe(
        self: &Arc<Self>,
        container: &Arc<Container>,
        exec: &Exec,
        output: &mut Output,
    ) -> Result<i64> {
        exec.begin()?;
        let started = self.exec_now(container, exec, &ExecStartRequest::default()).await?;
        let ExecStarted::Attached(Attached { stream: Some(stream), .. }) = started else {
            return Ok(exec.code().await);
        };
        let mut reading = pin!(output.take_all(stream));
        tokio::select! {
            code = exec.code() => {
                // What is not there by then is its children's.
                tokio::time::timeout(OUTPUT_PATIENCE, &mut reading).await.ok();
                Ok(code)
            }
            () = &mut reading => Ok(exec.code().await),
        }
    }

    async fn kill_probe(&self, container: &Container, exec: &Exec) {
        if let Some(shim) = container.shim() {
            kill(&shim, exec.id().to_owned()).await;
        }
    }

    /// Kills the probe that a daemon was waiting for when it was killed: nobody would.
    pub(super) async fn kill_lost_probes(&self, container: &Container, shim: &Connection) {
        let asked = shim.ask_soon("ask for the processes of", &Request::State).await;
        // One that hangs is asked again by the next probe, and its end is told to who supervises it.
        let Ok(Response::State(state)) = asked else {
            return;
        };
        for exec in state.execs {
            if exec.exec_id.starts_with(probe_prefix(container)) {
                kill(shim, exec.exec_id).await;
            }
        }
    }

    /// Waits for the end of a probe that was killed, so that there are not more and more of them, and forgets it.
    pub(super) async fn forget_probe(&self, container: &Container, exec: &Exec) {
        if exec.has_run() {
            tokio::time::timeout(KILL_DEADLINE, exec.code()).await.ok();
        }
        self.drop_exec(container, exec);
    }
}

/// It may have ended meanwhile.
async fn kill(shim: &Connection, exec: String) {
    let target = SignalTarget::Exec(exec);
    shim.send(&Request::Signal { signal: 9, target }, &[]).await.ok();
}

/// As random as another exec's, and known to a later daemon for what it is.
fn probe_id(container: &Container) -> Result<String> {
    let random = new_id()?;
    let rest = random.as_str().get(PREFIX..).unwrap_or_default();
    Ok(format!("{}{rest}", probe_prefix(container)))
}

fn probe_prefix(container: &Container) -> &str {
    let id = container.id.as_str();
    id.get(..PREFIX).unwrap_or(id)
}

/// What comes in time, which does not pass while the container is paused.
async fn in_time<T>(
    container: &Container,
    timeout: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    loop {
        let thaws = container.inner().thaws;
        if let Ok(done) = tokio::time::timeout(timeout, &mut work).await {
            return Some(done);
        }
        let inner = container.inner();
        if !is_frozen(&inner) && inner.thaws == thaws {
            return None;
        }
    }
}

/// Paused, ended, or about to be known to have ended.
fn is_no_verdict(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::Exec { kind: FailureKind::WrongState, .. }
            | EngineError::Conflict(_)
            | EngineError::ShimGone { .. }
    )
}

/// In dockerd's words.
fn too_late(timeout: Duration, output: &str) -> String {
    let timeout = time::go_duration(timeout);
    let output = if output.is_empty() { String::new() } else { format!(": {output}") };
    format!("Health check exceeded timeout ({timeout}){output}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_too_long_says_so_as_dockerd() {
        let timeout = Duration::from_millis(1500);
        assert_eq!(too_late(timeout, ""), "Health check exceeded timeout (1.5s)");
        assert_eq!(too_late(timeout, "half"), "Health check exceeded timeout (1.5s): half");
    }
}
