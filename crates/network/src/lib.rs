//! The Container Network Model: networks, endpoints, sandboxes and their drivers.
//!
//! A **network** is a bridge of the host, the host itself, or none; an **endpoint** is a container's place in one; a
//! **sandbox** is the network namespace the container runs in. The [`Controller`] brings them together. Everything here
//! blocks, and nothing here runs a program.

mod config;
mod controller;
mod driver;
mod drivers;
mod endpoint;
mod error;
pub mod hosts_file;
mod ipam;
mod network;
mod ports;
mod reaper;
pub mod resolv_conf;
mod rules;
mod sandbox;
mod store;
mod subnet;

pub use config::{
    BridgeConfig, FirewallChoice, InterfaceName, NetworkConfig, Switch, TableName, parse_cidr,
};
pub use controller::Controller;
pub use endpoint::{Attachment, Endpoint, EndpointId, EndpointOptions, Link, MacAddress, Place};
pub use error::{NetworkError, PortReason, Result};
pub use network::{NetworkMode, NetworkRecord, NetworkView, PoolRecord};
pub use ports::{HostPorts, PortRequest, PublishedPort};
pub use sandbox::Sandbox;
