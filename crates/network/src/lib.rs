//! The Container Network Model: networks, endpoints, sandboxes and their drivers.

mod config;
mod endpoint;
mod error;
pub mod hosts_file;
mod network;
mod ports;
pub mod resolv_conf;

pub use config::{
    BridgeConfig, FirewallChoice, InterfaceName, NetworkConfig, Switch, TableName, parse_cidr,
};
pub use endpoint::{Attachment, Endpoint, EndpointId, EndpointOptions, Link, MacAddress};
pub use error::{NetworkError, PortReason, Result};
pub use network::{NetworkMode, NetworkRecord, NetworkView, PoolRecord, SandboxKind};
pub use ports::{HostPorts, PortRequest, PublishedPort};
