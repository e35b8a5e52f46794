//! `--cache-from` and `--cache-to`.

use std::collections::HashSet;
use std::fs::File;
use std::io::Seek as _;
use std::path::Path;
use std::sync::PoisonError;

use super::Running;
use super::state::StageState;
use crate::cache::mounts::Idle;
use crate::cache::remote::{Archive, CachedLayer, FolderWriter, KeptLayer, Origin, Remotes};
use crate::error::{BuildError, Result};
use crate::event::Event;
use crate::request::{CacheExport, CacheMode, CacheRemote};
use crate::sources::{CacheName, ImageWant, Pull};

impl Running<'_> {
    /// Opens the caches that are to be read. What cannot be had is no cache, and no error.
    pub(crate) fn remotes(&self) -> Result<Remotes> {
        let mut remotes = Remotes::default();
        for from in &self.request.cache.from {
            let text = match from {
                CacheRemote::Folder(_) => "importing cache from client directory".to_owned(),
                CacheRemote::Image(reference) | CacheRemote::Registry(reference) => {
                    format!("importing cache manifest from {reference}")
                }
                CacheRemote::Inline => {
                    let text = "--cache-from type=inline: name the image instead";
                    return Err(BuildError::Unsupported(text.to_owned()));
                }
            };
            self.around(text, |step| {
                if let Err(error) = self.add_remote(from, &mut remotes) {
                    self.go_on_without(step, &error)?;
                }
                Ok(())
            })?;
        }
        Ok(remotes)
    }

    fn add_remote(&self, from: &CacheRemote, remotes: &mut Remotes) -> Result<()> {
        match from {
            CacheRemote::Folder(path) => {
                let what = "the folder of --cache-from".to_owned();
                let failed = |error| BuildError::Source { what, source: Box::new(error) };
                remotes.add_folder(path).map_err(failed)
            }
            // An image that is here needs no question.
            CacheRemote::Image(reference) => self
                .add_image(reference, remotes)
                .or_else(|error| self.add_registry(reference, remotes).map_err(|_| error)),
            // One that has no cache may be an image that says what it was made from.
            CacheRemote::Registry(reference) => self
                .add_registry(reference, remotes)
                .or_else(|error| self.add_image(reference, remotes).map_err(|_| error)),
            CacheRemote::Inline => Ok(()),
        }
    }

    /// Says what of a cache cannot be had; what it was for is made here.
    fn go_on_without(&self, step: u32, error: &BuildError) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        self.warn(step, &error.chain());
        Ok(())
    }

    /// Says that what a step made is not to be had from a cache.
    pub(crate) fn not_from_cache(&self, what: &str, error: &BuildError) -> Result<()> {
        let text = format!("importing cache for {what}");
        self.around(text, |step| self.go_on_without(step, error))
    }

    fn add_image(&self, reference: &str, remotes: &mut Remotes) -> Result<()> {
        let want = ImageWant {
            reference,
            platform: self.request.platforms.first(),
            pull: Pull::WhenMissing,
            client: &self.request.client,
        };
        let parts = &self.shop.parts;
        let failed = |source| BuildError::Source { what: reference.to_owned(), source };
        let image = parts.sources.image(&want, &mut |_| {}, self.cancel).map_err(failed)?;
        remotes.add_image(image, &parts.images);
        Ok(())
    }

    fn add_registry(&self, reference: &str, remotes: &mut Remotes) -> Result<()> {
        let failed = |source| BuildError::Source { what: reference.to_owned(), source };
        let sources = &self.shop.parts.sources;
        let found =
            sources.cache_index(&self.cache_name(reference), self.cancel).map_err(failed)?;
        let index = found.ok_or_else(|| {
            BuildError::NotFound(format!("there is no cache of barge at {reference}"))
        })?;
        remotes
            .add_index(&index, &Origin::Registry(reference.to_owned()))
            .map_err(|error| failed(Box::new(error)))
    }

    fn cache_name<'a>(&'a self, reference: &'a str) -> CacheName<'a> {
        CacheName { reference, client: &self.request.client }
    }

    /// Opens an archive of a cache. One of a registry is downloaded into a file that goes when it is closed.
    pub(crate) fn open_archive(&self, archive: &Archive) -> Result<File> {
        let reference = match &archive.origin {
            Origin::Folder(folder) => {
                let path = folder.join(archive.digest.hex());
                let shown = archive.to_string();
                return File::open(&path).map_err(BuildError::io("open", Path::new(&shown)));
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
            let text = match &export.to {
                CacheRemote::Folder(_) => "exporting cache to client directory".to_owned(),
                CacheRemote::Registry(reference) => {
                    format!("exporting cache to registry {reference}")
                }
                // In the image.
                CacheRemote::Inline | CacheRemote::Image(_) => continue,
            };
            self.around(text, |step| match self.write_cache(step, export, states) {
                Err(error) if export.ignores_errors => self.go_on_without(step, &error),
                written => written,
            })?;
        }
        Ok(())
    }

    fn write_cache(&self, step: u32, export: &CacheExport, states: &[StageState]) -> Result<()> {
        match &export.to {
            CacheRemote::Folder(path) => {
                let mut writer = FolderWriter::create(path, export.compression)?;
                self.write_layers(states, (step, &mut writer))?;
                self.write_mounts(step, &mut writer)?;
                writer.finish().map(drop)
            }
            CacheRemote::Registry(reference) => self.put_cache((step, reference), export, states),
            CacheRemote::Inline | CacheRemote::Image(_) => Ok(()),
        }
    }

    fn put_cache(
        &self,
        (step, reference): (u32, &str),
        export: &CacheExport,
        states: &[StageState],
    ) -> Result<()> {
        let folder = self.place.folder()?;
        let mut writer = FolderWriter::create(&folder, export.compression)?;
        self.write_layers(states, (step, &mut writer))?;
        // What is in them is not for everybody who may pull an image.
        if export.mode == CacheMode::Max {
            self.write_mounts(step, &mut writer)?;
        }
        let files = writer.finish()?;
        self.tell(Event::Output {
            step,
            stream: 1,
            text: "writing cache image manifest\n".to_owned(),
        });
        let sources = &self.shop.parts.sources;
        sources
            .put_cache(&self.cache_name(reference), &files, self.cancel)
            .map_err(|source| BuildError::Cache { what: reference.to_owned(), source })
    }

    fn write_layers(
        &self,
        states: &[StageState],
        (step, writer): (u32, &mut FolderWriter),
    ) -> Result<()> {
        let parts = &self.shop.parts;
        let mut written = HashSet::new();
        for layer in states.iter().flat_map(|state| &state.made) {
            let Some((keys, description)) = self.shop.cache.words_for(&layer.id) else { continue };
            if !written.insert(layer.id.clone()) {
                continue;
            }
            if self.cancel.is_cancelled() {
                return Err(BuildError::Cancelled);
            }
            let known = self.shop.cache.archives(&layer.id);
            let cached = CachedLayer { id: &layer.id, keys, description, known };
            let archive = writer.add_layer(&parts.images, parts.storage.as_ref(), cached)?;
            self.shop.cache.archived(&layer.id, archive);
            let text = format!("writing layer {archive}\n");
            self.tell(Event::Output { step, stream: 1, text });
        }
        Ok(())
    }

    fn write_mounts(&self, step: u32, writer: &mut FolderWriter) -> Result<()> {
        let used = self.mounts_used.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, id) in used {
            match self.shop.mounts.idle(&name) {
                Idle::Held(held) => writer.add_mount(&name, &id, &held.data)?,
                Idle::Gone => {}
                // Half of what it writes would be no use to anybody.
                Idle::Used => {
                    let text = format!("cache mount {id} is left out: another build uses it");
                    self.warn(step, &text);
                }
            }
        }
        Ok(())
    }
}
