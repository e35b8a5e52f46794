//! What every backend keeps to, each check in a network namespace of its own.
#![allow(clippy::unwrap_used, reason = "a helper that fails ends the test it helps")]

use std::net::Ipv4Addr;

use barge_firewall::{
    FirewallBackend, Masquerade, NetworkRules, Nftables, None, Passage, Publication, Ruleset,
    Verdict,
};
use barge_sys::namespace::{in_netns, make_netns};
use barge_types::Protocol;

type Open = fn(&str) -> Box<dyn FirewallBackend>;

fn in_own_namespace(test: impl FnOnce() + Send) {
    in_netns(make_netns().unwrap(), test).unwrap();
}

fn port(host: Ipv4Addr, host_port: u16) -> Publication {
    let container = Ipv4Addr::new(172, 17, 0, 2);
    Publication { protocol: Protocol::Tcp, host, host_port, container, container_port: 80 }
}

fn rules(ports: Vec<Publication>) -> Ruleset {
    let network = NetworkRules {
        bridge: "barge0".to_owned(),
        subnet: Ipv4Addr::new(172, 17, 0, 1),
        prefix: 16,
        between_containers: Verdict::Accept,
        masquerade: Masquerade::Yes,
    };
    Ruleset { networks: vec![network], ports, passages: vec![] }
}

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const ONE: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn replacing_twice_is_replacing_once(open: Open) {
    let backend = open("a");
    backend.replace(&rules(vec![port(ANY, 80)])).unwrap();
    backend.replace(&rules(vec![port(ANY, 80)])).unwrap();
    open("a").replace(&rules(vec![])).unwrap();
}

fn ports_come_and_go(open: Open) {
    let backend = open("a");
    backend.replace(&rules(vec![])).unwrap();
    let all =
        [port(ANY, 80), port(ONE, 81), Publication { protocol: Protocol::Udp, ..port(ANY, 80) }];
    backend.publish(&all).unwrap();
    backend.withdraw(&all).unwrap();
    backend.publish(&all).unwrap();
}

fn withdrawing_what_is_not_there_is_no_error(open: Open) {
    let backend = open("a");
    backend.replace(&rules(vec![port(ANY, 80)])).unwrap();
    backend.withdraw(&[port(ANY, 79), port(ANY, 80), port(ONE, 80)]).unwrap();
    backend.publish(&[port(ANY, 80)]).unwrap();
}

fn passages_open_twice_and_close_twice(open: Open) {
    let (from, to) = (Ipv4Addr::new(172, 17, 0, 2), Ipv4Addr::new(172, 17, 0, 3));
    let tcp = Passage { protocol: Protocol::Tcp, from, to, port: 80 };
    let udp = Passage { protocol: Protocol::Udp, ..tcp };
    let backend = open("a");
    backend.replace(&Ruleset { passages: vec![tcp], ..rules(vec![]) }).unwrap();
    backend.admit(&[tcp, udp]).unwrap();
    backend.admit(&[]).unwrap();
    backend.shut(&[tcp]).unwrap();
    backend.shut(&[tcp, udp]).unwrap();
    backend.shut(&[tcp, udp]).unwrap();
}

fn nothing_to_do_is_no_error(open: Open) {
    let backend = open("a");
    backend.replace(&Ruleset::default()).unwrap();
    backend.publish(&[]).unwrap();
    backend.withdraw(&[]).unwrap();
}

fn clearing_twice_is_clearing_once(open: Open) {
    let backend = open("a");
    backend.replace(&rules(vec![port(ANY, 80)])).unwrap();
    backend.clear().unwrap();
    backend.clear().unwrap();
    backend.replace(&rules(vec![port(ANY, 80)])).unwrap();
}

fn two_daemons_do_not_meet(open: Open) {
    let (one, other) = (open("a"), open("b"));
    one.replace(&rules(vec![port(ANY, 80)])).unwrap();
    other.replace(&rules(vec![port(ANY, 80)])).unwrap();
    one.clear().unwrap();
    other.withdraw(&[port(ANY, 80)]).unwrap();
}

fn thousands_of_ports_are_set_up_at_once(open: Open) {
    let ports: Vec<_> = (1..=6000).map(|number| port(ANY, number)).collect();
    let backend = open("a");
    backend.replace(&rules(ports.clone())).unwrap();
    backend.withdraw(&ports).unwrap();
    backend.publish(&ports).unwrap();
}

macro_rules! conformance {
    ($backend:ident, $open:expr, [$($check:ident),* $(,)?]) => {
        mod $backend {
            $(#[test]
            fn $check() {
                super::in_own_namespace(|| super::$check($open));
            })*
        }
    };
    ($backend:ident, $open:expr) => {
        conformance!($backend, $open, [
            replacing_twice_is_replacing_once,
            ports_come_and_go,
            withdrawing_what_is_not_there_is_no_error,
            passages_open_twice_and_close_twice,
            nothing_to_do_is_no_error,
            clearing_twice_is_clearing_once,
            two_daemons_do_not_meet,
            thousands_of_ports_are_set_up_at_once,
        ]);
    };
}

conformance!(nftables, |table| Box::new(super::Nftables::open(table).unwrap()));
conformance!(none, |_table| Box::new(super::None));
