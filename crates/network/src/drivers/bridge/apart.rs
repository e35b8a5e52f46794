//! Keeping containers apart, and letting one reach another all the same.

use barge_firewall::Passage;
use barge_netlink::link::PortSettings;
use barge_types::Port;

use super::{Bridge, setup};
use crate::config::Switch;
use crate::endpoint::Link;
use crate::error::Result;

impl Bridge {
    /// Where the kernel shows bridged packets to the firewall (br_netfilter), it redirects a published port of the same
    /// bridge without leaving the bridge: a container reaches itself only if the port reflects. Elsewhere packets
    /// between ports never meet the firewall, and it takes the bridge to keep containers apart.
    pub(super) fn port_settings(&self, link: &Link) -> PortSettings {
        PortSettings {
            is_hairpin: self.filters_bridged && !link.ports.is_empty(),
            is_isolated: !self.filters_bridged && self.config.icc == Switch::Off,
        }
    }

    /// Lets the one reach these ports of the other.
    pub(super) fn let_through(&self, from: &Link, to: &Link, ports: &[Port]) -> Result<()> {
        if self.config.icc.is_on() || !self.shared.rules.are_written() {
            return Ok(());
        }
        if !self.filters_bridged {
            setup::route_between_ports(self.config.name.as_str())?;
        }
        let (from, to) = (from.address.addr(), to.address.addr());
        let passage =
            |port: &Port| Passage { protocol: port.protocol, from, to, port: port.number };
        self.shared.rules.admit(&ports.iter().map(passage).collect::<Vec<_>>())
    }
}
