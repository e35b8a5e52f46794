//! `pause` and `unpause`: the freezer.

use std::sync::Arc;

use barge_shim_api::{FailureKind, Request};
use barge_sys::fault;

use super::container::Container;
use super::state::{Freeze, Running, State};
use super::{Containers, to_the_end};
use crate::error::{EngineError, Result};

impl Containers {
    /// Freezes every process of a running container.
    pub async fn pause(self: &Arc<Self>, name: &str) -> Result<()> {
        let container = self.registry.find(name)?;
        let this = Arc::clone(self);
        to_the_end(async move {
            let _verb = container.verb.lock().await;
            match container.state() {
                State::Running(Running { freeze: Freeze::Frozen, .. }) => Err(
                    EngineError::Conflict(format!("Container {} is already paused", container.id)),
                ),
                State::Running(_) => {
                    this.ask(&container, "pause", &Request::Pause).await?;
                    fault::point("pause: frozen");
                    set_freeze(&container, Freeze::Frozen);
                    this.tell(&container, "pause");
                    Ok(())
                }
                State::Created(_)
                | State::Restarting(_)
                | State::Exited(_)
                | State::Removing(_) => Err(not_running(&container)),
            }
        })
        .await
    }

    /// Lets them go on.
    pub async fn unpause(self: &Arc<Self>, name: &str) -> Result<()> {
        let container = self.registry.find(name)?;
        let this = Arc::clone(self);
        to_the_end(async move {
            let _verb = container.verb.lock().await;
            match container.state() {
                State::Running(Running { freeze: Freeze::Frozen, .. }) => {
                    this.resume_now(&container).await?;
                    this.tell(&container, "unpause");
                    Ok(())
                }
                State::Running(_)
                | State::Created(_)
                | State::Restarting(_)
                | State::Exited(_)
                | State::Removing(_) => {
                    Err(EngineError::Conflict(format!("Container {} is not paused", container.id)))
                }
            }
        })
        .await
    }

    /// Thaws a container for a verb that needs it to react.
    pub(super) async fn resume_now(&self, container: &Container) -> Result<()> {
        let shim = container.shim().ok_or_else(|| not_running(container))?;
        match shim.ask_soon("resume", &Request::Resume).await {
            // It ended meanwhile, or was thawed to take its SIGKILL.
            Err(EngineError::Shim { source, .. }) if source.kind == FailureKind::WrongState => {}
            Err(EngineError::ShimGone { .. }) => {}
            Err(EngineError::ShimSilent { .. }) => self.thaw_without_shim(container).await?,
            answer => {
                answer?;
            }
        }
        set_freeze(container, Freeze::Thawed);
        Ok(())
    }

    /// Asks the shim of a running container.
    pub(super) async fn ask(
        &self,
        container: &Container,
        action: &'static str,
        request: &Request,
    ) -> Result<()> {
        let shim = container.shim().ok_or_else(|| not_running(container))?;
        shim.ask(action, request).await.map(|_| ())
    }
}

/// Unless it ended meanwhile, which must not be undone.
fn set_freeze(container: &Container, freeze: Freeze) {
    container.decide_anyway(|inner| {
        if freeze == Freeze::Thawed {
            inner.thaws = inner.thaws.wrapping_add(1);
        }
        match inner.state.running() {
            Some(running) => State::Running(Running { freeze, ..running }),
            None => inner.state.clone(),
        }
    });
}

/// The refusal of verbs that need a running container.
pub(super) fn not_running(container: &Container) -> EngineError {
    EngineError::Conflict(match container.state() {
        State::Restarting(_) => {
            format!("container {} is restarting, wait until the container is running", container.id)
        }
        State::Created(_) | State::Running(_) | State::Exited(_) | State::Removing(_) => {
            format!("container {} is not running", container.id)
        }
    })
}
