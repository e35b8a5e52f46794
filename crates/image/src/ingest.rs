//! An image whose layers come from outside, each as a stream: what `pull` does.
//!
//! One pass over the bytes of a layer: they are kept, digested, decompressed, digested again and unpacked. Where the
//! driver's layers do not depend on each other they are unpacked side by side in any order, each under a name of its own;
//! otherwise one after the other when all are here. Nothing is visible before [`Ingest::publish`], which records the
//! layers from the lowest to the topmost and then the image with its names. What is dropped before leaves only the bytes
//! that came, for the next try.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use barge_archive::DigestReader;
use barge_archive::compression::Decoder;
use barge_storage::LayerId;
use barge_types::{Digest, ImageId, Reference};

use crate::error::{ImageError, Result};
use crate::faults;
use crate::intake::{Applied, Came, Intake, Tally, fetch_stream, format_of, unpack_stream};
use crate::layers::{Layer, LayerBlob, LayerSource, chain_ids};
use crate::manifests::KeptManifest;
use crate::part::Part;
use crate::store::{ImageStore, Pin, Prepared};
use crate::unpack::{Applying, LayerStream, read_error, run};

/// A layer that an image needs.
#[derive(Clone, Debug)]
pub struct LayerSpec {
    /// Digest of the plain archive, from the configuration.
    pub diff_id: Digest,
    /// Digest of the archive as it comes, from the manifest.
    pub blob: Digest,
    /// Bytes of it.
    pub size: u64,
    /// Places that have it when the registry must not; empty for all but non-distributable layers.
    pub urls: Vec<String>,
}

/// What becomes visible when all layers are here.
#[derive(Debug)]
pub struct Publication {
    /// The configuration, whose digest is the image's id.
    pub config: Vec<u8>,
    /// Where it came from.
    pub manifest: Option<ManifestBytes>,
    /// The index that names the manifest.
    pub index: Option<ManifestBytes>,
    /// The names that it gets.
    pub references: Vec<Reference>,
}

/// A manifest or an index, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestBytes {
    /// As the registry sent it.
    pub bytes: Vec<u8>,
    /// Which of the four forms.
    pub media_type: String,
}

/// Where a layer is.
#[derive(Debug, Default)]
struct Slot {
    /// The driver's folder, made for it; none when the driver's layers depend on each other.
    cache_id: Option<LayerId>,
    /// What is in it.
    applied: Option<Applied>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<ImageStore>,
    layers: Vec<LayerSpec>,
    chain: Vec<Digest>,
    slots: Vec<Mutex<Slot>>,
}

impl Shared {
    fn slot(&self, number: usize) -> MutexGuard<'_, Slot> {
        self.slots[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the folders from a layer on up, topmost first.
    fn discard_from(&self, number: usize) {
        for slot in self.slots.iter().skip(number).rev() {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            slot.applied = None;
            if let Some(cache_id) = slot.cache_id.take() {
                // What cannot be removed now is swept at the next start.
                self.store.driver.remove(&cache_id).ok();
            }
        }
    }
}

/// An image on its way.
#[derive(Debug)]
pub struct Ingest {
    shared: Arc<Shared>,
    /// Of the layers that are here, lowest first.
    pins: Vec<Pin>,
}

impl ImageStore {
    /// Begins an image of these layers, lowest first. Layers that are here are kept from removal.
    ///
    /// # Errors
    /// What the storage driver says, and nothing is left.
    pub fn begin(self: &Arc<Self>, layers: Vec<LayerSpec>) -> Result<Ingest> {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
        let chain = chain_ids(&diff_ids);
        let pins: Vec<Pin> = chain.iter().map_while(|chain_id| self.pin(chain_id)).collect();
        let slots = layers.iter().map(|_| Mutex::default()).collect();
        let shared = Arc::new(Shared { store: Arc::clone(self), layers, chain, slots });
        let ingest = Ingest { shared, pins };
        if self.driver.layers_are_independent() {
            ingest.make_folders()?;
        }
        Ok(ingest)
    }
}

impl Ingest {
    /// How many of the layers are here, from the lowest on.
    #[must_use]
    pub fn existing(&self) -> usize {
        self.pins.len()
    }

    /// What is missing, lowest first: layers, and the archives of layers that are here in another form, so that the
    /// image can go on as it came. Each may be fetched on a thread of its own.
    #[must_use]
    pub fn missing(&self) -> Vec<LayerTicket> {
        let Shared { store, layers, .. } = &*self.shared;
        let is_missing = |number: &usize| {
            let spec = &layers[*number];
            *number >= self.pins.len()
                || (spec.urls.is_empty() && !store.content.contains(&spec.blob))
        };
        (0..layers.len())
            .filter(is_missing)
            .map(|number| LayerTicket { shared: Arc::clone(&self.shared), number })
            .collect()
    }

    fn make_folders(&self) -> Result<()> {
        let driver = &self.shared.store.driver;
        let top = self.pins.len().checked_sub(1);
        let mut parent = top
            .and_then(|top| self.shared.store.layer(&self.shared.chain[top]))
            .map(|layer| layer.cache_id);
        for number in self.pins.len()..self.shared.layers.len() {
            let cache_id = LayerId::random().map_err(ImageError::storage("name a layer"))?;
            driver
                .create(&cache_id, parent.as_ref())
                .map_err(ImageError::storage("create a layer"))?;
            self.shared.slot(number).cache_id = Some(cache_id.clone());
            self.shared.store.step("create a layer")?;
            parent = Some(cache_id);
        }
        Ok(())
    }

    /// Shows the image: the layers from the lowest on, then the image with its names in one step.
    ///
    /// # Errors
    /// [`ImageError::Archive`] when the configuration is of other layers; whatever the disk says.
    pub fn publish(mut self, publication: Publication) -> Result<ImageId> {
        let store = Arc::clone(&self.shared.store);
        let prepared = Prepared::new(publication.config, publication.references)?;
        if prepared.known.chain_ids != self.shared.chain {
            return Err(ImageError::archive("the configuration names other layers"));
        }
        for number in 0..self.pins.len() {
            self.adopt_archive(number)?;
        }
        let mut made = Vec::new();
        for number in self.pins.len()..self.shared.layers.len() {
            match self.publish_layer(number) {
                Ok((pin, chain_id)) => {
                    self.pins.push(pin);
                    made.extend(chain_id);
                }
                Err(error) => {
                    self.pins.clear();
                    made.reverse();
                    store.give_up(&made);
                    return Err(error);
                }
            }
        }
        let id = prepared.id;
        let kept = KeptManifest::keep(&store.content, publication.manifest, publication.index)?;
        store.publish(vec![prepared.with_manifest(kept)])?;
        Ok(id)
    }

    /// Keeps the archive of a layer that was here in another form.
    fn adopt_archive(&self, number: usize) -> Result<()> {
        let Shared { store, layers, .. } = &*self.shared;
        let spec = &layers[number];
        if store.content.contains(&spec.blob) || store.content.part_length(&spec.blob) != spec.size
        {
            return Ok(());
        }
        let decoder =
            Decoder::new(store.open_bytes(&spec.blob)?).map_err(ImageError::ReadArchive)?;
        let mut plain = DigestReader::new(decoder);
        io::copy(&mut plain, &mut io::sink()).map_err(read_error)?;
        check_diff_id(number, spec, plain.finish().0)?;
        let _changing = store.changing();
        store.content.adopt_part(&spec.blob).map(drop)
    }

    /// Records a layer; returns its chain id too when it was not known before.
    fn publish_layer(&self, number: usize) -> Result<(Pin, Option<Digest>)> {
        let Shared { store, layers, chain, .. } = &*self.shared;
        let chain_id = chain[number];
        if let Some(pin) = store.pin(&chain_id) {
            // Another image brought it meanwhile. Ours and what stands on it goes, the rest is unpacked on the other's.
            self.shared.discard_from(number);
            return Ok((pin, None));
        }
        let parent = number.checked_sub(1).map(|below| chain[below]);
        let parent_cache =
            parent.and_then(|parent| store.layer(&parent)).map(|layer| layer.cache_id);
        let ready = {
            let slot = self.shared.slot(number);
            slot.cache_id.clone().zip(slot.applied)
        };
        let (cache_id, applied) = match ready {
            Some((cache_id, applied)) => {
                store
                    .driver
                    .settle(&cache_id)
                    .map_err(ImageError::storage("complete the folders of a layer"))?;
                (cache_id, applied)
            }
            None => self.unpack_here(number, parent_cache.as_ref())?,
        };
        let _changing = store.changing();
        if let Some(pin) = store.pin(&chain_id) {
            self.shared.discard_from(number);
            return Ok((pin, None));
        }
        let blob = layers[number].blob;
        let size = store.content.adopt_part(&blob)?;
        store.step("keep a blob")?;
        let layer = Layer {
            chain_id,
            diff_id: layers[number].diff_id,
            parent,
            cache_id,
            size: applied.size,
            tar_size: applied.tar_size,
            blob: Some(LayerBlob { digest: blob, size, format: applied.format }),
            source: LayerSource::Archive,
        };
        store.layer_folder.save(&layer)?;
        // It is the store's now.
        self.shared.slot(number).cache_id = None;
        Ok((store.write().add_layer(layer, store.shared()), Some(chain_id)))
    }

    /// Unpacks a layer whose bytes are here.
    fn unpack_here(&self, number: usize, parent: Option<&LayerId>) -> Result<(LayerId, Applied)> {
        let Shared { store, layers, .. } = &*self.shared;
        let spec = &layers[number];
        let cache_id = LayerId::random().map_err(ImageError::storage("name a layer"))?;
        store.driver.create(&cache_id, parent).map_err(ImageError::storage("create a layer"))?;
        self.shared.slot(number).cache_id = Some(cache_id.clone());
        store.step("create a layer")?;
        let decoder =
            Decoder::new(store.open_bytes(&spec.blob)?).map_err(ImageError::ReadArchive)?;
        let format = format_of(&decoder)?;
        let apply = |tar: &mut dyn Read| store.driver.apply_diff(&cache_id, parent, tar);
        let applying = Applying { apply, progress: &mut |_| {} };
        let (diff_id, tar_size, size) = run((decoder, Decoder::drain_source), number, applying)?;
        check_diff_id(number, spec, diff_id)?;
        Ok((cache_id, Applied { tar_size, size, format }))
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if !faults::is_dead() {
            self.shared.discard_from(0);
        }
    }
}

impl ImageStore {
    /// The bytes of a blob, or of its part when it is no blob yet.
    fn open_bytes(&self, digest: &Digest) -> Result<File> {
        if self.content.contains(digest) {
            return self.content.open_blob(digest);
        }
        let path = self.content.part_path(digest);
        File::open(&path).map_err(ImageError::io("open", &path))
    }
}

/// A layer that is to be fetched.
#[derive(Clone, Debug)]
pub struct LayerTicket {
    shared: Arc<Shared>,
    number: usize,
}

impl LayerTicket {
    /// What is to be fetched.
    #[must_use]
    pub fn spec(&self) -> &LayerSpec {
        &self.shared.layers[self.number]
    }

    /// Looks what of it is here. Waits while another image fetches the same bytes, so it is to be called on a thread
    /// that may wait.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn open(self) -> Result<OpenLayer> {
        let store = &self.shared.store;
        let blob = self.spec().blob;
        let part = if store.content.contains(&blob) {
            None
        } else {
            let mut part = store.content.part(&blob)?;
            if part.length > self.spec().size {
                // Not of this blob.
                part.file.set_len(0).map_err(ImageError::io("cut", &part.path))?;
                part.length = 0;
            }
            // It may have become a blob while we waited.
            Some(part).filter(|_| !store.content.contains(&blob))
        };
        Ok(OpenLayer { ticket: self, part })
    }
}

/// A layer whose bytes nobody else fetches now.
#[derive(Debug)]
pub struct OpenLayer {
    ticket: LayerTicket,
    /// None when the whole blob is here.
    part: Option<Part>,
}

impl OpenLayer {
    /// What is being fetched.
    #[must_use]
    pub fn spec(&self) -> &LayerSpec {
        self.ticket.spec()
    }

    /// Bytes that are here; the stream given to [`Self::unpack`] must begin after them.
    #[must_use]
    pub fn have(&self) -> u64 {
        self.part.as_ref().map_or(self.spec().size, |part| part.length)
    }

    /// Reads the rest and unpacks the layer. `progress` is told how many bytes of the blob are done.
    ///
    /// # Errors
    /// What `rest` said, or [`ImageError::Incomplete`] when it ended early: the bytes that came are kept for the next
    /// try. After any other error they are not.
    pub fn unpack(self, rest: LayerStream, progress: &mut dyn FnMut(u64)) -> Result<()> {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let done = self.pass((rest, Arc::clone(&tally)), progress);
        match done {
            Ok(applied) => {
                let mut slot = self.ticket.shared.slot(self.ticket.number);
                slot.applied = applied.filter(|_| slot.cache_id.is_some());
                Ok(())
            }
            Err(error) => {
                let came = tally.lock().unwrap_or_else(PoisonError::into_inner).state;
                let is_useful =
                    came == Came::Broken || matches!(error, ImageError::Incomplete { .. });
                if let Some(part) = self.part.filter(|_| !is_useful && !faults::is_dead()) {
                    // The first error is the one to tell.
                    part.discard().ok();
                }
                Err(error)
            }
        }
    }

    fn pass(
        &self,
        (rest, tally): (LayerStream, Arc<Mutex<Tally>>),
        progress: &mut dyn FnMut(u64),
    ) -> Result<Option<Applied>> {
        let (shared, number) = (&self.ticket.shared, self.ticket.number);
        let store = &shared.store;
        let read = Arc::new(AtomicU64::new(0));
        let intake = self.intake(rest, (Arc::clone(&tally), Arc::clone(&read)))?;
        let cache_id = shared.slot(number).cache_id.clone();
        let outcome = match &cache_id {
            Some(cache_id) => {
                let apply = |tar: &mut dyn Read| {
                    let parent = store.driver.parent(cache_id)?;
                    store.driver.apply_diff(cache_id, parent.as_ref(), tar)
                };
                let mut tell = |_| progress(read.load(Ordering::Relaxed));
                unpack_stream(intake, number, Applying { apply, progress: &mut tell }).map(Some)
            }
            None => fetch_stream(intake, progress).map(|()| None),
        };
        let Tally { digester, bytes, state } =
            tally.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (spec, digest) = (self.spec(), digester.finish().0);
        // What is wrong with the bytes explains whatever went wrong with what was made of them.
        if state == Came::TooMuch {
            return Err(ImageError::TooLong { layer: number, expected: spec.size });
        }
        if bytes == spec.size && digest != spec.blob {
            let what = format!("layer {number}");
            return Err(ImageError::WrongDigest { what, expected: spec.blob, got: digest });
        }
        if bytes < spec.size && state == Came::All {
            return Err(ImageError::Incomplete { expected: spec.size, got: bytes });
        }
        let unpacked = outcome?;
        store.step("unpack a layer")?;
        match unpacked {
            Some((diff_id, applied)) => {
                check_diff_id(number, spec, diff_id)?;
                Ok(Some(applied))
            }
            None => Ok(None),
        }
    }

    fn intake(
        &self,
        rest: LayerStream,
        (tally, read): (Arc<Mutex<Tally>>, Arc<AtomicU64>),
    ) -> Result<Intake> {
        let spec = self.spec();
        let (kept, sink) = match &self.part {
            None => (self.ticket.shared.store.content.open_blob(&spec.blob)?, None),
            Some(part) => {
                let again = || part.file.try_clone().map_err(ImageError::io("open", &part.path));
                // By the descriptor: the name may be the blob's by now.
                let own = format!("/proc/self/fd/{}", part.file.as_raw_fd());
                let kept = File::open(own).map_err(ImageError::io("open", &part.path))?;
                (kept, Some(again()?))
            }
        };
        Ok(Intake { kept: kept.take(self.have()), rest, sink, tally, read, limit: spec.size })
    }
}

fn check_diff_id(number: usize, spec: &LayerSpec, got: Digest) -> Result<()> {
    if got == spec.diff_id {
        return Ok(());
    }
    Err(ImageError::WrongDiffId { layer: number, expected: spec.diff_id, got })
}
