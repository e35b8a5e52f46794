//! The daemon itself: what it is, what it has, what happens in it.

use barge_api_types::{DiskUsage, EventMessage, Filters, SystemInfo, SystemVersion};
use bytes::Bytes;

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

    /// An object of a kind that a daemon outside a swarm does not have (`nodes`, `plugins`…): the
    /// daemon's own answer.
    pub async fn inspect_foreign(self, kind: &str, name: &str) -> Result<Bytes> {
        let path = match kind {
            "plugins" => Path::new(&[kind, name, "json"]),
            _ => Path::new(&[kind, name]),
        };
        self.client.get(path).bytes().await
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
