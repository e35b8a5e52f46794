//! `container prune`: removes all that do not run.

use std::sync::Arc;

use barge_api_types::{ContainersPruneResponse, Filters};

use super::list::ListOptions;
use super::remove::RemoveOptions;
use super::settings::invalid;
use super::state::State;
use super::{Containers, time_filter};
use crate::blocking;
use crate::error::Result;

impl Containers {
    /// Removes stopped containers and says which, and how much that freed.
    pub async fn prune(self: &Arc<Self>, filters: Filters) -> Result<ContainersPruneResponse> {
        filters
            .check_keys(&["label", "label!", "until"])
            .map_err(|error| invalid(error.to_string()))?;
        let until = time_filter(&filters)?;
        let mut response = ContainersPruneResponse::default();
        for container in self.choose(&ListOptions { all: true, ..ListOptions::default() })? {
            let record = container.record();
            let labels = &record.config.labels;
            let is_old = until.is_none_or(|until| {
                crate::time::from_rfc3339(&record.created).is_some_and(|created| created < until)
            });
            let is_kept = filters.contains("label!") && filters.matches_labels("label!", labels);
            let is_stopped = matches!(container.state(), State::Created(_) | State::Exited(_));
            if !is_stopped || !is_old || is_kept || !filters.matches_labels("label", labels) {
                continue;
            }
            let (this, target) = (Arc::clone(self), Arc::clone(&container));
            // What cannot be measured can be removed all the same.
            let (size, _) = blocking::run(move || this.sizes(&target)).await.unwrap_or_default();
            // One that was started or removed meanwhile is not ours to remove.
            if self.remove(container.id.as_str(), RemoveOptions::default()).await.is_ok() {
                response.containers_deleted.push(container.id.to_string());
                response.space_reclaimed += u64::try_from(size).unwrap_or(0);
            }
        }
        let facts = [("reclaimed".to_owned(), response.space_reclaimed.to_string())];
        self.events.tell("container", "prune", "", facts.into());
        Ok(response)
    }
}
