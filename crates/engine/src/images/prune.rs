//! `image prune`: removes what nothing needs.

use std::sync::Arc;

use barge_api_types::{Filters, ImagesPruneResponse};
use barge_image::{ImageUsage as _, Removal};

use super::Images;
use crate::blocking;
use crate::error::{EngineError, Result};

impl Images {
    /// Removes images without a name, and with the filter `dangling=false` all that no container uses.
    pub async fn prune(self: &Arc<Self>, filters: Filters) -> Result<ImagesPruneResponse> {
        let keys = ["dangling", "label", "label!", "until"];
        let invalid = |error: barge_api_types::FilterError| EngineError::Invalid(error.to_string());
        filters.check_keys(&keys).map_err(invalid)?;
        let only_dangling = filters.flag("dangling").map_err(invalid)?.unwrap_or(true);
        let this = Arc::clone(self);
        blocking::run(move || {
            let mut rest = Filters::default();
            for key in ["label", "label!", "until"] {
                filters.values(key).for_each(|value| rest.add(key, value));
            }
            let before = this.bytes_of_layers();
            let mut response = ImagesPruneResponse::default();
            for image in this.choose(&rest)? {
                let is_meant = !only_dangling || image.references.is_empty();
                if !is_meant || !this.containers.users(&image.id).is_empty() {
                    continue;
                }
                let removed =
                    this.store.remove(&image.id.to_string(), Removal::Force, &*this.containers)?;
                response.images_deleted.extend(this.removed(&removed));
            }
            response.space_reclaimed = before.saturating_sub(this.bytes_of_layers());
            this.tell("prune", "", "");
            Ok(response)
        })
        .await
    }

    /// What the layers of all images hold, each counted once.
    pub(crate) fn bytes_of_layers(&self) -> u64 {
        let chains: std::collections::HashSet<_> =
            self.store.list().iter().flat_map(|image| image.chain_ids.clone()).collect();
        chains.iter().filter_map(|chain| self.store.layer(chain)).map(|layer| layer.size).sum()
    }
}
