//! The store: opening, looking up, naming, holding.
//!
//! Memory follows the disk: a change is written, then shown. Changes wait for each other, readers
//! for nobody.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use barge_archive::Digester;
use barge_oci::image::ImageConfig;
use barge_storage::{LayerId, StorageDriver};
use barge_types::{Digest, ImageId, Reference};

use crate::adopt::Measures;
use crate::content::ContentStore;
use crate::durable;
use crate::error::{ImageError, Result};
use crate::image::Image;
use crate::index::Index;
use crate::layers::{Layer, LayerFolder, chain_ids};
use crate::manifests::KeptManifest;
use crate::reserve::Reserve;

/// What is known of a whole image.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) config: Arc<ImageConfig>,
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) chain_ids: Vec<Digest>,
}

impl Known {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let config: ImageConfig =
            serde_json::from_slice(bytes).map_err(ImageError::json("the image configuration"))?;
        let diff_ids = config
            .rootfs
            .diff_ids
            .iter()
            .map(|text| text.parse())
            .collect::<std::result::Result<Vec<Digest>, _>>()
            .map_err(|error| ImageError::archive(error.to_string()))?;
        let chain_ids = chain_ids(&diff_ids);
        Ok(Self { config: Arc::new(config), diff_ids, chain_ids })
    }
}

/// What readers see.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) index: Index,
    pub(crate) known: BTreeMap<ImageId, Known>,
    pub(crate) layers: HashMap<Digest, Layer>,
    /// How often a layer is needed by something under way.
    pub(crate) pins: HashMap<Digest, usize>,
    /// Layers that are in memory only, and as long as they are pinned.
    pub(crate) unrecorded: HashSet<Digest>,
}

impl State {
    /// Shows a recorded layer, pinned.
    pub(crate) fn add_layer(&mut self, layer: Layer, shared: &Shared) -> Pin {
        let chain_id = layer.chain_id;
        self.unrecorded.remove(&chain_id);
        self.layers.insert(chain_id, layer);
        *self.pins.entry(chain_id).or_default() += 1;
        Pin { state: Arc::clone(shared), chain_id }
    }

    /// Shows a layer that is to be recorded when an image with it is published, pinned.
    pub(crate) fn add_unrecorded(&mut self, layer: Layer, shared: &Shared) -> Pin {
        let chain_id = layer.chain_id;
        let pin = self.add_layer(layer, shared);
        self.unrecorded.insert(chain_id);
        pin
    }

    pub(crate) fn image(&self, id: &ImageId) -> Option<Image> {
        let known = self.known.get(id)?;
        let record = self.index.image(id);
        let layers = || known.chain_ids.iter().filter_map(|chain| self.layers.get(chain));
        Some(Image {
            id: *id,
            config: Arc::clone(&known.config),
            references: self.index.names(id),
            size: layers().map(|layer| layer.size).sum(),
            diff_ids: known.diff_ids.clone(),
            chain_ids: known.chain_ids.clone(),
            top_layer: layers().next_back().map(|layer| layer.cache_id.clone()),
            parent: record
                .and_then(|record| record.parent)
                .filter(|parent| self.known.contains_key(parent)),
            last_tagged: record.and_then(|record| record.last_tagged.clone()),
        })
    }
}

pub(crate) type Shared = Arc<RwLock<State>>;

/// Keeps a layer while something that needs it is under way.
pub struct Pin {
    state: Shared,
    chain_id: Digest,
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pin").field(&self.chain_id).finish()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = state.pins.get_mut(&self.chain_id) {
            *count -= 1;
            if *count == 0 {
                state.pins.remove(&self.chain_id);
                if state.unrecorded.remove(&self.chain_id) {
                    state.layers.remove(&self.chain_id);
                }
            }
        }
    }
}

/// An image whose layers stay as long as this lives, so that a container can be made of it while
/// others remove it.
#[derive(Debug)]
pub struct Held {
    image: Image,
    _pin: Option<Pin>,
}

impl Deref for Held {
    type Target = Image;

    fn deref(&self) -> &Image {
        &self.image
    }
}

/// An image whose layers are there and pinned, to be made visible.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) id: ImageId,
    pub(crate) config: Vec<u8>,
    pub(crate) known: Known,
    pub(crate) references: Vec<Reference>,
    pub(crate) manifest: Option<KeptManifest>,
    pub(crate) parent: Option<ImageId>,
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

impl Prepared {
    pub(crate) fn new(config: Vec<u8>, references: Vec<Reference>) -> Result<Self> {
        let known = Known::parse(&config)?;
        let id = ImageId::new(Digester::of(&config));
        Ok(Self { id, config, known, references, manifest: None, parent: None, annotations: None })
    }

    /// With the image that it was committed on.
    pub(crate) fn with_parent(self, parent: Option<ImageId>) -> Self {
        Self { parent, ..self }
    }

    /// With annotations of its manifests.
    pub(crate) fn with_annotations(self, annotations: BTreeMap<String, String>) -> Self {
        Self { annotations: Some(annotations), ..self }
    }

    /// With the manifest that it came with.
    pub(crate) fn with_manifest(self, manifest: Option<KeptManifest>) -> Self {
        Self { manifest, ..self }
    }
}

/// The images of a data root and a storage driver.
#[derive(Debug)]
pub struct ImageStore {
    pub(crate) content: ContentStore,
    pub(crate) driver: Arc<dyn StorageDriver>,
    pub(crate) layer_folder: LayerFolder,
    /// `image/<driver>`.
    pub(crate) folder: PathBuf,
    pub(crate) reserve: Reserve,
    pub(crate) measures: Measures,
    state: Shared,
    writer: Mutex<()>,
    damaged: Vec<ImageError>,
}

impl ImageStore {
    /// Opens the store of a data root. What a killed process left half done is removed; an image
    /// that lost its configuration or a layer is left out and told by [`Self::damaged`].
    pub fn open(root: &Path, driver: Arc<dyn StorageDriver>) -> Result<Self> {
        let content = ContentStore::open(root)?;
        let folder = root.join("image").join(driver.name());
        durable::create_folder(&folder)?;
        durable::sweep(&folder)?;
        let layer_folder = LayerFolder::open(folder.join("layers"))?;
        let mut damaged = Vec::new();
        let layers = layer_folder.load(driver.as_ref(), &mut damaged)?;
        let index = Index::load(&folder.join("index.json"))?;
        let mut known = BTreeMap::new();
        for id in index.images() {
            match known_image(&content, &layers, id) {
                Ok(image) => {
                    known.insert(*id, image);
                }
                Err(error) => damaged.push(error),
            }
        }
        let reserve = Reserve::in_folder(&folder);
        let state = State { index, known, layers, ..State::default() };
        Ok(Self {
            content,
            driver,
            layer_folder,
            folder,
            reserve,
            measures: Measures::default(),
            state: Arc::new(RwLock::new(state)),
            writer: Mutex::new(()),
            damaged,
        })
    }

    /// What could not be used when the store was opened.
    #[must_use]
    pub fn damaged(&self) -> &[ImageError] {
        &self.damaged
    }

    /// The blobs.
    #[must_use]
    pub fn content(&self) -> &ContentStore {
        &self.content
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.state
    }

    /// To be held by whoever changes the disk. Never while a layer is unpacked.
    pub(crate) fn changing(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the index on disk, then in memory. The caller holds [`Self::changing`].
    pub(crate) fn change_index<T>(&self, change: impl FnOnce(&mut Index) -> T) -> Result<T> {
        let mut index = self.read().index.clone();
        let result = change(&mut index);
        index.save(&self.index_path())?;
        self.write().index = index;
        Ok(result)
    }

    /// [`Self::change_index`] for what makes room: it succeeds on a full disk too.
    pub(crate) fn shrink_index(&self, change: impl FnOnce(&mut Index)) -> Result<()> {
        let mut index = self.read().index.clone();
        change(&mut index);
        let path = self.index_path();
        self.reserve.write(|| index.save(&path))?;
        self.write().index = index;
        Ok(())
    }

    fn index_path(&self) -> PathBuf {
        self.folder.join("index.json")
    }

    /// Keeps a layer that is there.
    pub(crate) fn pin(&self, chain_id: &Digest) -> Option<Pin> {
        let mut state = self.write();
        if !state.layers.contains_key(chain_id) {
            return None;
        }
        *state.pins.entry(*chain_id).or_default() += 1;
        Some(Pin { state: Arc::clone(&self.state), chain_id: *chain_id })
    }

    /// The image of a name, an id or the beginning of an id.
    pub fn get(&self, name: &str) -> Result<Image> {
        let id = self.resolve(name)?.id();
        self.image(&id)
    }

    /// The image of an id.
    pub fn image(&self, id: &ImageId) -> Result<Image> {
        self.read().image(id).ok_or_else(|| ImageError::NoSuchImage(id.to_string()))
    }

    /// The image of a name, held: see [`Held`].
    pub fn hold(&self, name: &str) -> Result<Held> {
        let image = self.get(name)?;
        let pin = image.chain_ids.last().and_then(|chain_id| self.pin(chain_id));
        if pin.is_none() && !image.chain_ids.is_empty() {
            return Err(ImageError::no_such(name));
        }
        Ok(Held { image, _pin: pin })
    }

    /// All images, by id.
    #[must_use]
    pub fn list(&self) -> Vec<Image> {
        let state = self.read();
        state.known.keys().filter_map(|id| state.image(id)).collect()
    }

    /// The configuration's bytes as they came.
    pub fn config_bytes(&self, id: &ImageId) -> Result<Vec<u8>> {
        self.image(id)?;
        self.content.read(&id.digest())
    }

    /// A layer by its chain id.
    #[must_use]
    pub fn layer(&self, chain_id: &Digest) -> Option<Layer> {
        self.read().layers.get(chain_id).cloned()
    }

    /// All layers, in no order.
    #[must_use]
    pub fn layers(&self) -> Vec<Layer> {
        self.read().layers.values().cloned().collect()
    }

    /// Bytes of content of all layers but some, each of the driver's once however many chains it is in.
    #[must_use]
    pub fn bytes_of_layers(&self, without: &HashSet<LayerId>) -> u64 {
        let state = self.read();
        let layers = state.layers.values().filter(|layer| !without.contains(&layer.cache_id));
        let sizes: HashMap<&LayerId, u64> =
            layers.map(|layer| (&layer.cache_id, layer.size)).collect();
        sizes.values().sum()
    }

    /// Bytes of content of a layer of the driver and all below it; 0 for one that the store does not have.
    #[must_use]
    pub fn size_down_from(&self, cache_id: &LayerId) -> u64 {
        let state = self.read();
        let mut next = state.layers.values().find(|layer| layer.cache_id == *cache_id);
        let mut sum = 0;
        while let Some(layer) = next {
            sum += layer.size;
            next = layer.parent.and_then(|parent| state.layers.get(&parent));
        }
        sum
    }

    /// Every layer of the driver that belongs to the store, for the driver's sweep.
    #[must_use]
    pub fn layer_ids(&self) -> HashSet<LayerId> {
        self.read().layers.values().map(|layer| layer.cache_id.clone()).collect()
    }

    /// Gives an image a name. The image that had it before is returned and stays, perhaps without a
    /// name.
    pub fn tag(&self, id: &ImageId, reference: &Reference) -> Result<Option<ImageId>> {
        if reference.digest().is_some() {
            return Err(ImageError::TagWithDigest);
        }
        let _changing = self.changing();
        self.image(id)?;
        self.change_index(|index| index.tag(reference, *id, &now()))
    }

    /// Makes images visible with their names, all or none: what unpacking has prepared. Returns for
    /// each name the image that had it before.
    pub(crate) fn publish(&self, images: Vec<Prepared>) -> Result<Vec<(Reference, ImageId)>> {
        let _changing = self.changing();
        let now = now();
        self.record(&images)?;
        let displaced = self.change_index(|index| {
            let mut displaced = Vec::new();
            for image in &images {
                index.insert(image.id);
                index.add_manifest(&image.id, image.manifest.clone());
                index.set_parent(&image.id, image.parent);
                index.set_annotations(&image.id, image.annotations.as_ref());
                for reference in &image.references {
                    let before = index.tag(reference, image.id, &now);
                    displaced.extend(before.map(|before| (reference.clone(), before)));
                }
            }
            displaced
        })?;
        let mut state = self.write();
        for image in images {
            state.known.insert(image.id, image.known);
        }
        Ok(displaced)
    }
}

fn known_image(
    content: &ContentStore,
    layers: &HashMap<Digest, Layer>,
    id: &ImageId,
) -> Result<Known> {
    let known = Known::parse(&content.read(&id.digest())?)?;
    match known.chain_ids.iter().find(|chain_id| !layers.contains_key(chain_id)) {
        None => Ok(known),
        Some(missing) => {
            Err(ImageError::Damaged { image: id.to_string(), missing: format!("layer {missing}") })
        }
    }
}

/// The time as configurations and records have it.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().to_string()
}
