//! The manifests that images came with, kept byte for byte, so that an image that goes on has the digest that it came
//! with; and what a push sends.

use std::collections::{BTreeMap, BTreeSet};

use barge_archive::Digester;
use barge_oci::image::{Descriptor, Manifest, media_type};
use barge_types::{Digest, ImageId, Reference};
use serde::{Deserialize, Serialize};

use crate::attest::KeptAttestation;
use crate::content::ContentStore;
use crate::error::{ImageError, Result};
use crate::ingest::ManifestBytes;
use crate::layers::BlobFormat;
use crate::store::{Held, ImageStore, now};

/// A manifest of an image that is kept as a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptManifest {
    /// Its name in the content store.
    pub digest: Digest,
    /// Which of the two forms.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// The index that named it, kept too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<KeptIndex>,
    /// The archives of the layers that it names, kept as long as it is.
    #[serde(default)]
    pub layers: Vec<Digest>,
    /// What is said of it, kept too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<KeptAttestation>,
}

/// An index that is kept as a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptIndex {
    /// Its name in the content store.
    pub digest: Digest,
    /// Which of the two forms.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
}

impl KeptManifest {
    /// Stores a manifest and its index.
    pub(crate) fn keep(
        content: &ContentStore,
        manifest: Option<ManifestBytes>,
        index: Option<ManifestBytes>,
    ) -> Result<Option<Self>> {
        let Some(manifest) = manifest else { return Ok(None) };
        let index = match index {
            Some(index) => Some(KeptIndex {
                digest: content.put(&index.bytes)?,
                media_type: index.media_type,
                size: index.bytes.len() as u64,
            }),
            None => None,
        };
        let parsed: Manifest =
            serde_json::from_slice(&manifest.bytes).map_err(ImageError::json("the manifest"))?;
        let layers = parsed.layers.iter().filter_map(|layer| layer.digest.parse().ok()).collect();
        Ok(Some(Self {
            layers,
            digest: content.put(&manifest.bytes)?,
            media_type: manifest.media_type,
            size: manifest.bytes.len() as u64,
            index,
            attestation: None,
        }))
    }

    /// The blobs that are kept for it: itself, its index, its layers' archives, what is said of it.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Digest> {
        let index = self.index.as_ref().map(|index| index.digest);
        let said = self.attestation.iter();
        let said = said.flat_map(|said| said.blobs.iter().copied().chain([said.digest]));
        let own = [Some(self.digest), index].into_iter().flatten();
        own.chain(self.layers.iter().copied()).chain(said)
    }
}

/// A blob that a push sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushBlob {
    /// Its name, also in the content store.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// As the manifest says it.
    pub media_type: String,
    /// Of a layer, the digest of the plain archive; of the configuration, its own.
    pub diff_id: Digest,
    /// Repositories (`domain/path`) that have it, as far as is known.
    pub repositories: Vec<String>,
    /// Places that have a layer which must not be distributed; empty for all others.
    pub urls: Vec<String>,
}

/// An image as it is pushed. Its layers stay while this lives.
#[derive(Debug)]
pub struct PushImage {
    /// The manifest, with the digest that it came with where it came with one.
    pub manifest: ManifestBytes,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The configuration.
    pub config: PushBlob,
    /// The layers, lowest first.
    pub layers: Vec<PushBlob>,
    image: Held,
}

/// The media types of a manifest and what it names.
pub(crate) struct Form {
    manifest: &'static str,
    config: &'static str,
    layer: &'static str,
    layer_gzip: &'static str,
}

const DOCKER: Form = Form {
    manifest: media_type::DOCKER_MANIFEST,
    config: media_type::DOCKER_CONFIG,
    layer: media_type::DOCKER_LAYER,
    layer_gzip: media_type::DOCKER_LAYER_GZIP,
};

pub(crate) const OCI: Form = Form {
    manifest: media_type::OCI_MANIFEST,
    config: media_type::OCI_CONFIG,
    layer: media_type::OCI_LAYER,
    layer_gzip: media_type::OCI_LAYER_GZIP,
};

/// A manifest, its digest, and what it names.
pub(crate) type Described = (ManifestBytes, Digest, PushBlob, Vec<PushBlob>);

impl PushImage {
    /// The image.
    #[must_use]
    pub fn image(&self) -> ImageId {
        self.image.id
    }
}

impl ImageStore {
    /// Prepares an image to be pushed: with the manifest that it came with, when all that it names is here; otherwise
    /// with one of Docker's schema 2, or OCI's for an image with annotations. Layers that only we have packed become gzip, which every engine reads; that is
    /// done once.
    pub fn export_for_push(&self, name: &str) -> Result<PushImage> {
        let image = self.hold(name)?;
        if let Some((manifest, digest, config, layers)) = self.with_kept_manifest(&image)? {
            return Ok(PushImage { manifest, digest, config, layers, image });
        }
        // Docker's form has no annotations.
        let form = if self.annotations(&image.id).is_empty() { &DOCKER } else { &OCI };
        let (manifest, digest, config, layers) = self.new_manifest(&image, form)?;
        Ok(PushImage { manifest, digest, config, layers, image })
    }

    /// A manifest of the layers as they would be pushed.
    pub(crate) fn new_manifest(&self, image: &Held, form: &Form) -> Result<Described> {
        let mut layers = Vec::new();
        let mut described = Vec::new();
        for chain_id in &image.chain_ids {
            let blob = self.gzipped(chain_id)?;
            let kind = match blob.format {
                BlobFormat::Plain => form.layer,
                BlobFormat::Gzip | BlobFormat::Zstd => form.layer_gzip,
            };
            let diff_id = self.layer(chain_id).map_or(blob.digest, |layer| layer.diff_id);
            described.push(describe(kind, blob.digest, blob.size));
            layers.push(self.push_blob((kind, blob.digest, blob.size), diff_id, Vec::new()));
        }
        let config = self.config_bytes(&image.id)?;
        let (kind, size) = (form.config, config.len() as u64);
        let digest = image.id.digest();
        let manifest = Manifest {
            schema_version: 2,
            media_type: form.manifest.to_owned(),
            config: describe(kind, digest, size),
            layers: described,
            annotations: self.annotations(&image.id),
            ..Manifest::default()
        };
        let bytes = serde_json::to_vec_pretty(&manifest).map_err(ImageError::json("a manifest"))?;
        let config = self.push_blob((kind, digest, size), digest, Vec::new());
        let digest = Digester::of(&bytes);
        Ok((ManifestBytes { bytes, media_type: manifest.media_type }, digest, config, layers))
    }

    /// The kept manifest whose layers are all here.
    pub(crate) fn with_kept_manifest(&self, image: &Held) -> Result<Option<Described>> {
        for kept in self.manifests(&image.id) {
            let bytes = self.content.read(&kept.digest)?;
            let manifest: Manifest =
                serde_json::from_slice(&bytes).map_err(ImageError::json("a kept manifest"))?;
            let Some(layers) = self.layers_of(&manifest, &image.diff_ids) else { continue };
            let digest = image.id.digest();
            let size = self.content.size(&digest);
            let kind = manifest.config.media_type.as_str();
            let config = self.push_blob((kind, digest, size), digest, Vec::new());
            let manifest = ManifestBytes { bytes, media_type: kept.media_type };
            return Ok(Some((manifest, kept.digest, config, layers)));
        }
        Ok(None)
    }

    /// The layers of a manifest, or none when one is not here and cannot be had elsewhere.
    fn layers_of(&self, manifest: &Manifest, diff_ids: &[Digest]) -> Option<Vec<PushBlob>> {
        if manifest.layers.len() != diff_ids.len() {
            return None;
        }
        let blob = |(layer, diff_id): (&Descriptor, &Digest)| {
            let digest: Digest = layer.digest.parse().ok()?;
            let size = u64::try_from(layer.size).ok()?;
            let is_foreign = !layer.urls.is_empty();
            if !self.content.contains(&digest) && !is_foreign {
                return None;
            }
            let of = (layer.media_type.as_str(), digest, size);
            Some(self.push_blob(of, *diff_id, layer.urls.clone()))
        };
        manifest.layers.iter().zip(diff_ids).map(blob).collect()
    }

    pub(crate) fn push_blob(
        &self,
        (media_type, digest, size): (&str, Digest, u64),
        diff_id: Digest,
        urls: Vec<String>,
    ) -> PushBlob {
        let repositories = self.repositories_with(&digest);
        PushBlob { digest, size, media_type: media_type.to_owned(), diff_id, repositories, urls }
    }

    /// What is said of an image in the manifests that are written of it.
    #[must_use]
    pub fn annotations(&self, id: &ImageId) -> BTreeMap<String, String> {
        self.read().index.image(id).map(|record| record.annotations.clone()).unwrap_or_default()
    }

    /// The manifests that an image came with.
    #[must_use]
    pub fn manifests(&self, id: &ImageId) -> Vec<KeptManifest> {
        self.read().index.image(id).map(|record| record.manifests.clone()).unwrap_or_default()
    }

    /// The repositories whose images have a blob, by the digests under which they were pulled or pushed.
    fn repositories_with(&self, blob: &Digest) -> Vec<String> {
        let state = self.read();
        let mut repositories = BTreeSet::new();
        for (id, known) in &state.known {
            let has_layer = known
                .chain_ids
                .iter()
                .filter_map(|chain_id| state.layers.get(chain_id))
                .any(|layer| layer.has_blob(blob));
            if !has_layer && id.digest() != *blob {
                continue;
            }
            let names = state.index.names(id);
            let digests = names.iter().filter(|name| name.digest().is_some());
            repositories.extend(digests.map(Reference::repository));
        }
        repositories.into_iter().collect()
    }

    /// Names an image that came from a registry: by what was asked for, and by the digest that it has there. Returns
    /// whether that changed anything.
    pub fn record_pull(&self, id: &ImageId, asked: &Reference, digest: &Digest) -> Result<bool> {
        let by_digest = by_digest(asked, digest)?;
        let _changing = self.changing();
        self.image(id)?;
        let names =
            if asked.digest().is_some() { vec![by_digest] } else { vec![asked.clone(), by_digest] };
        if names.iter().all(|name| self.read().index.target(name) == Some(*id)) {
            return Ok(false);
        }
        self.change_index(|index| {
            for name in &names {
                index.tag(name, *id, &now());
            }
        })?;
        Ok(true)
    }

    /// Remembers under which digest a repository has an image now, and the manifest that was sent.
    pub fn record_push(&self, push: &PushImage, repository: &Reference) -> Result<()> {
        let name = by_digest(repository, &push.digest)?;
        let _changing = self.changing();
        let id = push.image.id;
        self.image(&id)?;
        let kept = KeptManifest::keep(&self.content, Some(push.manifest.clone()), None)?;
        self.change_index(|index| {
            index.name(name, id);
            index.add_manifest(&id, kept);
        })
    }
}

/// `repository@digest`.
pub(crate) fn by_digest(reference: &Reference, digest: &Digest) -> Result<Reference> {
    format!("{}@{digest}", reference.repository()).parse().map_err(ImageError::Reference)
}

pub(crate) fn describe(kind: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: kind.to_owned(),
        digest: digest.to_string(),
        size: i64::try_from(size).unwrap_or(i64::MAX),
        ..Descriptor::default()
    }
}
