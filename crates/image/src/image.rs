//! An image as callers see it.

use std::sync::Arc;

use barge_oci::image::ImageConfig;
use barge_storage::LayerId;
use barge_types::{Digest, ImageId, Reference};

/// An image: its configuration, its names and where its files are.
#[derive(Clone, Debug)]
pub struct Image {
    /// The digest of the configuration's bytes.
    pub id: ImageId,
    /// The configuration, parsed; [`crate::ImageStore::config_bytes`] has the bytes.
    pub config: Arc<ImageConfig>,
    /// Names, sorted; none for a dangling image.
    pub references: Vec<Reference>,
    /// Bytes of content of all layers.
    pub size: u64,
    /// Digests of the plain layers, lowest first.
    pub diff_ids: Vec<Digest>,
    /// Chain ids of the layers, lowest first.
    pub chain_ids: Vec<Digest>,
    /// What the storage driver calls the topmost layer; absent for an image without layers.
    pub top_layer: Option<LayerId>,
    /// The image that it was committed on, when that is here.
    pub parent: Option<ImageId>,
    /// When the image last got a name, RFC 3339.
    pub last_tagged: Option<String>,
}

impl Image {
    /// Names with a tag as people write them, what `RepoTags` shows.
    #[must_use]
    pub fn repo_tags(&self) -> Vec<String> {
        self.references
            .iter()
            .filter(|reference| reference.digest().is_none())
            .map(Reference::familiar)
            .collect()
    }

    /// Names with a digest as people write them, what `RepoDigests` shows.
    #[must_use]
    pub fn repo_digests(&self) -> Vec<String> {
        self.references
            .iter()
            .filter(|reference| reference.digest().is_some())
            .map(Reference::familiar)
            .collect()
    }

    /// When the image was made, RFC 3339; absent when its maker did not say.
    #[must_use]
    pub fn created(&self) -> Option<&str> {
        self.config.created.as_deref()
    }
}
