//! Packets through what the controller makes: between containers, out, and in by published ports.
#![allow(clippy::unwrap_used, reason = "a helper that fails ends the test it helps")]

mod kit;

use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};

use barge_netlink::{Family, Socket, address, link, route};
use barge_network::{BridgeConfig, NetworkConfig, PortRequest, PublishedPort, Switch};
use barge_sys::namespace::in_netns;

use kit::{HOST, OUTSIDE, TestHost, ask_tcp, ask_udp, ask_udp_from, is_silent, port, serve_tcp};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 1);

#[test]
fn a_container_has_its_address_its_route_and_its_mac() {
    let host = TestHost::new();
    let controller = host.open();
    let container = host.start(&controller, 1, &[]);
    container.run(|| {
        let mut socket = Socket::open(Family::Route).unwrap();
        let eth0 = link::by_name(&mut socket, "eth0").unwrap().unwrap();
        assert!(eth0.is_up);
        assert_eq!(eth0.mac, Some([0x02, 0x42, 172, 17, 0, 2]));
        let addresses = address::list(&mut socket).unwrap();
        let own: Vec<_> = addresses.iter().filter(|address| address.link == eth0.index).collect();
        assert_eq!(own.len(), 1, "no IPv6: {own:?}");
        assert_eq!((own[0].address, own[0].prefix), (IpAddr::V4(Ipv4Addr::new(172, 17, 0, 2)), 16));
        let default = route::Route::default_through(IpAddr::V4(GATEWAY), eth0.index);
        assert!(route::list(&mut socket).unwrap().contains(&default));
        // Loopback works at once, in both families.
        TcpListener::bind("127.0.0.1:0").unwrap();
        TcpListener::bind("[::1]:0").unwrap();
    });
}

#[test]
fn containers_reach_each_other() {
    let host = TestHost::new();
    let controller = host.open();
    let (one, other) = (host.start(&controller, 1, &[]), host.start(&controller, 2, &[]));
    let server = other.serve_tcp(80);
    assert_eq!(one.run(|| ask_tcp(other.address(), 80)), Ok("c2 172.17.0.2".to_owned()));
    server.join().unwrap();
}

#[test]
fn the_first_packet_arrives() {
    let host = TestHost::new();
    let controller = host.open();
    // Whoever asks for a link-layer address asks once: what is lost stays lost.
    let ask_once = |interface: &str| {
        for (setting, value) in [("retrans_time_ms", "60000"), ("mcast_solicit", "1")] {
            std::fs::write(format!("/proc/sys/net/ipv4/neigh/{interface}/{setting}"), value)
                .unwrap();
        }
    };
    host.run(|| ask_once("barge0"));
    for number in 0..8 {
        let container = host.start(&controller, number, &[]);
        let answer = container.run(|| {
            ask_once("eth0");
            ask_tcp(GATEWAY, 80)
        });
        assert_eq!(answer, Err(std::io::ErrorKind::ConnectionRefused), "{number}");
        controller.release(&container.id).unwrap();
    }
}

#[test]
fn without_icc_containers_do_not_reach_each_other() {
    let host = TestHost::new();
    let bridge = BridgeConfig { icc: Switch::Off, ..BridgeConfig::new("barge0".parse().unwrap()) };
    let controller =
        host.try_open(&NetworkConfig { bridge: Some(bridge), ..host.config() }).unwrap();
    let (one, other) =
        (host.start(&controller, 1, &[]), host.start(&controller, 2, &[port(8080, "80")]));
    assert!(one.run(|| is_silent(other.address(), 80)));
    // By the host's address and a published port they do, as with Docker.
    let server = other.serve_tcp(80);
    assert!(one.run(|| ask_tcp(HOST, 8080)).unwrap().starts_with("c2 "));
    server.join().unwrap();
}

/// A daemon that keeps containers apart, where bridged packets meet the firewall or where they do not.
fn without_icc(host: &TestHost, bridged: &str) -> barge_network::Controller {
    let path = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    // Without the module they never do.
    host.run(|| std::fs::write(path, bridged)).ok();
    let bridge = BridgeConfig { icc: Switch::Off, ..BridgeConfig::new("barge0".parse().unwrap()) };
    host.try_open(&NetworkConfig { bridge: Some(bridge), ..host.config() }).unwrap()
}

#[test]
fn linked_containers_reach_the_linked_ports_and_no_others_without_icc() {
    for bridged in ["0", "1"] {
        let host = TestHost::new();
        let controller = without_icc(&host, bridged);
        let (one, other) = (host.start(&controller, 1, &[]), host.start(&controller, 2, &[]));
        let link = || {
            let ports = ["80".parse().unwrap(), "53/udp".parse().unwrap()];
            host.run(|| controller.link(&one.id, &other.id, &ports)).unwrap();
        };
        link();
        // A second link to the same container opens nothing new.
        link();
        let (tcp, udp) = (other.serve_tcp(80), other.serve_udp(53));
        let expected = Ok("c2 172.17.0.2".to_owned());
        assert_eq!(one.run(|| ask_tcp(other.address(), 80)), expected, "{bridged}");
        assert_eq!(one.run(|| ask_udp(other.address(), 53)), expected, "{bridged}");
        tcp.join().unwrap();
        udp.join().unwrap();
        assert!(one.run(|| is_silent(other.address(), 81)), "{bridged}");
        assert!(other.run(|| is_silent(one.address(), 80)), "{bridged}");
        let third = host.start(&controller, 3, &[]);
        assert!(third.run(|| is_silent(other.address(), 80)), "{bridged}");
        host.run(|| controller.unlink(&one.id, &other.id)).unwrap();
        assert!(one.run(|| is_silent(other.address(), 80)), "{bridged}");
    }
}

#[test]
fn passages_go_with_either_end_of_a_link() {
    let host = TestHost::new();
    let controller = without_icc(&host, "1");
    let open = || {
        let output = host.run(|| {
            std::process::Command::new("nft")
                .args(["list", "set", "ip", "barge", "passages"])
                .output()
                .unwrap()
        });
        String::from_utf8(output.stdout).unwrap().matches(" . 80").count()
    };
    let containers: Vec<_> = (1..=3).map(|number| host.start(&controller, number, &[])).collect();
    let [one, two, three] = [0, 1, 2].map(|index| &containers[index]);
    let link = |from: &kit::Container, to: &kit::Container| {
        host.run(|| controller.link(&from.id, &to.id, &["80".parse().unwrap()])).unwrap();
    };
    link(one, two);
    link(two, three);
    link(one, three);
    assert_eq!(open(), 3);
    host.run(|| controller.release(&two.id)).unwrap();
    assert_eq!(open(), 1);
    // Of what is gone nothing is opened.
    link(one, two);
    link(two, three);
    assert_eq!(open(), 1);
    host.run(|| controller.release(&one.id)).unwrap();
    assert_eq!(open(), 0);
}

#[test]
fn a_container_leaves_under_the_hosts_address() {
    let host = TestHost::new();
    let controller = host.open();
    let container = host.start(&controller, 1, &[]);
    let listener = in_netns(&host.outside, || TcpListener::bind((OUTSIDE, 80)).unwrap()).unwrap();
    let server = serve_tcp(listener, "outside");
    assert_eq!(container.run(|| ask_tcp(OUTSIDE, 80)), Ok(format!("outside {HOST}")));
    server.join().unwrap();
}

#[test]
fn a_published_port_is_reached_from_outside_with_the_clients_address() {
    let host = TestHost::new();
    let controller = host.open();
    let container = host.start(&controller, 1, &[port(8080, "80"), port(5353, "53/udp")]);
    let (tcp, udp) = (container.serve_tcp(80), container.serve_udp(53));
    let answers = in_netns(&host.outside, || (ask_tcp(HOST, 8080), ask_udp(HOST, 5353))).unwrap();
    let expected = Ok(format!("c1 {OUTSIDE}"));
    assert_eq!(answers, (expected.clone(), expected));
    tcp.join().unwrap();
    udp.join().unwrap();
}

#[test]
fn a_published_port_is_reached_from_the_host_by_any_of_its_addresses() {
    let host = TestHost::new();
    let controller = host.open();
    let container = host.start(&controller, 1, &[port(8080, "80"), port(5353, "53/udp")]);
    for address in [Ipv4Addr::LOCALHOST, HOST, GATEWAY] {
        let (tcp, udp) = (container.serve_tcp(80), container.serve_udp(53));
        let (tcp_answer, udp_answer) =
            host.run(|| (ask_tcp(address, 8080), ask_udp(address, 5353)));
        assert!(tcp_answer.unwrap().starts_with("c1 "), "{address}");
        assert!(udp_answer.unwrap().starts_with("c1 "), "{address}");
        tcp.join().unwrap();
        udp.join().unwrap();
    }
}

#[test]
fn a_container_reaches_itself_and_its_neighbour_by_a_published_port() {
    let host = TestHost::new();
    let controller = host.open();
    let (one, other) =
        (host.start(&controller, 1, &[port(8080, "80")]), host.start(&controller, 2, &[]));
    for client in [&one, &other] {
        let server = one.serve_tcp(80);
        assert_eq!(client.run(|| ask_tcp(HOST, 8080)), Ok(format!("c1 {GATEWAY}")));
        server.join().unwrap();
    }
}

#[test]
fn a_port_of_one_address_is_closed_on_the_others() {
    let host = TestHost::new();
    let controller = host.open();
    let local = PortRequest { address: Some(Ipv4Addr::LOCALHOST), ..port(8080, "80") };
    let container = host.start(&controller, 1, &[local]);
    let server = container.serve_tcp(80);
    let refused = in_netns(&host.outside, || ask_tcp(HOST, 8080)).unwrap();
    assert_eq!(refused, Err(std::io::ErrorKind::ConnectionRefused));
    let answer = host.run(|| ask_tcp(Ipv4Addr::LOCALHOST, 8080));
    assert!(answer.unwrap().starts_with("c1 "));
    server.join().unwrap();
}

#[test]
fn an_unpublished_port_is_not_reached_from_outside() {
    let host = TestHost::new();
    let controller = host.open();
    host.route_from_outside(Ipv4Addr::new(172, 17, 0, 0));
    let container = host.start(&controller, 1, &[port(8080, "80")]);
    let address = container.address();
    let _listeners =
        container.run(|| [80, 81].map(|port| TcpListener::bind((address, port)).unwrap()));
    // Not even the published one by the container's own address.
    assert!(in_netns(&host.outside, || is_silent(address, 81) && is_silent(address, 80)).unwrap());
    // The host itself reaches what it likes.
    let server = container.serve_tcp(82);
    assert_eq!(host.run(|| ask_tcp(address, 82)), Ok(format!("c1 {GATEWAY}")));
    server.join().unwrap();
}

#[test]
fn the_hosts_loopback_is_out_of_a_containers_reach() {
    let host = TestHost::new();
    let controller = host.open();
    let container = host.start(&controller, 1, &[]);
    let _listener = host.run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 9999)).unwrap());
    // A container that is privileged enough sends what is for 127.0.0.1 to the bridge instead of its own loopback.
    let silent = container.run(|| {
        let mut socket = Socket::open(Family::Route).unwrap();
        let eth0 = link::by_name(&mut socket, "eth0").unwrap().unwrap().index;
        std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap();
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        socket
            .send(&[address::delete(&address::Address { link: 1, address: loopback, prefix: 8 })])
            .unwrap();
        let gateway = Some(IpAddr::V4(GATEWAY));
        let all = Some((IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8));
        socket
            .send(&[route::add(&route::Route { destination: all, gateway, link: Some(eth0) })])
            .unwrap();
        is_silent(Ipv4Addr::LOCALHOST, 9999)
    });
    assert!(silent);
}

#[test]
fn a_client_that_keeps_sending_finds_a_port_published_later() {
    let host = TestHost::new();
    let controller = host.open();
    let client = in_netns(&host.outside, || UdpSocket::bind((OUTSIDE, 0)).unwrap()).unwrap();
    // Nobody there yet: the flow is tracked as one to the host, which says so.
    client.connect((HOST, 5353)).unwrap();
    client.send(b"hello").unwrap();
    assert_eq!(client.recv(&mut [0; 8]).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    let container = host.start(&controller, 1, &[port(5353, "53/udp")]);
    let server = container.serve_udp(53);
    assert_eq!(ask_udp_from(&client, HOST, 5353), Ok(format!("c1 {OUTSIDE}")));
    server.join().unwrap();
}

#[test]
fn a_withdrawn_port_is_closed_and_can_be_given_again() {
    let host = TestHost::new();
    let controller = host.open();
    let first = host.start(&controller, 1, &[port(8080, "80")]);
    controller.release(&first.id).unwrap();
    let refused = in_netns(&host.outside, || ask_tcp(HOST, 8080)).unwrap();
    assert_eq!(refused, Err(std::io::ErrorKind::ConnectionRefused));
    let second = host.start(&controller, 2, &[port(8080, "80")]);
    let server = second.serve_tcp(80);
    assert_eq!(
        in_netns(&host.outside, || ask_tcp(HOST, 8080)).unwrap(),
        Ok(format!("c2 {OUTSIDE}"))
    );
    server.join().unwrap();
}

#[test]
fn ports_of_a_container_that_runs_come_and_go() {
    let host = TestHost::new();
    let controller = host.open();
    let (one, _other) = (
        host.start(&controller, 1, &[port(8080, "80")]),
        host.start(&controller, 2, &[port(8090, "80")]),
    );
    let ask = |number| in_netns(&host.outside, || ask_tcp(HOST, number)).unwrap();
    let reached = |number| {
        let server = one.serve_tcp(80);
        assert_eq!(ask(number), Ok(format!("c1 {OUTSIDE}")), "{number}");
        server.join().unwrap();
    };
    let republish = |keep: &[PublishedPort], add: &[PortRequest]| {
        host.run(|| controller.republish(&one.id, keep, add))
    };
    let ports = |endpoint: barge_network::Endpoint| endpoint.link().unwrap().ports.clone();
    // One more.
    let first = ports(controller.endpoint(&one.id).unwrap());
    let both = ports(republish(&first, &[port(8081, "80")]).unwrap());
    assert_eq!(both.iter().map(|port| port.host_port).collect::<Vec<_>>(), [8080, 8081]);
    reached(8080);
    reached(8081);
    // One that another container has: nothing changes.
    let error = republish(&[], &[port(8090, "80")]).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "Bind for 0.0.0.0:8090 failed: port is already allocated");
    reached(8080);
    // The first goes to another port inside in one step; the second goes.
    let moved = ports(republish(&[], &[port(8080, "81")]).unwrap());
    assert_eq!(moved.len(), 1);
    assert_eq!(ask(8081), Err(std::io::ErrorKind::ConnectionRefused));
    let server = one.serve_tcp(81);
    assert_eq!(ask(8080), Ok(format!("c1 {OUTSIDE}")));
    server.join().unwrap();
    // A new daemon knows, and so does whoever wants the port that was given back.
    host.run(|| drop(controller));
    let controller = host.open();
    assert_eq!(ports(controller.endpoint(&one.id).unwrap()), moved);
    let third = host.start(&controller, 3, &[port(8081, "80")]);
    controller.release(&third.id).unwrap();
}

#[test]
fn a_table_that_someone_flushed_is_there_again_with_the_next_port() {
    let host = TestHost::new();
    let controller = host.open();
    let first = host.start(&controller, 1, &[port(8080, "80")]);
    host.run(|| {
        assert!(
            std::process::Command::new("nft")
                .args(["flush", "ruleset"])
                .status()
                .unwrap()
                .success()
        );
    });
    let _second = host.start(&controller, 2, &[port(8081, "80")]);
    let server = first.serve_tcp(80);
    assert_eq!(
        in_netns(&host.outside, || ask_tcp(HOST, 8080)).unwrap(),
        Ok(format!("c1 {OUTSIDE}"))
    );
    server.join().unwrap();
}
