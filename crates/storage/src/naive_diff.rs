//! Differences for drivers, and pairs of layers, that have no cheaper way: both are mounted and compared.

use std::io::Write;
use std::path::{Path, PathBuf};

use barge_archive::pack::{self, PackOptions, Packed};
use barge_archive::{changes, changes::Change};

use crate::driver::{MountOptions, StorageDriver};
use crate::error::{Result, StorageError};
use crate::layer_id::LayerId;

/// A mount that is taken back at the end.
struct Mounted<'a> {
    driver: &'a dyn StorageDriver,
    id: &'a LayerId,
    path: PathBuf,
    access: Access,
}

/// Whether the layer may be a container's, which writes to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    ReadWrite,
    ReadOnly,
}

impl<'a> Mounted<'a> {
    fn new(driver: &'a dyn StorageDriver, id: &'a LayerId, access: Access) -> Result<Self> {
        let path = match access {
            Access::ReadWrite => driver.mount(id, &MountOptions::default())?,
            Access::ReadOnly => driver.mount_read_only(id)?,
        };
        Ok(Self { driver, id, path, access })
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // The comparison is done; a mount that stays is found again by the next one.
        match self.access {
            Access::ReadWrite => self.driver.unmount(self.id),
            Access::ReadOnly => self.driver.unmount_read_only(self.id),
        }
        .ok();
    }
}

/// See [`StorageDriver::changes`].
pub(crate) fn changes(
    driver: &dyn StorageDriver,
    id: &LayerId,
    parent: Option<&LayerId>,
) -> Result<Vec<Change>> {
    let new = Mounted::new(driver, id, Access::ReadWrite)?;
    between(driver, &new, parent)
}

/// See [`StorageDriver::pack`].
pub(crate) fn pack(
    driver: &dyn StorageDriver,
    (id, parent): (&LayerId, Option<&LayerId>),
    options: &PackOptions,
    out: &mut dyn Write,
) -> Result<Packed> {
    let new = Mounted::new(driver, id, Access::ReadWrite)?;
    match parent {
        None => pack::tree(&new.path, options, out),
        Some(_) => pack::changes(&new.path, &between(driver, &new, parent)?, options, out),
    }
    .map_err(StorageError::archive("pack", id))
}

/// See [`StorageDriver::diff_size`].
pub(crate) fn diff_size(
    driver: &dyn StorageDriver,
    id: &LayerId,
    parent: Option<&LayerId>,
) -> Result<u64> {
    let new = Mounted::new(driver, id, Access::ReadWrite)?;
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
    let old = parent.map(|parent| Mounted::new(driver, parent, Access::ReadOnly)).transpose()?;
    let old: Option<&Path> = old.as_ref().map(|old| old.path.as_path());
    changes::between(old, &new.path).map_err(StorageError::archive("compare", new.id))
}
