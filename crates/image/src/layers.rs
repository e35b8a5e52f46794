//! The layers registry: which layer of the driver holds which chain of changes.
//!
//! A layer counts once its record is written; what the driver has without a record is a leftover.
//! Keyed by chain id, since the same changes on another parent are another layer.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use barge_archive::Digester;
use barge_storage::{LayerId, StorageDriver};
use barge_types::Digest;
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::{ImageError, Result};

/// The version of the records' form.
const VERSION: u32 = 1;

/// How a kept blob of a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobFormat {
    /// As it came, not compressed.
    Plain,
    /// As it came.
    Gzip,
    /// As it came, or by us when it came plain.
    Zstd,
}

/// The layer as it travels: what `save` writes and a push sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerBlob {
    /// Its name in the content store.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// Its compression.
    pub format: BlobFormat,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Identifies the layer with all below it.
    pub chain_id: Digest,
    /// Digest of the plain archive.
    pub diff_id: Digest,
    /// The layer below.
    pub parent: Option<Digest>,
    /// What the storage driver calls it.
    pub cache_id: LayerId,
    /// Bytes of content.
    pub size: u64,
    /// Bytes of the plain archive.
    pub tar_size: u64,
    /// The archive; absent where it is made of the driver's files when somebody asks for it.
    pub blob: Option<LayerBlob>,
    /// How it came about.
    pub source: LayerSource,
}

/// How a layer came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "from")]
pub enum LayerSource {
    /// Out of an archive.
    #[default]
    Archive,
    /// A build wrote its files, and may keep them for its next ones.
    Build {
        /// Times after this one are this one in the archive, in seconds since the epoch; the files keep their own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        latest: Option<i64>,
    },
}

#[derive(Serialize, Deserialize)]
struct LayerRecord {
    version: u32,
    diff_id: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<Digest>,
    cache_id: String,
    size: u64,
    tar_size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blob: Option<LayerBlob>,
    #[serde(default)]
    source: LayerSource,
}

impl Layer {
    /// Whether a blob is its archive.
    pub(crate) fn has_blob(&self, digest: &Digest) -> bool {
        self.blob.as_ref().is_some_and(|blob| blob.digest == *digest)
    }
}

/// The chain id of a layer on a parent (OCI image specification, "Layer ChainID").
#[must_use]
pub fn chain_id(parent: Option<&Digest>, diff_id: &Digest) -> Digest {
    parent.map_or(*diff_id, |parent| Digester::of(format!("{parent} {diff_id}").as_bytes()))
}

/// The chain ids of an image, lowest first.
#[must_use]
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chain.push(chain_id(chain.last(), diff_id));
    }
    chain
}

/// The records' folder.
#[derive(Debug)]
pub(crate) struct LayerFolder(PathBuf);

impl LayerFolder {
    pub(crate) fn open(folder: PathBuf) -> Result<Self> {
        durable::create_folder(&folder)?;
        durable::sweep(&folder)?;
        Ok(Self(folder))
    }

    pub(crate) fn path(&self, chain_id: &Digest) -> PathBuf {
        self.0.join(format!("{}.json", chain_id.hex()))
    }

    pub(crate) fn save(&self, layer: &Layer) -> Result<()> {
        durable::write(&self.path(&layer.chain_id), &Self::record(layer)?)
    }

    /// The bytes of a layer's record.
    pub(crate) fn record(layer: &Layer) -> Result<Vec<u8>> {
        let record = LayerRecord {
            version: VERSION,
            diff_id: layer.diff_id,
            parent: layer.parent,
            cache_id: layer.cache_id.to_string(),
            size: layer.size,
            tar_size: layer.tar_size,
            blob: layer.blob.clone(),
            source: layer.source,
        };
        serde_json::to_vec(&record).map_err(ImageError::json("a layer record"))
    }

    pub(crate) fn remove(&self, chain_id: &Digest) -> Result<()> {
        durable::remove(&self.path(chain_id))
    }

    /// All layers whose files the driver has and whose parents are whole. A record that cannot be
    /// read is told in `damaged` and left where it is; one whose layer the driver lost is of no use
    /// and removed.
    pub(crate) fn load(
        &self,
        driver: &dyn StorageDriver,
        damaged: &mut Vec<ImageError>,
    ) -> Result<HashMap<Digest, Layer>> {
        let mut layers = HashMap::new();
        for layer in read_all(&self.0, damaged)? {
            if driver.exists(&layer.cache_id) {
                layers.insert(layer.chain_id, layer);
            } else {
                self.remove(&layer.chain_id)?;
            }
        }
        drop_without_parent(&mut layers);
        Ok(layers)
    }
}

/// All records of a folder; what cannot be read is told in `damaged`.
pub(crate) fn read_all(folder: &Path, damaged: &mut Vec<ImageError>) -> Result<Vec<Layer>> {
    let mut layers = Vec::new();
    for name in durable::names(folder)? {
        let hex = name.strip_suffix(".json").unwrap_or(&name);
        let Ok(chain_id) = Digest::from_hex(hex) else {
            continue;
        };
        match read(&folder.join(&name), chain_id) {
            Ok(layer) => layers.push(layer),
            Err(error) => damaged.push(error),
        }
    }
    Ok(layers)
}

fn read(path: &Path, chain_id: Digest) -> Result<Layer> {
    let what = || path.display().to_string();
    let text = fs::read(path).map_err(ImageError::io("read", path))?;
    let record: LayerRecord = serde_json::from_slice(&text).map_err(ImageError::json(what()))?;
    let cache_id = record.cache_id.parse().map_err(ImageError::storage("read a layer record"))?;
    Ok(Layer {
        chain_id,
        diff_id: record.diff_id,
        parent: record.parent,
        cache_id,
        size: record.size,
        tar_size: record.tar_size,
        blob: record.blob,
        source: record.source,
    })
}

fn drop_without_parent(layers: &mut HashMap<Digest, Layer>) {
    loop {
        let orphans: HashSet<Digest> = layers
            .values()
            .filter(|layer| layer.parent.is_some_and(|parent| !layers.contains_key(&parent)))
            .map(|layer| layer.chain_id)
            .collect();
        if orphans.is_empty() {
            return;
        }
        layers.retain(|id, _| !orphans.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_ids_are_those_of_the_specification() {
        let diff = |n: u8| Digest::from_bytes([n; 32]);
        let chain = chain_ids(&[diff(1), diff(2)]);
        assert_eq!(chain[0], diff(1));
        assert_eq!(chain[1], Digester::of(format!("{} {}", diff(1), diff(2)).as_bytes()));
        assert!(chain_ids(&[]).is_empty());
    }
}
