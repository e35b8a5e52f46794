//! Differences for drivers, and pairs of layers, that have no cheaper way: both are mounted and compared.

use std::io::Write;
use std::path::{Path, PathBuf};

use barge_archive::{changes, changes::Change, pack};

use crate::driver::{MountOptions, StorageDriver};
use crate::error::{Result, StorageError};
use crate::layer_id::LayerId;

/// A mount that is taken back at the end.
struct Mounted<'a> {
    driver: &'a dyn StorageDriver,
    id: &'a LayerId,
    path: PathBuf,
}

impl<'a> Mounted<'a> {
    fn new(driver: &'a dyn StorageDriver, id: &'a LayerId) -> Result<Self> {
        let path = driver.mount(id, &MountOptions::default())?;
        Ok(Self { driver, id, path })
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // The comparison is done; a mount that stays is found again by the next one.
        self.driver.unmount(self.id).ok();
    }
}

/// See [`StorageDriver::changes`].
pub(crate) fn changes(
    driver: &dyn StorageDriver,
    id: &LayerId,
    parent: Option<&LayerId>,
) -> Result<Vec<Change>> {
    let new = Mounted::new(driver, id)?;
    between(driver, &new, parent)
}

/// See [`StorageDriver::diff`].
pub(crate) fn diff(
    driver: &dyn StorageDriver,
    id: &LayerId,
    parent: Option<&LayerId>,
    out: &mut dyn Write,
) -> Result<()> {
    let new = Mounted::new(driver, id)?;
    match parent {
        None => pack::tree(&new.path, out),
        Some(_) => pack::changes(&new.path, &between(driver, &new, parent)?, out),
    }
    .map_err(StorageError::archive("pack", id))
}

/// See [`StorageDriver::diff_size`].
pub(crate) fn diff_size(
    driver: &dyn StorageDriver,
    id: &LayerId,
    parent: Option<&LayerId>,
) -> Result<u64> {
    let new = Mounted::new(driver, id)?;
    match parent {
        None => changes::content_size(&new.path),
        Some(_) => changes::size(&new.path, &between(driver, &new, parent)?),
    }
    .map_err(StorageError::archive("measure", id))
}

fn between(
    driver: &dyn StorageDriver,
    new: &Mounted<'_>,
    parent: Option<&LayerId>,
) -> Result<Vec<Change>> {
    let old = parent.map(|parent| Mounted::new(driver, parent)).transpose()?;
    let old: Option<&Path> = old.as_ref().map(|old| old.path.as_path());
    changes::between(old, &new.path).map_err(StorageError::archive("compare", new.id))
}
