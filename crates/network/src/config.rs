//! What the daemon's flags say about networks, parsed at the door.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use ipnet::Ipv4Net;

use crate::error::{NetworkError, Result};

/// The longest interface name the kernel takes (IFNAMSIZ minus the terminating zero).
const LONGEST_INTERFACE: usize = 15;

/// Settings of the controller, valid by construction.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Where networks are recorded: `<data root>/network`.
    pub data_root: PathBuf,
    /// Where endpoints of running containers are recorded: `<exec root>/network`. Does not outlive a reboot.
    pub exec_root: PathBuf,
    /// The default network's bridge (`--bridge`); `None` when disabled by `--bridge=none`.
    pub bridge: Option<BridgeConfig>,
    /// Name of the firewall table; two daemons in one network namespace need two.
    pub table: TableName,
    /// Who writes the rules (`--iptables`).
    pub firewall: FirewallChoice,
    /// Whether forwarding is switched on (`--ip-forward`).
    pub ip_forward: Switch,
    /// How many network namespaces are kept ready.
    pub spares: usize,
}

/// Settings of the default bridge.
#[derive(Clone, Debug)]
pub struct BridgeConfig {
    /// Name of the interface.
    pub name: InterfaceName,
    /// Address and prefix of the bridge (`--bip`); `None` takes the first free pool.
    pub address: Option<Ipv4Net>,
    /// The part of the subnet containers get addresses from (`--fixed-cidr`).
    pub fixed_cidr: Option<Ipv4Net>,
    /// The containers' default route when it is not the bridge (`--default-gateway`).
    pub gateway: Option<Ipv4Addr>,
    /// MTU of the bridge and of the containers' interfaces (`--mtu`); `None` is 1500.
    pub mtu: Option<u32>,
    /// Whether containers of this network reach each other (`--icc`).
    pub icc: Switch,
    /// Whether containers leave the host under its address (`--ip-masq`).
    pub masquerade: Switch,
    /// The host address ports are published on when none is named (`--ip`).
    pub default_binding: Ipv4Addr,
}

/// On or off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

impl Switch {
    /// Whether it is on.
    #[must_use]
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

impl From<bool> for Switch {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

/// Which backend writes NAT and filter rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FirewallChoice {
    /// An own nftables table.
    Nftables,
    /// Nobody: the administrator does it (`--iptables=false`).
    None,
}

/// A name the kernel takes for an interface.
#[derive(
    Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// A name that is known to be legal.
    pub(crate) fn fixed(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for InterfaceName {
    type Err = NetworkError;

    fn from_str(name: &str) -> Result<Self> {
        let legal = !name.is_empty()
            && name.len() <= LONGEST_INTERFACE
            && name != "."
            && name != ".."
            && !name.bytes().any(|byte| byte <= b' ' || matches!(byte, b'/' | b':' | b'%' | 0x7f));
        if legal {
            Ok(Self(name.to_owned()))
        } else {
            Err(NetworkError::InvalidName { what: "bridge", name: name.to_owned() })
        }
    }
}

impl std::fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name for the firewall's table: letters, digits, `_`, `-` and `.`, at most 64.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TableName(String);

impl TableName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TableName {
    fn default() -> Self {
        Self("barge".to_owned())
    }
}

impl std::str::FromStr for TableName {
    type Err = NetworkError;

    fn from_str(name: &str) -> Result<Self> {
        let legal = name.len() <= 64
            && name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
        if legal {
            Ok(Self(name.to_owned()))
        } else {
            Err(NetworkError::InvalidName { what: "table", name: name.to_owned() })
        }
    }
}

impl BridgeConfig {
    /// The default bridge under this name, everything else as Docker has it.
    #[must_use]
    pub const fn new(name: InterfaceName) -> Self {
        Self {
            name,
            address: None,
            fixed_cidr: None,
            gateway: None,
            mtu: None,
            icc: Switch::On,
            masquerade: Switch::On,
            default_binding: Ipv4Addr::UNSPECIFIED,
        }
    }
}

impl NetworkConfig {
    /// The defaults below these two folders: bridge `barge0`, table `barge`.
    #[must_use]
    pub fn new(data_root: PathBuf, exec_root: PathBuf) -> Self {
        Self {
            data_root,
            exec_root,
            bridge: Some(BridgeConfig::new(InterfaceName("barge0".to_owned()))),
            table: TableName::default(),
            firewall: FirewallChoice::Nftables,
            ip_forward: Switch::On,
            spares: 4,
        }
    }
}

/// Parses `--bip`, `--fixed-cidr`: an IPv4 address with its prefix length.
///
/// # Errors
/// `invalid CIDR address: x`, as Docker says it.
pub fn parse_cidr(text: &str) -> Result<Ipv4Net> {
    text.parse().map_err(|_| NetworkError::InvalidCidr(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_cidr_is_refused_in_dockers_words() {
        for text in ["172.17.0.1", "172.17.0.1/33", "x", "", "fd00::1/64"] {
            assert_eq!(
                parse_cidr(text).unwrap_err().to_string(),
                format!("invalid CIDR address: {text}")
            );
        }
    }

    #[test]
    fn interface_names_are_the_kernels() {
        assert!("barge0".parse::<InterfaceName>().is_ok());
        for name in ["", "a/b", "a b", "sixteen-letters-", ".."] {
            assert!(name.parse::<InterfaceName>().is_err(), "{name}");
        }
    }
}
