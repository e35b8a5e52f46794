//! Ports as the API writes them: `{"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}`.

use std::collections::BTreeMap;

/// Container port (`80/tcp`) to host bindings; `null` for a port that is exposed but not published.
pub type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

/// A JSON object used as a set: `{"80/tcp": {}}`.
pub type ObjectSet = BTreeMap<String, EmptyObject>;

wire! {
    /// One host side of a published port; the port may be empty (any) or a range.
    pub struct PortBinding {
        pub host_ip: String,
        pub host_port: String,
    }

    /// A port as `GET /containers/json` lists it.
    pub struct PortSummary {
        #[serde(rename = "IP", skip_serializing_if = "crate::null::is_empty")]
        pub ip: String,
        pub private_port: u16,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub public_port: u16,
        /// `tcp`, `udp` or `sctp`.
        #[serde(rename = "Type")]
        pub protocol: String,
    }
}

/// `{}`: the value of a member of an [`ObjectSet`]. Anything, `null` included, is read as it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmptyObject;

impl serde::Serialize for EmptyObject {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde::ser::SerializeMap::end(serializer.serialize_map(Some(0))?)
    }
}

impl<'de> serde::Deserialize<'de> for EmptyObject {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer)?;
        Ok(Self)
    }
}
