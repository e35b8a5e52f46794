//! A transaction under construction: tables, chains, maps, rules and elements of one table.

use barge_netlink::nfnetlink::{self, Subsystem};
use barge_netlink::{Mode, Request};

use super::expression::Expressions;
use super::names::{PASSAGES, PORT_TARGETS, PORT_TARGETS_OF_ADDRESS};
use crate::backend::{Passage, Publication};
use barge_types::Protocol;

/// `NFPROTO_IPV4`.
const IPV4: u8 = 2;

/// `NFT_MSG_…`.
mod message {
    pub(super) const NEW_TABLE: u8 = 0;
    pub(super) const DELETE_TABLE: u8 = 2;
    pub(super) const NEW_CHAIN: u8 = 3;
    pub(super) const NEW_RULE: u8 = 6;
    pub(super) const NEW_SET: u8 = 9;
    pub(super) const NEW_ELEMENT: u8 = 12;
    pub(super) const DELETE_ELEMENT: u8 = 14;
}

/// `NFT_SET_MAP`.
const MAP: u32 = 0x8;
/// Types by the numbers that `nft` shows them under; a concatenation has six bits for each.
const IPV4_ADDRESS: u32 = 7;
const INET_PROTO: u32 = 12;
const INET_SERVICE: u32 = 13;
/// An attribute's length has sixteen bits: elements travel in portions.
const ELEMENTS_AT_ONCE: usize = 500;

/// Where a base chain hangs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hook {
    /// `filter` or `nat`.
    pub(super) kind: &'static str,
    /// `NF_INET_…`.
    pub(super) number: u32,
    /// Its place among the chains of the hook.
    pub(super) priority: i32,
}

/// What is done with elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Add,
    Remove,
}

/// Requests that will be sent together.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    table: &'a str,
    requests: Vec<Request>,
}

impl<'a> Batch<'a> {
    pub(super) const fn new(table: &'a str) -> Self {
        Self { table, requests: Vec::new() }
    }

    pub(super) fn requests(&self) -> &[Request] {
        &self.requests
    }

    fn request(&self, message: u8, mode: Mode, what: String) -> Request {
        nfnetlink::request(Subsystem::Nftables, message, IPV4, (mode, what))
    }

    pub(super) fn ensure_table(&mut self) {
        let request =
            self.request(message::NEW_TABLE, Mode::Ensure, format!("add table {}", self.table));
        self.requests.push(request.with(|payload| payload.text(1, self.table)));
    }

    pub(super) fn delete_table(&mut self) {
        let request = self.request(
            message::DELETE_TABLE,
            Mode::Existing,
            format!("delete table {}", self.table),
        );
        self.requests.push(request.with(|payload| payload.text(1, self.table)));
    }

    /// A chain that packets enter by themselves; what no rule decides is accepted.
    pub(super) fn base_chain(&mut self, name: &str, hook: Hook) {
        let request = self.request(message::NEW_CHAIN, Mode::Ensure, format!("add chain {name}"));
        self.requests.push(request.with(|payload| {
            payload.text(1, self.table);
            payload.text(3, name);
            payload.nested(4, |nested| {
                nested.number_be(1, hook.number);
                nested.bytes(2, &hook.priority.to_be_bytes());
            });
            payload.number_be(5, 1);
            payload.text(7, hook.kind);
        }));
    }

    /// The two maps from what is published to containers.
    pub(super) fn maps(&mut self) {
        let by_port = (INET_PROTO << 6) | INET_SERVICE;
        let by_address = (((INET_PROTO << 6) | IPV4_ADDRESS) << 6) | INET_SERVICE;
        self.map(PORT_TARGETS, (by_port, 8), 1);
        self.map(PORT_TARGETS_OF_ADDRESS, (by_address, 12), 2);
    }

    /// The set of open passages.
    pub(super) fn passage_set(&mut self) {
        let types = [INET_PROTO, IPV4_ADDRESS, IPV4_ADDRESS, INET_SERVICE];
        let key = types.into_iter().fold(0, |key, part| (key << 6) | part);
        let request = self.request(message::NEW_SET, Mode::Ensure, format!("add set {PASSAGES}"));
        self.requests.push(request.with(|payload| {
            payload.text(1, self.table);
            payload.text(2, PASSAGES);
            payload.number_be(3, 0);
            payload.number_be(4, key);
            payload.number_be(5, 16);
            payload.number_be(10, 3);
        }));
    }

    fn map(&mut self, name: &str, (key, key_length): (u32, u32), number: u32) {
        let request = self.request(message::NEW_SET, Mode::Ensure, format!("add map {name}"));
        self.requests.push(request.with(|payload| {
            payload.text(1, self.table);
            payload.text(2, name);
            payload.number_be(3, MAP);
            payload.number_be(4, key);
            payload.number_be(5, key_length);
            payload.number_be(6, (IPV4_ADDRESS << 6) | INET_SERVICE);
            payload.number_be(7, 8);
            payload.number_be(10, number);
        }));
    }

    pub(super) fn rule(&mut self, chain: &str, write: impl FnOnce(&mut Expressions<'_>)) {
        let request =
            self.request(message::NEW_RULE, Mode::Append, format!("add a rule to chain {chain}"));
        self.requests.push(request.with(|payload| {
            payload.text(1, self.table);
            payload.text(2, chain);
            payload.nested(4, |list| write(&mut Expressions(list)));
        }));
    }

    /// Adds or removes what is published.
    pub(super) fn elements(&mut self, change: Change, ports: &[Publication]) {
        let (all, one): (Vec<_>, Vec<_>) =
            ports.iter().partition(|port| port.host.is_unspecified());
        for (map, ports) in [(PORT_TARGETS, all), (PORT_TARGETS_OF_ADDRESS, one)] {
            for some in ports.chunks(ELEMENTS_AT_ONCE) {
                self.portion(change, map, some);
            }
        }
    }

    /// Opens or closes passages.
    pub(super) fn passages(&mut self, change: Change, passages: &[Passage]) {
        let (message, mode, verb) = match change {
            Change::Add => (message::NEW_ELEMENT, Mode::Ensure, "open"),
            Change::Remove => (message::DELETE_ELEMENT, Mode::Existing, "close"),
        };
        for some in passages.chunks(ELEMENTS_AT_ONCE) {
            let what = format!("{verb} {}", first_of(some));
            let request = self.request(message, mode, what);
            self.requests.push(request.with(|payload| {
                payload.text(1, self.table);
                payload.text(2, PASSAGES);
                payload.nested(3, |elements| {
                    for passage in some {
                        elements.nested(1, |element| {
                            element.nested(1, |key| key.bytes(1, &key_of_passage(passage)));
                        });
                    }
                });
            }));
        }
    }

    fn portion(&mut self, change: Change, map: &str, ports: &[&Publication]) {
        let (message, mode, verb) = match change {
            Change::Add => (message::NEW_ELEMENT, Mode::Create, "publish"),
            Change::Remove => (message::DELETE_ELEMENT, Mode::Existing, "withdraw"),
        };
        let request = self.request(message, mode, format!("{verb} {}", list(ports)));
        self.requests.push(request.with(|payload| {
            payload.text(1, self.table);
            payload.text(2, map);
            payload.nested(3, |elements| {
                for port in ports {
                    elements.nested(1, |element| {
                        element.nested(1, |key| key.bytes(1, &key_of(port)));
                        if change == Change::Add {
                            element.nested(2, |data| data.bytes(1, &target_of(port)));
                        }
                    });
                }
            });
        }));
    }
}

/// The first of them, for an error.
fn list(ports: &[&Publication]) -> String {
    let first = ports.first().map_or_else(String::new, |port| {
        format!(
            "{}:{}/{} to {}:{}",
            port.host, port.host_port, port.protocol, port.container, port.container_port
        )
    });
    match ports.len() {
        0 | 1 => first,
        many => format!("{first} and {} more", many - 1),
    }
}

/// The same of passages.
fn first_of(passages: &[Passage]) -> String {
    passages.first().map_or_else(String::new, |passage| {
        let Passage { protocol, from, to, port } = passage;
        format!("the passage from {from} to {to}:{port}/{protocol}")
    })
}

fn key_of_passage(passage: &Passage) -> [u8; 16] {
    let [a, b, c, d] = passage.from.octets();
    let [e, f, g, h] = passage.to.octets();
    let [high, low] = passage.port.to_be_bytes();
    [number_of(passage.protocol), 0, 0, 0, a, b, c, d, e, f, g, h, high, low, 0, 0]
}

/// Each part of a key fills a register of four bytes.
fn key_of(port: &Publication) -> Vec<u8> {
    let mut key = vec![number_of(port.protocol), 0, 0, 0];
    if !port.host.is_unspecified() {
        key.extend_from_slice(&port.host.octets());
    }
    key.extend_from_slice(&port.host_port.to_be_bytes());
    key.extend_from_slice(&[0; 2]);
    key
}

fn target_of(port: &Publication) -> [u8; 8] {
    let [a, b, c, d] = port.container.octets();
    let [high, low] = port.container_port.to_be_bytes();
    [a, b, c, d, high, low, 0, 0]
}

/// `IPPROTO_…`.
pub(super) const fn number_of(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}
