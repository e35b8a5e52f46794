//! What is done with a container that is unhealthy, when its user said so (`--health-on-failure`, as podman's).

use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use barge_shim_api::SignalTarget;
use barge_types::Signal;
use tokio::sync::MutexGuard;

use super::check::OnFailure;
use crate::containers::Containers;
use crate::containers::container::Container;
use crate::containers::stop::StopOptions;
use crate::error::Result;

impl Containers {
    /// Does it, unless the run that was unhealthy has ended, or somebody is changing or stopping the container: then the
    /// next probe that fails asks again.
    ///
    /// Boxed by name: a restart leads to a supervision, which leads to the next probe.
    pub(super) fn act(
        self: Arc<Self>,
        container: Arc<Container>,
        since: SystemTime,
        action: OnFailure,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let Ok(verb) = container.verb.try_lock() else {
                return;
            };
            let has_ended =
                container.state().running().is_none_or(|running| running.since != since);
            if has_ended || container.inner().stops > 0 {
                return;
            }
            tracing::info!(container = %container.id, ?action, "acts on a container that is unhealthy");
            if let Err(error) = self.act_locked(&container, action, verb).await {
                tracing::warn!(container = %container.id, error = error.message(), "cannot act on a container that is unhealthy");
            }
        })
    }

    async fn act_locked(
        self: &Arc<Self>,
        container: &Arc<Container>,
        action: OnFailure,
        verb: MutexGuard<'_, ()>,
    ) -> Result<()> {
        match action {
            OnFailure::Nothing => {}
            OnFailure::Restart | OnFailure::Stop => {
                let begun = self.begin_stop(container, &StopOptions::default()).await?;
                let asked = container.inner().ends_asked;
                drop(verb);
                self.end_stop(begun).await?;
                let _verb = container.verb.lock().await;
                // Whoever has asked for its end meanwhile does not want it back.
                if action == OnFailure::Restart && container.inner().ends_asked == asked {
                    self.start_locked(container).await?;
                    self.tell(container, "restart");
                }
            }
            OnFailure::Kill => {
                self.signal(container, Signal::KILL, SignalTarget::Init).await?;
                self.tell_kill(container, Signal::KILL);
            }
        }
        Ok(())
    }
}
