//! What `commit` needs of a container: its layer, its configuration, and that it stands still meanwhile.

use std::sync::Arc;

use barge_api_types::ContainerConfig;
use barge_shim_api::Request;

use super::Containers;
use super::container::Container;
use super::state::{Freeze, Running, State};
use crate::error::{EngineError, Result};

/// What a container gives to an image of it.
#[derive(Debug)]
pub(crate) struct CommitSource {
    /// The id of the image that it was made of.
    pub(crate) image: String,
    pub(crate) config: ContainerConfig,
    pub(crate) container: Arc<Container>,
}

impl Containers {
    pub(crate) fn commit_source(&self, name: &str) -> Result<CommitSource> {
        if name.is_empty() {
            return Err(EngineError::Invalid("invalid name or ID supplied: \"\"".to_owned()));
        }
        let container = self.registry.find(name)?;
        if matches!(container.state(), State::Removing(_)) {
            return Err(EngineError::Conflict(format!(
                "You cannot commit container {} which is being removed",
                container.id
            )));
        }
        let record = container.record();
        Ok(CommitSource {
            image: record.image.to_string(),
            config: record.config.clone(),
            container,
        })
    }

    /// Does some work while a running container's processes stand still and nobody changes the container.
    pub(crate) async fn while_frozen<T>(
        &self,
        container: &Container,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let _verb = container.verb.lock().await;
        let is_frozen = self.freeze_for_a_moment(container).await?;
        let done = work.await;
        if is_frozen {
            self.resume_now(container).await?;
            self.tell(container, "unpause");
        }
        done
    }

    /// Freezes what runs, and says whether it did. The record on disk goes on saying that it runs: a daemon that comes
    /// after one that was killed meanwhile thaws it.
    async fn freeze_for_a_moment(&self, container: &Container) -> Result<bool> {
        let runs =
            |state: State| matches!(state, State::Running(Running { freeze: Freeze::Thawed, .. }));
        if !runs(container.state()) {
            return Ok(false);
        }
        if let Err(error) = self.ask(container, "pause", &Request::Pause).await {
            // It has ended meanwhile, and stands still.
            return if runs(container.state()) { Err(error) } else { Ok(false) };
        }
        if let State::Running(running) = &mut container.inner().state {
            running.freeze = Freeze::Frozen;
        }
        self.tell(container, "pause");
        Ok(true)
    }

    pub(crate) fn tell_commit(&self, container: &Container, facts: &[(&str, String)]) {
        self.tell_with(container, "commit", facts);
    }
}
