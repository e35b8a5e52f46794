//! `kill`: a signal to the container's first process.

use std::sync::Arc;

use barge_shim_api::SignalTarget;
use barge_sys::fault;
use barge_types::Signal;

use super::settings::invalid;
use super::state::State;
use super::stop::{Stopped, keep_stopped};
use super::{Containers, to_the_end};
use crate::error::{EngineError, Result};

impl Containers {
    /// Sends a signal, `SIGKILL` unless another is named. Without waiting for the verb that is under way: one kills
    /// what does not stop.
    pub async fn kill(self: &Arc<Self>, name: &str, signal: Option<&str>) -> Result<()> {
        let container = self.registry.find(name)?;
        let signal = match signal.filter(|signal| !signal.is_empty()) {
            None => Signal::KILL,
            Some(text) => text.parse().map_err(|_| invalid(format!("Invalid signal: {text}")))?,
        };
        let this = Arc::clone(self);
        to_the_end(async move {
            // Counted before the look at the state: an end between the two is the one to wait for.
            let exits = container.watch().borrow().exits;
            let is_end = signal == Signal::KILL || signal == container.settings().stop_signal;
            let mut running =
                if is_end { container.end_by_user() } else { container.state().running() };
            let may_start = |state| matches!(state, State::Restarting(_) | State::Running(_));
            if is_end && running.is_none() && may_start(container.state()) {
                // Its policy would start it again, or just has: nothing does while the verb is held.
                let _verb = container.verb.lock().await;
                running = container.end_by_user();
                if running.is_none() && keep_stopped(&container) == Stopped::Now {
                    return Ok(());
                }
            }
            let Some(running) = running else {
                return Err(EngineError::Conflict(format!(
                    "cannot kill container: {}: container {} is not running",
                    container.name(),
                    container.id
                )));
            };
            fault::point("kill: noted");
            this.tell_kill(&container, signal);
            this.signal(&container, signal, SignalTarget::Init).await?;
            fault::point("kill: signalled");
            if signal == Signal::KILL {
                if running.freeze == super::state::Freeze::Frozen {
                    this.resume_now(&container).await?;
                }
                // As Docker: who kills finds it dead afterwards, if that is in anyone's power.
                tokio::time::timeout(super::stop::KILL_DEADLINE, container.ended_after(exits))
                    .await
                    .ok();
            }
            Ok(())
        })
        .await
    }
}
