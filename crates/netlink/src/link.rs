//! Links: bridges, pairs of virtual Ethernet interfaces, and what is set on them.

use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::Duration;

use crate::error::Result;
use crate::message::{self, Attributes, Mode, Payload, Request};
use crate::socket::Socket;

const NEW: u16 = 16;
const DELETE: u16 = 17;
const GET: u16 = 18;
const SET: u16 = 19;

/// Length of `struct ifinfomsg`.
const FIXED: usize = 16;
const AF_UNSPEC: u8 = 0;
/// As the kind of an attribute.
const AF_INET6: u16 = 10;
/// `IFF_UP`.
const UP: u32 = 1;
/// `IF_OPER_UP`.
const OPERATIONAL: u8 = 6;
/// `RTMGRP_LINK`.
const GROUP: u32 = 1;
/// `RTEXT_FILTER_SKIP_STATS`: counters are gathered from every processor, and nobody asks for them here.
const NO_COUNTERS: u32 = 1 << 3;

/// `IFLA_…`.
mod attribute {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const NAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const MASTER: u16 = 10;
    pub(super) const STATE: u16 = 16;
    pub(super) const INFO: u16 = 18;
    pub(super) const ALIAS: u16 = 20;
    pub(super) const OF_FAMILIES: u16 = 26;
    pub(super) const NETNS_FD: u16 = 28;
    pub(super) const DETAIL: u16 = 29;
    /// `IFLA_INET6_ADDR_GEN_MODE`, inside of the family's in `OF_FAMILIES`, and "none".
    pub(super) const ADDRESS_MODE: u16 = 8;
    pub(super) const NO_ADDRESS: u8 = 1;
    /// `IFLA_INFO_KIND`, inside of `INFO`.
    pub(super) const INFO_KIND: u16 = 1;
    /// `IFLA_INFO_DATA`, inside of `INFO`.
    pub(super) const INFO_DATA: u16 = 2;
    /// `VETH_INFO_PEER`, inside of `INFO_DATA`.
    pub(super) const PEER: u16 = 1;
    /// `IFLA_INFO_SLAVE_KIND` and `IFLA_INFO_SLAVE_DATA`, inside of `INFO`.
    pub(super) const SLAVE_KIND: u16 = 4;
    pub(super) const SLAVE_DATA: u16 = 5;
    /// `IFLA_BRPORT_MODE` and `IFLA_BRPORT_ISOLATED`, inside of `SLAVE_DATA`.
    pub(super) const HAIRPIN: u16 = 4;
    pub(super) const ISOLATED: u16 = 33;
}

/// A link as the kernel describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `bridge`, `veth` …; physical ones have none.
    pub kind: Option<String>,
    /// The bridge it is a port of.
    pub master: Option<u32>,
    /// Largest packet.
    pub mtu: u32,
    /// Whether it is switched on.
    pub is_up: bool,
    /// Whether it carries packets (RFC 2863): on, with its peer, and the kernel's link watch has seen that.
    pub is_operational: bool,
    /// Link-layer address.
    pub mac: Option<[u8; 6]>,
    /// The note an administrator, or we, left on it.
    pub alias: Option<String>,
}

/// A pair of interfaces to be made: one here, its peer in another namespace.
#[derive(Clone, Copy, Debug)]
pub struct Veth<'a> {
    /// Name of the one here.
    pub name: &'a str,
    /// Name of the one there.
    pub peer: &'a str,
    /// Link-layer address of the one there; otherwise the kernel chooses one.
    pub peer_mac: Option<[u8; 6]>,
    /// Where the peer goes.
    pub netns: BorrowedFd<'a>,
    /// The bridge the one here becomes a port of.
    pub master: Option<u32>,
    /// MTU of both.
    pub mtu: Option<u32>,
    /// Whether the one here is switched on.
    pub is_up: bool,
}

/// How a bridge treats a port. What is not set stays as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortSettings {
    /// It does not talk to the other isolated ports.
    pub is_isolated: bool,
    /// What came in by it may leave by it.
    pub is_hairpin: bool,
}

impl PortSettings {
    /// Whether nothing is to be set.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn fixed(family: u8, index: u32, flags: u32, change: u32) -> [u8; FIXED] {
    let mut bytes = [0; FIXED];
    bytes[0] = family;
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    bytes
}

/// Makes a bridge and switches it on.
#[must_use]
pub fn create_bridge(name: &str, mac: [u8; 6], mtu: Option<u32>) -> Request {
    Request::new(NEW, Mode::Create, &fixed(AF_UNSPEC, 0, UP, UP), format!("create bridge {name}"))
        .with(|payload| {
            payload.text(attribute::NAME, name);
            payload.bytes(attribute::ADDRESS, &mac);
            if let Some(mtu) = mtu {
                payload.number(attribute::MTU, mtu);
            }
            payload.nested(attribute::INFO, |info| {
                info.text(attribute::INFO_KIND, "bridge");
            });
        })
}

/// Makes a pair of interfaces with a single message; the one here is a port of its bridge.
///
/// The peer cannot be switched on by the same message: the kernel introduces the two to each other after it has
/// configured both, and opening one without the other is refused (`veth_open`, ENOTCONN).
#[must_use]
pub fn create_veth(veth: &Veth<'_>) -> Request {
    let what = format!("create veth {}", veth.name);
    let flags = if veth.is_up { UP } else { 0 };
    Request::new(NEW, Mode::Create, &fixed(AF_UNSPEC, 0, flags, UP), what).with(|payload| {
        payload.text(attribute::NAME, veth.name);
        if let Some(master) = veth.master {
            payload.number(attribute::MASTER, master);
        }
        if let Some(mtu) = veth.mtu {
            payload.number(attribute::MTU, mtu);
        }
        payload.nested(attribute::INFO, |info| {
            info.text(attribute::INFO_KIND, "veth");
            info.nested(attribute::INFO_DATA, |data| {
                data.nested(attribute::PEER, |peer| write_peer(peer, veth));
            });
        });
    })
}

fn write_peer(peer: &mut Payload, veth: &Veth<'_>) {
    peer.raw(&fixed(AF_UNSPEC, 0, 0, 0));
    peer.text(attribute::NAME, veth.peer);
    if let Some(mac) = &veth.peer_mac {
        peer.bytes(attribute::ADDRESS, mac);
    }
    if let Some(mtu) = veth.mtu {
        peer.number(attribute::MTU, mtu);
    }
    // The kernel takes the descriptor as a number: it stays ours and open until the request is worked off.
    peer.bytes(attribute::NETNS_FD, &veth.netns.as_raw_fd().to_ne_bytes());
}

fn change(index: u32, what: String, add: impl FnOnce(&mut Payload)) -> Request {
    Request::new(SET, Mode::Existing, &fixed(AF_UNSPEC, index, 0, 0), what).with(add)
}

/// Switches a link on.
#[must_use]
pub fn up(index: u32) -> Request {
    Request::new(
        SET,
        Mode::Existing,
        &fixed(AF_UNSPEC, index, UP, UP),
        format!("switch on link {index}"),
    )
}

/// Switches a link on that is to be a port of this bridge, and usually is.
#[must_use]
pub fn up_in(index: u32, master: u32) -> Request {
    Request::new(
        SET,
        Mode::Existing,
        &fixed(AF_UNSPEC, index, UP, UP),
        format!("switch on link {index} of bridge {master}"),
    )
    .with(|payload| payload.number(attribute::MASTER, master))
}

/// Switches a link off.
#[must_use]
pub fn down(index: u32) -> Request {
    Request::new(
        SET,
        Mode::Existing,
        &fixed(AF_UNSPEC, index, 0, UP),
        format!("switch off link {index}"),
    )
}

/// Makes a link the port of a bridge, or of none.
#[must_use]
pub fn set_master(index: u32, master: Option<u32>) -> Request {
    change(index, format!("set the bridge of link {index}"), |payload| {
        payload.number(attribute::MASTER, master.unwrap_or(0));
    })
}

/// Sets the largest packet.
#[must_use]
pub fn set_mtu(index: u32, mtu: u32) -> Request {
    change(index, format!("set the MTU of link {index} to {mtu}"), |payload| {
        payload.number(attribute::MTU, mtu);
    })
}

/// Renames a link.
#[must_use]
pub fn set_name(index: u32, name: &str) -> Request {
    change(index, format!("rename link {index} to {name}"), |payload| {
        payload.text(attribute::NAME, name);
    })
}

/// Sets the link-layer address.
#[must_use]
pub fn set_mac(index: u32, mac: [u8; 6]) -> Request {
    change(index, format!("set the address of link {index}"), |payload| {
        payload.bytes(attribute::ADDRESS, &mac);
    })
}

/// Has the kernel give a link no IPv6 address of its own when it is switched on.
#[must_use]
pub fn without_own_address(index: u32) -> Request {
    change(index, format!("set the IPv6 addresses of link {index}"), |payload| {
        payload.nested(attribute::OF_FAMILIES, |families| {
            families.nested(AF_INET6, |inet6| {
                inet6.bytes(attribute::ADDRESS_MODE, &[attribute::NO_ADDRESS]);
            });
        });
    })
}

/// Leaves a note on a link.
#[must_use]
pub fn set_alias(index: u32, alias: &str) -> Request {
    // Unlike other texts this one is counted, not terminated.
    change(index, format!("set the alias of link {index}"), |payload| {
        payload.bytes(attribute::ALIAS, alias.as_bytes());
    })
}

/// Sets how a bridge treats the port of this name.
///
/// By name, so that it can follow the request that makes the port in the same batch.
#[must_use]
pub fn set_port(name: &str, port: PortSettings) -> Request {
    let what = format!("set up bridge port {name}");
    Request::new(NEW, Mode::Existing, &fixed(AF_UNSPEC, 0, 0, 0), what).with(|payload| {
        payload.text(attribute::NAME, name);
        payload.nested(attribute::INFO, |info| {
            info.text(attribute::SLAVE_KIND, "bridge");
            info.nested(attribute::SLAVE_DATA, |data| {
                if port.is_isolated {
                    data.bytes(attribute::ISOLATED, &[1]);
                }
                if port.is_hairpin {
                    data.bytes(attribute::HAIRPIN, &[1]);
                }
            });
        });
    })
}

/// Deletes a link, and with it its peer.
#[must_use]
pub fn delete(index: u32) -> Request {
    Request::new(
        DELETE,
        Mode::Existing,
        &fixed(AF_UNSPEC, index, 0, 0),
        format!("delete link {index}"),
    )
}

/// Deletes the link of this name.
#[must_use]
pub fn delete_by_name(name: &str) -> Request {
    Request::new(DELETE, Mode::Existing, &fixed(AF_UNSPEC, 0, 0, 0), format!("delete link {name}"))
        .with(|payload| payload.text(attribute::NAME, name))
}

/// The link of this name, or `None`.
///
/// # Errors
/// What the kernel says, other than that there is none.
pub fn by_name(socket: &mut Socket, name: &str) -> Result<Option<Link>> {
    let request =
        Request::new(GET, Mode::Existing, &fixed(AF_UNSPEC, 0, 0, 0), format!("find link {name}"))
            .with(|payload| {
                payload.text(attribute::NAME, name);
                payload.number(attribute::DETAIL, NO_COUNTERS);
            });
    found(socket.get(&request, read))
}

/// The link with this number, or `None`.
///
/// # Errors
/// What the kernel says, other than that there is none.
pub fn by_index(socket: &mut Socket, index: u32) -> Result<Option<Link>> {
    let request = Request::new(
        GET,
        Mode::Existing,
        &fixed(AF_UNSPEC, index, 0, 0),
        format!("find link {index}"),
    )
    .with(|payload| payload.number(attribute::DETAIL, NO_COUNTERS));
    found(socket.get(&request, read))
}

fn found(answer: Result<Link>) -> Result<Option<Link>> {
    match answer {
        Ok(link) => Ok(Some(link)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

/// All links of the namespace.
///
/// # Errors
/// What the kernel says.
pub fn list(socket: &mut Socket) -> Result<Vec<Link>> {
    let request = Request::dump(GET, &fixed(AF_UNSPEC, 0, 0, 0), "list links".to_owned())
        .with(|payload| payload.number(attribute::DETAIL, NO_COUNTERS));
    socket.dump(&request, read)
}

fn read(payload: &[u8]) -> Option<Link> {
    let attributes = Attributes::after(payload, FIXED);
    Some(Link {
        index: message::u32_at(payload, 4)?,
        name: attributes.text(attribute::NAME)?,
        kind: attributes.nested(attribute::INFO).text(attribute::INFO_KIND),
        master: attributes.number(attribute::MASTER),
        mtu: attributes.number(attribute::MTU).unwrap_or(0),
        is_up: message::u32_at(payload, 8)? & UP != 0,
        is_operational: attributes.get(attribute::STATE) == Some(&[OPERATIONAL]),
        mac: attributes.get(attribute::ADDRESS).and_then(|mac| mac.try_into().ok()),
        alias: attributes.text(attribute::ALIAS),
    })
}

/// What happened to a link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// It was made or changed, and is like this now.
    Changed(Link),
    /// It is gone.
    Gone(Link),
}

/// Tells what happens to links.
#[derive(Debug)]
pub struct Watch(Socket);

impl Watch {
    /// Begins to watch the calling thread's network namespace; what happens from now on is told.
    ///
    /// # Errors
    /// When there is no such socket to be had.
    pub fn open() -> Result<Self> {
        Socket::subscribe(GROUP).map(Self)
    }

    /// What happened, once something has; nothing when the time is over before that.
    ///
    /// # Errors
    /// When so much happened that not all could be told (`ENOBUFS`): list the links instead.
    pub fn wait(&mut self, patience: Duration) -> Result<Vec<Event>> {
        self.0.wait(patience, |kind, payload| match kind {
            NEW => read(payload).map(Event::Changed),
            DELETE => read(payload).map(Event::Gone),
            _ => None,
        })
    }

    /// The names of links that disappeared, once there are some; none when the time is over before that.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn gone(&mut self, patience: Duration) -> Result<Vec<String>> {
        let deleted = |kind, payload: &[u8]| (kind == DELETE).then(|| read(payload)).flatten();
        Ok(self.0.wait(patience, deleted)?.into_iter().map(|link| link.name).collect())
    }
}
