//! Volumes.

use barge_api_types::{
    Filters, Volume, VolumeCreateRequest, VolumeListResponse, VolumesPruneResponse,
};
use bytes::Bytes;

use crate::connection::Client;
use crate::error::Result;
use crate::query::Path;

/// Calls on volumes.
#[derive(Clone, Copy, Debug)]
pub struct Volumes<'a> {
    pub(crate) client: &'a Client,
}

impl Volumes<'_> {
    /// Makes a volume, or finds the one of that name.
    pub async fn create(self, request: &VolumeCreateRequest) -> Result<Volume> {
        let path = Path::new(&["volumes", "create"]);
        self.client.post(path).json(request)?.decode("volume").await
    }

    /// Which volumes there are.
    pub async fn list(self, filters: &Filters) -> Result<VolumeListResponse> {
        let path = Path::new(&["volumes"]).with_filters(filters);
        self.client.get(path).decode("list of volumes").await
    }

    /// All about one, as the daemon wrote it.
    pub async fn inspect_raw(self, name: &str) -> Result<Bytes> {
        self.client.get(Path::new(&["volumes", name])).bytes().await
    }

    /// Removes one and what is in it; with `force`, no error if there is none.
    pub async fn remove(self, name: &str, removal: VolumeRemoval) -> Result<()> {
        let path =
            Path::new(&["volumes", name]).with_flag(("force", removal == VolumeRemoval::Force));
        self.client.delete(path).done().await
    }

    /// Removes those that nobody uses.
    pub async fn prune(self, filters: &Filters) -> Result<VolumesPruneResponse> {
        let path = Path::new(&["volumes", "prune"]).with_filters(filters);
        self.client.post(path).decode("list of removed volumes").await
    }
}

/// Whether a volume must be there to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeRemoval {
    /// It must.
    Plain,
    /// It need not.
    Force,
}
