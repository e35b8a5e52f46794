//! What the nftables backend leaves in the kernel, as `nft` reads it. Traffic through it is tested in barge-network.
#![allow(clippy::unwrap_used, reason = "a helper that fails ends the test it helps")]

use std::net::Ipv4Addr;
use std::process::Command;

use barge_firewall::{
    FirewallBackend as _, Masquerade, NetworkRules, Nftables, Passage, Publication, Ruleset,
    Verdict,
};
use barge_sys::namespace::{in_netns, make_netns};
use barge_types::Protocol;

fn in_own_namespace(test: impl FnOnce() + Send) {
    in_netns(make_netns().unwrap(), test).unwrap();
}

fn nft(words: &str) -> String {
    let output = Command::new("nft").args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "nft {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn network(bridge: &str, third: u8) -> NetworkRules {
    NetworkRules {
        bridge: bridge.to_owned(),
        subnet: Ipv4Addr::new(172, third, 0, 1),
        prefix: 16,
        between_containers: Verdict::Accept,
        masquerade: Masquerade::Yes,
    }
}

fn port(host: Ipv4Addr, host_port: u16) -> Publication {
    let container = Ipv4Addr::new(172, 17, 0, 2);
    Publication { protocol: Protocol::Tcp, host, host_port, container, container_port: 8080 }
}

const EXPECTED: &str = "table ip barge {
	map port-targets {
		type inet_proto . inet_service : ipv4_addr . inet_service
		elements = { tcp . 80 : 172.17.0.2 . 8080 }
	}

	map port-targets-of-address {
		type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service
		elements = { tcp . 127.0.0.1 . 81 : 172.17.0.2 . 8080 }
	}

	set passages {
		type inet_proto . ipv4_addr . ipv4_addr . inet_service
		elements = { udp . 172.17.0.2 . 172.17.0.3 . 53 }
	}

	chain guard-loopback {
		type filter hook prerouting priority raw; policy accept;
		iifname \"barge0\" ip daddr 127.0.0.0/8 drop
	}

	chain redirect-incoming {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local dnat ip to meta l4proto . ip daddr . th dport map @port-targets-of-address
		fib daddr type local dnat ip to meta l4proto . th dport map @port-targets
	}

	chain redirect-own {
		type nat hook output priority -100; policy accept;
		fib daddr type local dnat ip to meta l4proto . ip daddr . th dport map @port-targets-of-address
		fib daddr type local dnat ip to meta l4proto . th dport map @port-targets
	}

	chain masquerade {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 172.17.0.0/16 oifname != \"barge0\" masquerade
		ip saddr 172.17.0.0/16 oifname \"barge0\" ct status dnat masquerade
		ip saddr 127.0.0.0/8 oifname \"barge0\" masquerade
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		oifname \"barge0\" ct state established,related accept
		oifname \"barge0\" ct status dnat accept
		iifname \"barge0\" oifname \"barge0\" accept
		oifname \"barge0\" drop
		iifname \"barge0\" accept
	}
}
";

#[test]
fn the_table_reads_as_it_is_meant() {
    in_own_namespace(|| {
        let backend = Nftables::open("barge").unwrap();
        let ports = vec![port(Ipv4Addr::UNSPECIFIED, 80), port(Ipv4Addr::LOCALHOST, 81)];
        let passage = Passage {
            protocol: Protocol::Udp,
            from: Ipv4Addr::new(172, 17, 0, 2),
            to: Ipv4Addr::new(172, 17, 0, 3),
            port: 53,
        };
        let networks = vec![network("barge0", 17)];
        backend.replace(&Ruleset { networks, ports, passages: vec![passage] }).unwrap();
        assert_eq!(nft("list table ip barge"), EXPECTED);
    });
}

#[test]
fn rules_of_others_stay() {
    in_own_namespace(|| {
        nft("add table ip theirs");
        nft("add chain ip theirs kept");
        nft("add table inet barge");
        let backend = Nftables::open("barge").unwrap();
        backend.replace(&Ruleset::default()).unwrap();
        backend.clear().unwrap();
        let left = nft("list ruleset");
        assert!(left.contains("chain kept") && left.contains("table inet barge"), "{left}");
        assert!(!left.contains("table ip barge"), "{left}");
    });
}

#[test]
fn replacing_mends_what_someone_broke() {
    in_own_namespace(|| {
        let backend = Nftables::open("barge").unwrap();
        let rules = Ruleset { networks: vec![network("barge0", 17)], ..Ruleset::default() };
        backend.replace(&rules).unwrap();
        let before = nft("list table ip barge");
        nft("flush table ip barge");
        nft("add chain ip barge stray");
        backend.replace(&rules).unwrap();
        assert_eq!(nft("list table ip barge"), before);
    });
}

#[test]
fn a_port_that_leads_elsewhere_is_refused_and_nothing_changes() {
    in_own_namespace(|| {
        let backend = Nftables::open("barge").unwrap();
        let ports = vec![port(Ipv4Addr::UNSPECIFIED, 80)];
        backend.replace(&Ruleset { ports, ..Ruleset::default() }).unwrap();
        let before = nft("list table ip barge");
        let other = Publication {
            container: Ipv4Addr::new(172, 17, 0, 9),
            ..port(Ipv4Addr::UNSPECIFIED, 80)
        };
        let error = backend.publish(&[port(Ipv4Addr::UNSPECIFIED, 79), other]).unwrap_err();
        assert_eq!(error.to_string(), "cannot publish ports in table barge");
        assert_eq!(nft("list table ip barge"), before);
    });
}

#[test]
fn isolated_containers_and_kept_addresses_are_settings_of_a_network() {
    in_own_namespace(|| {
        let strict = NetworkRules {
            between_containers: Verdict::Drop,
            masquerade: Masquerade::No,
            ..network("br1", 18)
        };
        let backend = Nftables::open("barge").unwrap();
        let networks = vec![strict, network("br2", 19)];
        backend.replace(&Ruleset { networks, ..Ruleset::default() }).unwrap();
        let text = nft("list table ip barge");
        let passages = "meta l4proto . ip saddr . ip daddr . th dport @passages accept";
        let drop = "iifname \"br1\" oifname \"br1\" drop";
        let apart = format!("iifname \"br1\" oifname \"br1\" {passages}\n\t\t{drop}");
        assert!(text.contains(&apart), "{text}");
        assert_eq!(text.matches("@passages").count(), 1, "{text}");
        assert!(text.contains("iifname \"br2\" oifname \"br2\" accept"), "{text}");
        assert!(!text.contains("ip saddr 172.18.0.0/16 oifname != \"br1\" masquerade"), "{text}");
        // Whether one bridge may send to the other is decided before either may send anywhere.
        let (refuse, allow) = (
            text.find("oifname \"br2\" drop").unwrap(),
            text.find("iifname \"br1\" accept").unwrap(),
        );
        assert!(refuse < allow, "{text}");
    });
}
