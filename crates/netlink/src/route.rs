//! Routes of the main table.

use std::net::IpAddr;

use crate::address::{family, from_octets, octets};
use crate::error::Result;
use crate::message::{Attributes, Mode, Request};
use crate::socket::Socket;

const NEW: u16 = 24;
const DELETE: u16 = 25;
const GET: u16 = 26;

/// Length of `struct rtmsg`.
const FIXED: usize = 12;
/// `RT_TABLE_MAIN`.
const MAIN: u8 = 254;
/// `RTPROT_BOOT`: set by a program, which is what `ip route add` says too.
const BOOT: u8 = 3;
/// `RTN_UNICAST`.
const UNICAST: u8 = 1;
/// `RT_SCOPE_LINK`: without a gateway.
const LINK: u8 = 253;

/// `RTA_…`.
mod attribute {
    pub(super) const DESTINATION: u16 = 1;
    pub(super) const OUT: u16 = 4;
    pub(super) const GATEWAY: u16 = 5;
}

/// A route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// Where it leads; `None` is everywhere.
    pub destination: Option<(IpAddr, u8)>,
    /// The next hop; `None` when the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The link's number.
    pub link: Option<u32>,
}

impl Route {
    /// The default route through a gateway.
    #[must_use]
    pub const fn default_through(gateway: IpAddr, link: u32) -> Self {
        Self { destination: None, gateway: Some(gateway), link: Some(link) }
    }
}

fn request(kind: u16, mode: Mode, verb: &str, route: &Route) -> Request {
    let mut fixed = [0; FIXED];
    let either = route.destination.map(|(address, _)| address).or(route.gateway);
    fixed[0] = either.as_ref().map_or(2, family);
    fixed[1] = route.destination.map_or(0, |(_, prefix)| prefix);
    fixed[4] = MAIN;
    fixed[5] = BOOT;
    fixed[6] = if route.gateway.is_some() { 0 } else { LINK };
    fixed[7] = UNICAST;
    let to = route
        .destination
        .map_or_else(|| "default".to_owned(), |(address, prefix)| format!("{address}/{prefix}"));
    Request::new(kind, mode, &fixed, format!("{verb} route to {to}")).with(|payload| {
        if let Some((address, _)) = route.destination {
            payload.bytes(attribute::DESTINATION, &octets(&address));
        }
        if let Some(gateway) = route.gateway {
            payload.bytes(attribute::GATEWAY, &octets(&gateway));
        }
        if let Some(link) = route.link {
            payload.number(attribute::OUT, link);
        }
    })
}

/// Adds a route.
#[must_use]
pub fn add(route: &Route) -> Request {
    request(NEW, Mode::Create, "add", route)
}

/// Takes a route away.
#[must_use]
pub fn delete(route: &Route) -> Request {
    request(DELETE, Mode::Existing, "delete", route)
}

/// The routes of the main table.
///
/// # Errors
/// What the kernel says.
pub fn list(socket: &mut Socket) -> Result<Vec<Route>> {
    socket.dump(&Request::dump(GET, &[0; FIXED], "list routes".to_owned()), |payload| {
        let attributes = Attributes::after(payload, FIXED);
        if *payload.get(4)? != MAIN || *payload.get(7)? != UNICAST {
            return None;
        }
        let prefix = *payload.get(1)?;
        let destination = attributes.get(attribute::DESTINATION).and_then(from_octets);
        Some(Route {
            destination: destination.map(|address| (address, prefix)),
            gateway: attributes.get(attribute::GATEWAY).and_then(from_octets),
            link: attributes.number(attribute::OUT),
        })
    })
}
