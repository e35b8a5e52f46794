//! `rmi`: removes a name, and with its last name the image, unless a container needs it.

use std::sync::Arc;

use barge_api_types::ImageDeleteResponseItem;
use barge_image::{Removal, Removed};

use super::Images;
use crate::blocking;
use crate::error::Result;

impl Images {
    /// Removes and says what went, in Docker's order.
    pub async fn remove(
        self: &Arc<Self>,
        name: &str,
        removal: Removal,
    ) -> Result<Vec<ImageDeleteResponseItem>> {
        let (this, name) = (Arc::clone(self), name.to_owned());
        blocking::run(move || {
            let removed = this.store.remove(&name, removal, &*this.containers)?;
            Ok(this.removed(&removed))
        })
        .await
    }

    pub(super) fn removed(&self, removed: &[Removed]) -> Vec<ImageDeleteResponseItem> {
        let mut items = Vec::new();
        for step in removed {
            let item = match step {
                Removed::Untagged(reference) => {
                    let name = reference.familiar();
                    self.tell("untag", &name, &name);
                    ImageDeleteResponseItem { untagged: name, ..ImageDeleteResponseItem::default() }
                }
                Removed::Image(id) => {
                    self.tell("delete", &id.to_string(), &id.to_string());
                    ImageDeleteResponseItem {
                        deleted: id.to_string(),
                        ..ImageDeleteResponseItem::default()
                    }
                }
                Removed::Layer(chain) => ImageDeleteResponseItem {
                    deleted: chain.to_string(),
                    ..ImageDeleteResponseItem::default()
                },
            };
            items.push(item);
        }
        items
    }
}
