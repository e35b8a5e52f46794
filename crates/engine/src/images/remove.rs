//! `rmi`: removes a name, and with its last name the image, unless a container needs it.

use std::sync::Arc;

use barge_api_types::ImageDeleteResponseItem;
use barge_image::{Image, Parents, Removal, Removed};

use super::Images;
use super::list::labels;
use crate::blocking;
use crate::error::Result;

impl Images {
    /// Removes and says what went, in Docker's order.
    pub async fn remove(
        self: &Arc<Self>,
        name: &str,
        how: (Removal, Parents),
    ) -> Result<Vec<ImageDeleteResponseItem>> {
        let (this, name) = (Arc::clone(self), name.to_owned());
        blocking::run(move || this.remove_now(&name, how)).await
    }

    pub(super) fn remove_now(
        &self,
        name: &str,
        how: (Removal, Parents),
    ) -> Result<Vec<ImageDeleteResponseItem>> {
        let image = self.store.get(name)?;
        let removed = self.store.remove_with(name, how, &*self.containers)?;
        Ok(removed.iter().map(|step| self.removed(step, &image)).collect())
    }

    /// Tells of a step, with the labels that the image had, and shows it.
    fn removed(&self, step: &Removed, image: &Image) -> ImageDeleteResponseItem {
        match step {
            Removed::Untagged(reference) => {
                let id = image.id.to_string();
                let mut attributes = labels(image);
                attributes.insert("name".to_owned(), id.clone());
                self.events.tell("image", "untag", &id, attributes);
                let untagged = reference.familiar();
                ImageDeleteResponseItem { untagged, ..ImageDeleteResponseItem::default() }
            }
            Removed::Image(id) => {
                self.tell("delete", id, &id.to_string());
                deleted(id.to_string())
            }
            Removed::Layer(chain) => deleted(chain.to_string()),
        }
    }
}

fn deleted(id: String) -> ImageDeleteResponseItem {
    ImageDeleteResponseItem { deleted: id, ..ImageDeleteResponseItem::default() }
}
