//! `manifest.json`: what Docker writes since 1.10, alone or beside an OCI layout (since 25), and
//! skopeo's `docker-archive`.

use barge_types::{Digest, Reference};
use serde::Deserialize;

use super::archive::Archive;
use super::{Plan, PlannedConfig, PlannedLayer, digest_of_name, oci_layout};
use crate::error::{ImageError, Result};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

pub(super) fn plan(archive: &Archive) -> Result<Vec<Plan>> {
    let text = archive.read("manifest.json", None)?;
    let items: Vec<Item> =
        serde_json::from_slice(&text).map_err(ImageError::json("manifest.json"))?;
    let mut plans =
        items.into_iter().map(|item| plan_image(archive, item)).collect::<Result<Vec<Plan>>>()?;
    if archive.contains("index.json") {
        oci_layout::add_manifests(archive, &mut plans);
    }
    Ok(plans)
}

fn plan_image(archive: &Archive, item: Item) -> Result<Plan> {
    let config = archive.read(&item.config, digest_of_config(&item.config))?;
    let tags = item.repo_tags.unwrap_or_default();
    let references = tags.iter().map(|tag| parse_tag(tag)).collect::<Result<Vec<_>>>()?;
    let layers = item.layers.unwrap_or_default();
    let layers = layers
        .into_iter()
        .map(|entry| PlannedLayer { blob: digest_of_name(&entry), entry })
        .collect();
    let config = PlannedConfig::Bytes(config);
    Ok(Plan { config, references, layers, manifest: None, index: None, said: None })
}

/// `blobs/sha256/<digest>`, and `<digest>.json` of older archives.
fn digest_of_config(entry: &str) -> Option<Digest> {
    let old = || Digest::from_hex(entry.strip_suffix(".json")?).ok();
    digest_of_name(entry).or_else(old)
}

pub(super) fn parse_tag(text: &str) -> Result<Reference> {
    let reference: Reference = text.parse()?;
    let has_tag = reference.tag().is_some_and(|tag| text.ends_with(&format!(":{tag}")));
    if has_tag && reference.digest().is_none() {
        Ok(reference)
    } else {
        Err(ImageError::archive(format!("invalid tag {text:?}")))
    }
}
