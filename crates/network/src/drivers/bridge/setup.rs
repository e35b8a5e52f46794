//! Making a bridge, or making the one that is there what it should be.
//!
//! Whether a bridge is ours is written on it (its alias), so that a bridge of the administrator's is used as it is and
//! never deleted, whatever records say.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use barge_netlink::address::{self, Address};
use barge_netlink::{Socket, link};
use ipnet::Ipv4Net;

use super::Ownership;
use crate::config::{BridgeConfig, InterfaceName, Switch};
use crate::endpoint::MacAddress;
use crate::error::{NetworkError, Result};
use crate::subnet;

/// Whether an interface answers for neighbours on itself.
const ANSWERS_FOR_PORTS: &str = "proxy_arp_pvlan";

/// What came of it.
pub(super) struct Made {
    pub(super) ownership: Ownership,
    pub(super) index: u32,
    pub(super) address: Ipv4Net,
}

pub(super) fn set_up(
    socket: &mut Socket,
    config: &BridgeConfig,
    before: Option<Ipv4Net>,
    owner: &str,
) -> Result<Made> {
    let name = config.name.as_str();
    let fail = || NetworkError::netlink(format!("set up the bridge {name}"));
    let found = link::by_name(socket, name).map_err(fail())?;
    if found.as_ref().is_some_and(|link| link.kind.as_deref() != Some("bridge")) {
        return Err(NetworkError::NotABridge(name.to_owned()));
    }
    let ownership = match &found {
        Some(link) if link.alias.as_deref() != Some(&alias(owner)) => Ownership::Foreign,
        Some(_) | None => Ownership::Ours,
    };
    let existing = match &found {
        Some(link) => addresses_of(socket, link.index)?,
        None => Vec::new(),
    };
    let taken = subnet::taken(socket, found.as_ref().map(|link| link.index))?;
    let (wanted, before) = match ownership {
        Ownership::Ours => (config.address, before.or_else(|| existing.first().copied())),
        Ownership::Foreign => (config.address.or_else(|| existing.first().copied()), before),
    };
    let address = subnet::choose(wanted, before, &taken)?;
    let index = match found {
        Some(link) => link.index,
        None => create(socket, config, address, owner)?,
    };
    set_addresses(socket, index, address, (ownership, &existing))?;
    socket.send(&[link::up(index)]).map_err(fail())?;
    if ownership == Ownership::Ours {
        set((name, "ipv6", "disable_ipv6"), Switch::On)?;
        if config.icc.is_on() {
            // Of a time without.
            set((name, "ipv4", ANSWERS_FOR_PORTS), Switch::Off)?;
        }
    }
    // Lets 127.0.0.1 of the host be published; the firewall keeps containers from using it the other way round.
    set((name, "ipv4", "route_localnet"), Switch::On)?;
    Ok(Made { ownership, index, address })
}

fn create(
    socket: &mut Socket,
    config: &BridgeConfig,
    address: Ipv4Net,
    owner: &str,
) -> Result<u32> {
    let name = config.name.as_str();
    let fail = || NetworkError::netlink(format!("make the bridge {name}"));
    // A given link-layer address stays; otherwise the bridge would take that of a port, another one whenever the port
    // with the lowest goes.
    let mac = MacAddress::from_ipv4(address.addr());
    socket.send(&[link::create_bridge(name, mac.octets(), config.mtu)]).map_err(fail())?;
    let made = link::by_name(socket, name).map_err(fail())?;
    let index = made.map_or(0, |link| link.index);
    socket.send(&[link::set_alias(index, &alias(owner))]).map_err(fail())?;
    Ok(index)
}

/// Adds the address where it is missing, and takes others away from a bridge that is ours.
fn set_addresses(
    socket: &mut Socket,
    link: u32,
    wanted: Ipv4Net,
    (ownership, existing): (Ownership, &[Ipv4Net]),
) -> Result<()> {
    let address =
        |net: &Ipv4Net| Address { link, address: IpAddr::V4(net.addr()), prefix: net.prefix_len() };
    let mut requests = Vec::new();
    if ownership == Ownership::Ours {
        requests.extend(
            existing.iter().filter(|net| **net != wanted).map(|net| address::delete(&address(net))),
        );
    }
    if !existing.contains(&wanted) {
        requests.push(address::add(&address(&wanted)));
    }
    socket
        .send(&requests)
        .map_err(NetworkError::netlink(format!("give the bridge its address {wanted}")))
}

fn addresses_of(socket: &mut Socket, link: u32) -> Result<Vec<Ipv4Net>> {
    let all = address::list(socket).map_err(NetworkError::netlink("list addresses"))?;
    let of_link = all.into_iter().filter(|address| address.link == link);
    Ok(of_link
        .filter_map(|address| match address.address {
            IpAddr::V4(own) => Ipv4Net::new(own, address.prefix).ok(),
            IpAddr::V6(_) => None,
        })
        .collect())
}

fn alias(owner: &str) -> String {
    format!("barge:{owner}")
}

/// Switches a setting of an interface, by the family that it is of. One the kernel does not have is none to switch.
fn set((interface, family, setting): (&str, &str, &str), switch: Switch) -> Result<()> {
    let path = format!("/proc/sys/net/{family}/conf/{interface}/{setting}");
    write(path, if switch.is_on() { "1" } else { "0" })
}

fn write(path: String, value: &str) -> Result<()> {
    let path = PathBuf::from(path);
    match fs::write(&path, value) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(NetworkError::io("write", &path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Has the bridge answer for neighbours on its own ports (ip-sysctl: what a switch does for isolated ports, RFC 3069).
/// What the ports do not pass to each other comes to the host then, which routes it as the firewall says.
pub(super) fn route_between_ports(name: &str) -> Result<()> {
    // Whoever asks would be kept waiting for most of a second.
    write(format!("/proc/sys/net/ipv4/neigh/{name}/proxy_delay"), "0")?;
    set((name, "ipv4", ANSWERS_FOR_PORTS), Switch::On)
}

/// Whether br_netfilter is loaded and on.
pub(super) fn filters_bridged() -> bool {
    fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables")
        .is_ok_and(|text| text.trim() == "1")
}

/// What the names of a daemon's interfaces begin with: daemons that share a foreign bridge sweep their own only.
pub(super) fn interface_prefix(owner: &str) -> String {
    // FNV-1a: the same in every version of barge, which a hash of the standard library is not.
    let hash = owner
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("vb{:04x}", hash >> 16)
}

/// The name of an interface on the host's side, with the beginning of a random id: 14 letters.
pub(super) fn interface_name(owner: &str, id: &str) -> InterfaceName {
    let id: String = id.chars().take(8).collect();
    InterfaceName::fixed(&format!("{}{id}", interface_prefix(owner)))
}
