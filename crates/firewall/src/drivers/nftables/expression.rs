//! The parts a rule is made of, as the kernel's virtual machine runs them (`linux/netfilter/nf_tables.h`).
//!
//! Values are loaded into registers, compared, looked up; a comparison that fails ends the rule. Attribute numbers are
//! in the network's byte order; what is compared is in the order of what was loaded.

use std::net::Ipv4Addr;

use barge_netlink::Payload;

use super::names::{PASSAGES, PORT_TARGETS, PORT_TARGETS_OF_ADDRESS};
use crate::backend::Verdict;

/// `NFTA_LIST_ELEM`.
const ELEMENT: u16 = 1;
/// `NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`.
const NAME: u16 = 1;
const DATA: u16 = 2;
/// `NFTA_DATA_VALUE`, `NFTA_DATA_VERDICT`.
const VALUE: u16 = 1;
const VERDICT: u16 = 2;

/// `NFT_REG_VERDICT`.
const VERDICT_REGISTER: u32 = 0;
/// The first register of 16 bytes.
const WIDE: u32 = 1;
/// The registers of 4 bytes, `NFT_REG32_00` and on: a key of several parts fills several in a row.
const NARROW: [u32; 4] = [8, 9, 10, 11];

/// Where in the IPv4 header the addresses are.
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;

/// `NFT_META_…`.
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_L4PROTO: u32 = 16;

/// `CT_STATE` bits: established and related.
const ESTABLISHED_RELATED: u32 = 0b110;
/// `IPS_DST_NAT`.
const DST_NAT: u32 = 1 << 5;
/// `RTN_LOCAL`: an address of the host.
const LOCAL: u32 = 2;

/// `NFT_CMP_EQ`, `NFT_CMP_NEQ`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Is {
    /// The same.
    Same,
    /// Another.
    Other,
}

/// The expressions of one rule, in order.
#[derive(Debug)]
pub(super) struct Expressions<'a>(pub(super) &'a mut Payload);

impl Expressions<'_> {
    fn add(&mut self, name: &str, data: impl FnOnce(&mut Payload)) -> &mut Self {
        self.0.nested(ELEMENT, |element| {
            element.text(NAME, name);
            element.nested(DATA, data);
        });
        self
    }

    fn meta(&mut self, key: u32, register: u32) -> &mut Self {
        self.add("meta", |data| {
            data.number_be(1, register);
            data.number_be(2, key);
        })
    }

    fn compare(&mut self, is: Is, value: &[u8]) -> &mut Self {
        self.add("cmp", |data| {
            data.number_be(1, WIDE);
            data.number_be(
                2,
                match is {
                    Is::Same => 0,
                    Is::Other => 1,
                },
            );
            data.nested(3, |nested| nested.bytes(VALUE, value));
        })
    }

    /// The register and the mask; what is left is compared next.
    fn mask(&mut self, mask: &[u8; 4]) -> &mut Self {
        self.add("bitwise", |data| {
            data.number_be(1, WIDE);
            data.number_be(2, WIDE);
            data.number_be(3, 4);
            data.nested(4, |nested| nested.bytes(VALUE, mask));
            data.nested(5, |nested| nested.bytes(VALUE, &[0; 4]));
        })
    }

    fn payload(&mut self, (base, offset, length): (u32, u32, u32), register: u32) -> &mut Self {
        self.add("payload", |data| {
            data.number_be(1, register);
            data.number_be(2, base);
            data.number_be(3, offset);
            data.number_be(4, length);
        })
    }

    /// The packet came in by this interface.
    pub(super) fn came_by(&mut self, is: Is, interface: &str) -> &mut Self {
        self.meta(META_IIFNAME, WIDE).compare(is, &padded(interface))
    }

    /// The packet leaves by this interface.
    pub(super) fn leaves_by(&mut self, is: Is, interface: &str) -> &mut Self {
        self.meta(META_OIFNAME, WIDE).compare(is, &padded(interface))
    }

    fn address_in(&mut self, offset: u32, (address, prefix): (Ipv4Addr, u8)) -> &mut Self {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
        self.payload((1, offset, 4), WIDE)
            .mask(&mask.to_be_bytes())
            .compare(Is::Same, &(address.to_bits() & mask).to_be_bytes())
    }

    /// The source is in this subnet.
    pub(super) fn source_in(&mut self, subnet: (Ipv4Addr, u8)) -> &mut Self {
        self.address_in(SOURCE, subnet)
    }

    /// The destination is in this subnet.
    pub(super) fn destination_in(&mut self, subnet: (Ipv4Addr, u8)) -> &mut Self {
        self.address_in(DESTINATION, subnet)
    }

    /// The destination is an address of the host.
    pub(super) fn destination_is_local(&mut self) -> &mut Self {
        self.add("fib", |data| {
            data.number_be(1, WIDE);
            data.number_be(2, 3);
            data.number_be(3, 2);
        })
        .compare(Is::Same, &LOCAL.to_ne_bytes())
    }

    fn tracked(&mut self, key: u32, bits: u32) -> &mut Self {
        self.add("ct", |data| {
            data.number_be(1, WIDE);
            data.number_be(2, key);
        })
        .mask(&bits.to_ne_bytes())
        .compare(Is::Other, &[0; 4])
    }

    /// The packet belongs to a connection that was let through before.
    pub(super) fn is_established(&mut self) -> &mut Self {
        self.tracked(0, ESTABLISHED_RELATED)
    }

    /// The connection's destination was rewritten.
    pub(super) fn is_redirected(&mut self) -> &mut Self {
        self.tracked(2, DST_NAT)
    }

    /// Rewrites the destination to what is published under protocol, address and port of the packet.
    pub(super) fn redirect_by_address(&mut self) -> &mut Self {
        self.meta(META_L4PROTO, NARROW[0])
            .payload((1, DESTINATION, 4), NARROW[1])
            .payload((2, 2, 2), NARROW[2])
            .redirect_by(PORT_TARGETS_OF_ADDRESS)
    }

    /// Rewrites the destination to what is published under protocol and port of the packet.
    pub(super) fn redirect_by_port(&mut self) -> &mut Self {
        self.meta(META_L4PROTO, NARROW[0]).payload((2, 2, 2), NARROW[1]).redirect_by(PORT_TARGETS)
    }

    fn redirect_by(&mut self, map: &str) -> &mut Self {
        self.add("lookup", |data| {
            data.text(1, map);
            data.number_be(2, NARROW[0]);
            data.number_be(3, NARROW[0]);
        })
        .add("nat", |data| {
            // NFT_NAT_DNAT, for IPv4, to the address in the first and the port in the second register.
            data.number_be(1, 1);
            data.number_be(2, 2);
            data.number_be(3, NARROW[0]);
            data.number_be(5, NARROW[1]);
        })
    }

    /// The packet goes through an open passage.
    pub(super) fn has_passage(&mut self) -> &mut Self {
        self.meta(META_L4PROTO, NARROW[0])
            .payload((1, SOURCE, 4), NARROW[1])
            .payload((1, DESTINATION, 4), NARROW[2])
            .payload((2, 2, 2), NARROW[3])
            .add("lookup", |data| {
                data.text(1, PASSAGES);
                data.number_be(2, NARROW[0]);
            })
    }

    /// Rewrites the source to the address of the interface the packet leaves by.
    pub(super) fn masquerade(&mut self) {
        self.add("masq", |_| {});
    }

    /// Ends the packet's way through this chain.
    pub(super) fn verdict(&mut self, verdict: Verdict) {
        // NF_DROP, NF_ACCEPT.
        let code = match verdict {
            Verdict::Drop => 0,
            Verdict::Accept => 1,
        };
        self.add("immediate", |data| {
            data.number_be(1, VERDICT_REGISTER);
            data.nested(2, |value| {
                value.nested(VERDICT, |verdict| verdict.number_be(1, code));
            });
        });
    }
}

/// An interface's name as the kernel loads it: 16 bytes, the rest zero.
fn padded(interface: &str) -> [u8; 16] {
    let mut name = [0; 16];
    let length = interface.len().min(15);
    name[..length].copy_from_slice(&interface.as_bytes()[..length]);
    name
}
