//! Volumes: folders that outlive containers, kept by drivers.
//!
//! [`VolumeStore`] knows which volumes there are, who made them and which containers use them; a
//! [`VolumeDriver`] keeps their files. A volume with files is never removed because a record is
//! missing: what a driver has is a volume.

#[cfg(test)]
#[macro_use]
mod conformance;
mod copy_up;
mod driver;
pub mod drivers;
mod error;
mod name;
mod record;
mod store;

pub use copy_up::copy_up;
pub use driver::{Scope, VolumeDriver};
pub use error::{Result, VolumeError};
pub use name::VolumeName;
pub use store::{ANONYMOUS_LABEL, CreateOptions, Pruned, Volume, VolumeStore};
