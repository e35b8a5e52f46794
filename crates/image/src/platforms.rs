//! Names that mean the images of several platforms: given together, pushed with an index.

use barge_archive::Digester;
use barge_oci::image::{Descriptor, media_type};
use barge_types::{Digest, ImageId, Platform, Reference};

use crate::error::{ImageError, Result};
use crate::ingest::ManifestBytes;
use crate::manifests::{KeptManifest, PushImage, by_digest, describe};
use crate::save::{index_of, platform_of};
use crate::store::{ImageStore, now};

/// The images of a name that has several, as they are pushed.
#[derive(Debug)]
pub struct PushIndex {
    /// The images, each with its own manifest.
    pub images: Vec<PushImage>,
    /// The index of those manifests.
    pub manifest: ManifestBytes,
    /// The digest of its bytes.
    pub digest: Digest,
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

    /// Prepares the images of a name to be pushed; nothing for a name of one image.
    ///
    /// # Errors
    /// As [`Self::export_for_push`].
    pub fn export_platforms(&self, reference: &Reference) -> Result<Option<PushIndex>> {
        let members = self.platforms(reference);
        if members.is_empty() {
            return Ok(None);
        }
        let images: Vec<PushImage> = members
            .iter()
            .map(|id| self.export_for_push(&id.to_string()))
            .collect::<Result<_>>()?;
        let listed = images.iter().zip(&members).map(|(push, id)| {
            let ManifestBytes { bytes, media_type } = &push.manifest;
            let platform = Some(platform_of(&self.image(id)?));
            Ok(Descriptor { platform, ..describe(media_type, push.digest, bytes.len() as u64) })
        });
        let mut index = index_of(listed.collect::<Result<_>>()?);
        let is_dockers = |push: &PushImage| push.manifest.media_type == media_type::DOCKER_MANIFEST;
        if images.iter().all(is_dockers) {
            index.media_type = media_type::DOCKER_MANIFEST_LIST.to_owned();
        }
        let bytes = serde_json::to_vec_pretty(&index).map_err(ImageError::json("an index"))?;
        let digest = Digester::of(&bytes);
        Ok(Some(PushIndex {
            images,
            manifest: ManifestBytes { bytes, media_type: index.media_type },
            digest,
        }))
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
