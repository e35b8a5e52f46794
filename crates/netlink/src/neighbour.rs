//! Neighbours: which link-layer address an address of a link has.

use std::net::IpAddr;

use crate::address::{family, from_octets, octets};
use crate::error::Result;
use crate::message::{self, Attributes, Mode, Request};
use crate::socket::Socket;

const NEW: u16 = 28;
const DELETE: u16 = 29;
const GET: u16 = 30;

/// Length of `struct ndmsg`.
const FIXED: usize = 12;
/// `NUD_PERMANENT`.
const PERMANENT: u16 = 0x80;

/// `NDA_…`.
mod attribute {
    pub(super) const DESTINATION: u16 = 1;
    pub(super) const LINK_LAYER: u16 = 2;
}

/// An entry of the neighbour table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// The link's number.
    pub link: u32,
    /// The address.
    pub address: IpAddr,
    /// Its link-layer address, when known.
    pub mac: Option<[u8; 6]>,
}

fn request(kind: u16, mode: Mode, verb: &str, neighbour: &Neighbour) -> Request {
    let mut fixed = [0; FIXED];
    fixed[0] = family(&neighbour.address);
    fixed[4..8].copy_from_slice(&neighbour.link.to_ne_bytes());
    fixed[8..10].copy_from_slice(&PERMANENT.to_ne_bytes());
    Request::new(kind, mode, &fixed, format!("{verb} neighbour {}", neighbour.address)).with(
        |payload| {
            payload.bytes(attribute::DESTINATION, &octets(&neighbour.address));
            if let Some(mac) = neighbour.mac {
                payload.bytes(attribute::LINK_LAYER, &mac);
            }
        },
    )
}

/// Sets a permanent entry, in place of one that was learnt.
#[must_use]
pub fn set(neighbour: &Neighbour) -> Request {
    request(NEW, Mode::Replace, "set", neighbour)
}

/// Takes an entry away.
#[must_use]
pub fn delete(neighbour: &Neighbour) -> Request {
    request(DELETE, Mode::Existing, "delete", neighbour)
}

/// All entries of the namespace.
///
/// # Errors
/// What the kernel says.
pub fn list(socket: &mut Socket) -> Result<Vec<Neighbour>> {
    socket.dump(&Request::dump(GET, &[0; FIXED], "list neighbours".to_owned()), |payload| {
        let attributes = Attributes::after(payload, FIXED);
        Some(Neighbour {
            link: message::u32_at(payload, 4)?,
            address: from_octets(attributes.get(attribute::DESTINATION)?)?,
            mac: attributes.get(attribute::LINK_LAYER).and_then(|mac| mac.try_into().ok()),
        })
    })
}
