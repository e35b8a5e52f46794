//! Images: one file per verb, over the image store.

mod builtin;
mod history;
mod import;
mod inspect;
mod list;
mod load;
mod platform;
mod progress;
mod prune;
mod remove;
mod save;
mod session;
mod tag;
mod transfers;

use std::sync::Arc;

use barge_image::ImageStore;

pub use import::ImportRequest;
pub use list::ImageListOptions;
pub use load::LoadStream;
pub use save::SaveStream;

pub(crate) use builtin::Builtin;

use crate::containers::Containers;
use crate::events::Events;

/// The service that has the images.
#[derive(Debug)]
pub struct Images {
    pub(crate) store: Arc<ImageStore>,
    pub(crate) containers: Arc<Containers>,
    pub(crate) events: Arc<Events>,
}

impl Images {
    fn tell(&self, action: &str, id: &str, name: &str) {
        let attributes = [("name".to_owned(), name.to_owned())].into();
        self.events.tell("image", action, id, attributes);
    }
}
