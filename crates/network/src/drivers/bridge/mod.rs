//! Containers on a bridge of the host, each with a pair of interfaces, an address and published ports.
//!
//! The work for one container is one message on the host (the pair, one end a port of the bridge, the other in the
//! sandbox with its name and address; most pairs are made ahead and only switched on), one batch in the sandbox (address,
//! on, route), and with published ports one transaction of the firewall. Nothing of it depends on how many containers there
//! are.

mod ahead;
mod apart;
mod claim;
mod setup;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ahead::Ahead;
use claim::Claim;

use barge_firewall::{Masquerade, NetworkRules, Publication, Verdict};
use barge_netlink::link::{self, Veth, Watch};
use barge_netlink::route::{self, Route};
use barge_netlink::{Family, Request, Socket, address, address::Address};
use barge_sys::spares::Spares;
use barge_types::Port;
use ipnet::Ipv4Net;

use crate::config::{BridgeConfig, InterfaceName};
use crate::driver::NetworkDriver;
use crate::endpoint::{Attachment, Endpoint, EndpointId, EndpointOptions, Link, MacAddress, Place};
use crate::error::{NetworkError, Result, several};
use crate::ipam::{AddressPool, Refused};
use crate::network::PoolRecord;
use crate::ports::{PortRequest, PortTable, PublishedPort};
use crate::reaper::Reaper;
use crate::rules::Rules;
use crate::sandbox::{self, Pair, Sandbox};

/// What a container's interface is called inside.
const INSIDE: &str = "eth0";
/// How long the kernel's link watch may take; it looks once a second.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Whose bridge it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ownership {
    /// Made by barge: repaired, and deleted when barge is removed.
    Ours,
    /// Made by someone else, and used.
    Foreign,
}

/// What all bridges of a daemon share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) rules: Arc<Rules>,
    pub(crate) ports: Arc<PortTable>,
    pub(crate) reaper: Arc<Reaper>,
    /// What marks the daemon's bridges and interfaces as its own.
    pub(crate) owner: String,
    /// How many pairs of interfaces are kept ready.
    pub(crate) spares: usize,
}

/// A bridge.
#[derive(Debug)]
pub(crate) struct Bridge {
    config: BridgeConfig,
    shared: Shared,
    ownership: Ownership,
    index: u32,
    address: Ipv4Net,
    /// Whether bridged packets meet the firewall.
    filters_bridged: bool,
    pool: Mutex<AddressPool>,
    socket: Mutex<Socket>,
    /// Sandboxes whose pair of interfaces is made already.
    spares: Spares<Sandbox>,
    /// Those that were chosen for an endpoint, and not fetched yet.
    chosen: Mutex<HashMap<EndpointId, Sandbox>>,
    _claim: Claim,
}

impl Bridge {
    /// Makes the bridge, or repairs or takes over the one that is there. `before` is the address it had.
    pub(crate) fn open(
        config: &BridgeConfig,
        before: Option<Ipv4Net>,
        shared: &Shared,
    ) -> Result<Self> {
        let claim = Claim::on(config.name.as_str())?;
        let mut socket =
            Socket::open(Family::Route).map_err(NetworkError::netlink("make a bridge"))?;
        let made = setup::set_up(&mut socket, config, before, &shared.owner)?;
        let pool = AddressPool::new(made.address.trunc(), config.fixed_cidr, made.address.addr());
        let mut ahead = Ahead::new((config, made.index), &shared.owner)?;
        let bridge = Self {
            spares: sandbox::spares(shared.spares, move || ahead.make())?,
            chosen: Mutex::default(),
            config: config.clone(),
            shared: shared.clone(),
            ownership: made.ownership,
            index: made.index,
            address: made.address,
            filters_bridged: setup::filters_bridged(),
            pool: Mutex::new(pool),
            socket: Mutex::new(socket),
            _claim: claim,
        };
        if let Some(gateway) = config.gateway {
            // Outside of the subnet it cannot be given to a container anyway.
            bridge.pool().reserve(gateway).ok();
        }
        Ok(bridge)
    }

    fn pool(&self) -> MutexGuard<'_, AddressPool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn socket(&self) -> MutexGuard<'_, Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its addresses, for the record and the API.
    pub(crate) fn pool_record(&self) -> PoolRecord {
        PoolRecord {
            subnet: self.address.trunc(),
            range: self.config.fixed_cidr,
            gateway: self.address.addr(),
        }
    }

    /// Its rules.
    pub(crate) fn rules(&self) -> NetworkRules {
        NetworkRules {
            bridge: self.config.name.to_string(),
            subnet: self.address.network(),
            prefix: self.address.prefix_len(),
            between_containers: if self.config.icc.is_on() {
                Verdict::Accept
            } else {
                Verdict::Drop
            },
            masquerade: if self.config.masquerade.is_on() {
                Masquerade::Yes
            } else {
                Masquerade::No
            },
        }
    }

    /// Deletes interfaces of ours on the bridge that belong to none of these endpoints; from then on some are made ahead.
    pub(crate) fn begin<'a>(&self, endpoints: impl Iterator<Item = &'a Endpoint>) -> Result<()> {
        self.sweep(endpoints)?;
        self.spares.refill();
        Ok(())
    }

    /// Makes more pairs if few are left.
    pub(crate) fn refill(&self) {
        self.spares.refill_low();
    }

    fn sweep<'a>(&self, endpoints: impl Iterator<Item = &'a Endpoint>) -> Result<()> {
        let known: Vec<&str> =
            endpoints.filter_map(Endpoint::link).map(|link| link.host_interface.as_str()).collect();
        let prefix = setup::interface_prefix(&self.shared.owner);
        let mut socket = self.socket();
        let links = link::list(&mut socket).map_err(NetworkError::netlink("list interfaces"))?;
        for link in links {
            let is_ours = link.master == Some(self.index) && link.name.starts_with(&prefix);
            if is_ours && !known.contains(&link.name.as_str()) {
                self.shared.reaper.expect_end_of(&link.name);
            }
        }
        Ok(())
    }

    fn address_for(&self, id: &EndpointId, options: &EndpointOptions) -> Result<Ipv4Addr> {
        let mut pool = self.pool();
        let given = match options.ip {
            Some(wanted) => pool.reserve(wanted).map(|()| wanted),
            None => pool.allocate(),
        };
        given.map_err(|refused| match (refused, options.ip) {
            (Refused::InUse, Some(address)) => NetworkError::AddressInUse(address),
            (Refused::Outside, Some(address)) => NetworkError::AddressOutside { address },
            (Refused::Exhausted | Refused::InUse | Refused::Outside, _) => {
                NetworkError::PoolExhausted {
                    network: self.config.name.to_string(),
                    id: id.to_string(),
                }
            }
        })
    }

    fn chosen(&self) -> MutexGuard<'_, HashMap<EndpointId, Sandbox>> {
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Switches on the pair that was made ahead, which comes back, or makes one now.
    fn make_pair<'a>(&self, link: &Link, sandbox: &'a Sandbox) -> Result<Option<&'a Pair>> {
        let name = link.host_interface.as_str();
        let fail = || NetworkError::netlink(format!("make the interface {name}"));
        let port = self.port_settings(link);
        let settings = (!port.is_default()).then(|| link::set_port(name, port));
        let send = |first: Request| {
            let requests: Vec<Request> = [first].into_iter().chain(settings.clone()).collect();
            self.socket().send(&requests)
        };
        if let Some(pair) = sandbox.pair.as_ref().filter(|pair| pair.host == link.host_interface) {
            match send(link::up_in(pair.host_index, self.index)) {
                // Somebody has deleted it while it waited.
                Err(error) if error.is_absent() => {}
                switched => return switched.map(|()| Some(pair)).map_err(fail()),
            }
        }
        send(self.create_pair(link, sandbox)).map(|()| None).map_err(fail())
    }

    fn create_pair(&self, link: &Link, sandbox: &Sandbox) -> Request {
        let veth = Veth {
            name: link.host_interface.as_str(),
            peer: link.interface.as_str(),
            peer_mac: Some(link.mac.octets()),
            is_up: true,
            netns: sandbox.netns(),
            master: Some(self.index),
            mtu: link.mtu,
        };
        link::create_veth(&veth)
    }

    /// Has the port of a container whose first ports are published later reflect, where that takes a setting.
    fn reflect(&self, link: &Link) -> Result<()> {
        let port = self.port_settings(link);
        if port.is_default() {
            return Ok(());
        }
        let name = link.host_interface.as_str();
        self.socket()
            .send(&[link::set_port(name, port)])
            .map_err(NetworkError::netlink(format!("set up the interface {name}")))
    }

    fn configure(link: &Link, sandbox: &Sandbox, pair: Option<&Pair>) -> Result<()> {
        let fail = || NetworkError::netlink(format!("set up {} of the container", link.interface));
        let mut socket = sandbox.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let mut requests = Vec::new();
        let index = if let Some(pair) = pair {
            requests.push(link::set_mac(pair.inside_index, link.mac.octets()));
            pair.inside_index
        } else {
            let inside = link::by_name(&mut socket, link.interface.as_str()).map_err(fail())?;
            inside.map_or(0, |inside| inside.index)
        };
        let own = IpAddr::V4(link.address.addr());
        let own = Address { link: index, address: own, prefix: link.address.prefix_len() };
        requests.extend([address::add(&own), link::up(index)]);
        if let Some(gateway) = link.gateway {
            requests.push(route::add(&Route::default_through(IpAddr::V4(gateway), index)));
        }
        socket.send(&requests).map_err(fail())
    }

    /// Waits until the bridge's port and the bridge carry packets.
    ///
    /// The end of a pair that was switched on first drops what it should send until the kernel's link watch has seen
    /// the other end, and so does a bridge whose first port this is; a container's first packets would be lost, and a
    /// lost ARP request costs a second. Since Linux 6.8 asking for a link makes the link watch run for it; before, its
    /// work is waited for.
    fn await_port(&self, link: &Link) -> Result<()> {
        let name = link.host_interface.as_str();
        let fail = || NetworkError::netlink(format!("wait for the interface {name}"));
        let carries = |found: Option<link::Link>| found.is_none_or(|link| link.is_operational);
        let is_ready = || {
            let mut socket = self.socket();
            Ok(carries(link::by_name(&mut socket, name).map_err(fail())?)
                && carries(link::by_index(&mut socket, self.index).map_err(fail())?))
        };
        if is_ready()? {
            return Ok(());
        }
        let mut watch = Watch::open().map_err(fail())?;
        let deadline = Instant::now() + PATIENCE;
        // A port that is late is no reason to refuse the start: the packets are sent again.
        while !is_ready()? && Instant::now() < deadline {
            watch.wait(deadline.saturating_duration_since(Instant::now())).map_err(fail())?;
        }
        Ok(())
    }

    fn publish(&self, endpoint: &Endpoint, link: &Link) -> Result<()> {
        if link.ports.is_empty() {
            return Ok(());
        }
        self.shared.rules.publish(&publications(link)).map_err(connectivity(endpoint))?;
        if self.shared.rules.are_written() {
            self.shared
                .ports
                .seal(&link.ports, link.address.addr())
                .map_err(connectivity(endpoint))?;
        }
        Ok(())
    }
}

/// What the firewall is told of a container's ports.
pub(crate) fn publications(link: &Link) -> Vec<Publication> {
    link.ports
        .iter()
        .map(|port| Publication {
            protocol: port.container.protocol,
            host: port.host_address,
            host_port: port.host_port,
            container: link.address.addr(),
            container_port: port.container.number,
        })
        .collect()
}

fn connectivity(endpoint: &Endpoint) -> impl Fn(NetworkError) -> NetworkError {
    failed_ports(&endpoint.container_name, &endpoint.id)
}

fn failed_ports(container: &str, id: &EndpointId) -> impl Fn(NetworkError) -> NetworkError + use<> {
    let (endpoint, id) = (container.to_owned(), id.to_string());
    move |source| NetworkError::Connectivity {
        endpoint: endpoint.clone(),
        id: id.clone(),
        source: Box::new(source),
    }
}

impl NetworkDriver for Bridge {
    fn allocate(&self, id: &EndpointId, options: &EndpointOptions) -> Result<Attachment> {
        let address = self.address_for(id, options)?;
        let ports = self
            .shared
            .ports
            .reserve(&options.ports, address, self.config.default_binding)
            .map_err(failed_ports(&options.container_name, id))
            .inspect_err(|_| self.pool().release(address))?;
        let ready = match options.place {
            Place::Sandbox => self.spares.take(),
            Place::Process => None,
        };
        let host_interface = match ready.as_ref().and_then(|sandbox| sandbox.pair.as_ref()) {
            Some(pair) => pair.host.clone(),
            None => setup::interface_name(&self.shared.owner, id.as_str()),
        };
        if let Some(sandbox) = ready {
            self.chosen().insert(id.clone(), sandbox);
        }
        Ok(Attachment::Link(Link {
            interface: InterfaceName::fixed(INSIDE),
            host_interface,
            address: Ipv4Net::new_assert(address, self.address.prefix_len()),
            gateway: Some(self.config.gateway.unwrap_or_else(|| self.address.addr())),
            mac: options.mac.unwrap_or_else(|| MacAddress::from_ipv4(address)),
            mtu: self.config.mtu,
            ports,
        }))
    }

    fn adopt(&self, endpoint: &Endpoint) {
        if let Some(link) = endpoint.link() {
            // An address of a subnet the bridge no longer has cannot be given twice.
            self.pool().reserve(link.address.addr()).ok();
            self.shared.ports.adopt(&link.ports);
        }
    }

    fn sandbox(&self, endpoint: &Endpoint) -> Option<Sandbox> {
        self.chosen().remove(&endpoint.id)
    }

    fn plug(&self, endpoint: &Endpoint, sandbox: &Sandbox) -> Result<()> {
        let Some(link) = endpoint.link() else { return Ok(()) };
        let pair = self.make_pair(link, sandbox)?;
        let done = Self::configure(link, sandbox, pair)
            .and_then(|()| self.publish(endpoint, link))
            .and_then(|()| self.await_port(link));
        if done.is_err() {
            // The first error is the one to tell.
            self.shared.rules.withdraw(&publications(link)).ok();
            self.socket().send(&[link::delete_by_name(link.host_interface.as_str())]).ok();
        }
        done
    }

    fn republish(
        &self,
        endpoint: &Endpoint,
        keep: &[PublishedPort],
        add: &[PortRequest],
    ) -> Result<Vec<PublishedPort>> {
        let Some(link) = endpoint.link() else { return Ok(Vec::new()) };
        let (kept, gone): (Vec<_>, Vec<_>) =
            link.ports.iter().copied().partition(|port| keep.contains(port));
        let with = |ports: Vec<PublishedPort>| Link { ports, ..link.clone() };
        let (gone, kept) = (with(gone), with(kept));
        self.shared.rules.withdraw(&publications(&gone))?;
        // Given back first: what goes may make room for what comes.
        self.shared.ports.release(&gone.ports);
        let added = self
            .shared
            .ports
            .reserve(add, link.address.addr(), self.config.default_binding)
            .map_err(connectivity(endpoint))
            .map(with)
            .and_then(|added| {
                let done = self.publish(endpoint, &added).and_then(|()| self.reflect(&added));
                done.inspect_err(|_| {
                    // The first error is the one to tell.
                    self.shared.rules.withdraw(&publications(&added)).ok();
                    self.shared.ports.release(&added.ports);
                })?;
                Ok(added)
            })
            .inspect_err(|_| {
                self.shared.ports.adopt(&gone.ports);
                self.publish(endpoint, &gone).ok();
            })?;
        Ok([kept.ports, added.ports].concat())
    }

    fn link(&self, from: &Endpoint, to: &Endpoint, ports: &[Port]) -> Result<()> {
        match (from.link(), to.link()) {
            (Some(from), Some(to)) => self.let_through(from, to, ports),
            _ => Ok(()),
        }
    }

    fn unlink(&self, from: &Endpoint, to: &Endpoint) -> Result<()> {
        let (Some(from), Some(to)) = (from.link(), to.link()) else { return Ok(()) };
        self.shared.rules.shut(from.address.addr(), to.address.addr())
    }

    fn release(&self, endpoint: &Endpoint) -> Result<()> {
        let Some(link) = endpoint.link() else { return Ok(()) };
        let shut = self.shared.rules.shut_all_of(link.address.addr());
        let withdrawn = self.shared.rules.withdraw(&publications(link));
        self.shared.ports.release(&link.ports);
        self.pool().release(link.address.addr());
        self.chosen().remove(&endpoint.id);
        self.spares.refill();
        self.shared.reaper.expect_end_of(link.host_interface.as_str());
        several([shut, withdrawn].into_iter().filter_map(Result::err))
    }

    fn remove(&self) -> Result<()> {
        let mut errors = Vec::new();
        if self.ownership == Ownership::Ours {
            let prefix = setup::interface_prefix(&self.shared.owner);
            let fail = || NetworkError::netlink(format!("delete the bridge {}", self.config.name));
            let mut socket = self.socket();
            let links = link::list(&mut socket).map_err(fail())?;
            let ports = links
                .iter()
                .filter(|link| link.master == Some(self.index) && link.name.starts_with(&prefix));
            let all = ports.map(|link| link.index).chain([self.index]);
            for index in all {
                match socket.send(&[link::delete(index)]) {
                    Err(error) if !error.is_absent() => errors.push(fail()(error)),
                    Ok(()) | Err(_) => {}
                }
            }
        }
        several(errors)
    }
}
