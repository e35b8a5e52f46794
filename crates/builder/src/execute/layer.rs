//! A step that changes files: looked up, or made in a layer of its own.

use std::path::Path;

use barge_storage::{Durability, LayerId, MountOptions, Owners, ReadWriteOptions, StorageError};
use barge_types::Digest;
use std::sync::Arc;

use super::Running;
use super::state::StageState;
use super::users::Users;
use crate::cache::remote::{Archive, Place, unpack};
use crate::cache::{Claim, Flight, HeldLayer, NewRecord, Reuse};
use crate::error::{BuildError, Result};
use crate::event::Outcome;
use crate::runner::{StepNetwork, StepSecurity};

/// What a layer is made of.
#[derive(Debug)]
pub(crate) struct LayerWork<'a> {
    /// What it is made from.
    pub(crate) key: Digest,
    /// What it stands on.
    pub(crate) parent: Option<LayerId>,
    /// The instruction, for a person.
    pub(crate) description: &'a str,
    /// Whether one that is there will do.
    pub(crate) reuse: Reuse,
    /// Whom its files belong to for whoever makes it.
    pub(crate) owners: Owners,
}

/// Fills a mounted layer.
pub(crate) type Fill<'a> = &'a mut dyn FnMut(&Path) -> Result<()>;

impl Running<'_> {
    /// Puts the layer of a step on a stage.
    pub(crate) fn add_layer(
        &self,
        state: &mut StageState,
        work: &LayerWork<'_>,
        fill: Fill<'_>,
    ) -> Result<Outcome> {
        let (layer, outcome) = self.layer(work, fill)?;
        state.key = work.key;
        state.made.push(Arc::new(layer));
        Ok(outcome)
    }

    /// The layer of a key: the one that is there, or a new one.
    pub(crate) fn layer(
        &self,
        work: &LayerWork<'_>,
        fill: Fill<'_>,
    ) -> Result<(HeldLayer, Outcome)> {
        self.layer_by(work, &mut |id| self.make(id, work, fill))
    }

    /// A layer with the files of another one, which was made on nothing, on what this one stands on.
    pub(crate) fn moved(&self, work: &LayerWork<'_>, from: &LayerId) -> Result<HeldLayer> {
        let moved = self.layer_by(work, &mut |id| {
            let moved = self.move_files(from, (id, work.parent.as_ref()));
            if moved.is_err() {
                self.discard(id);
            }
            moved
        });
        moved.map(|(layer, _)| layer)
    }

    fn layer_by(
        &self,
        work: &LayerWork<'_>,
        make: &mut dyn FnMut(&LayerId) -> Result<()>,
    ) -> Result<(HeldLayer, Outcome)> {
        let flight = match self.shop.cache.claim(work.key, work.reuse, self.cancel)? {
            Claim::Found(layer) => return Ok((layer, Outcome::Cached)),
            Claim::Mine(flight) => flight,
        };
        let flight = match self.bring(work, flight)? {
            Ok(layer) => return Ok((layer, Outcome::Cached)),
            Err(flight) => flight,
        };
        let permit = self.shop.permits.take(self.cancel)?;
        let id = LayerId::random().map_err(BuildError::storage("name a layer"))?;
        make(&id)?;
        drop(permit);
        let description = work.description.to_owned();
        let new = NewRecord { id: id.clone(), parent: work.parent.clone(), description };
        match flight.finish(new) {
            Ok(layer) => Ok((layer, Outcome::Done)),
            Err(error) => {
                self.discard(&id);
                Err(error)
            }
        }
    }

    /// The layer of a key without making it: found here or elsewhere.
    pub(crate) fn find(&self, work: &LayerWork<'_>) -> Result<Option<HeldLayer>> {
        match self.shop.cache.claim(work.key, work.reuse, self.cancel)? {
            Claim::Found(layer) => Ok(Some(layer)),
            Claim::Mine(flight) => Ok(self.bring(work, flight)?.ok()),
        }
    }

    /// Takes a layer over from a cache that is elsewhere. One that is damaged there is made here.
    fn bring(
        &self,
        work: &LayerWork<'_>,
        flight: Flight,
    ) -> Result<std::result::Result<HeldLayer, Flight>> {
        let place = self.elsewhere().find(&work.key).filter(|_| work.reuse == Reuse::Yes);
        let Some(place) = place else { return Ok(Err(flight)) };
        let storage = self.shop.parts.storage.as_ref();
        let (id, parent) = match place {
            Place::Layer(id) => {
                let parent = storage.parent(id).map_err(BuildError::storage("look at a layer"))?;
                (id.clone(), parent)
            }
            Place::Archive(archive) => {
                let id = LayerId::random().map_err(BuildError::storage("name a layer"))?;
                let names = (&id, work.parent.as_ref());
                let open = |archive: &Archive| self.open_archive(archive);
                if let Err(error) = unpack(storage, names, (archive, &open)) {
                    self.discard(&id);
                    self.not_from_cache(work.description, &error)?;
                    return Ok(Err(flight));
                }
                (id, work.parent.clone())
            }
        };
        let description = work.description.to_owned();
        let layer = flight.finish(NewRecord { id, parent, description })?;
        if let Place::Archive(archive) = place {
            self.shop.cache.archived(&layer.id, archive.digest);
        }
        Ok(Ok(layer))
    }

    /// As an archive, as a pulled layer would come: what it is put on has no say in what it holds.
    fn move_files(&self, from: &LayerId, (id, parent): (&LayerId, Option<&LayerId>)) -> Result<()> {
        let storage = self.shop.parts.storage.as_ref();
        storage.create(id, parent).map_err(BuildError::storage("make a layer"))?;
        let (mut reader, mut writer) =
            std::io::pipe().map_err(BuildError::io("make a pipe for", Path::new("a layer")))?;
        std::thread::scope(|scope| {
            let written = scope.spawn(move || storage.diff(from, None, &mut writer));
            let applied = storage
                .apply_diff(id, parent, &mut reader)
                .map_err(BuildError::storage("put a layer on another"));
            // Whoever writes is not to wait for nobody.
            drop(reader);
            match written.join() {
                // It failed first.
                Ok(Err(error)) if applied.is_ok() => {
                    Err(BuildError::storage("read a layer")(error))
                }
                Ok(_) => applied.map(drop),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Makes a layer only to work in it.
    pub(crate) fn on_layer(
        &self,
        parent: Option<&LayerId>,
        owners: Owners,
        fill: Fill<'_>,
    ) -> Result<()> {
        let id = LayerId::random().map_err(BuildError::storage("name a layer"))?;
        let storage = &self.shop.parts.storage;
        let options = ReadWriteOptions::default();
        storage
            .create_read_write(&id, parent, &options)
            .map_err(BuildError::storage("make a layer"))?;
        let filled = self.fill(&id, owners, fill);
        self.discard(&id);
        filled
    }

    fn make(&self, id: &LayerId, work: &LayerWork<'_>, fill: Fill<'_>) -> Result<()> {
        let storage = &self.shop.parts.storage;
        let options = ReadWriteOptions::default();
        storage
            .create_read_write(id, work.parent.as_ref(), &options)
            .map_err(BuildError::storage("make a layer"))?;
        barge_sys::fault::point("builder: layer made");
        let filled = self.fill(id, work.owners, fill);
        barge_sys::fault::point("builder: layer filled");
        if filled.is_err() && !self.keep_failed(id, &filled) {
            self.discard(id);
        }
        filled
    }

    fn fill(&self, id: &LayerId, owners: Owners, fill: Fill<'_>) -> Result<()> {
        let storage = &self.shop.parts.storage;
        // Nothing waits for the disk until the layer is part of an image.
        let options = MountOptions { durability: Durability::Volatile, owners };
        let root = storage.mount(id, &options).map_err(BuildError::storage("mount a layer"))?;
        let filled = fill(&root);
        let unmounted = storage.unmount(id).map_err(BuildError::storage("unmount a layer"));
        filled.and(unmounted)
    }

    /// Whose users a step has that reaches this and may do this.
    pub(crate) fn users(&self, rights: (StepNetwork, StepSecurity)) -> Users {
        Users::of(self.shop.parts.users.as_ref(), rights)
    }

    /// Removes a layer that nothing names.
    pub(crate) fn discard(&self, id: &LayerId) {
        match self.shop.parts.storage.remove(id) {
            // What stays is swept at the next start: there is nothing more to be done about it, and the step's own error is
            // the one to tell.
            Ok(()) | Err(StorageError::NoSuchLayer(_) | _) => {}
        }
    }

    /// Shows a layer's files to `look`, which must not change them, with these owners.
    pub(crate) fn with_view_for(
        &self,
        layer: Option<&LayerId>,
        owners: Owners,
        look: Fill<'_>,
    ) -> Result<()> {
        match owners {
            Owners::Stored => self.with_view(layer, look),
            // What is only read is never mapped.
            Owners::Mapped => self.on_layer(layer, owners, look),
        }
    }

    /// Shows a layer's files to `look`, which must not change them.
    pub(crate) fn with_view<T>(
        &self,
        layer: Option<&LayerId>,
        look: &mut dyn FnMut(&Path) -> Result<T>,
    ) -> Result<T> {
        let Some(layer) = layer else { return look(&self.place.folder()?) };
        let storage = &self.shop.parts.storage;
        let root = storage.mount_read_only(layer).map_err(BuildError::storage("show a layer"))?;
        let looked = look(&root);
        let unmounted = storage.unmount_read_only(layer);
        looked.and_then(|found| {
            unmounted.map_err(BuildError::storage("unmount a layer")).map(|()| found)
        })
    }
}
