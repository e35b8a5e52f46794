//! Events, one JSON object per line in `GET /events`.

use std::collections::BTreeMap;

wire! {
    /// One event. `status`, `id` and `from` are the fields of before API 1.22 that clients still read.
    pub struct EventMessage {
        #[serde(rename = "status", skip_serializing_if = "crate::null::is_empty")]
        pub status: String,
        #[serde(rename = "id", skip_serializing_if = "crate::null::is_empty")]
        pub id: String,
        #[serde(rename = "from", skip_serializing_if = "crate::null::is_empty")]
        pub from: String,
        /// `container`, `image`, `network`, `volume`, `daemon`, …
        #[serde(rename = "Type")]
        pub kind: String,
        pub action: String,
        pub actor: EventActor,
        #[serde(rename = "scope", skip_serializing_if = "crate::null::is_empty")]
        pub scope: String,
        /// Seconds since the epoch.
        #[serde(rename = "time", skip_serializing_if = "crate::null::is_empty")]
        pub time: i64,
        #[serde(rename = "timeNano", skip_serializing_if = "crate::null::is_empty")]
        pub time_nano: i64,
    }

    /// The object of an event.
    pub struct EventActor {
        #[serde(rename = "ID")]
        pub id: String,
        pub attributes: BTreeMap<String, String>,
    }
}
