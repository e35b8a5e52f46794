//! What `commit` needs of a container: its layer, its configuration, and that it stands still meanwhile.

use barge_api_types::ContainerConfig;
use barge_shim_api::Request;
use barge_storage::LayerId;

use super::Containers;
use super::state::{Freeze, Running, State};
use crate::error::{EngineError, Result};

/// What a container gives to an image of it.
#[derive(Debug)]
pub(crate) struct CommitSource {
    /// The id of the image that it was made of.
    pub(crate) image: String,
    pub(crate) layer: LayerId,
    pub(crate) config: ContainerConfig,
}

impl Containers {
    pub(crate) fn commit_source(&self, name: &str) -> Result<CommitSource> {
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
            layer: container.layer.clone(),
            config: record.config.clone(),
        })
    }

    /// Does some work while a running container's processes stand still and nobody changes the container.
    pub(crate) async fn while_frozen<T>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let container = self.registry.find(name)?;
        let _verb = container.verb.lock().await;
        let runs =
            matches!(container.state(), State::Running(Running { freeze: Freeze::Thawed, .. }));
        if runs {
            self.ask(&container, "pause", &Request::Pause).await?;
        }
        let done = work.await;
        if runs {
            self.resume_now(&container).await?;
        }
        done
    }

    pub(crate) fn tell_commit(&self, name: &str, reference: &str, image: &str) {
        if let Ok(container) = self.registry.find(name) {
            let facts = [("comment", reference.to_owned()), ("imageID", image.to_owned())];
            self.tell_with(&container, "commit", &facts);
        }
    }
}
