//! `--cache-from` and `--cache-to`.

use std::sync::PoisonError;

use super::Running;
use super::state::StageState;
use crate::builder::Built;
use crate::cache::remote::{FolderWriter, KeptLayer, Remotes};
use crate::error::{BuildError, Result};
use crate::request::{CacheExport, CacheMode, CacheRemote};
use crate::sources::{ImageWant, Pull};

impl Running<'_> {
    /// Opens the caches that are to be read. An image that cannot be had is no cache, and no error.
    pub(crate) fn remotes(&self) -> Result<Remotes> {
        let mut remotes = Remotes::default();
        for from in &self.request.cache.from {
            match from {
                CacheRemote::Folder(path) => remotes.add_folder(path)?,
                CacheRemote::Image(reference) | CacheRemote::Registry(reference) => {
                    let want = ImageWant {
                        reference,
                        platform: self.request.platforms.first(),
                        pull: Pull::WhenMissing,
                        client: &self.request.client,
                    };
                    let parts = &self.shop.parts;
                    let found = parts.sources.image(&want, &mut |_, _, _| {}, self.cancel);
                    if let Ok(image) = found {
                        remotes.add_image(image, &parts.images);
                    }
                }
                CacheRemote::Inline => {
                    let text = "--cache-from type=inline: name the image instead";
                    return Err(BuildError::Unsupported(text.to_owned()));
                }
            }
        }
        Ok(remotes)
    }

    /// What the layers of a state were made from, as an image's configuration says it.
    pub(crate) fn inline_cache(&self, state: &StageState) -> Vec<KeptLayer> {
        let is_inline = |export: &CacheExport| {
            matches!(export.to, CacheRemote::Inline | CacheRemote::Registry(_))
        };
        let is_asked =
            self.request.has_inline_cache() || self.request.cache.to.iter().any(is_inline);
        if !is_asked {
            return Vec::new();
        }
        let cache = &self.shop.cache;
        let kept = state.made.iter().filter_map(|layer| {
            let (keys, description) = cache.words_for(&layer.id)?;
            Some(KeptLayer { keys, description, blob: cache.diff_id(&layer.id)? })
        });
        kept.collect()
    }

    /// Writes the caches that were asked for: of the result, or of all stages.
    pub(crate) fn write_caches(
        &self,
        (result, all): (&[StageState], &[StageState]),
        built: &mut Built,
    ) -> Result<()> {
        for export in &self.request.cache.to {
            match &export.to {
                CacheRemote::Folder(path) => {
                    let mut writer = FolderWriter::create(path, export.compression)?;
                    let states = match export.mode {
                        CacheMode::Min => result,
                        CacheMode::Max => all,
                    };
                    self.write_folder(states, &mut writer)?;
                    writer.finish()?;
                }
                CacheRemote::Registry(reference) => {
                    let reference =
                        reference.parse().map_err(|error: barge_types::ReferenceError| {
                            BuildError::Invalid(error.to_string())
                        })?;
                    let images = &self.shop.parts.images;
                    if let Some(id) = built.images.last() {
                        images.tag(id, &reference).map_err(BuildError::image("name the cache"))?;
                        built.caches.push(reference);
                    }
                }
                // In the image.
                CacheRemote::Inline | CacheRemote::Image(_) => {}
            }
        }
        Ok(())
    }

    fn write_folder(&self, states: &[StageState], writer: &mut FolderWriter) -> Result<()> {
        let storage = self.shop.parts.storage.as_ref();
        let mut written = std::collections::HashSet::new();
        for layer in states.iter().flat_map(|state| &state.made) {
            let Some(words) = self.shop.cache.words_for(&layer.id) else { continue };
            if written.insert(layer.id.clone()) {
                writer.add_layer(storage, &layer.id, words)?;
            }
        }
        let used = self.mounts_used.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, id) in used {
            // One at a time: nobody writes to it meanwhile.
            let Some(data) = self.shop.mounts.data(&name) else { continue };
            writer.add_mount(&name, &id, &data)?;
        }
        Ok(())
    }
}
