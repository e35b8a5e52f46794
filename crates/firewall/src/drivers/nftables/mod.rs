//! The kernel's nftables, spoken to directly: one table of ours, changed by transactions.
//!
//! ```text
//! table ip barge {
//!   map port-targets            protocol . port           → container . port     0.0.0.0 (every address of the host)
//!   map port-targets-of-address protocol . address . port → container . port     one address
//!   set passages                protocol . source . destination . port       what passes where containers are kept apart
//!
//!   chain guard-loopback     filter prerouting raw       from a bridge to 127.0.0.0/8            drop
//!   chain redirect-incoming  nat    prerouting dstnat    to an address of the host               dnat by map
//!   chain redirect-own       nat    output     dstnat    to an address of the host               dnat by map
//!   chain masquerade         nat    postrouting srcnat   of the subnet, not by its bridge        masquerade
//!                                                        of the subnet, by its bridge, dnat'ed   masquerade
//!                                                        of 127.0.0.0/8, by a bridge             masquerade
//!   chain forward            filter forward    filter    to a bridge, established or dnat'ed     accept
//!                                                        from the bridge to itself, in passages  accept (without icc)
//!                                                        from the bridge to itself               accept, or drop (icc)
//!                                                        to a bridge                             drop
//!                                                        from a bridge                           accept
//! }
//! ```
//!
//! The number of rules depends on the number of networks only: publishing a port adds an element to a map,
//! and a link between containers that are kept apart one to the set for each port. The guard is
//! there because `route_localnet`, which lets 127.0.0.1 be published, would also let containers reach what listens on
//! the host's loopback (CVE-2020-8558).

mod batch;
mod conntrack;
mod expression;
mod names;

use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use barge_netlink::nfnetlink::{self, Subsystem};
use barge_netlink::{Family, NetlinkError, Socket};

use self::batch::{Batch, Change, Hook};
use self::expression::Is;
use self::names::{FORWARD, GUARD, OUTPUT, POSTROUTING, PREROUTING};
use crate::backend::{
    FirewallBackend, Masquerade, NetworkRules, Passage, Publication, Ruleset, Verdict,
};
use crate::error::{FirewallError, Result};

const LOOPBACK: (Ipv4Addr, u8) = (Ipv4Addr::new(127, 0, 0, 0), 8);

/// `NF_INET_…` and the priorities that `nft` calls raw, dstnat, srcnat and filter.
const GUARD_HOOK: Hook = Hook { kind: "filter", number: 0, priority: -300 };
const PREROUTING_HOOK: Hook = Hook { kind: "nat", number: 0, priority: -100 };
const OUTPUT_HOOK: Hook = Hook { kind: "nat", number: 3, priority: -100 };
const POSTROUTING_HOOK: Hook = Hook { kind: "nat", number: 4, priority: 100 };
const FORWARD_HOOK: Hook = Hook { kind: "filter", number: 2, priority: 0 };

/// A table of the kernel's nftables.
#[derive(Debug)]
pub struct Nftables {
    table: String,
    socket: Mutex<Socket>,
}

impl Nftables {
    /// A backend for the table of this name in the calling thread's network namespace. Nothing is changed yet.
    ///
    /// # Errors
    /// When there is no way to the kernel's packet filter.
    pub fn open(table: impl Into<String>) -> Result<Self> {
        let socket = Socket::open(Family::Netfilter)
            .map_err(|source| FirewallError::Unreachable { source })?;
        Ok(Self { table: table.into(), socket: Mutex::new(socket) })
    }

    fn apply(&self, batch: &Batch<'_>) -> std::result::Result<(), NetlinkError> {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        nfnetlink::transaction(&mut socket, Subsystem::Nftables, batch.requests())
    }

    fn forget_flows(&self, ports: &[Publication]) {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        conntrack::forget(&mut socket, ports);
    }

    fn remove(&self, ports: &[Publication]) -> std::result::Result<(), NetlinkError> {
        let mut batch = Batch::new(&self.table);
        batch.elements(Change::Remove, ports);
        self.apply(&batch)
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(NetlinkError) -> FirewallError {
        let table = self.table.clone();
        move |source| FirewallError::Batch { action, table, source }
    }
}

impl FirewallBackend for Nftables {
    fn name(&self) -> &'static str {
        "nftables"
    }

    fn replace(&self, rules: &Ruleset) -> Result<()> {
        let mut batch = Batch::new(&self.table);
        // Deleting what does not exist is an error; making what exists is none.
        batch.ensure_table();
        batch.delete_table();
        batch.ensure_table();
        write_table(&mut batch, rules);
        self.apply(&batch).map_err(self.failed("set up the rules"))
    }

    fn publish(&self, ports: &[Publication]) -> Result<()> {
        let mut batch = Batch::new(&self.table);
        batch.elements(Change::Add, ports);
        self.apply(&batch).map_err(self.failed("publish ports"))?;
        self.forget_flows(ports);
        Ok(())
    }

    fn withdraw(&self, ports: &[Publication]) -> Result<()> {
        each_that_is_there(ports, |ports| self.remove(ports))
            .map_err(self.failed("withdraw ports"))?;
        self.forget_flows(ports);
        Ok(())
    }

    fn admit(&self, passages: &[Passage]) -> Result<()> {
        let mut batch = Batch::new(&self.table);
        batch.passages(Change::Add, passages);
        self.apply(&batch).map_err(self.failed("open passages"))
    }

    fn shut(&self, passages: &[Passage]) -> Result<()> {
        let remove = |passages: &[Passage]| {
            let mut batch = Batch::new(&self.table);
            batch.passages(Change::Remove, passages);
            self.apply(&batch)
        };
        each_that_is_there(passages, remove).map_err(self.failed("close passages"))
    }

    fn clear(&self) -> Result<()> {
        let mut batch = Batch::new(&self.table);
        batch.ensure_table();
        batch.delete_table();
        self.apply(&batch).map_err(self.failed("remove the rules"))
    }
}

/// Removes elements of which some may be missing: one that is makes the kernel keep all of them.
fn each_that_is_there<T>(
    elements: &[T],
    remove: impl Fn(&[T]) -> std::result::Result<(), NetlinkError>,
) -> std::result::Result<(), NetlinkError> {
    match remove(elements) {
        Err(error) if error.is_absent() => {
            for element in elements {
                match remove(std::slice::from_ref(element)) {
                    Err(error) if !error.is_absent() => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
            Ok(())
        }
        done => done,
    }
}

fn write_table(batch: &mut Batch<'_>, rules: &Ruleset) {
    batch.maps();
    batch.elements(Change::Add, &rules.ports);
    batch.passage_set();
    batch.passages(Change::Add, &rules.passages);
    batch.base_chain(GUARD, GUARD_HOOK);
    batch.base_chain(PREROUTING, PREROUTING_HOOK);
    batch.base_chain(OUTPUT, OUTPUT_HOOK);
    batch.base_chain(POSTROUTING, POSTROUTING_HOOK);
    batch.base_chain(FORWARD, FORWARD_HOOK);
    for chain in [PREROUTING, OUTPUT] {
        batch.rule(chain, |rule| {
            rule.destination_is_local().redirect_by_address();
        });
        batch.rule(chain, |rule| {
            rule.destination_is_local().redirect_by_port();
        });
    }
    for network in &rules.networks {
        write_nat(batch, network);
        write_forward(batch, network);
    }
    // Last, so that "to another bridge" is decided above.
    for network in &rules.networks {
        batch.rule(FORWARD, |rule| {
            rule.came_by(Is::Same, &network.bridge).verdict(Verdict::Accept);
        });
    }
}

fn write_nat(batch: &mut Batch<'_>, network: &NetworkRules) {
    let NetworkRules { bridge, subnet, prefix, masquerade, .. } = network;
    let subnet = (*subnet, *prefix);
    batch.rule(GUARD, |rule| {
        rule.came_by(Is::Same, bridge).destination_in(LOOPBACK).verdict(Verdict::Drop);
    });
    if *masquerade == Masquerade::Yes {
        batch.rule(POSTROUTING, |rule| {
            rule.source_in(subnet).leaves_by(Is::Other, bridge).masquerade();
        });
    }
    // A container that reaches itself or its neighbour by a published port: the answer must come back this way.
    batch.rule(POSTROUTING, |rule| {
        rule.source_in(subnet).leaves_by(Is::Same, bridge).is_redirected().masquerade();
    });
    batch.rule(POSTROUTING, |rule| {
        rule.source_in(LOOPBACK).leaves_by(Is::Same, bridge).masquerade();
    });
}

fn write_forward(batch: &mut Batch<'_>, network: &NetworkRules) {
    let bridge = &network.bridge;
    batch.rule(FORWARD, |rule| {
        rule.leaves_by(Is::Same, bridge).is_established().verdict(Verdict::Accept);
    });
    batch.rule(FORWARD, |rule| {
        rule.leaves_by(Is::Same, bridge).is_redirected().verdict(Verdict::Accept);
    });
    if network.between_containers == Verdict::Drop {
        batch.rule(FORWARD, |rule| {
            rule.came_by(Is::Same, bridge)
                .leaves_by(Is::Same, bridge)
                .has_passage()
                .verdict(Verdict::Accept);
        });
    }
    batch.rule(FORWARD, |rule| {
        rule.came_by(Is::Same, bridge)
            .leaves_by(Is::Same, bridge)
            .verdict(network.between_containers);
    });
    batch.rule(FORWARD, |rule| {
        rule.leaves_by(Is::Same, bridge).verdict(Verdict::Drop);
    });
}
