//! Forgetting flows that were tracked before the rules changed.
//!
//! The destination of a flow is decided by its first packet. A UDP client that keeps sending has no other first packet:
//! what it sent before its port was published would go to the host for ever, and what it sends after the port was
//! withdrawn to an address that belongs to another container by then.

use barge_netlink::nfnetlink::{self, Subsystem};
use barge_netlink::{Mode, Request, Socket};
use barge_types::Protocol;

use super::batch::number_of;
use crate::backend::Publication;

/// `IPCTNL_MSG_CT_DELETE`.
const DELETE: u8 = 2;
/// `CTA_TUPLE_ORIG`, `CTA_FILTER`.
const ORIGINAL: u16 = 1;
const FILTER: u16 = 25;
/// `CTA_TUPLE_PROTO` with `CTA_PROTO_NUM` and `CTA_PROTO_DST_PORT`.
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const DESTINATION_PORT: u16 = 3;
/// `CTA_FILTER_F_…`: of the original tuple, protocol and destination port are compared, and nothing else.
const COMPARED: u32 = (1 << 3) | (1 << 5);

/// Forgets the UDP flows to these ports.
///
/// Best effort: kernels before 5.8 cannot select flows by a part of their tuple and refuse (they delete nothing), and
/// then a client that never pauses stays where it was until its flow times out.
pub(super) fn forget(socket: &mut Socket, ports: &[Publication]) {
    let requests: Vec<Request> =
        ports.iter().filter(|port| port.protocol == Protocol::Udp).map(request).collect();
    // The reason is in the documentation above.
    socket.send(&requests).ok();
}

fn request(port: &Publication) -> Request {
    let what = format!("forget flows to port {}", port.host_port);
    nfnetlink::request(Subsystem::Conntrack, DELETE, 0, (Mode::Existing, what)).with(|payload| {
        payload.nested(ORIGINAL, |tuple| {
            tuple.nested(TUPLE_PROTOCOL, |protocol| {
                protocol.bytes(PROTOCOL_NUMBER, &[number_of(port.protocol)]);
                protocol.bytes(DESTINATION_PORT, &port.host_port.to_be_bytes());
            });
        });
        payload.nested(FILTER, |filter| filter.number(1, COMPARED));
    })
}
