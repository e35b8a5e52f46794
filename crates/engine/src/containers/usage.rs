//! What containers need of images and layers, for those who want to remove some.

use std::collections::{HashMap, HashSet};

use barge_image::{ImageUsage, User, UserState};
use barge_storage::LayerId;
use barge_types::ImageId;

use super::Containers;

impl Containers {
    /// How many containers each image has, or is mounted in.
    pub(crate) fn count_by_image(&self) -> HashMap<ImageId, i64> {
        let mut counts = HashMap::new();
        for container in self.registry.all() {
            for image in container.record().images().collect::<HashSet<_>>() {
                *counts.entry(image).or_default() += 1;
            }
        }
        counts
    }

    /// The containers of an image, and those that have it mounted.
    pub(crate) fn ids_of_image(&self, image: &ImageId) -> Vec<String> {
        self.users(image).into_iter().map(|user| user.container.to_string()).collect()
    }
}

impl ImageUsage for Containers {
    fn users(&self, image: &ImageId) -> Vec<User> {
        let all = self.registry.all();
        let of_image = all.iter().filter(|container| container.record().needs_image(image));
        of_image
            .map(|container| User {
                container: container.id.clone(),
                state: if container.state().running().is_some() {
                    UserState::Running
                } else {
                    UserState::Stopped
                },
            })
            .collect()
    }

    /// Those of the cache of builds too: what images and containers let go is not removed while a build may find it.
    fn layers_in_use(&self) -> HashSet<LayerId> {
        let mut layers = Containers::layers_in_use(self);
        if let Some(builder) = self.build_cache.get().and_then(std::sync::Weak::upgrade) {
            layers.extend(builder.layers_in_use());
        }
        layers
    }
}
