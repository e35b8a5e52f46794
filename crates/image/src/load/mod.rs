//! `load`: archives that `docker save`, skopeo and others write become images.
//!
//! The archive comes as a stream, but its table of contents may stand at its end: it is spooled to
//! a file without a name and indexed; layers are then read by their place. Everything is unpacked
//! and checked before anything is shown.

mod archive;
mod docker_archive;
mod oci_layout;
mod v1;

use std::io::Read;
use std::path::Path;

use barge_archive::Digester;
use barge_oci::image::ImageConfig;
use barge_types::{Digest, ImageId, Platform, Reference};

use crate::attest::Attestation;
use crate::durable;
use crate::error::{ImageError, Result};
use crate::ingest::ManifestBytes;
use crate::layers::chain_id;
use crate::manifests::KeptManifest;
use crate::store::{Held, ImageStore, Known, Pin, Prepared};
use crate::unpack::{Expected, Unpacked};
use archive::Archive;
pub use archive::LONGEST_DOCUMENT;
pub use oci_layout::LayoutName;

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadProgress {
    /// A layer is being unpacked.
    Unpacking {
        /// The layer, where the archive names it.
        diff_id: Option<Digest>,
        /// Plain bytes so far.
        current: u64,
        /// Bytes of the layer in the archive, which may be compressed.
        total: u64,
    },
    /// A layer was there already.
    Exists {
        /// The layer.
        diff_id: Digest,
    },
}

/// One image of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The image.
    pub id: ImageId,
    /// The names it got.
    pub references: Vec<Reference>,
    /// Names that another image had before.
    pub displaced: Vec<(Reference, ImageId)>,
}

/// One image of an archive, as its table of contents describes it.
#[derive(Clone, Debug)]
struct Plan {
    config: PlannedConfig,
    references: Vec<Reference>,
    /// Lowest first.
    layers: Vec<PlannedLayer>,
    /// Where the layers' blobs are named as they are kept.
    manifest: Option<ManifestBytes>,
    /// What names the manifest, besides the archive's own table of contents.
    index: Option<ManifestBytes>,
    /// What that index says of the manifest.
    said: Option<Attestation>,
}

#[derive(Clone, Debug)]
enum PlannedConfig {
    /// The bytes whose digest is the id.
    Bytes(Vec<u8>),
    /// Before Docker 1.10 there was none: it is made when the layers' digests are known.
    ToBeMade(Box<ImageConfig>),
}

#[derive(Clone, Debug)]
struct PlannedLayer {
    /// Name in the archive.
    entry: String,
    /// Digest of the entry's bytes, where the archive says it.
    blob: Option<Digest>,
}

type Progress<'a> = &'a mut dyn FnMut(LoadProgress);

impl ImageStore {
    /// Loads all images of an archive: Docker's (with `manifest.json`, or only `repositories`) or
    /// an OCI image layout, the whole plain or compressed.
    ///
    /// # Errors
    /// An archive with any fault is refused as a whole and leaves nothing.
    pub fn load(&self, stream: &mut dyn Read, progress: Progress<'_>) -> Result<Vec<Loaded>> {
        let archive = Archive::spool(stream, durable::nameless(&self.folder)?)?;
        let plans = if archive.contains("manifest.json") {
            docker_archive::plan(&archive)?
        } else if archive.contains("index.json") {
            oci_layout::plan(&archive)?
        } else if archive.contains("repositories") {
            v1::plan(&archive)?
        } else {
            return Err(ImageError::archive(
                "neither manifest.json nor index.json nor repositories is in it (a root file system becomes an image by import)",
            ));
        };
        if plans.is_empty() {
            return Err(ImageError::archive("no image is in it"));
        }
        self.load_all(&archive, plans, progress)
    }

    /// An image of an OCI layout that is a folder, by its tag or digest: the one that is here, or loaded from there
    /// without any name. Nothing is copied but what is unpacked.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_layout(
        &self,
        folder: &Path,
        (name, platform): (&LayoutName, &Platform),
        progress: Progress<'_>,
    ) -> Result<Held> {
        let archive = Archive::folder(folder)?;
        let plan = oci_layout::plan_named(&archive, name, platform)?;
        if let PlannedConfig::Bytes(bytes) = &plan.config
            && let Ok(held) = self.hold(&Digester::of(bytes).to_string())
        {
            return Ok(held);
        }
        let loaded = self.load_all(&archive, vec![plan], progress)?;
        let loaded = loaded.first().ok_or_else(|| ImageError::archive("no image is in it"))?;
        self.hold(&loaded.id.to_string())
    }

    /// Loads everything or nothing.
    fn load_all(
        &self,
        archive: &Archive,
        plans: Vec<Plan>,
        progress: Progress<'_>,
    ) -> Result<Vec<Loaded>> {
        let mut made = Made::default();
        let loaded = self.load_plans(archive, plans, (&mut made, progress));
        drop(made.pins);
        if loaded.is_err() {
            made.layers.reverse();
            self.give_up(&made.layers);
        }
        loaded
    }

    fn load_plans(
        &self,
        archive: &Archive,
        plans: Vec<Plan>,
        (made, progress): (&mut Made, Progress<'_>),
    ) -> Result<Vec<Loaded>> {
        let mut images = Vec::with_capacity(plans.len());
        let mut manifests = Vec::with_capacity(plans.len());
        for mut plan in plans {
            manifests.push((plan.manifest.take(), plan.index.take(), plan.said.take()));
            images.push(self.prepare(archive, plan, (made, progress))?);
        }
        let mut kept = Vec::with_capacity(images.len());
        for (image, (manifest, index, said)) in images.into_iter().zip(manifests) {
            let mut manifest = KeptManifest::keep(&self.content, manifest, index)?;
            if let (Some(manifest), Some(said)) = (&mut manifest, said) {
                manifest.attestation = Some(said.keep(&self.content)?);
            }
            kept.push(image.with_manifest(manifest));
        }
        let images = kept;
        let mut loaded: Vec<Loaded> = images
            .iter()
            .map(|image| Loaded {
                id: image.id,
                references: image.references.clone(),
                displaced: Vec::new(),
            })
            .collect();
        for (reference, before) in self.publish(images)? {
            if let Some(image) = loaded.iter_mut().find(|l| l.references.contains(&reference)) {
                image.displaced.push((reference, before));
            }
        }
        Ok(loaded)
    }

    /// Unpacks the layers of an image that are not there yet.
    fn prepare(
        &self,
        archive: &Archive,
        plan: Plan,
        (made, progress): (&mut Made, Progress<'_>),
    ) -> Result<Prepared> {
        let named = match &plan.config {
            PlannedConfig::Bytes(bytes) => Some(Known::parse(bytes)?.diff_ids),
            PlannedConfig::ToBeMade(_) => None,
        };
        if let Some(named) = &named
            && named.len() != plan.layers.len()
        {
            return Err(ImageError::archive(format!(
                "invalid manifest, layers length mismatch: expected {}, got {}",
                named.len(),
                plan.layers.len()
            )));
        }
        let mut parent = None;
        let mut diff_ids = Vec::with_capacity(plan.layers.len());
        for (number, layer) in plan.layers.iter().enumerate() {
            let diff_id = named.as_ref().and_then(|named| named.get(number)).copied();
            let expected = Expected { number, parent, diff_id, blob: layer.blob };
            let unpacked = self.prepare_layer(archive, layer, (&expected, made, progress))?;
            parent = Some(unpacked.0);
            diff_ids.push(unpacked.1.to_string());
        }
        let bytes = match plan.config {
            PlannedConfig::Bytes(bytes) => bytes,
            PlannedConfig::ToBeMade(mut config) => {
                config.rootfs.diff_ids = diff_ids;
                serde_json::to_vec(&config).map_err(ImageError::json("the configuration"))?
            }
        };
        Prepared::new(bytes, plan.references)
    }

    /// Returns chain id and diff id.
    fn prepare_layer(
        &self,
        archive: &Archive,
        layer: &PlannedLayer,
        (expected, made, progress): (&Expected, &mut Made, Progress<'_>),
    ) -> Result<(Digest, Digest)> {
        if let Some(diff_id) = expected.diff_id {
            let chain_id = chain_id(expected.parent.as_ref(), &diff_id);
            if let Some(pin) = self.pin(&chain_id) {
                made.pins.push(pin);
                progress(LoadProgress::Exists { diff_id });
                return Ok((chain_id, diff_id));
            }
        }
        let (stream, total) = archive.open(&layer.entry)?;
        let Unpacked { chain_id, diff_id, pin } =
            self.unpack(Box::new(stream), expected, &mut |current| {
                progress(LoadProgress::Unpacking { diff_id: expected.diff_id, current, total });
            })?;
        made.pins.push(pin);
        made.layers.push(chain_id);
        Ok((chain_id, diff_id))
    }
}

/// What a load has made so far.
#[derive(Debug, Default)]
struct Made {
    pins: Vec<Pin>,
    /// Lowest first.
    layers: Vec<Digest>,
}

/// The digest that a blob's name in an archive promises.
fn digest_of_name(entry: &str) -> Option<Digest> {
    Digest::from_hex(entry.strip_prefix("blobs/sha256/")?).ok()
}
