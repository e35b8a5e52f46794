//! The manifests that an image came with, as `images --tree` shows them.
//!
//! An image that was made here (imported, committed, loaded from an old archive) has none.

use std::collections::BTreeMap;

use barge_api_types::{
    ManifestAttestation, ManifestImage, ManifestImageSize, ManifestSize, ManifestSummary,
    OciDescriptor, OciPlatform,
};
use barge_image::{Image, KeptManifest};
use barge_oci::image::{Descriptor, Index, Manifest, Platform};
use barge_types::Digest;

use super::Images;
use crate::error::{EngineError, Result};

/// Marks a manifest of an index that says how another was built (buildkit).
const KIND: &str = "vnd.docker.reference.type";
/// Which one.
const ABOUT: &str = "vnd.docker.reference.digest";

impl Images {
    /// What names the image with everything that came with it: its index, or its manifest.
    pub(super) fn descriptor(&self, image: &Image) -> Option<OciDescriptor> {
        let kept = self.store.manifests(&image.id).into_iter().next()?;
        let (media_type, digest, size) = match kept.index {
            Some(index) => (index.media_type, index.digest, index.size),
            None => (kept.media_type, kept.digest, kept.size),
        };
        Some(OciDescriptor {
            media_type,
            digest: digest.to_string(),
            size: signed(size),
            ..OciDescriptor::default()
        })
    }

    /// Every manifest that the image came with, and those beside it that an index names.
    pub(super) fn manifests(&self, image: &Image) -> Result<Vec<ManifestSummary>> {
        let mut summaries: Vec<ManifestSummary> = Vec::new();
        for kept in self.store.manifests(&image.id) {
            let own = Descriptor {
                media_type: kept.media_type.clone(),
                digest: kept.digest.to_string(),
                size: signed(kept.size),
                platform: Some(platform(image)),
                ..Descriptor::default()
            };
            let named = match &kept.index {
                Some(index) => self.parse::<Index>(&index.digest)?.manifests,
                None => Vec::new(),
            };
            let has_own = named.iter().any(|descriptor| descriptor.digest == own.digest);
            for descriptor in (!has_own).then_some(own).into_iter().chain(named) {
                if summaries.iter().any(|known| known.id == descriptor.digest) {
                    continue;
                }
                summaries.push(self.summarize(descriptor, &kept, image)?);
            }
        }
        Ok(summaries)
    }

    fn summarize(
        &self,
        descriptor: Descriptor,
        kept: &KeptManifest,
        image: &Image,
    ) -> Result<ManifestSummary> {
        let is_here = descriptor.digest == kept.digest.to_string();
        let said = kept.attestation.as_ref();
        let said = said.filter(|said| descriptor.digest == said.digest.to_string());
        let about = descriptor.annotations.get(ABOUT).cloned();
        let is_image = !descriptor.annotations.contains_key(KIND);
        let (mut content, mut unpacked) = (0, 0);
        if is_here {
            let manifest: Manifest = self.parse(&kept.digest)?;
            let named = manifest.layers.iter().chain([&manifest.config]);
            let blobs = named.filter_map(|blob| blob.digest.parse::<Digest>().ok());
            content = kept.size + blobs.map(|blob| self.store.content().size(&blob)).sum::<u64>();
            unpacked = image.size;
        }
        if let Some(said) = said {
            let blobs = said.blobs.iter().map(|blob| self.store.content().size(blob));
            content = said.size + blobs.sum::<u64>();
        }
        let image_data = is_image.then(|| ManifestImage {
            platform: descriptor.platform.as_ref().map(view).unwrap_or_default(),
            containers: if is_here { self.containers.ids_of_image(&image.id) } else { Vec::new() },
            size: ManifestImageSize { unpacked: signed(unpacked) },
        });
        Ok(ManifestSummary {
            id: descriptor.digest.clone(),
            available: is_here || said.is_some(),
            size: ManifestSize { content: signed(content), total: signed(content + unpacked) },
            kind: if is_image { "image" } else { "attestation" }.to_owned(),
            image_data,
            attestation_data: about
                .filter(|_| !is_image)
                .map(|about| ManifestAttestation { about }),
            descriptor: describe(descriptor),
        })
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, digest: &Digest) -> Result<T> {
        let bytes = self.store.content().read(digest)?;
        serde_json::from_slice(&bytes)
            .map_err(|source| EngineError::Record { path: format!("manifest {digest}"), source })
    }
}

fn platform(image: &Image) -> Platform {
    Platform {
        architecture: image.config.architecture.clone(),
        os: image.config.os.clone(),
        os_version: image.config.os_version.clone(),
        variant: image.config.variant.clone(),
        ..Platform::default()
    }
}

fn view(platform: &Platform) -> OciPlatform {
    OciPlatform {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        os_version: platform.os_version.clone(),
        variant: platform.variant.clone(),
    }
}

fn describe(descriptor: Descriptor) -> OciDescriptor {
    OciDescriptor {
        media_type: descriptor.media_type,
        digest: descriptor.digest,
        size: descriptor.size,
        annotations: BTreeMap::from_iter(descriptor.annotations),
        platform: descriptor.platform.as_ref().map(view),
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
