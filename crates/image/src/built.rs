//! Images that were built: layers that were adopted and a configuration get to the disk together, with one wait for it.

use std::collections::BTreeMap;

use barge_oci::image::ImageConfig;
use barge_types::{ImageId, Reference};

use crate::durable::Batch;
use crate::error::{ImageError, Result};
use crate::layers::{Layer, LayerFolder};
use crate::store::{ImageStore, Prepared};

/// What is published of an image beside its configuration and its names.
#[derive(Clone, Debug, Default)]
pub struct BuiltOptions {
    /// The image that it was made on, which then stays as long as this one.
    pub parent: Option<ImageId>,
    /// Of its manifest, wherever one is written: when it is saved, exported or pushed.
    pub annotations: BTreeMap<String, String>,
}

impl ImageStore {
    /// Makes an image of adopted layers visible with its names. Whoever had a name before keeps its image without it.
    ///
    /// # Errors
    /// [`ImageError::Damaged`] when a layer that the configuration names is not here; whatever the disk says.
    pub fn publish_built(
        &self,
        config: &ImageConfig,
        references: Vec<Reference>,
        options: &BuiltOptions,
    ) -> Result<ImageId> {
        if references.iter().any(|reference| reference.digest().is_some()) {
            return Err(ImageError::TagWithDigest);
        }
        let bytes = serde_json::to_vec(config).map_err(ImageError::json("the configuration"))?;
        let image = Prepared::new(bytes, references)?
            .with_annotations(options.annotations.clone())
            .with_parent(options.parent);
        let id = image.id;
        let missing = image.known.chain_ids.iter().find(|chain_id| self.layer(chain_id).is_none());
        if let Some(missing) = missing {
            let (image, missing) = (id.to_string(), format!("layer {missing}"));
            return Err(ImageError::Damaged { image, missing });
        }
        self.publish(vec![image])?;
        Ok(id)
    }

    /// Gets the configurations of images to the disk, and the records of those of their layers that have none yet with
    /// their files. The caller holds [`Self::changing`].
    pub(crate) fn record(&self, images: &[Prepared]) -> Result<()> {
        let layers: Vec<Layer> = {
            let state = self.read();
            let chain_ids = images.iter().flat_map(|image| &image.known.chain_ids);
            let unrecorded = chain_ids.filter(|chain_id| state.unrecorded.contains(chain_id));
            unrecorded.filter_map(|chain_id| state.layers.get(chain_id).cloned()).collect()
        };
        if layers.is_empty() {
            return images.iter().try_for_each(|image| self.content.put(&image.config).map(drop));
        }
        let mut batch = Batch::default();
        for layer in &layers {
            let path = self.layer_folder.path(&layer.chain_id);
            batch.add(path, &LayerFolder::record(layer)?)?;
        }
        for image in images {
            self.content.put_in(&mut batch, &image.config)?;
        }
        batch.publish(|| {
            self.driver.sync().map_err(ImageError::storage("write layers to the disk"))
        })?;
        let mut state = self.write();
        for layer in &layers {
            state.unrecorded.remove(&layer.chain_id);
        }
        Ok(())
    }
}
