//! What is kept on disk of each layer of the cache.
//!
//! Nothing waits for the disk here. A record is only worth something while its layer's files are whole: a killed daemon
//! loses nothing, but after a crash of the machine only those count that were known to be on the disk
//! ([`Record::is_on_disk`]). Which start of the machine wrote a record tells one from the other.

use std::fs;
use std::path::Path;

use barge_storage::LayerId;
use barge_sys::durable::{self, Durability};
use barge_types::Digest;
use serde::{Deserialize, Serialize};

use crate::error::{BuildError, Result};

/// The version of the records' form.
const VERSION: u32 = 1;

/// One layer of the cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// What the storage driver calls it.
    pub(crate) id: LayerIdText,
    /// What it was made from.
    pub(crate) key: Digest,
    /// Other words for the same: what it was made from before that was looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) aliases: Vec<Digest>,
    /// The layer that it was made on.
    pub(crate) parent: Option<LayerIdText>,
    /// The instruction.
    pub(crate) description: String,
    /// Milliseconds since the epoch.
    pub(crate) created: i64,
    /// Milliseconds since the epoch.
    pub(crate) last_used: Option<i64>,
    /// How often it was found.
    pub(crate) uses: u64,
    /// Bytes, once they were counted.
    pub(crate) size: Option<u64>,
    /// Of its archive, once it was part of an image.
    pub(crate) diff_id: Option<Digest>,
    /// Archives of it in caches that are elsewhere: it came out of them, or was written to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) archives: Vec<Digest>,
    /// Whether its files are known to be on the disk.
    pub(crate) is_on_disk: bool,
    /// The start of the machine that wrote this.
    boot: String,
}

/// A layer's id as text in a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct LayerIdText(pub(crate) LayerId);

impl TryFrom<String> for LayerIdText {
    type Error = barge_storage::StorageError;

    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<LayerIdText> for String {
    fn from(id: LayerIdText) -> Self {
        id.0.into()
    }
}

/// What a step made, to be kept.
#[derive(Clone, Debug)]
pub(crate) struct NewRecord {
    /// The layer.
    pub(crate) id: LayerId,
    /// The layer that it was made on.
    pub(crate) parent: Option<LayerId>,
    /// The instruction.
    pub(crate) description: String,
}

impl Record {
    pub(crate) fn new(key: Digest, new: NewRecord, boot: &str) -> Self {
        let created = now();
        Self {
            version: VERSION,
            id: LayerIdText(new.id),
            key,
            aliases: Vec::new(),
            parent: new.parent.map(LayerIdText),
            description: new.description,
            created,
            // The build that made it is the first to use it.
            last_used: Some(created),
            uses: 1,
            size: None,
            diff_id: None,
            archives: Vec::new(),
            is_on_disk: false,
            boot: boot.to_owned(),
        }
    }

    /// When it was last of use.
    pub(crate) fn touched(&self) -> i64 {
        self.last_used.unwrap_or(self.created)
    }

    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(format!("{}.json", self.id.0));
        let bytes = serde_json::to_vec(self)
            .map_err(std::io::Error::other)
            .map_err(BuildError::io("write", &path))?;
        durable::write(&path, &bytes, Durability::Lazy).map_err(BuildError::io("write", &path))
    }

    pub(crate) fn remove(folder: &Path, id: &LayerId) -> Result<()> {
        let path = folder.join(format!("{id}.json"));
        durable::remove(&path).map_err(BuildError::io("remove", &path))
    }
}

/// Reads the records of a folder; removes those that say nothing any more.
pub(crate) fn load(folder: &Path, boot: &str) -> Result<Vec<Record>> {
    fs::create_dir_all(folder).map_err(BuildError::io("create", folder))?;
    durable::sweep(folder).map_err(BuildError::io("sweep", folder))?;
    let mut records = Vec::new();
    for entry in fs::read_dir(folder).map_err(BuildError::io("read", folder))? {
        let path = entry.map_err(BuildError::io("read", folder))?.path();
        let bytes = fs::read(&path).map_err(BuildError::io("read", &path))?;
        match serde_json::from_slice::<Record>(&bytes) {
            Ok(record)
                if record.version == VERSION && (record.is_on_disk || record.boot == boot) =>
            {
                records.push(record);
            }
            // A cache that forgets is a cache still.
            Ok(_) | Err(_) => durable::remove(&path).map_err(BuildError::io("remove", &path))?,
        }
    }
    Ok(records)
}

/// What tells one start of the machine from another.
pub(crate) fn boot() -> String {
    let path = "/proc/sys/kernel/random/boot_id";
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned())
}

/// Milliseconds since the epoch.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
