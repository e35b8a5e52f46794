//! What is kept of a volume beside its files: `volumes/.records/<name>.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use barge_sys::durable::{self, Damaged, Durability};
use serde::{Deserialize, Serialize};

use crate::error::{Result, VolumeError};
use crate::name::VolumeName;

/// The version of the records' form.
const VERSION: u32 = 1;

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VolumeRecord {
    pub(crate) version: u32,
    pub(crate) driver: String,
    pub(crate) created: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) options: BTreeMap<String, String>,
}

impl VolumeRecord {
    pub(crate) fn new(driver: &str, created: String) -> Self {
        Self {
            version: VERSION,
            driver: driver.to_owned(),
            created,
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
        }
    }
}

/// The records' folder.
#[derive(Debug)]
pub(crate) struct Records(PathBuf);

impl Records {
    pub(crate) fn open(volumes: &Path) -> Result<Self> {
        let folder = volumes.join(".records");
        fs::create_dir_all(&folder).map_err(VolumeError::io("create", &folder))?;
        Ok(Self(folder))
    }

    fn path(&self, name: &VolumeName) -> PathBuf {
        self.0.join(format!("{name}.json"))
    }

    pub(crate) fn save(&self, name: &VolumeName, record: &VolumeRecord) -> Result<()> {
        let path = self.path(name);
        let text = serde_json::to_vec(record)
            .map_err(|source| VolumeError::Record { path: path.clone(), source })?;
        durable::write(&path, &text, Durability::Durable).map_err(VolumeError::io("write", &path))
    }

    pub(crate) fn remove(&self, name: &VolumeName) -> Result<()> {
        let path = self.path(name);
        durable::remove(&path).map_err(VolumeError::io("remove", &path))
    }

    /// All records; half-written ones of a killed process are swept. One that makes no sense keeps nobody from the
    /// others: it is set aside.
    pub(crate) fn load(&self) -> Result<(BTreeMap<VolumeName, VolumeRecord>, Vec<Damaged>)> {
        durable::sweep(&self.0).map_err(VolumeError::io("sweep", &self.0))?;
        let (mut records, mut damaged) = (BTreeMap::new(), Vec::new());
        for entry in fs::read_dir(&self.0).map_err(VolumeError::io("list", &self.0))? {
            let entry = entry.map_err(VolumeError::io("list", &self.0))?;
            let Ok(file) = entry.file_name().into_string() else {
                continue;
            };
            let name = file.strip_suffix(".json").and_then(|name| name.parse().ok());
            let Some(name) = name else { continue };
            let path = entry.path();
            let text = fs::read(&path).map_err(VolumeError::io("read", &path))?;
            match serde_json::from_slice(&text) {
                Ok(record) => {
                    records.insert(name, record);
                }
                Err(error) => {
                    let kept =
                        durable::set_aside(&path).map_err(VolumeError::io("set aside", &path))?;
                    damaged.push(Damaged { kept, cause: format!("{}: {error}", path.display()) });
                }
            }
        }
        Ok((records, damaged))
    }
}
