//! Forgetting flows that were tracked before the rules changed.
//!
//! The destination of a flow is decided by its first packet. A UDP client that keeps sending has no other first packet:
//! what it sent before its port was published would go to the host for ever, and what it sends after the port was
//! withdrawn to an address that belongs to another container by then.

use barge_netlink::nfnetlink::{self, Subsystem};
use barge_netlink::{Attributes, Mode, Request, Result, Socket};
use barge_types::Protocol;

use super::batch::number_of;
use crate::backend::Publication;

/// `IPCTNL_MSG_CT_GET`, `IPCTNL_MSG_CT_DELETE`.
const GET: u8 = 1;
const DELETE: u8 = 2;
/// `NFPROTO_IPV4`.
const IPV4: u8 = 2;
/// `CTA_TUPLE_ORIG`, `CTA_FILTER`.
const ORIGINAL: u16 = 1;
const FILTER: u16 = 25;
/// `CTA_TUPLE_PROTO` with `CTA_PROTO_NUM` and `CTA_PROTO_DST_PORT`.
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const DESTINATION_PORT: u16 = 3;
/// The attribute contains attributes.
const NESTED: u16 = 1 << 15;
/// `CTA_FILTER_F_…`: of the original tuple, protocol and destination port are compared, and nothing else.
const COMPARED: u32 = (1 << 3) | (1 << 5);

/// Forgets the UDP flows to these ports.
///
/// Best effort: where connection tracking cannot be listed (it is a module that nothing has loaded yet) there is
/// nothing to forget.
pub(super) fn forget(socket: &mut Socket, ports: &[Publication]) {
    for port in ports.iter().filter(|port| port.protocol == Protocol::Udp) {
        // The reason is in the documentation above.
        forget_flows_to(socket, port).ok();
    }
}

/// Lists, then deletes one by one: deleting by a part of the tuple needs Linux 6.8. A kernel before 5.8 lists all flows,
/// so that they are compared here too.
fn forget_flows_to(socket: &mut Socket, port: &Publication) -> Result<()> {
    let what = format!("list flows to port {}", port.host_port);
    let list = nfnetlink::dump(Subsystem::Conntrack, GET, IPV4, what).with(|payload| {
        payload.nested(ORIGINAL, |tuple| {
            tuple.nested(TUPLE_PROTOCOL, |protocol| {
                protocol.bytes(PROTOCOL_NUMBER, &[number_of(port.protocol)]);
                protocol.bytes(DESTINATION_PORT, &port.host_port.to_be_bytes());
            });
        });
        payload.nested(FILTER, |filter| filter.number(1, COMPARED));
    });
    let tuples = socket.dump(&list, |payload| original_tuple_to(port, payload))?;
    let requests: Vec<Request> = tuples
        .iter()
        .map(|tuple| {
            let what = format!("forget a flow to port {}", port.host_port);
            nfnetlink::request(Subsystem::Conntrack, DELETE, IPV4, (Mode::Existing, what))
                .with(|payload| payload.bytes(ORIGINAL | NESTED, tuple))
        })
        .collect();
    socket.send(&requests)
}

/// The first packet's addresses and ports, as they came, of a flow to this port.
fn original_tuple_to(port: &Publication, payload: &[u8]) -> Option<Vec<u8>> {
    let attributes = Attributes::after(payload, nfnetlink::FIXED);
    let protocol = attributes.nested(ORIGINAL).nested(TUPLE_PROTOCOL);
    let fits = protocol.get(PROTOCOL_NUMBER)? == [number_of(port.protocol)]
        && protocol.get(DESTINATION_PORT)? == port.host_port.to_be_bytes();
    fits.then(|| attributes.get(ORIGINAL).map(<[u8]>::to_vec)).flatten()
}
