//! An endpoint: one container's place in one network.
//!
//! It is a value: allocated in memory, recorded below the exec root, given to the driver to be made real.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use barge_types::{ContainerId, NetworkId};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::config::InterfaceName;
use crate::error::{NetworkError, Result};
use crate::ports::{PortRequest, PublishedPort};

/// What a container asks of a network.
#[derive(Clone, Debug)]
pub struct EndpointOptions {
    /// Who asks.
    pub container: ContainerId,
    /// The container's name, for error texts and listings.
    pub container_name: String,
    /// `--mac-address`; otherwise made of the address.
    pub mac: Option<MacAddress>,
    /// `--ip`; otherwise the next free one.
    pub ip: Option<Ipv4Addr>,
    /// `-p`.
    pub ports: Vec<PortRequest>,
    /// Where it is to be plugged in.
    pub place: Place,
}

/// Where an endpoint is plugged in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Place {
    /// Into a sandbox of the controller's.
    #[default]
    Sandbox,
    /// Into a namespace that a process makes for itself.
    Process,
}

impl EndpointOptions {
    /// A container that asks for nothing in particular.
    #[must_use]
    pub fn new(container: ContainerId, container_name: impl Into<String>) -> Self {
        Self {
            container,
            container_name: container_name.into(),
            mac: None,
            ip: None,
            ports: Vec::new(),
            place: Place::default(),
        }
    }

    /// Refuses what only an own interface can have.
    pub(crate) fn refuse_own_link(&self, mode: &str) -> Result<()> {
        let options = [(self.ip.is_some(), "a fixed address"), (self.mac.is_some(), "mac-address")];
        match options.iter().find(|(asked, _)| *asked) {
            None => Ok(()),
            Some((_, option)) => {
                Err(NetworkError::NotForThisMode { option, mode: mode.to_owned() })
            }
        }
    }
}

/// Names an endpoint: 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointId(String);

impl EndpointId {
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(NetworkId::from_bytes(bytes).to_string())
    }

    /// All 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One container's place in one network.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its own name.
    pub id: EndpointId,
    /// The network it belongs to.
    pub network: NetworkId,
    /// That network's name: `bridge`, `host`, `none`.
    pub network_name: String,
    /// Whose it is.
    pub container: ContainerId,
    /// That container's name when it started.
    pub container_name: String,
    /// What it consists of.
    pub attachment: Attachment,
}

impl Endpoint {
    /// Interface, address and ports; `None` for the host's network and for none.
    #[must_use]
    pub const fn link(&self) -> Option<&Link> {
        match &self.attachment {
            Attachment::Link(link) => Some(link),
            Attachment::Host | Attachment::Null => None,
        }
    }
}

/// How a container takes part in a network.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attachment {
    /// It lives in the host's namespace.
    Host,
    /// It has a namespace with a loopback interface only.
    Null,
    /// It has an interface of its own.
    Link(Link),
}

/// An interface in a container and where it leads.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Link {
    /// Name inside: `eth0`.
    pub interface: InterfaceName,
    /// Name of its peer on the host.
    pub host_interface: InterfaceName,
    /// Address and prefix length.
    pub address: Ipv4Net,
    /// Where the default route goes.
    pub gateway: Option<Ipv4Addr>,
    /// Link-layer address.
    pub mac: MacAddress,
    /// MTU of both ends.
    pub mtu: Option<u32>,
    /// Ports of the host that lead here.
    pub ports: Vec<PublishedPort>,
}

/// A link-layer address, written `02:42:ac:11:00:02`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// Docker's scheme: `02:42` and the four bytes of the address, so that a neighbour entry that outlives a
    /// container is right for the next one with the same address.
    #[must_use]
    pub const fn from_ipv4(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x42, a, b, c, d])
    }

    /// Its six bytes.
    #[must_use]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for MacAddress {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || NetworkError::InvalidMac(text.to_owned());
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut octets = [0; 6];
        let mut parts = text.split(separator);
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(invalid)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        match parts.next() {
            None => Ok(Self(octets)),
            Some(_) => Err(invalid()),
        }
    }
}

impl TryFrom<String> for MacAddress {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_made_of_the_address_as_docker_does() {
        let mac = MacAddress::from_ipv4(Ipv4Addr::new(172, 17, 0, 2));
        assert_eq!(mac.to_string(), "02:42:ac:11:00:02");
        assert_eq!("02-42-AC-11-00-02".parse::<MacAddress>().unwrap(), mac);
    }

    #[test]
    fn other_text_is_no_mac() {
        for text in
            ["", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "2:42:ac:11:00:02", "zz:42:ac:11:00:02"]
        {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
    }
}
