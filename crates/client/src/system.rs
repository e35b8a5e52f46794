//! The daemon itself: what it is, what it has, what happens in it.

use barge_api_types::{DiskUsage, EventMessage, Filters, SystemInfo, SystemVersion};
use serde::Deserialize;

use crate::connection::Client;
use crate::error::Result;
use crate::query::Path;
use crate::stream::JsonStream;

/// Calls on the daemon itself.
#[derive(Clone, Copy, Debug)]
pub struct System<'a> {
    pub(crate) client: &'a Client,
}

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct EventsOptions {
    /// Not before: seconds and fraction since 1970.
    pub since: Option<String>,
    /// Not after; ends the stream.
    pub until: Option<String>,
    /// Which.
    pub filters: Filters,
}

impl System<'_> {
    /// What the daemon is and has.
    pub async fn info(self) -> Result<SystemInfo> {
        self.client.get(Path::new(&["info"])).decode("information").await
    }

    /// Its version.
    pub async fn version(self) -> Result<SystemVersion> {
        self.client.get(Path::new(&["version"])).decode("version").await
    }

    /// What takes place on the disk.
    pub async fn disk_usage(self) -> Result<DiskUsage> {
        let path = Path::new(&["system", "df"]);
        self.client.get(path).decode("disk usage").await
    }

    /// Removes records of the build cache.
    pub async fn prune_builds(self, which: Records, filters: &Filters) -> Result<RecordsPruned> {
        let path = Path::new(&["build", "prune"])
            .with_flag(("all", which == Records::All))
            .with_filters(filters);
        self.client.post(path).decode("list of removed records").await
    }

    /// What happens, as it happens.
    pub async fn events(self, options: &EventsOptions) -> Result<JsonStream<EventMessage>> {
        let path = Path::new(&["events"])
            .with_some("since", options.since.as_deref())
            .with_some("until", options.until.as_deref())
            .with_filters(&options.filters);
        let bytes = self.client.get(path).stream().await?;
        Ok(JsonStream::new(bytes, "event"))
    }
}

/// Which records of the build cache go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// Those that nothing refers to.
    Dangling,
    /// All that are not in use.
    All,
}

/// What a prune of the build cache removed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RecordsPruned {
    /// Their identifiers.
    #[serde(deserialize_with = "barge_api_types::null::as_default")]
    pub caches_deleted: Vec<String>,
    /// Bytes.
    pub space_reclaimed: u64,
}
