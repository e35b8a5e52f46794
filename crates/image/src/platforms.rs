//! Names that mean the images of several platforms: given together, pushed with an index.

use barge_archive::Digester;
use barge_oci::image::{self as oci, Descriptor, Index, media_type};
use barge_types::{Digest, ImageId, Platform, Reference};

use crate::attest::{Attestation, bytes_of, index_with};
use crate::error::{ImageError, Result};
use crate::image::Image;
use crate::ingest::ManifestBytes;
use crate::manifests::{KeptManifest, PushBlob, PushImage, by_digest, describe};
use crate::store::{ImageStore, now};

/// The images of a name that has several, as they are pushed.
#[derive(Debug)]
pub struct PushIndex {
    /// The images, each with its own manifest.
    pub images: Vec<PushImage>,
    /// What is said of them.
    pub attestations: Vec<PushAttestation>,
    /// The index of those manifests.
    pub manifest: ManifestBytes,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// Statements about an image, as they are pushed.
#[derive(Debug)]
pub struct PushAttestation {
    /// The manifest of the statements.
    pub manifest: ManifestBytes,
    /// The digest of its bytes.
    pub digest: Digest,
    /// What it names.
    pub blobs: Vec<PushBlob>,
}

impl ImageStore {
    /// Gives names to the images of several platforms together. Each name means the one for this machine, or else the
    /// first; where they go on, by `save` or a push, they do so with an index of all. Returns which one is meant.
    ///
    /// # Errors
    /// [`ImageError::NoSuchImage`]; whatever the disk says.
    pub fn publish_platforms(
        &self,
        images: &[ImageId],
        references: &[Reference],
    ) -> Result<ImageId> {
        let host = Platform::host();
        let is_for_host = |id: &&ImageId| {
            self.image(id).is_ok_and(|image| {
                image.config.os == host.os() && image.config.architecture == host.architecture()
            })
        };
        let meant = images.iter().find(is_for_host).or(images.first());
        let meant = *meant.ok_or_else(|| ImageError::no_such("of no platform"))?;
        if references.iter().any(|reference| reference.digest().is_some()) {
            return Err(ImageError::TagWithDigest);
        }
        let _changing = self.changing();
        for id in images {
            self.image(id)?;
        }
        self.change_index(|index| {
            for reference in references {
                index.tag(reference, meant, &now());
                if images.len() > 1 {
                    index.join(reference, images.to_vec());
                }
            }
        })?;
        Ok(meant)
    }

    /// The images that a name means together, one for each platform; none for a name of one image.
    #[must_use]
    pub fn platforms(&self, reference: &Reference) -> Vec<ImageId> {
        let state = self.read();
        let mut images = state.index.platforms(reference);
        images.retain(|id| state.known.contains_key(id));
        if images.len() > 1 { images } else { Vec::new() }
    }

    /// Prepares the images of a name to be pushed, with what is said of them; nothing for a name of one image of which
    /// nothing is said.
    ///
    /// # Errors
    /// As [`Self::export_for_push`].
    pub fn export_platforms(&self, reference: &Reference) -> Result<Option<PushIndex>> {
        let mut members = self.platforms(reference);
        if members.is_empty() {
            members.extend(self.read().index.target(reference));
        }
        let known = members.iter().map(|id| self.attestation(id)).collect::<Result<Vec<_>>>()?;
        if members.len() < 2 && known.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut images = Vec::with_capacity(members.len());
        let mut said = Vec::new();
        for (id, known) in members.iter().zip(known) {
            let image = self.export_for_push(&id.to_string())?;
            if let Some(known) = known {
                said.push(known.of_manifest(image.digest)?);
            }
            images.push(image);
        }
        let listed = images.iter().zip(&members).map(|(push, id)| {
            let ManifestBytes { bytes, media_type } = &push.manifest;
            let platform = Some(platform_of(&self.image(id)?));
            Ok(Descriptor { platform, ..describe(media_type, push.digest, bytes.len() as u64) })
        });
        let listed: Vec<Descriptor> = listed.collect::<Result<_>>()?;
        let is_dockers = |push: &PushImage| push.manifest.media_type == media_type::DOCKER_MANIFEST;
        let manifest = if said.is_empty() && images.iter().all(is_dockers) {
            let media_type = media_type::DOCKER_MANIFEST_LIST.to_owned();
            bytes_of(&Index { media_type, ..index_of(listed) })?
        } else {
            index_with(listed, &said)?
        };
        let attestations = said.into_iter().map(|said| self.push_attestation(said));
        let attestations = attestations.collect::<Result<_>>()?;
        let digest = Digester::of(&manifest.bytes);
        Ok(Some(PushIndex { images, attestations, manifest, digest }))
    }

    fn push_attestation(&self, said: Attestation) -> Result<PushAttestation> {
        let mut blobs = Vec::with_capacity(said.blobs.len());
        for blob in &said.blobs {
            let digest = self.content.put(&blob.bytes)?;
            let of = (blob.media_type.as_str(), digest, blob.bytes.len() as u64);
            blobs.push(self.push_blob(of, digest, Vec::new()));
        }
        let media_type = media_type::OCI_MANIFEST.to_owned();
        let manifest = ManifestBytes { bytes: said.manifest, media_type };
        Ok(PushAttestation { manifest, digest: said.digest, blobs })
    }

    /// Remembers under which digest a repository has the images of a name now, and what was sent.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn record_push_of_platforms(&self, push: &PushIndex, repository: &Reference) -> Result<()> {
        let name = by_digest(repository, &push.digest)?;
        let _changing = self.changing();
        let mut kept = Vec::new();
        for image in &push.images {
            let (manifest, index) = (image.manifest.clone(), push.manifest.clone());
            kept.push((
                image.image(),
                KeptManifest::keep(&self.content, Some(manifest), Some(index))?,
            ));
        }
        self.change_index(|index| {
            if let Some(meant) = index.target(repository) {
                index.name(name, meant);
            }
            for (id, kept) in kept {
                index.add_manifest(&id, kept);
            }
        })
    }
}

/// An index of manifests of several platforms.
pub(crate) fn index_of(manifests: Vec<Descriptor>) -> Index {
    let media_type = media_type::OCI_INDEX.to_owned();
    Index { schema_version: 2, media_type, manifests, ..Index::default() }
}

/// What an image runs on, as an index says it.
pub(crate) fn platform_of(image: &Image) -> oci::Platform {
    let config = &image.config;
    oci::Platform {
        architecture: config.architecture.clone(),
        os: config.os.clone(),
        os_version: config.os_version.clone(),
        variant: config.variant.clone(),
        ..oci::Platform::default()
    }
}
