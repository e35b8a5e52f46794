//! Layers that a build made become layers of images where they are: their files are read once for the digest, and nothing
//! is copied or packed.
//!
//! An adopted layer is in memory only until an image with it is published; then its record is written. Its files belong
//! to the build's cache as much as to the images: whoever gives a layer up calls [`ImageStore::release`], and it goes when
//! nobody else needs it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::thread;

use barge_archive::DigestWriter;
use barge_archive::compression::{Compression, Encoder};
use barge_storage::{LayerId, StorageError};
use barge_types::Digest;

use crate::archives::pack_options;
use crate::error::{ImageError, Result};
use crate::faults;
use crate::layers::{BlobFormat, Layer, LayerBlob, LayerSource, chain_id};
use crate::remove::ImageUsage;
use crate::store::{ImageStore, Pin};

/// How layers are adopted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdoptOptions {
    /// Times after this one are this one in the archive, in seconds since the epoch (`SOURCE_DATE_EPOCH`).
    pub latest: Option<i64>,
}

/// A layer that images can be made of.
#[derive(Debug)]
pub struct Adopted {
    /// Identifies it with all below it.
    pub chain_id: Digest,
    /// Digest of its plain archive.
    pub diff_id: Digest,
    /// Bytes of content.
    pub size: u64,
    /// What the storage driver calls the layer that images will use: the one that was adopted, or another with the same
    /// content on the same parents.
    pub cache_id: LayerId,
    /// Keeps it. To be held until the image is published.
    pub pin: Pin,
}

/// What reading a layer's files found.
#[derive(Clone, Debug)]
struct Measured {
    diff_id: Digest,
    tar_size: u64,
    size: u64,
    /// Made at once where the same bytes could not be made later.
    blob: Option<LayerBlob>,
}

/// What is known of layers whose files were read, as long as they are there.
#[derive(Debug, Default)]
pub(crate) struct Measures(Mutex<HashMap<(LayerId, Option<i64>), Measured>>);

impl Measures {
    fn get(&self, id: &LayerId, latest: Option<i64>) -> Option<Measured> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(id.clone(), latest)).cloned()
    }

    fn insert(&self, id: &LayerId, latest: Option<i64>, measured: Measured) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert((id.clone(), latest), measured);
    }

    pub(crate) fn forget(&self, id: &LayerId) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(known, _), _| known != id);
    }
}

impl ImageStore {
    /// Makes a layer of the driver one of images, on a layer that is one. Nobody may write to it any more. One of the same
    /// content on the same parents that is here already is used instead, and the other stays the caller's alone.
    ///
    /// # Errors
    /// [`ImageError::Damaged`] when the parent is not here; whatever the disk says.
    pub fn adopt(
        &self,
        cache_id: &LayerId,
        parent: Option<&Digest>,
        options: &AdoptOptions,
    ) -> Result<Adopted> {
        let measured = self.measure(cache_id, options)?;
        self.step("adopt a layer")?;
        let chain_id = chain_id(parent, &measured.diff_id);
        // So that no record is written between looking for one and showing this.
        let _changing = self.changing();
        if let Some(parent) = parent
            && self.layer(parent).is_none()
        {
            let missing = format!("layer {parent}");
            return Err(ImageError::Damaged { image: "to be built".to_owned(), missing });
        }
        let Measured { diff_id, tar_size, size, blob } = measured;
        let pin = if let Some(pin) = self.pin(&chain_id) {
            pin
        } else {
            let layer = Layer {
                chain_id,
                diff_id,
                parent: parent.copied(),
                cache_id: cache_id.clone(),
                size,
                tar_size,
                blob,
                source: LayerSource::Build { latest: options.latest },
            };
            self.write().add_unrecorded(layer, self.shared())
        };
        let used = self.layer(&chain_id).map_or_else(|| cache_id.clone(), |layer| layer.cache_id);
        Ok(Adopted { chain_id, diff_id, size, cache_id: used, pin })
    }

    /// [`Self::adopt`] of layers that stand on each other, lowest first. Their files are read side by side.
    ///
    /// # Errors
    /// As there.
    pub fn adopt_all(
        &self,
        layers: &[LayerId],
        parent: Option<&Digest>,
        options: &AdoptOptions,
    ) -> Result<Vec<Adopted>> {
        self.measure_all(layers, options)?;
        let mut adopted: Vec<Adopted> = Vec::with_capacity(layers.len());
        for layer in layers {
            let below = adopted.last().map(|below| below.chain_id);
            adopted.push(self.adopt(layer, below.as_ref().or(parent), options)?);
        }
        Ok(adopted)
    }

    /// Reads a layer's files ahead of [`Self::adopt`], which then has only to look it up.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn measure_layer(&self, cache_id: &LayerId, options: &AdoptOptions) -> Result<()> {
        self.measure(cache_id, options).map(drop)
    }

    fn measure_all(&self, layers: &[LayerId], options: &AdoptOptions) -> Result<()> {
        let unknown: Vec<&LayerId> =
            layers.iter().filter(|id| self.known(id, options).is_none()).collect();
        if unknown.len() < 2 {
            return Ok(());
        }
        // As in a test the points belong to the thread, one thread there.
        let most =
            if cfg!(test) { 1 } else { thread::available_parallelism().map_or(1, usize::from) };
        let next = Mutex::new(unknown.into_iter());
        let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            while let Some(id) = take() {
                self.measure(id, options)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let others: Vec<_> = (1..most).map(|_| scope.spawn(work)).collect();
            let own = work();
            let joined = others.into_iter().filter_map(|other| other.join().ok());
            joined.fold(own, Result::and)
        })
    }

    /// What is known of a layer's files without reading them.
    fn known(&self, cache_id: &LayerId, options: &AdoptOptions) -> Option<Measured> {
        let source = LayerSource::Build { latest: options.latest };
        let state = self.read();
        let same = |layer: &&Layer| layer.cache_id == *cache_id && layer.source == source;
        if let Some(layer) = state.layers.values().find(same) {
            let Layer { diff_id, tar_size, size, blob, .. } = layer.clone();
            return Some(Measured { diff_id, tar_size, size, blob });
        }
        drop(state);
        // A blob that went with the last record of the layer is made again.
        let is_whole = |measured: &Measured| {
            measured.blob.as_ref().is_none_or(|blob| self.content.contains(&blob.digest))
        };
        self.measures.get(cache_id, options.latest).filter(is_whole)
    }

    fn measure(&self, cache_id: &LayerId, options: &AdoptOptions) -> Result<Measured> {
        if let Some(known) = self.known(cache_id, options) {
            return Ok(known);
        }
        let mut out = DigestWriter::new(std::io::sink());
        let packed = self.pack(cache_id, &pack_options(options.latest), &mut out)?;
        let (diff_id, tar_size, _) = out.finish();
        let measured = if packed.has_holes {
            self.measure_packing(cache_id, options)?
        } else {
            Measured { diff_id, tar_size, size: packed.bytes, blob: None }
        };
        self.measures.insert(cache_id, options.latest, measured.clone());
        Ok(measured)
    }

    /// Reads a layer and keeps its archive: where holes are may be seen otherwise later.
    fn measure_packing(&self, cache_id: &LayerId, options: &AdoptOptions) -> Result<Measured> {
        let mut writer = self.content.writer()?;
        let encoder = Encoder::new(&mut writer, Compression::Zstd)?;
        let mut out = DigestWriter::new(encoder);
        let packed = self.pack(cache_id, &pack_options(options.latest), &mut out)?;
        let (diff_id, tar_size, encoder) = out.finish();
        encoder.finish()?;
        let (digest, size) = writer.commit()?;
        let blob = Some(LayerBlob { digest, size, format: BlobFormat::Zstd });
        Ok(Measured { diff_id, tar_size, size: packed.bytes, blob })
    }

    /// Gives layers of the driver up, topmost first: those go that no image, no work under way and nothing in `usage`
    /// needs, with what the store knows of them. Returns which went. What stays goes with the last image that needs it.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn release(&self, top_first: &[LayerId], usage: &dyn ImageUsage) -> Result<Vec<LayerId>> {
        let _changing = self.changing();
        let in_use = usage.layers_in_use();
        let mut gone = Vec::new();
        for id in top_first.iter().filter(|id| !in_use.contains(id)) {
            let of_layer: Vec<Digest> = {
                let state = self.read();
                let same = state.layers.values().filter(|layer| layer.cache_id == *id);
                same.map(|layer| layer.chain_id).collect()
            };
            if of_layer.is_empty() {
                match self.driver.remove(id) {
                    Ok(()) => self.measures.forget(id),
                    // Somebody stands on it, and goes before it.
                    Err(
                        StorageError::HasChildren { .. }
                        | StorageError::Mounted(_)
                        | StorageError::NoSuchLayer(_),
                    ) => {}
                    Err(error) => return Err(ImageError::storage("remove a layer")(error)),
                }
            } else {
                self.remove_unneeded(&of_layer, &in_use)?;
            }
            faults::point("release a layer")
                .map_err(ImageError::io("remove from", &self.folder))?;
            if !self.driver.exists(id) {
                gone.push(id.clone());
            }
        }
        Ok(gone)
    }
}
