//! Networks.

use barge_api_types::{Filters, Network};
use bytes::Bytes;

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

    /// All about one, as the daemon wrote it.
    pub async fn inspect_raw(self, name: &str) -> Result<Bytes> {
        self.client.get(Path::new(&["networks", name])).bytes().await
    }
}
