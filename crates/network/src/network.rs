//! A network: its record on disk and what the API shows of it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::SystemTime;

use barge_types::{ContainerId, NetworkId};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::error::{NetworkError, Result};

/// The version of [`NetworkRecord`] that this crate writes.
pub(crate) const RECORD_VERSION: u32 = 1;

/// A network as recorded below the data root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// Version of the record.
    pub version: u32,
    /// Name for programs, kept across restarts of the daemon.
    pub id: NetworkId,
    /// Name for people.
    pub name: String,
    /// The driver's name: `bridge`, `host`, `null`.
    pub driver: String,
    /// When it was made.
    pub created: SystemTime,
    /// Its addresses; `None` for drivers without.
    pub pool: Option<PoolRecord>,
    /// The driver's options, as the API shows them.
    pub options: BTreeMap<String, String>,
}

/// The addresses of a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PoolRecord {
    /// The subnet.
    pub subnet: Ipv4Net,
    /// The part containers get addresses from, when it is not all of the subnet.
    pub range: Option<Ipv4Net>,
    /// The bridge's own address.
    pub gateway: Ipv4Addr,
}

impl PoolRecord {
    /// The bridge's address with the subnet's prefix.
    pub(crate) fn bridge_address(&self) -> Option<Ipv4Net> {
        Ipv4Net::new(self.gateway, self.subnet.prefix_len()).ok()
    }
}

/// What `/networks` shows of one network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetworkView {
    /// The network.
    pub record: NetworkRecord,
    /// The endpoints in it, by container.
    pub endpoints: Vec<Endpoint>,
}

impl NetworkView {
    /// `local`: every network of this kind ends at this host.
    #[must_use]
    pub const fn scope(&self) -> &'static str {
        "local"
    }
}

/// Which network a container wants (`HostConfig.NetworkMode`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NetworkMode {
    /// The one with this name or id.
    Named(String),
    /// That of another container.
    Container(ContainerId),
}

impl NetworkMode {
    /// Parses `default`, `bridge`, `host`, `none`, a name, an id, or `container:` and 64 digits.
    ///
    /// Names of containers are not known here: the engine puts the id in their place first.
    ///
    /// # Errors
    /// When what follows `container:` is no full id.
    pub fn parse(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("container", id)) => id
                .parse()
                .map(Self::Container)
                .map_err(|_| NetworkError::NoSuchNetwork(text.to_owned())),
            Some(_) | None => Ok(match text {
                "" | "default" => Self::Named("bridge".to_owned()),
                name => Self::Named(name.to_owned()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_and_nothing_mean_the_bridge() {
        for text in ["", "default", "bridge"] {
            assert_eq!(NetworkMode::parse(text).unwrap(), NetworkMode::Named("bridge".to_owned()));
        }
    }

    #[test]
    fn a_container_is_named_by_its_full_id() {
        let id = ContainerId::from_bytes([7; 32]);
        assert_eq!(
            NetworkMode::parse(&format!("container:{id}")).unwrap(),
            NetworkMode::Container(id)
        );
        assert!(NetworkMode::parse("container:web").is_err());
    }
}
