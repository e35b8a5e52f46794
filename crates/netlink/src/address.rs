//! Addresses of links.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::Result;
use crate::message::{self, Attributes, Mode, Request};
use crate::socket::Socket;

const NEW: u16 = 20;
const DELETE: u16 = 21;
const GET: u16 = 22;

/// Length of `struct ifaddrmsg`.
const FIXED: usize = 8;

/// `IFA_…`.
mod attribute {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const LOCAL: u16 = 2;
    pub(super) const BROADCAST: u16 = 4;
}

/// An address of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address {
    /// The link's number.
    pub link: u32,
    /// The address.
    pub address: IpAddr,
    /// Length of its prefix.
    pub prefix: u8,
}

pub(crate) const fn family(address: &IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 10,
    }
}

pub(crate) fn octets(address: &IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

pub(crate) fn from_octets(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Some(IpAddr::V4(Ipv4Addr::from(octets)));
    }
    <[u8; 16]>::try_from(octets).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))
}

fn request(kind: u16, mode: Mode, verb: &str, address: &Address) -> Request {
    let mut fixed = [0; FIXED];
    fixed[0] = family(&address.address);
    fixed[1] = address.prefix;
    fixed[4..].copy_from_slice(&address.link.to_ne_bytes());
    let what =
        format!("{verb} address {}/{} of link {}", address.address, address.prefix, address.link);
    Request::new(kind, mode, &fixed, what).with(|payload| {
        let bytes = octets(&address.address);
        payload.bytes(attribute::LOCAL, &bytes);
        payload.bytes(attribute::ADDRESS, &bytes);
    })
}

/// Adds an address; an IPv4 one with the broadcast address of its subnet.
#[must_use]
pub fn add(address: &Address) -> Request {
    request(NEW, Mode::Create, "add", address).with(|payload| {
        if let (IpAddr::V4(own), 1..=30) = (address.address, address.prefix) {
            let broadcast = own.to_bits() | (u32::MAX >> address.prefix);
            payload.bytes(attribute::BROADCAST, &broadcast.to_be_bytes());
        }
    })
}

/// Takes an address away.
#[must_use]
pub fn delete(address: &Address) -> Request {
    request(DELETE, Mode::Existing, "delete", address)
}

/// All addresses of the namespace.
///
/// # Errors
/// What the kernel says.
pub fn list(socket: &mut Socket) -> Result<Vec<Address>> {
    socket.dump(&Request::dump(GET, &[0; FIXED], "list addresses".to_owned()), |payload| {
        let attributes = Attributes::after(payload, FIXED);
        let octets =
            attributes.get(attribute::LOCAL).or_else(|| attributes.get(attribute::ADDRESS))?;
        Some(Address {
            link: message::u32_at(payload, 4)?,
            address: from_octets(octets)?,
            prefix: *payload.get(1)?,
        })
    })
}
