//! Pairs of interfaces made ahead.
//!
//! Making a pair and a port of the bridge takes the kernel longer the more ports the bridge has: some 0.5 ms for the first,
//! three times that for the five hundredth. Nothing of it depends on the container but the link-layer address, which can be
//! set later.

use barge_netlink::link::{self, Veth};
use barge_netlink::{Family, Socket};

use super::{INSIDE, setup};
use crate::config::BridgeConfig;
use crate::error::{NetworkError, Result};
use crate::sandbox::{Pair, Sandbox};

/// Makes sandboxes with a pair of interfaces.
#[derive(Debug)]
pub(super) struct Ahead {
    bridge: u32,
    mtu: Option<u32>,
    owner: String,
    socket: Socket,
}

impl Ahead {
    pub(super) fn new((config, bridge): (&BridgeConfig, u32), owner: &str) -> Result<Self> {
        let socket = Socket::open(Family::Route)
            .map_err(NetworkError::netlink("make interfaces of a bridge"))?;
        Ok(Self { bridge, mtu: config.mtu, owner: owner.to_owned(), socket })
    }

    /// A new sandbox. Its end of the pair goes with it, and the host's with that.
    pub(super) fn make(&mut self) -> Result<Sandbox> {
        let mut sandbox = Sandbox::create()?;
        let id = barge_sys::random::hex::<4>()
            .map_err(NetworkError::io("read", "the kernel's random numbers".as_ref()))?;
        let host = setup::interface_name(&self.owner, &id);
        let fail = || NetworkError::netlink(format!("make the interface {host}"));
        let veth = Veth {
            name: host.as_str(),
            peer: INSIDE,
            peer_mac: None,
            netns: sandbox.netns(),
            master: Some(self.bridge),
            mtu: self.mtu,
            is_up: false,
        };
        self.socket.send(&[link::create_veth(&veth)]).map_err(fail())?;
        let index = |link: Option<link::Link>| link.map_or(0, |link| link.index);
        let host_index = index(link::by_name(&mut self.socket, host.as_str()).map_err(fail())?);
        // A port of a bridge needs none, and giving it one takes longer the more interfaces have one. Where the kernel has no
        // IPv6, it is not asked to.
        self.socket.send(&[link::without_own_address(host_index)]).ok();
        let inside_index = {
            let mut socket =
                sandbox.socket.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            index(link::by_name(&mut socket, INSIDE).map_err(fail())?)
        };
        sandbox.pair = Some(Pair { host, host_index, inside_index });
        Ok(sandbox)
    }
}
