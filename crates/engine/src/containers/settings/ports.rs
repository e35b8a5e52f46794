//! Which ports of a container are published, and where.

use std::net::Ipv4Addr;

use barge_api_types::{ContainerConfig, HostConfig};
use barge_network::{HostPorts, PortRequest};
use barge_types::Port;

use super::{NetworkMode, invalid};
use crate::error::Result;

/// `PortBindings`, and with `PublishAllPorts` every exposed port that has none.
pub(crate) fn parse(
    config: &ContainerConfig,
    host: &HostConfig,
    network: &NetworkMode,
) -> Result<Vec<PortRequest>> {
    let mut requests = Vec::new();
    for (port, bindings) in &host.port_bindings {
        let port: Port =
            port.parse().map_err(|_| invalid(format!("invalid port specification: {port:?}")))?;
        for binding in bindings.iter().flatten() {
            requests.push(PortRequest {
                container: port,
                address: address(&binding.host_ip)?,
                host: host_ports(&binding.host_port)?,
            });
        }
    }
    for port in config.exposed_ports.keys() {
        let port: Port =
            port.parse().map_err(|_| invalid(format!("invalid port specification: {port:?}")))?;
        if host.publish_all_ports && !requests.iter().any(|request| request.container == port) {
            requests.push(PortRequest {
                container: port,
                address: None,
                host: HostPorts::Ephemeral,
            });
        }
    }
    // Docker accepts and drops them with a warning on the command line; there is nothing to publish on.
    if network.is_own() && network.network_name() != Some("none") {
        Ok(requests)
    } else {
        Ok(Vec::new())
    }
}

fn address(text: &str) -> Result<Option<Ipv4Addr>> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            invalid(format!("invalid IP address to publish on: {text:?}: expected an IPv4 address"))
        }),
    }
}

fn host_ports(text: &str) -> Result<HostPorts> {
    let wrong = || invalid(format!("invalid port specification: {text:?}"));
    let number = |text: &str| text.parse::<u16>().map_err(|_| wrong());
    match text.split_once('-') {
        None if text.is_empty() => Ok(HostPorts::Ephemeral),
        None => match number(text)? {
            0 => Ok(HostPorts::Ephemeral),
            port => Ok(HostPorts::Range { first: port, last: port }),
        },
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            if first == 0 || last < first {
                Err(wrong())
            } else {
                Ok(HostPorts::Range { first, last })
            }
        }
    }
}
