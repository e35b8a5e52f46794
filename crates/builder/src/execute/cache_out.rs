//! `--cache-from` and `--cache-to`.

use std::fs::File;
use std::io::Seek as _;
use std::sync::PoisonError;

use super::Running;
use super::state::StageState;
use crate::cache::remote::{Archive, FolderWriter, KeptLayer, Origin, Remotes};
use crate::error::{BuildError, Result};
use crate::request::{CacheExport, CacheMode, CacheRemote};
use crate::sources::{CacheName, ImageWant, Pull};

impl Running<'_> {
    /// Opens the caches that are to be read. What cannot be had is no cache, and no error.
    pub(crate) fn remotes(&self) -> Result<Remotes> {
        let mut remotes = Remotes::default();
        for from in &self.request.cache.from {
            match from {
                CacheRemote::Folder(path) => remotes.add_folder(path)?,
                CacheRemote::Image(reference) => {
                    if !self.add_image(reference, &mut remotes) {
                        self.add_registry(reference, &mut remotes);
                    }
                }
                // One that has no cache may be an image that says what it was made from.
                CacheRemote::Registry(reference) => {
                    if !self.add_registry(reference, &mut remotes) {
                        self.add_image(reference, &mut remotes);
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

    /// Whether there is such an image.
    fn add_image(&self, reference: &str, remotes: &mut Remotes) -> bool {
        let want = ImageWant {
            reference,
            platform: self.request.platforms.first(),
            pull: Pull::WhenMissing,
            client: &self.request.client,
        };
        let parts = &self.shop.parts;
        let found = parts.sources.image(&want, &mut |_| {}, self.cancel);
        let is_here = found.is_ok();
        if let Ok(image) = found {
            remotes.add_image(image, &parts.images);
        }
        is_here
    }

    /// Whether a registry has such a cache.
    fn add_registry(&self, reference: &str, remotes: &mut Remotes) -> bool {
        let origin = Origin::Registry(reference.to_owned());
        let found = self.shop.parts.sources.cache_index(&self.cache_name(reference), self.cancel);
        // What cannot be read is somebody else's under our media type.
        matches!(found, Ok(Some(index)) if remotes.add_index(&index, &origin).is_ok())
    }

    fn cache_name<'a>(&'a self, reference: &'a str) -> CacheName<'a> {
        CacheName { reference, client: &self.request.client }
    }

    /// Opens an archive of a cache. One of a registry is downloaded into a file that goes when it is closed.
    pub(crate) fn open_archive(&self, archive: &Archive) -> Result<File> {
        let reference = match &archive.origin {
            Origin::Folder(folder) => {
                let path = folder.join(archive.digest.hex());
                return File::open(&path).map_err(BuildError::io("open", &path));
            }
            Origin::Registry(reference) => reference,
        };
        let path = self.place.folder()?.join("archive");
        let failed = || BuildError::io("download to", &path);
        let mut file =
            File::options().read(true).write(true).create_new(true).open(&path).map_err(failed())?;
        std::fs::remove_file(&path).map_err(failed())?;
        self.shop
            .parts
            .sources
            .cache_archive(&self.cache_name(reference), (&archive.digest, &mut file), self.cancel)
            .map_err(|source| BuildError::Source { what: archive.to_string(), source })?;
        file.rewind().map_err(failed())?;
        Ok(file)
    }

    /// What the layers of a state were made from, as an image's configuration says it.
    pub(crate) fn inline_cache(&self, state: &StageState) -> Vec<KeptLayer> {
        let is_inline = |export: &CacheExport| export.to == CacheRemote::Inline;
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
    pub(crate) fn write_caches(&self, (result, all): (&[StageState], &[StageState])) -> Result<()> {
        for export in &self.request.cache.to {
            let states = match export.mode {
                CacheMode::Min => result,
                CacheMode::Max => all,
            };
            match &export.to {
                CacheRemote::Folder(path) => {
                    let mut writer = FolderWriter::create(path, export.compression)?;
                    self.write_layers(states, &mut writer)?;
                    self.write_mounts(&mut writer)?;
                    writer.finish()?;
                }
                CacheRemote::Registry(reference) => {
                    let folder = self.place.folder()?;
                    let mut writer = FolderWriter::create(&folder, export.compression)?;
                    self.write_layers(states, &mut writer)?;
                    // What is in them is not for everybody who may pull an image.
                    if export.mode == CacheMode::Max {
                        self.write_mounts(&mut writer)?;
                    }
                    let files = writer.finish()?;
                    let sources = &self.shop.parts.sources;
                    sources
                        .put_cache(&self.cache_name(reference), &files, self.cancel)
                        .map_err(|source| BuildError::Cache { what: reference.clone(), source })?;
                }
                // In the image.
                CacheRemote::Inline | CacheRemote::Image(_) => {}
            }
        }
        Ok(())
    }

    fn write_layers(&self, states: &[StageState], writer: &mut FolderWriter) -> Result<()> {
        let storage = self.shop.parts.storage.as_ref();
        let mut written = std::collections::HashSet::new();
        for layer in states.iter().flat_map(|state| &state.made) {
            let Some(words) = self.shop.cache.words_for(&layer.id) else { continue };
            if written.insert(layer.id.clone()) {
                writer.add_layer(storage, &layer.id, words)?;
            }
        }
        Ok(())
    }

    fn write_mounts(&self, writer: &mut FolderWriter) -> Result<()> {
        let used = self.mounts_used.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, id) in used {
            // What another build uses now is left out: half of what it writes would be no use to anybody.
            let Some(held) = self.shop.mounts.idle(&name) else { continue };
            writer.add_mount(&name, &id, &held.data)?;
        }
        Ok(())
    }
}
