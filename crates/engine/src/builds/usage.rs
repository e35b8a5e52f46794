//! Who needs layers beside images: containers, and the cache of builds.

use std::collections::HashSet;
use std::sync::Arc;

use barge_image::{ImageUsage, User};
use barge_storage::LayerId;
use barge_types::ImageId;

use crate::containers::Containers;

/// The containers without the cache of builds: what the cache itself asks when it gives a layer up.
#[derive(Debug)]
pub(crate) struct OnlyContainers(pub(crate) Arc<Containers>);

impl ImageUsage for OnlyContainers {
    fn users(&self, image: &ImageId) -> Vec<User> {
        self.0.users(image)
    }

    fn layers_in_use(&self) -> HashSet<LayerId> {
        Containers::layers_in_use(&self.0)
    }
}
