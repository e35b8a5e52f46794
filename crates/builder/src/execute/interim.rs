//! What the image store will do with built layers, until it does.

use std::collections::BTreeMap;

use barge_image::{ImageError, ImageStore};
use barge_oci::image::ImageConfig;
use barge_storage::LayerId;
use barge_types::{Digest, ImageId, Reference};

#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) chain_id: Digest,
    pub(crate) diff_id: Digest,
    pub(crate) size: u64,
}

#[derive(Debug, Default)]
pub(crate) struct AdoptOptions {
    pub(crate) epoch: Option<i64>,
}

#[derive(Debug, Default)]
pub(crate) struct PublishOptions {
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) parent: Option<ImageId>,
}

pub(crate) trait Interim {
    fn adopt(
        &self,
        id: &LayerId,
        parent: Option<&Digest>,
        options: &AdoptOptions,
    ) -> Result<Adopted, ImageError>;
    fn publish_built(
        &self,
        config: &ImageConfig,
        names: Vec<Reference>,
        options: &PublishOptions,
    ) -> Result<ImageId, ImageError>;
    fn release(
        &self,
        layers: &[LayerId],
        usage: &dyn barge_image::ImageUsage,
    ) -> Result<(), ImageError>;
}

impl Interim for ImageStore {
    fn adopt(
        &self,
        id: &LayerId,
        _: Option<&Digest>,
        options: &AdoptOptions,
    ) -> Result<Adopted, ImageError> {
        Err(ImageError::Archive(format!(
            "layer {id} cannot become part of an image yet {:?}",
            options.epoch
        )))
    }
    fn publish_built(
        &self,
        _: &ImageConfig,
        _: Vec<Reference>,
        options: &PublishOptions,
    ) -> Result<ImageId, ImageError> {
        Err(ImageError::Archive(format!(
            "built images are not published yet {:?} {:?}",
            options.annotations, options.parent
        )))
    }
    fn release(&self, _: &[LayerId], _: &dyn barge_image::ImageUsage) -> Result<(), ImageError> {
        Ok(())
    }
}
