//! The framing of nfnetlink: a subsystem in the kind, a header of four bytes, and transactions.
//!
//! What the messages mean is the firewall's business; here is how they travel.

use crate::error::Result;
use crate::message::{Mode, Request};
use crate::socket::Socket;

/// `NFNL_MSG_BATCH_BEGIN`.
const BEGIN: u16 = 0x10;
/// `NFNL_MSG_BATCH_END`.
const END: u16 = 0x11;
/// Length of `struct nfgenmsg`.
pub const FIXED: usize = 4;

/// A part of netfilter (`NFNL_SUBSYS_…`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subsystem {
    /// Connection tracking.
    Conntrack,
    /// Tables, chains, rules, sets.
    Nftables,
}

impl Subsystem {
    const fn number(self) -> u8 {
        match self {
            Self::Conntrack => 1,
            Self::Nftables => 10,
        }
    }

    const fn kind(self, message: u8) -> u16 {
        u16::from_be_bytes([self.number(), message])
    }
}

/// A request to a subsystem; `family` is the protocol family (2 is IPv4).
#[must_use]
pub fn request(
    subsystem: Subsystem,
    message: u8,
    family: u8,
    (mode, what): (Mode, String),
) -> Request {
    Request::new(subsystem.kind(message), mode, &[family, 0, 0, 0], what)
}

/// A request for all objects of a kind.
#[must_use]
pub fn dump(subsystem: Subsystem, message: u8, family: u8, what: String) -> Request {
    Request::dump(subsystem.kind(message), &[family, 0, 0, 0], what)
}

/// Sends requests that take effect together or not at all.
///
/// # Errors
/// The first refusal; then none of them took effect.
pub fn transaction(socket: &mut Socket, subsystem: Subsystem, requests: &[Request]) -> Result<()> {
    let frame = |kind, what: &str| {
        Request::new(kind, Mode::Existing, &[0, 0, 0, subsystem.number()], what.to_owned())
    };
    socket.transaction(&frame(BEGIN, "apply the batch"), requests, &frame(END, "end the batch"))
}
