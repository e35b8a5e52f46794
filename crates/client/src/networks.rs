//! Networks.

use barge_api_types::{Filters, Network};
use bytes::Bytes;
use serde::Deserialize;

use crate::connection::Client;
use crate::error::Result;
use crate::query::Path;

/// Calls on networks.
#[derive(Clone, Copy, Debug)]
pub struct Networks<'a> {
    pub(crate) client: &'a Client,
}

impl Networks<'_> {
    /// Which networks there are.
    pub async fn list(self, filters: &Filters) -> Result<Vec<Network>> {
        let path = Path::new(&["networks"]).with_filters(filters);
        self.client.get(path).decode("list of networks").await
    }

    /// Removes those that no container uses.
    pub async fn prune(self, filters: &Filters) -> Result<NetworksPruned> {
        let path = Path::new(&["networks", "prune"]).with_filters(filters);
        self.client.post(path).decode("list of removed networks").await
    }

    /// All about one, as the daemon wrote it.
    pub async fn inspect_raw(self, name: &str) -> Result<Bytes> {
        self.client.get(Path::new(&["networks", name])).bytes().await
    }

    /// The same with what a swarm adds.
    pub async fn inspect_verbose(self, name: &str) -> Result<Bytes> {
        let path = Path::new(&["networks", name]).with_flag(("verbose", true));
        self.client.get(path).bytes().await
    }
}

/// What a prune of networks removed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworksPruned {
    /// Their names.
    #[serde(deserialize_with = "barge_api_types::null::as_default")]
    pub networks_deleted: Vec<String>,
}
