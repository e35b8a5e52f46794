//! Everything that can go wrong with a network, in the words Docker's clients match on.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use barge_types::ErrorKind;

/// The result of this crate's verbs.
pub type Result<T> = std::result::Result<T, NetworkError>;

/// What went wrong with a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// No network has this name or id.
    #[error("network {0} not found")]
    NoSuchNetwork(String),
    /// A short id fits more than one network.
    #[error("network {0} is ambiguous")]
    Ambiguous(String),
    /// Not an address with a prefix length.
    #[error("invalid CIDR address: {0}")]
    InvalidCidr(String),
    /// Not a link-layer address.
    #[error("invalid MAC address: {0}")]
    InvalidMac(String),
    /// Not an IPv4 address.
    #[error("invalid IP address: {0}")]
    InvalidAddress(String),
    /// Not a port or a range of ports.
    #[error("invalid port specification: {0}")]
    InvalidPort(String),
    /// Not a name for an interface or a table.
    #[error("invalid {what} name {name:?}")]
    InvalidName {
        /// "bridge" or "table".
        what: &'static str,
        /// What was given.
        name: String,
    },
    /// Two daemons cannot share a bridge.
    #[error("another barged uses the bridge {0}: give this one its own with --bridge")]
    BridgeClaimed(String),
    /// The subnet that was asked for is in use on the host.
    #[error("bridge address {wanted} overlaps with {existing} of the host")]
    SubnetCollides {
        /// What `--bip` said.
        wanted: String,
        /// The address or route that is already there, with its interface.
        existing: String,
    },
    /// Every default pool collides with something.
    #[error(
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
    )]
    NoFreePool,
    /// Every address of the pool is in use.
    #[error("no available IPv4 addresses on this network's address pools: {network} ({id})")]
    PoolExhausted {
        /// Name of the network.
        network: String,
        /// Its id.
        id: String,
    },
    /// The address that was asked for is in use.
    #[error("Address already in use")]
    AddressInUse(Ipv4Addr),
    /// The address that was asked for is outside the network.
    #[error("invalid address {address}: It does not belong to any of this network's subnets")]
    AddressOutside {
        /// What was asked for.
        address: Ipv4Addr,
    },
    /// This kind of network has no settings of this kind.
    #[error("conflicting options: {option} and the network mode {mode}")]
    NotForThisMode {
        /// "port publishing", "a fixed address" …
        option: &'static str,
        /// "host", "none", "container".
        mode: String,
    },
    /// The container already has an endpoint.
    #[error("endpoint with name {container} already exists in network {network}")]
    EndpointExists {
        /// The container's name.
        container: String,
        /// The network's name.
        network: String,
    },
    /// A port cannot be published; Docker's sentence around the cause.
    #[error("driver failed programming external connectivity on endpoint {endpoint} ({id})")]
    Connectivity {
        /// The container's name.
        endpoint: String,
        /// The endpoint's id.
        id: String,
        /// Which port, and why.
        source: Box<NetworkError>,
    },
    /// Another container of this daemon has the port.
    #[error("Bind for {host}:{port} failed: port is already allocated")]
    PortAllocated {
        /// Host address.
        host: Ipv4Addr,
        /// Host port.
        port: u16,
    },
    /// All ports of the range are taken.
    #[error("Bind for {host}:{first}-{last} failed: all ports are allocated")]
    PortsExhausted {
        /// Host address.
        host: Ipv4Addr,
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
    },
    /// A process of the host has the port, or the address is not the host's.
    #[error("failed to bind host port for {binding}")]
    PortBind {
        /// `0.0.0.0:80:172.17.0.2:80/tcp`.
        binding: String,
        /// What bind(2) said.
        source: PortReason,
    },
    /// A request to the kernel about links, addresses or routes failed.
    #[error("cannot {action}")]
    Netlink {
        /// Verb and object.
        action: String,
        /// What the kernel said.
        source: barge_netlink::NetlinkError,
    },
    /// The rules could not be changed.
    #[error("cannot {action}")]
    Firewall {
        /// Verb and object.
        action: &'static str,
        /// What the backend said.
        source: barge_firewall::FirewallError,
    },
    /// A file or a system call failed.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// Verb.
        action: &'static str,
        /// Object.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A record on disk is not what was written.
    #[error("cannot read the record {path}", path = .path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Several steps of a tear-down failed.
    #[error("{others} more errors, the first")]
    Several {
        /// How many there are besides the first.
        others: usize,
        /// The first.
        source: Box<NetworkError>,
    },
    /// The interface named by `--bridge` is not a bridge.
    #[error("interface {0} exists and is not a bridge")]
    NotABridge(String),
    /// `--bridge=none` was given and a container asked for the default network.
    #[error("network bridge is disabled: the daemon runs with --bridge=none")]
    BridgeDisabled,
}

/// Why a port of the host cannot be bound, in bind(2)'s words without the number Rust puts behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct PortReason(pub rustix::io::Errno);

impl PortReason {
    fn text(self) -> String {
        match self.0 {
            rustix::io::Errno::ADDRINUSE => "address already in use".to_owned(),
            rustix::io::Errno::ADDRNOTAVAIL => "cannot assign requested address".to_owned(),
            rustix::io::Errno::ACCESS => "permission denied".to_owned(),
            rustix::io::Errno::PROTONOSUPPORT => "protocol not supported".to_owned(),
            other => io::Error::from(other).to_string(),
        }
    }
}

impl NetworkError {
    /// The class of the error.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchNetwork(_) => ErrorKind::NotFound,
            Self::Ambiguous(_)
            | Self::InvalidCidr(_)
            | Self::InvalidMac(_)
            | Self::InvalidAddress(_)
            | Self::InvalidPort(_)
            | Self::InvalidName { .. }
            | Self::AddressOutside { .. }
            | Self::NotForThisMode { .. }
            | Self::BridgeDisabled => ErrorKind::InvalidParameter,
            Self::EndpointExists { .. } => ErrorKind::Forbidden,
            Self::BridgeClaimed(_)
            | Self::SubnetCollides { .. }
            | Self::NoFreePool
            | Self::PoolExhausted { .. }
            | Self::AddressInUse(_)
            | Self::Connectivity { .. }
            | Self::PortAllocated { .. }
            | Self::PortsExhausted { .. }
            | Self::PortBind { .. }
            | Self::Netlink { .. }
            | Self::Firewall { .. }
            | Self::Io { .. }
            | Self::Record { .. }
            | Self::Several { .. }
            | Self::NotABridge(_) => ErrorKind::System,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn errno(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(rustix::io::Errno) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source: source.into() }
    }

    pub(crate) fn netlink(
        action: impl Into<String>,
    ) -> impl FnOnce(barge_netlink::NetlinkError) -> Self {
        let action = action.into();
        move |source| Self::Netlink { action, source }
    }

    pub(crate) fn firewall(
        action: &'static str,
    ) -> impl FnOnce(barge_firewall::FirewallError) -> Self {
        move |source| Self::Firewall { action, source }
    }
}

/// What a tear-down that went on after errors has to tell.
pub(crate) fn several(errors: impl IntoIterator<Item = NetworkError>) -> Result<()> {
    let mut errors = errors.into_iter();
    match (errors.next(), errors.count()) {
        (None, _) => Ok(()),
        (Some(only), 0) => Err(only),
        (Some(first), others) => Err(NetworkError::Several { others, source: Box::new(first) }),
    }
}
