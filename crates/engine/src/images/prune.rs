//! `image prune`: removes what nothing needs.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use barge_api_types::{FilterError, Filters, ImageDeleteResponseItem, ImagesPruneResponse};
use barge_image::{Image, Parents, Removal};
use barge_storage::LayerId;
use barge_types::ErrorKind;

use super::Images;
use super::list::{has_labels, is_hidden, moment, parents};
use crate::blocking;
use crate::containers::time_filter;
use crate::error::{EngineError, Result};

impl Images {
    /// Removes images without a tag, and with the filter `dangling=false` all that no container uses.
    pub async fn prune(self: &Arc<Self>, filters: Filters) -> Result<ImagesPruneResponse> {
        let invalid = |error: FilterError| EngineError::Invalid(error.to_string());
        filters.check_keys(&["dangling", "label", "label!", "until"]).map_err(invalid)?;
        let only_dangling = filters.flag("dangling").map_err(invalid)?.unwrap_or(true);
        let until = time_filter(&filters)?;
        let this = Arc::clone(self);
        blocking::run(move || {
            let all = this.store.list();
            let parents = parents(&all);
            let is_meant = |image: &&Image| {
                !is_hidden(image, &parents)
                    && until.is_none_or(|until| moment(image) <= until)
                    && has_labels(image, &filters)
                    && (!only_dangling || image.repo_tags().is_empty())
            };
            let sizes = this.sizes_of_layers();
            let mut response = ImagesPruneResponse::default();
            for image in all.iter().filter(is_meant) {
                response.images_deleted.extend(this.prune_one(image));
            }
            let freed = response.images_deleted.iter().filter_map(|item| sizes.get(&item.deleted));
            response.space_reclaimed = freed.sum();
            let facts = [("reclaimed".to_owned(), response.space_reclaimed.to_string())];
            this.events.tell("image", "prune", "", facts.into());
            Ok(response)
        })
        .await
    }

    /// Removes an image by each of its names: what somebody uses stays.
    fn prune_one(&self, image: &Image) -> Vec<ImageDeleteResponseItem> {
        let mut names: Vec<String> = image.references.iter().map(ToString::to_string).collect();
        if names.is_empty() {
            names.push(image.id.to_string());
        }
        let mut items = Vec::new();
        for name in names {
            match self.remove_now(&name, (Removal::WhenUnused, Parents::Remove)) {
                Ok(removed) => items.extend(removed),
                // In use, or gone with another name or meanwhile.
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {
                }
                Err(error) => {
                    tracing::warn!(name, error = error.message(), "cannot prune an image");
                }
            }
        }
        items
    }

    /// What each layer holds, by its chain id.
    fn sizes_of_layers(&self) -> HashMap<String, u64> {
        let layers = self.store.layers();
        layers.into_iter().map(|layer| (layer.chain_id.to_string(), layer.size)).collect()
    }

    /// What the layers of all images hold, each counted once.
    pub(crate) fn bytes_of_layers(&self, without: &HashSet<LayerId>) -> u64 {
        self.store.bytes_of_layers(without)
    }
}
