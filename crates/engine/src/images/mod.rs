//! Images: one file per verb, over the image store.

mod builtin;
mod commit;
mod distribution;
mod download;
mod glob;
mod history;
mod import;
mod inspect;
mod list;
mod load;
mod manifests;
mod platform;
mod progress;
mod prune;
mod pull;
mod push;
mod remove;
mod save;
mod session;
mod tag;
mod transfers;

use std::sync::Arc;

use barge_image::ImageStore;
use barge_types::{ImageId, Reference};

pub use commit::{CommitPause, CommitRequest};
pub use import::ImportRequest;
pub use inspect::ShowManifests;
pub use list::ImageListOptions;
pub use load::LoadStream;
pub use pull::PullRequest;
pub use push::PushRequest;
pub use save::SaveStream;
pub use session::ProgressStream;

pub(crate) use builtin::Builtin;
pub(crate) use platform::NONE_FITS;

use download::Key;
use transfers::Transfers;

use crate::containers::Containers;
use crate::events::Events;
use crate::registries::Registries;

/// Whether an image is for a platform; one that does not say is for any.
pub(crate) fn is_for(image: &barge_image::Image, platform: &barge_types::Platform) -> bool {
    pull::platform_of(image).is_none_or(|found| platform::fits(&found, platform))
}

/// The service that has the images.
#[derive(Debug)]
pub struct Images {
    pub(crate) store: Arc<ImageStore>,
    pub(crate) containers: Arc<Containers>,
    pub(crate) events: Arc<Events>,
    pub(crate) registries: Arc<Registries>,
    pub(crate) pulls: Transfers<Key, ImageId>,
}

impl Images {
    /// Tells of an image, with its labels as long as it is there.
    pub(crate) fn tell(&self, action: &str, id: &ImageId, name: &str) {
        let mut attributes =
            self.store.image(id).map(|image| list::labels(&image)).unwrap_or_default();
        attributes.insert("name".to_owned(), name.to_owned());
        self.events.tell("image", action, &id.to_string(), attributes);
    }

    /// Tells of what was pulled or pushed: named by reference, with the image's labels, as dockerd does.
    fn tell_of(&self, action: &str, name: &str, reference: &Reference) {
        let image = self.store.get(name).ok();
        let mut attributes = image
            .and_then(|image| image.config.config.as_ref().map(|config| config.labels.clone()))
            .unwrap_or_default();
        attributes.insert("name".to_owned(), reference.familiar_name());
        self.events.tell("image", action, name, attributes);
    }
}
