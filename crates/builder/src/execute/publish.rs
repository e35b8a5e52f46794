//! A stage's state becomes an image: its layers get their digests, its configuration is written.

use std::path::Path;
use std::sync::PoisonError;

use barge_image::{AdoptOptions, Adopted, BuiltOptions};
use barge_oci::image::{History, ImageConfig};
use barge_storage::{LayerId, Owners};
use barge_types::{ImageId, Reference};

use super::Running;
use super::layer::LayerWork;
use super::state::StageState;
use crate::cache::Reuse;
use crate::cache::key::KeyMaker;
use crate::cache::remote::write_inline;
use crate::error::{BuildError, Result};
use crate::metadata;

impl Running<'_> {
    /// Makes an image and gives it names.
    pub(crate) fn publish(&self, state: &StageState, names: Vec<Reference>) -> Result<ImageId> {
        let squashed;
        let state = if self.request.squash && state.made.len() > 1 {
            squashed = self.squash(state)?;
            &squashed
        } else {
            state
        };
        let layers: Vec<LayerId> = state.made.iter().map(|layer| layer.id.clone()).collect();
        let adopted = self.adopt_all(state, &layers)?;
        barge_sys::fault::point("builder: layers adopted");
        for (layer, adopted) in state.made.iter().zip(&adopted) {
            self.shop.cache.adopted(&layer.id, adopted.diff_id, adopted.size);
        }
        let mut config = state.config.clone();
        let inline = self.inline_cache(state);
        if !inline.is_empty() {
            write_inline(&mut config, &inline)?;
        }
        self.finish_config(state, &mut config, &adopted);
        let annotations = self.request.annotations.clone();
        let id =
            self.publish_config(&config, names, &BuiltOptions { annotations, parent: None })?;
        barge_sys::fault::point("builder: image published");
        // What is published is on the disk.
        for layer in &state.made {
            self.shop.cache.is_on_disk(&layer.id);
        }
        Ok(id)
    }

    /// The layers' digests, lowest first; the layers stay as long as those do.
    fn adopt_all(&self, state: &StageState, layers: &[LayerId]) -> Result<Vec<Adopted>> {
        let below = state.base.as_ref().and_then(|base| base.chain_ids.last());
        let options = AdoptOptions { latest: self.epoch() };
        let images = &self.shop.parts.images;
        images
            .adopt_all(layers, below, &options)
            .map_err(BuildError::image("take layers into the image"))
    }

    fn publish_config(
        &self,
        config: &ImageConfig,
        names: Vec<Reference>,
        options: &BuiltOptions,
    ) -> Result<ImageId> {
        let images = &self.shop.parts.images;
        if let Some(id) = self.published(config, &names, options) {
            return Ok(id);
        }
        images.publish_built(config, names, options).map_err(BuildError::image("publish the image"))
    }

    /// The image that is there already, with all of these names: then nothing has to reach the disk.
    fn published(
        &self,
        config: &ImageConfig,
        names: &[Reference],
        options: &BuiltOptions,
    ) -> Option<ImageId> {
        if !options.annotations.is_empty() {
            return None;
        }
        let bytes = serde_json::to_vec(config).ok()?;
        let id = ImageId::new(barge_archive::Digester::of(&bytes));
        let image = self.shop.parts.images.image(&id).ok()?;
        names.iter().all(|name| image.references.contains(name)).then_some(id)
    }

    fn finish_config(&self, state: &StageState, config: &mut ImageConfig, adopted: &[Adopted]) {
        let base = state.base.iter().flat_map(|base| base.diff_ids.iter());
        let made = adopted.iter().map(|adopted| &adopted.diff_id);
        config.rootfs.diff_ids = base.chain(made).map(ToString::to_string).collect();
        let below = state.base.as_ref().map_or(0, |base| base.config.history.len());
        metadata::date(config, below, &self.created());
        if let Some(epoch) = self.epoch() {
            set_times(config, below, epoch);
        }
        let labels = self.request.labels.clone();
        metadata::inner(config).labels.extend(labels);
    }

    /// One layer of all that a build made, as `--squash` asks for.
    fn squash(&self, state: &StageState) -> Result<StageState> {
        let storage = &self.shop.parts.storage;
        let base = state.base.as_ref().and_then(|base| base.top_layer.clone());
        let Some(top) = state.top() else { return Ok(state.clone()) };
        let mut squashed = StageState { made: Vec::new(), ..state.clone() };
        let key = KeyMaker::new("squash").digest(&state.key).finish();
        let work = LayerWork {
            key,
            parent: base.clone(),
            description: "squash",
            reuse: Reuse::Yes,
            owners: Owners::Stored,
        };
        let path = self.place.folder()?.join("squashed.tar");
        self.add_layer(&mut squashed, &work, &mut |root: &Path| {
            let failed = || BuildError::io("write", &path);
            let mut file = std::fs::File::create(&path).map_err(failed())?;
            storage
                .diff(&top, base.as_ref(), &mut file)
                .map_err(BuildError::storage("squash layers"))?;
            super::transfer::apply_layer(&path, root)
        })?;
        let below = state.base.as_ref().map_or(0, |base| base.config.history.len());
        for line in squashed.config.history.iter_mut().skip(below) {
            line.empty_layer = true;
        }
        squashed.config.history.push(History {
            created: Some(self.created()),
            comment: format!("squashed {} layers", state.made.len()),
            ..History::default()
        });
        Ok(squashed)
    }

    /// An image of a step that failed, for a shell in it.
    pub(crate) fn image_of_failure(&self, state: &StageState) -> Option<ImageId> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let mut layers: Vec<LayerId> = state.made.iter().map(|layer| layer.id.clone()).collect();
        layers.push(failed.clone());
        let made = self.adopt_all(state, &layers).and_then(|adopted| {
            let mut config = state.config.clone();
            metadata::record(
                &mut config,
                "a step that failed".to_owned(),
                Some(self.created()),
                metadata::StepKind::Layer,
            );
            self.finish_config(state, &mut config, &adopted);
            metadata::inner(&mut config).env = state.process_env();
            self.publish_config(&config, Vec::new(), &BuiltOptions::default())
        });
        if made.is_err() {
            self.discard(&failed);
        }
        // The step's own error is the one to tell.
        made.ok()
    }
}

/// All that a build made is of one time.
fn set_times(config: &mut ImageConfig, below: usize, epoch: i64) {
    let Ok(time) = jiff::Timestamp::from_second(epoch) else { return };
    let time = time.to_string();
    for line in config.history.iter_mut().skip(below) {
        line.created = Some(time.clone());
    }
    config.created = Some(time);
}
