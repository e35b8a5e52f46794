//! Taking away what nothing needs: layers without an image, blobs without a layer or an image.

use std::collections::HashSet;

use barge_storage::{LayerId, StorageError};
use barge_types::Digest;

use crate::durable;
use crate::error::{ImageError, Result};
use crate::index::Index;
use crate::layers::{self, Layer};
use crate::remove::ImageUsage;
use crate::store::{ImageStore, State};

/// Layers that images, other layers or work under way need.
fn needed(state: &State) -> HashSet<Digest> {
    let of_images = state.known.values().flat_map(|known| &known.chain_ids);
    let parents = state.layers.values().filter_map(|layer| layer.parent.as_ref());
    of_images.chain(state.pins.keys()).chain(parents).copied().collect()
}

impl ImageStore {
    /// Removes those of some layers that nothing needs, children before their parents; returns
    /// which. Layers that the driver says are stood upon are a container's and stay.
    pub(crate) fn remove_unneeded(
        &self,
        top_first: &[Digest],
        in_use: &HashSet<LayerId>,
    ) -> Result<Vec<Digest>> {
        let mut removed = Vec::new();
        for chain_id in top_first {
            let Some(layer) = self.take_unneeded(chain_id, in_use) else {
                continue;
            };

            match self.remove_files(&layer.cache_id, in_use) {
                Ok(()) | Err(StorageError::NoSuchLayer(_)) => {}
                Err(StorageError::HasChildren { .. } | StorageError::Mounted(_)) => {
                    self.put_back(layer);
                    continue;
                }
                Err(error) => {
                    self.put_back(layer);
                    return Err(ImageError::storage("remove a layer")(error));
                }
            }
            self.layer_folder.remove(chain_id)?;
            removed.push(*chain_id);
            if let Some(blob) = &layer.blob {
                self.remove_blob_if_unneeded(&blob.digest)?;
            }
        }
        Ok(removed)
    }

    /// Removes a layer's files, unless another chain of layers has the same ones, with what they stood on when that was
    /// only theirs: a build's layers may stand on its own where an image's chain names another with the same content.
    fn remove_files(
        &self,
        cache_id: &LayerId,
        in_use: &HashSet<LayerId>,
    ) -> barge_storage::Result<()> {
        if self.has_files(cache_id) {
            return Ok(());
        }
        let mut below = self.driver.parent(cache_id).unwrap_or_default();
        self.driver.remove(cache_id)?;
        self.measures.forget(cache_id);
        while let Some(id) = below.take() {
            if in_use.contains(&id) || self.has_files(&id) {
                break;
            }
            let next = self.driver.parent(&id).unwrap_or_default();
            match self.driver.remove(&id) {
                Ok(()) => {
                    self.measures.forget(&id);
                    below = next;
                }
                // Somebody stands on it or it is gone; what else there is, the sweep at the next start finds.
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Whether a layer of the store has its files in a layer of the driver.
    fn has_files(&self, cache_id: &LayerId) -> bool {
        self.read().layers.values().any(|layer| layer.cache_id == *cache_id)
    }

    /// Takes a layer that nothing needs out of what is known, in one step: a load that comes a moment later does not
    /// build on it, but unpacks its own.
    fn take_unneeded(&self, chain_id: &Digest, in_use: &HashSet<LayerId>) -> Option<Layer> {
        let mut state = self.write();
        let layer = state.layers.get(chain_id)?;
        if in_use.contains(&layer.cache_id) || needed(&state).contains(chain_id) {
            return None;
        }
        state.layers.remove(chain_id)
    }

    fn put_back(&self, layer: Layer) {
        self.write().layers.insert(layer.chain_id, layer);
    }

    /// Removes a blob that no image or layer of this store names, unless another driver's store
    /// shares it.
    pub(crate) fn remove_blob_if_unneeded(&self, digest: &Digest) -> Result<()> {
        let needed = {
            let state = self.read();
            state.index.blobs().any(|blob| blob == *digest)
                || state.layers.values().any(|layer| layer.has_blob(digest))
        };
        if needed || self.others_need(digest)? { Ok(()) } else { self.content.remove(digest) }
    }

    /// Whether the store of another driver in the same data root names a blob.
    fn others_need(&self, digest: &Digest) -> Result<bool> {
        let Some(stores) = self.folder.parent() else {
            return Ok(false);
        };
        for name in durable::names(stores)? {
            let folder = stores.join(&name);
            if name == self.driver.name() || !folder.join("layers").is_dir() {
                continue;
            }
            let mut damaged = Vec::new();
            let layers = layers::read_all(&folder.join("layers"), &mut damaged)?;
            let index = Index::load(&folder.join("index.json"))?;
            // What cannot be read may name anything.
            if !damaged.is_empty()
                || layers.iter().any(|layer| layer.has_blob(digest))
                || index.blobs().any(|blob| blob == *digest)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes layers and blobs that nothing names: what failed loads and crashes left, and layers
    /// whose image was forced away while a container still stood on them. To be called at start,
    /// after the driver's own sweep (a layer that a half-made one stands on could not go).
    pub fn sweep(&self, usage: &dyn ImageUsage) -> Result<()> {
        let _changing = self.changing();
        self.remove_all_unneeded(usage)?;
        // A damaged image may come back (a disk mounted late): its blobs stay.
        if self.damaged().is_empty() {
            for digest in self.content.list()? {
                self.remove_blob_if_unneeded(&digest)?;
            }
        }
        Ok(())
    }

    /// Removes the layers that nothing needs any more after a container went whose image was forced away before it.
    pub fn sweep_layers(&self, usage: &dyn ImageUsage) -> Result<()> {
        let _changing = self.changing();
        self.remove_all_unneeded(usage)
    }

    fn remove_all_unneeded(&self, usage: &dyn ImageUsage) -> Result<()> {
        let in_use = usage.layers_in_use();
        loop {
            let layers: Vec<Digest> = self.read().layers.keys().copied().collect();
            if self.remove_unneeded(&layers, &in_use)?.is_empty() {
                return Ok(());
            }
        }
    }
}
