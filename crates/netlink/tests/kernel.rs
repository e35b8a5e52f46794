//! Every request against the kernel, each test in a network namespace of its own.

#![allow(clippy::unwrap_used, reason = "a helper that fails ends the test it helps")]

use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use barge_netlink::address::Address;
use barge_netlink::link::{PortSettings, Veth};
use barge_netlink::neighbour::Neighbour;
use barge_netlink::route::Route;
use barge_netlink::{Family, NetlinkError, Request, Socket, address, link, neighbour, route};
use barge_sys::namespace::{in_netns, make_netns};

const MAC: [u8; 6] = [2, 0x42, 10, 9, 0, 1];

/// A namespace and a socket in it.
fn namespace() -> (OwnedFd, Socket) {
    let netns = make_netns().unwrap();
    let socket = in_netns(&netns, || Socket::open(Family::Route).unwrap()).unwrap();
    (netns, socket)
}

fn send(socket: &mut Socket, request: Request) {
    socket.send(&[request]).unwrap();
}

fn index(socket: &mut Socket, name: &str) -> u32 {
    link::by_name(socket, name).unwrap().unwrap().index
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_bridge_is_made_with_its_address_and_switched_on() {
    let (_netns, mut socket) = namespace();
    send(&mut socket, link::create_bridge("br0", MAC, Some(1400)));
    let bridge = link::by_name(&mut socket, "br0").unwrap().unwrap();
    assert_eq!(bridge.kind.as_deref(), Some("bridge"));
    assert_eq!((bridge.mac, bridge.mtu, bridge.is_up), (Some(MAC), 1400, true));
    assert_eq!(link::by_index(&mut socket, bridge.index).unwrap(), Some(bridge.clone()));
    assert!(link::list(&mut socket).unwrap().contains(&bridge));
}

#[test]
fn a_link_without_an_address_of_its_own_gets_none_when_it_is_switched_on() {
    let (netns, mut socket) = namespace();
    let pair = |name, peer| Veth {
        name,
        peer,
        peer_mac: None,
        is_up: false,
        netns: netns.as_fd(),
        master: None,
        mtu: None,
    };
    for (name, peer) in [("bare", "bare-peer"), ("usual", "usual-peer")] {
        send(&mut socket, link::create_veth(&pair(name, peer)));
    }
    let bare = index(&mut socket, "bare");
    send(&mut socket, link::without_own_address(bare));
    for name in ["bare-peer", "bare", "usual-peer", "usual"] {
        let index = index(&mut socket, name);
        send(&mut socket, link::up(index));
    }
    // The kernel's link watch gives addresses, in the order of what has changed.
    let deadline = Instant::now() + Duration::from_secs(60);
    let found = loop {
        let found =
            in_netns(&netns, || std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap());
        let found = found.unwrap();
        if found.contains("usual\n") || Instant::now() > deadline {
            break found;
        }
        std::thread::yield_now();
    };
    assert!(found.contains(" usual\n") && found.contains(" bare-peer\n"), "{found}");
    assert!(!found.contains(" bare\n"), "{found}");
}

#[test]
fn a_veth_is_a_port_here_and_a_named_interface_there_in_one_message() {
    let (_host, mut here) = namespace();
    let (container, mut there) = namespace();
    send(&mut here, link::create_bridge("br0", MAC, None));
    let master = index(&mut here, "br0");
    let mac = [2, 0x42, 10, 9, 0, 2];
    let veth = Veth {
        name: "veth1",
        peer: "eth0",
        peer_mac: Some(mac),
        is_up: true,
        netns: container.as_fd(),
        master: Some(master),
        mtu: Some(1400),
    };
    send(&mut here, link::create_veth(&veth));
    let port = link::by_name(&mut here, "veth1").unwrap().unwrap();
    assert_eq!((port.master, port.is_up, port.mtu), (Some(master), true, 1400));
    assert_eq!(port.kind.as_deref(), Some("veth"));
    let eth0 = link::by_name(&mut there, "eth0").unwrap().unwrap();
    assert_eq!((eth0.mac, eth0.is_up, eth0.mtu), (Some(mac), false, 1400));
    assert_eq!(link::by_name(&mut here, "eth0").unwrap(), None);
}

#[test]
fn what_is_set_on_a_link_is_there() {
    let (_netns, mut socket) = namespace();
    send(&mut socket, link::create_bridge("br0", MAC, None));
    let other = [2, 0, 0, 0, 0, 9];
    let bridge = index(&mut socket, "br0");
    let requests = [
        link::down(bridge),
        link::set_name(bridge, "br1"),
        link::set_mac(bridge, other),
        link::set_mtu(bridge, 1300),
        link::set_alias(bridge, "ours"),
    ];
    socket.send(&requests).unwrap();
    let found = link::by_index(&mut socket, bridge).unwrap().unwrap();
    assert_eq!(
        (found.name.as_str(), found.mac, found.mtu, found.is_up),
        ("br1", Some(other), 1300, false)
    );
    assert_eq!(found.alias.as_deref(), Some("ours"));
    send(&mut socket, link::delete(bridge));
    assert_eq!(link::by_index(&mut socket, bridge).unwrap(), None);
}

#[test]
fn a_port_leaves_and_joins_a_bridge_and_is_isolated() {
    let (host, mut here) = namespace();
    let (container, _there) = namespace();
    send(&mut here, link::create_bridge("br0", MAC, None));
    let bridge = index(&mut here, "br0");
    let veth = Veth {
        name: "v",
        peer: "eth0",
        peer_mac: Some(MAC),
        is_up: true,
        netns: container.as_fd(),
        master: None,
        mtu: None,
    };
    send(&mut here, link::create_veth(&veth));
    let port = index(&mut here, "v");
    let settings = PortSettings { is_isolated: true, is_hairpin: true };
    here.send(&[link::set_master(port, Some(bridge)), link::set_port("v", settings)]).unwrap();
    let output = in_netns(&host, || {
        std::process::Command::new("bridge").args(["-d", "link", "show"]).output().unwrap()
    });
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(text.contains("hairpin on") && text.contains("isolated on"), "{text}");
    assert_eq!(link::by_index(&mut here, port).unwrap().unwrap().master, Some(bridge));
    send(&mut here, link::set_master(port, None));
    assert_eq!(link::by_index(&mut here, port).unwrap().unwrap().master, None);
    send(&mut here, link::delete_by_name("v"));
}

#[test]
fn addresses_routes_and_neighbours_come_and_go() {
    let (_netns, mut socket) = namespace();
    send(&mut socket, link::create_bridge("br0", MAC, None));
    let link = index(&mut socket, "br0");
    let own = Address { link, address: address("10.9.0.1"), prefix: 16 };
    let six = Address { link, address: address("fd00:9::1"), prefix: 64 };
    let default = Route::default_through(address("10.9.0.254"), link);
    let net = Route {
        destination: Some((address("10.8.0.0"), 24)),
        gateway: Some(address("10.9.0.2")),
        link: None,
    };
    let direct =
        Route { destination: Some((address("10.7.0.0"), 24)), gateway: None, link: Some(link) };
    let near = Neighbour { link, address: address("10.9.0.2"), mac: Some([2, 0, 0, 0, 0, 2]) };
    let all = [
        address::add(&own),
        address::add(&six),
        route::add(&default),
        route::add(&net),
        route::add(&direct),
        neighbour::set(&near),
    ];
    socket.send(&all).unwrap();
    let addresses = address::list(&mut socket).unwrap();
    assert!(addresses.contains(&own) && addresses.contains(&six), "{addresses:?}");
    let routes = route::list(&mut socket).unwrap();
    let expected_net = Route { link: Some(link), ..net };
    assert!(
        [default, expected_net, direct].iter().all(|route| routes.contains(route)),
        "{routes:?}"
    );
    assert!(neighbour::list(&mut socket).unwrap().contains(&near));

    socket.send(&[neighbour::delete(&near), route::delete(&net), address::delete(&own)]).unwrap();
    assert!(!neighbour::list(&mut socket).unwrap().contains(&near));
    assert!(!route::list(&mut socket).unwrap().contains(&expected_net));
    assert!(!address::list(&mut socket).unwrap().contains(&own));
}

#[test]
fn a_refusal_names_the_request_and_the_others_are_worked_off() {
    let (_netns, mut socket) = namespace();
    let requests = [
        link::create_bridge("br0", MAC, None),
        link::create_bridge("br0", MAC, None),
        link::create_bridge("br1", MAC, None),
    ];
    let error = socket.send(&requests).unwrap_err();
    assert!(error.is_exists());
    assert!(error.to_string().starts_with("kernel refused to create bridge br0"), "{error}");
    assert!(link::by_name(&mut socket, "br1").unwrap().is_some());
}

#[test]
fn what_is_not_there_is_absent() {
    let (_netns, mut socket) = namespace();
    for request in [link::delete(99), link::delete_by_name("none"), link::up(99)] {
        let error = socket.send(&[request]).unwrap_err();
        assert!(error.is_absent(), "{error}");
        assert!(matches!(error, NetlinkError::Refused { .. }));
    }
}

#[test]
fn a_list_longer_than_one_datagram_is_complete() {
    let (_netns, mut socket) = namespace();
    send(&mut socket, link::create_bridge("br0", MAC, None));
    let link = index(&mut socket, "br0");
    let many: Vec<Request> = (0..1000_u32)
        .map(|number| IpAddr::from((0x0a_09_00_01 + number).to_be_bytes()))
        .map(|ip| address::add(&Address { link, address: ip, prefix: 16 }))
        .collect();
    for some in many.chunks(100) {
        socket.send(some).unwrap();
    }
    let count =
        address::list(&mut socket).unwrap().iter().filter(|found| found.link == link).count();
    assert!(count >= 1000, "{count}");
}

#[test]
fn a_link_that_disappears_is_told() {
    let (netns, mut socket) = namespace();
    let mut watch = in_netns(&netns, || link::Watch::open().unwrap()).unwrap();
    send(&mut socket, link::create_bridge("br0", MAC, None));
    assert!(watch.gone(Duration::ZERO).unwrap().is_empty());
    send(&mut socket, link::delete_by_name("br0"));
    assert_eq!(watch.gone(Duration::from_secs(120)).unwrap(), ["br0"]);
}
