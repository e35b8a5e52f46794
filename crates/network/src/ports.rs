//! Ports of the host that lead to containers: what is asked for, what was given, and who holds what.
//!
//! A port is held by a socket bound to it for as long as it is published, so that a process of the host that has it is
//! noticed now and one that wants it later is told. Nobody ever reads from that socket: the firewall rewrites packets
//! before they reach it. A port is given in rising order and not again at once.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use barge_types::{Port, Protocol};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};
use serde::{Deserialize, Serialize};

use crate::error::{NetworkError, PortReason, Result};

/// Where the kernel says which ports it gives away itself.
const EPHEMERAL_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Its default.
const DEFAULT_EPHEMERAL: RangeInclusive<u16> = 32768..=60999;

/// A port that a container wants published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortRequest {
    /// The port inside.
    pub container: Port,
    /// The address of the host; `None` is the daemon's default, all of them.
    pub address: Option<Ipv4Addr>,
    /// The port outside.
    pub host: HostPorts,
}

/// Which port of the host is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostPorts {
    /// Any free one of the host's ephemeral range.
    Ephemeral,
    /// The first free one of these; a single one when both are the same.
    Range {
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
    },
}

/// A port that is published.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The port inside.
    pub container: Port,
    /// The address of the host, `0.0.0.0` for all.
    pub host_address: Ipv4Addr,
    /// The port of the host.
    pub host_port: u16,
}

impl PublishedPort {
    /// What asks for exactly this.
    #[must_use]
    pub const fn to_request(&self) -> PortRequest {
        PortRequest {
            container: self.container,
            address: Some(self.host_address),
            host: HostPorts::Range { first: self.host_port, last: self.host_port },
        }
    }
}

/// The text Docker puts into its errors: `0.0.0.0:80:172.17.0.2:80/tcp`.
struct Binding<'a> {
    port: &'a PublishedPort,
    target: Ipv4Addr,
}

impl fmt::Display for Binding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PublishedPort { container, host_address, host_port } = self.port;
        write!(f, "{host_address}:{host_port}:{}:{container}", self.target)
    }
}

/// A port of the host: protocol, number, address. In this order all addresses of a port are neighbours.
type Key = (Protocol, u16, Ipv4Addr);

/// The ports this daemon holds.
#[derive(Debug, Default)]
pub(crate) struct PortTable {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    sockets: BTreeMap<Key, Option<OwnedFd>>,
    /// Where the search for an ephemeral port goes on, so that a port is not given again at once.
    next: HashMap<Protocol, u16>,
}

impl Held {
    /// Whether a container of ours has the port: on this address, on all, or (for all) on any.
    fn is_taken(&self, (protocol, port, address): Key) -> bool {
        let all = Ipv4Addr::UNSPECIFIED;
        if address == all {
            let addresses = (protocol, port, all)..=(protocol, port, Ipv4Addr::BROADCAST);
            self.sockets.range(addresses).next().is_some()
        } else {
            [address, all]
                .iter()
                .any(|address| self.sockets.contains_key(&(protocol, port, *address)))
        }
    }
}

impl PortTable {
    /// Takes a port of the host for each request, or none at all.
    pub(crate) fn reserve(
        &self,
        requests: &[PortRequest],
        target: Ipv4Addr,
        default: Ipv4Addr,
    ) -> Result<Vec<PublishedPort>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut given: Vec<PublishedPort> = Vec::with_capacity(requests.len());
        for request in requests {
            let address = request.address.unwrap_or(default);
            match held.take(request, address, target) {
                Ok(port) => given.push(port),
                Err(error) => {
                    held.give_back(&given);
                    return Err(error);
                }
            }
        }
        Ok(given)
    }

    /// Takes the ports of an endpoint that lives on from before the daemon was started.
    ///
    /// A port that a process of the host grabbed meanwhile stays published: the rules are there and come first.
    pub(crate) fn adopt(&self, ports: &[PublishedPort]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for port in ports {
            let key = key(port);
            let socket = bind(key).ok();
            held.sockets.insert(key, socket);
        }
    }

    /// Makes the ports ours for good, once the rules that take their packets are in place.
    ///
    /// With SO_REUSEADDR two sockets that do not listen may share a TCP port: only listening keeps others out. It is
    /// not done earlier, because the kernel answers connections to a listening socket even when nobody accepts them,
    /// and a client that tries while the container starts would wait for ever instead of being refused.
    pub(crate) fn seal(&self, ports: &[PublishedPort], target: Ipv4Addr) -> Result<()> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for port in ports.iter().filter(|port| port.container.protocol == Protocol::Tcp) {
            if let Some(Some(socket)) = held.sockets.get(&key(port)) {
                rustix::net::listen(socket, 0).map_err(|source| NetworkError::PortBind {
                    binding: Binding { port, target }.to_string(),
                    source: PortReason(source),
                })?;
            }
        }
        Ok(())
    }

    /// Gives ports back.
    pub(crate) fn release(&self, ports: &[PublishedPort]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.give_back(ports);
    }
}

const fn key(port: &PublishedPort) -> Key {
    (port.container.protocol, port.host_port, port.host_address)
}

impl Held {
    fn take(
        &mut self,
        request: &PortRequest,
        address: Ipv4Addr,
        target: Ipv4Addr,
    ) -> Result<PublishedPort> {
        match request.host {
            HostPorts::Range { first, last } if first == last => {
                let port = PublishedPort {
                    container: request.container,
                    host_address: address,
                    host_port: first,
                };
                self.take_one(&port, target)?;
                Ok(port)
            }
            HostPorts::Range { first, last } => {
                self.take_first(request.container, address, first..=last, target)
            }
            HostPorts::Ephemeral => {
                let range = ephemeral_range();
                let protocol = request.container.protocol;
                let start = *self
                    .next
                    .get(&protocol)
                    .filter(|port| range.contains(port))
                    .unwrap_or(range.start());
                let port = self
                    .take_first(request.container, address, start..=*range.end(), target)
                    .or_else(|_| {
                        self.take_first(request.container, address, range.clone(), target)
                    })?;
                self.next.insert(protocol, port.host_port.checked_add(1).unwrap_or(*range.start()));
                Ok(port)
            }
        }
    }

    fn take_first(
        &mut self,
        container: Port,
        address: Ipv4Addr,
        range: RangeInclusive<u16>,
        target: Ipv4Addr,
    ) -> Result<PublishedPort> {
        let (first, last) = (*range.start(), *range.end());
        for host in range {
            let port = PublishedPort { container, host_address: address, host_port: host };
            match self.take_one(&port, target) {
                Ok(()) => return Ok(port),
                // Only a port in use is a reason to look at the next one.
                Err(
                    NetworkError::PortAllocated { .. }
                    | NetworkError::PortBind { source: PortReason(Errno::ADDRINUSE), .. },
                ) => {}
                Err(error) => return Err(error),
            }
        }
        Err(NetworkError::PortsExhausted { host: address, first, last })
    }

    fn take_one(&mut self, port: &PublishedPort, target: Ipv4Addr) -> Result<()> {
        let key = key(port);
        if self.is_taken(key) {
            return Err(NetworkError::PortAllocated {
                host: port.host_address,
                port: port.host_port,
            });
        }
        let socket = bind(key).map_err(|source| NetworkError::PortBind {
            binding: Binding { port, target }.to_string(),
            source: PortReason(source),
        })?;
        self.sockets.insert(key, Some(socket));
        Ok(())
    }

    fn give_back(&mut self, ports: &[PublishedPort]) {
        for port in ports {
            self.sockets.remove(&key(port));
        }
    }
}

fn bind((protocol, port, address): Key) -> rustix::io::Result<OwnedFd> {
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let socket =
        rustix::net::socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, Some(number))?;
    if protocol == Protocol::Tcp {
        // Connections that wait for their end (TIME_WAIT) do not make a port busy.
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &SocketAddrV4::new(address, port))?;
    Ok(socket)
}

fn ephemeral_range() -> RangeInclusive<u16> {
    std::fs::read_to_string(Path::new(EPHEMERAL_RANGE))
        .ok()
        .and_then(|text| parse_range(&text))
        .unwrap_or(DEFAULT_EPHEMERAL)
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut words = text.split_whitespace();
    let (first, last) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (first <= last && words.next().is_none()).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 2);
    const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
    const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

    fn request(container: &str, host: HostPorts) -> PortRequest {
        PortRequest { container: container.parse().unwrap(), address: None, host }
    }

    const fn one(port: u16) -> HostPorts {
        HostPorts::Range { first: port, last: port }
    }

    /// Runs a test where no other process has ports.
    fn alone(test: impl FnOnce(&PortTable) + Send) {
        let netns = barge_sys::namespace::make_netns().unwrap();
        barge_sys::namespace::in_netns(&netns, || {
            let mut socket = barge_netlink::Socket::open(barge_netlink::Family::Route).unwrap();
            socket.send(&[barge_netlink::link::up(1)]).unwrap();
            test(&PortTable::default());
        })
        .unwrap();
    }

    #[test]
    fn a_port_is_given_once() {
        alone(|table| {
            let wanted = [request("80/tcp", one(8080))];
            table.reserve(&wanted, TARGET, ANY).unwrap();
            let error = table.reserve(&wanted, TARGET, ANY).unwrap_err();
            assert_eq!(
                error.to_string(),
                "Bind for 0.0.0.0:8080 failed: port is already allocated"
            );
            // TCP and UDP do not meet.
            table.reserve(&[request("80/udp", one(8080))], TARGET, ANY).unwrap();
        });
    }

    #[test]
    fn a_port_of_all_addresses_is_a_port_of_each() {
        alone(|table| {
            let wanted = [request("80/tcp", one(8080))];
            table.reserve(&wanted, TARGET, LOOPBACK).unwrap();
            assert!(matches!(
                table.reserve(&wanted, TARGET, ANY),
                Err(NetworkError::PortAllocated { .. })
            ));
            assert!(matches!(
                table.reserve(&wanted, TARGET, LOOPBACK),
                Err(NetworkError::PortAllocated { .. })
            ));
        });
    }

    #[test]
    fn a_port_of_a_process_is_refused_in_dockers_words() {
        alone(|table| {
            let process = std::net::TcpListener::bind((ANY, 80)).unwrap();
            let error = table.reserve(&[request("80/tcp", one(80))], TARGET, ANY).unwrap_err();
            assert_eq!(
                error.to_string(),
                "failed to bind host port for 0.0.0.0:80:172.17.0.2:80/tcp"
            );
            let source = std::error::Error::source(&error).unwrap();
            assert_eq!(source.to_string(), "address already in use");
            drop(process);
            table.reserve(&[request("80/tcp", one(80))], TARGET, ANY).unwrap();
        });
    }

    #[test]
    fn a_process_cannot_take_a_sealed_port() {
        alone(|table| {
            let ports = table.reserve(&[request("80/tcp", one(80))], TARGET, ANY).unwrap();
            table.seal(&ports, TARGET).unwrap();
            assert!(std::net::TcpListener::bind((ANY, 80)).is_err());
            table.release(&ports);
            std::net::TcpListener::bind((ANY, 80)).unwrap();
        });
    }

    #[test]
    fn all_or_none_of_the_ports_are_taken() {
        alone(|table| {
            let both = [request("80/tcp", one(8080)), request("81/tcp", one(8080))];
            assert!(table.reserve(&both, TARGET, ANY).is_err());
            table.reserve(&both[..1], TARGET, ANY).unwrap();
        });
    }

    #[test]
    fn a_range_gives_its_first_free_port_and_ends() {
        alone(|table| {
            let wanted = [request("80/tcp", HostPorts::Range { first: 9000, last: 9001 })];
            let _process = std::net::TcpListener::bind((ANY, 9000)).unwrap();
            assert_eq!(table.reserve(&wanted, TARGET, ANY).unwrap()[0].host_port, 9001);
            let error = table.reserve(&wanted, TARGET, ANY).unwrap_err();
            assert_eq!(
                error.to_string(),
                "Bind for 0.0.0.0:9000-9001 failed: all ports are allocated"
            );
        });
    }

    #[test]
    fn an_ephemeral_port_is_not_given_again_at_once() {
        alone(|table| {
            let wanted = [request("80/tcp", HostPorts::Ephemeral)];
            let first = table.reserve(&wanted, TARGET, ANY).unwrap();
            assert!(ephemeral_range().contains(&first[0].host_port));
            table.release(&first);
            let second = table.reserve(&wanted, TARGET, ANY).unwrap();
            assert_eq!(second[0].host_port, first[0].host_port + 1);
        });
    }

    #[test]
    fn a_protocol_the_kernel_lacks_is_refused_by_name() {
        alone(|table| match table.reserve(&[request("80/sctp", one(80))], TARGET, ANY) {
            Ok(ports) => assert_eq!(ports[0].container.to_string(), "80/sctp"),
            Err(error) => {
                assert_eq!(
                    error.to_string(),
                    "failed to bind host port for 0.0.0.0:80:172.17.0.2:80/sctp"
                );
                let source = std::error::Error::source(&error).unwrap().to_string();
                assert_eq!(source, "protocol not supported");
            }
        });
    }

    #[test]
    fn the_kernels_range_is_read() {
        assert_eq!(parse_range("32768\t60999\n"), Some(32768..=60999));
        assert_eq!(parse_range("60999 32768"), None);
        assert_eq!(parse_range(""), None);
    }
}
