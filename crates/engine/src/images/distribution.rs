//! `GET /distribution/{name}/json`: what a reference means in its registry, without pulling it.

use std::sync::Arc;

use barge_api_types::{DistributionInspect, OciDescriptor, OciPlatform};
use barge_oci::image::{self as oci, media_type};
use barge_registry::{Access, Credentials, RegistryError, Repository, Selector};
use barge_types::{Digest, Reference};

use super::Images;
use crate::error::{EngineError, Result};

/// The largest configuration that is read; Docker's limit of a manifest.
const CONFIG_LIMIT: usize = 4 << 20;

impl Images {
    /// Looks a reference up.
    pub async fn distribution(
        self: &Arc<Self>,
        name: &str,
        credentials: Option<Credentials>,
    ) -> Result<DistributionInspect> {
        let reference: Reference =
            name.parse().map_err(|error| EngineError::Invalid(format!("{error}")))?;
        let client = &self.registries.client;
        let repository = client.repository(&reference, credentials, Access::Pull);
        let found = repository.manifest(&Selector::of(&reference)).await.map_err(in_own_words)?;
        let platforms = platforms(&repository, &found.media_type, &found.bytes).await?;
        Ok(DistributionInspect {
            descriptor: OciDescriptor {
                media_type: found.media_type,
                digest: found.digest.to_string(),
                size: i64::try_from(found.bytes.len()).unwrap_or(i64::MAX),
                ..OciDescriptor::default()
            },
            platforms,
        })
    }
}

/// The registry's words alone, as dockerd gives them here.
fn in_own_words(error: RegistryError) -> EngineError {
    if let RegistryError::NoSuchManifest { source, .. }
    | RegistryError::NoSuchRepository { source, .. } = &error
    {
        return EngineError::NotFound(source.to_string());
    }
    EngineError::Registry(error)
}

async fn platforms(
    repository: &Repository,
    media_type: &str,
    bytes: &[u8],
) -> Result<Vec<OciPlatform>> {
    let unreadable = |error| EngineError::Invalid(format!("cannot read manifest: {error}"));
    if media_type::is_index(media_type) {
        let index: oci::Index = serde_json::from_slice(bytes).map_err(unreadable)?;
        return Ok(index
            .manifests
            .into_iter()
            .filter_map(|entry| entry.platform)
            .map(view)
            .collect());
    }
    if !media_type::is_manifest(media_type) {
        return Ok(Vec::new());
    }
    let manifest: oci::Manifest = serde_json::from_slice(bytes).map_err(unreadable)?;
    let digest: Digest = manifest
        .config
        .digest
        .parse()
        .map_err(|error| EngineError::Invalid(format!("invalid digest: {error}")))?;
    let config = repository.small_blob(&digest, CONFIG_LIMIT).await?;
    let config: oci::ImageConfig = serde_json::from_slice(&config).unwrap_or_default();
    Ok(vec![OciPlatform {
        architecture: config.architecture,
        os: config.os,
        os_version: config.os_version,
        variant: config.variant,
    }])
}

fn view(platform: oci::Platform) -> OciPlatform {
    OciPlatform {
        architecture: platform.architecture,
        os: platform.os,
        os_version: platform.os_version,
        variant: platform.variant,
    }
}
