//! The family: what keeps the files of volumes.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

use crate::error::Result;
use crate::name::VolumeName;

/// Where a volume can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// On this host.
    Local,
    /// On every host of a cluster.
    Global,
}

impl Scope {
    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Global => "global",
        }
    }
}

/// Keeps the files of volumes. The store serialises calls about one volume.
pub trait VolumeDriver: Send + Sync + Debug {
    /// The word users type.
    fn name(&self) -> &str;

    /// Where its volumes can be reached.
    fn scope(&self) -> Scope;

    /// Makes a volume. One that is there already is left as it is.
    fn create(&self, name: &VolumeName, options: &BTreeMap<String, String>) -> Result<()>;

    /// Removes a volume with its files; one that is not there is no error.
    fn remove(&self, name: &VolumeName) -> Result<()>;

    /// Whether the volume is there.
    fn exists(&self, name: &VolumeName) -> Result<bool>;

    /// All volumes, sorted.
    fn list(&self) -> Result<Vec<VolumeName>>;

    /// The folder where the files are while the volume is mounted.
    fn path(&self, name: &VolumeName) -> PathBuf;

    /// Makes the files available to a user (a container's id) and tells where. Mounting twice for
    /// one user is once.
    fn mount(&self, name: &VolumeName, user: &str) -> Result<PathBuf>;

    /// Takes a mount back. Unmounting for someone who has none is no error.
    fn unmount(&self, name: &VolumeName, user: &str) -> Result<()>;
}
