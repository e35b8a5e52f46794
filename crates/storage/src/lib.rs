//! Storage drivers: layers as folders, stacked by the kernel.
//!
//! A layer is a folder of files that differ from its parent's. [`StorageDriver`] is the family, [`open`] picks a member
//! for a data root. Drivers keep no record of who uses a layer: callers publish layers by their own records and hand the
//! living ones to [`StorageDriver::sweep`] at start.

mod container;
mod detect;
mod driver;
pub mod drivers;
mod error;
mod fault;
mod layer_id;
mod mapped;
mod naive_diff;
mod options;
mod quota;
mod syncing;
mod table;
mod trash;

pub use barge_archive::changes::{Change, ChangeKind};
pub use barge_archive::pack::{Holes, PackOptions, Packed};
pub use container::{create_container_layers, remove_container_layers};
pub use detect::{KNOWN_DRIVERS, known, open, open_with};
pub use driver::{Durability, MountOptions, Owners, ReadWriteOptions, StorageDriver};
pub use error::{Result, StorageError};
pub use layer_id::LayerId;
pub use mapped::MappedOptions;
pub use options::StorageOptions;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod testing;
