//! Volumes that nobody named, of a container or a change of one that is not recorded yet.
//!
//! Their names are written down before they are made, and forgotten once a record has them: what a killed daemon left of
//! these is known to be nobody's. Any other volume without a container had one, and stays until a person removes it.

use std::fs;
use std::path::Path;

use barge_types::ContainerId;
use barge_volume::{ANONYMOUS_LABEL, VolumeError};

use super::Containers;
use super::record::{ContainerRecord, MountSource, Origin};
use super::settings::WantedMount;
use crate::disk::{Durability, read_record, write_record};
use crate::error::{EngineError, Result};

/// The file in a container's folder.
const FILE: &str = "unrecorded.json";

impl Containers {
    /// Names the volumes that have no name, and notes that they are about to be made.
    pub(super) fn name_volumes(&self, id: &ContainerId, wanted: &mut [WantedMount]) -> Result<()> {
        let mut names = Vec::new();
        for mount in wanted {
            if let MountSource::Volume { name, origin: Origin::Anonymous, .. } = &mut mount.source {
                *name = barge_sys::random::hex::<32>()
                    .map_err(EngineError::io("get", "random bytes"))?;
                mount.volume_labels.insert(ANONYMOUS_LABEL.to_owned(), String::new());
                names.push(name.clone());
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        // A crash of the machine may leave a volume that nobody uses, and no more.
        write_record(&self.folder.join(id.as_str()).join(FILE), &names, Durability::Lazy)
    }

    /// Removes the volumes that were made for what was never recorded; `record` is what was.
    pub(super) fn sweep_unrecorded(&self, folder: &Path, record: Option<&ContainerRecord>) {
        let names = match read_record::<Vec<String>>(&folder.join(FILE)) {
            Ok(names) => names.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), error = error.message(), "volumes that nobody uses may be left");
                return;
            }
        };
        let is_recorded = |wanted: &String| {
            record.is_some_and(|record| {
                record.mounts.iter().any(
                    |mount| matches!(&mount.source, MountSource::Volume { name, .. } if name == wanted),
                )
            })
        };
        for name in names.iter().filter(|name| !is_recorded(name)) {
            let driver = self.driver_of_volume(name);
            match self.volumes.remove(name) {
                Ok(()) => self.tell_volume("destroy", (name, &driver)),
                // Not made, or somebody has asked for it by its name.
                Err(VolumeError::NoSuchVolume(_) | VolumeError::InUse { .. }) => {}
                Err(error) => {
                    tracing::warn!(volume = name, %error, "cannot remove the volume of a container that was not made");
                }
            }
        }
        forget(folder);
    }
}

/// The record has them.
pub(super) fn forget(folder: &Path) {
    let path = folder.join(FILE);
    if let Err(error) = fs::remove_file(&path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(file = %path.display(), %error, "cannot remove");
    }
}
