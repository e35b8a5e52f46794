//! The life of networks and endpoints: what is made, kept, taken over and removed.
#![allow(clippy::unwrap_used, reason = "a helper that fails ends the test it helps")]

mod kit;

use std::collections::HashSet;
use std::error::Error as _;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use barge_netlink::address::Address;
use barge_netlink::{Family, Socket, address, link};
use barge_network::{
    Attachment, BridgeConfig, Controller, FirewallChoice, NetworkConfig, NetworkError, NetworkMode,
    Sandbox, Switch, parse_cidr,
};
use barge_sys::namespace::in_netns;

use kit::{HOST, OUTSIDE, TestHost, ask_tcp, bridge, id, options, port};

fn named(name: &str) -> NetworkMode {
    NetworkMode::parse(name).unwrap()
}

fn bip(text: &str) -> Option<BridgeConfig> {
    let address = Some(parse_cidr(text).unwrap());
    Some(BridgeConfig { address, ..BridgeConfig::new("barge0".parse().unwrap()) })
}

fn addresses_of(host: &TestHost, name: &str) -> Vec<String> {
    host.run(|| {
        let mut socket = Socket::open(Family::Route).unwrap();
        let link = link::by_name(&mut socket, name).unwrap().unwrap().index;
        let all = address::list(&mut socket).unwrap();
        all.iter()
            .filter(|address| address.link == link && address.address.is_ipv4())
            .map(|address| format!("{}/{}", address.address, address.prefix))
            .collect()
    })
}

fn links(host: &TestHost) -> Vec<String> {
    let list = host.run(|| link::list(&mut Socket::open(Family::Route).unwrap()).unwrap());
    list.into_iter().map(|link| link.name).collect()
}

fn make_bridge(host: &TestHost, name: &str, own: Option<&str>) {
    host.run(|| {
        let mut socket = Socket::open(Family::Route).unwrap();
        socket.send(&[link::create_bridge(name, [2, 0, 0, 0, 0, 7], None)]).unwrap();
        let index = link::by_name(&mut socket, name).unwrap().unwrap().index;
        if let Some(own) = own {
            let own = IpAddr::V4(own.parse().unwrap());
            socket
                .send(&[address::add(&Address { link: index, address: own, prefix: 24 })])
                .unwrap();
        }
    });
}

/// Waits until the host has no link of this name.
fn wait_until_gone(host: &TestHost, name: &str) {
    host.run(|| {
        let mut watch = link::Watch::open().unwrap();
        let mut socket = Socket::open(Family::Route).unwrap();
        while link::by_name(&mut socket, name).unwrap().is_some() {
            assert!(
                !watch.gone(Duration::from_secs(120)).unwrap().is_empty(),
                "{name} is still there"
            );
        }
    });
}

#[test]
fn the_default_bridge_is_dockers() {
    let host = TestHost::new();
    let controller = host.open();
    assert_eq!(addresses_of(&host, "barge0"), ["172.17.0.1/16"]);
    let view = controller.inspect("bridge").unwrap();
    assert_eq!((view.record.driver.as_str(), view.scope()), ("bridge", "local"));
    let pool = view.record.pool.unwrap();
    assert_eq!(
        (pool.subnet.to_string(), pool.gateway.to_string()),
        ("172.17.0.0/16".into(), "172.17.0.1".into())
    );
    assert_eq!(view.record.options["com.docker.network.bridge.name"], "barge0");
    assert_eq!(view.record.options["com.docker.network.bridge.enable_icc"], "true");
    let names: Vec<_> =
        controller.list().into_iter().map(|view| (view.record.name, view.record.driver)).collect();
    let expected = [("bridge", "bridge"), ("host", "host"), ("none", "null")];
    assert_eq!(names, expected.map(|(name, driver)| (name.to_owned(), driver.to_owned())));
    let forward = host.run(|| std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap());
    assert_eq!(forward.trim(), "1");
}

#[test]
fn networks_are_found_by_name_id_and_beginning_of_id() {
    let host = TestHost::new();
    let controller = host.open();
    let id = controller.inspect("bridge").unwrap().record.id;
    for name in [id.as_str(), id.short()] {
        assert_eq!(controller.inspect(name).unwrap().record.name, "bridge");
    }
    assert_eq!(controller.inspect("web").unwrap_err().to_string(), "network web not found");
    assert_eq!(controller.inspect("").unwrap_err().to_string(), "network  not found");
}

#[test]
fn a_network_keeps_its_id_and_its_subnet() {
    let host = TestHost::new();
    let ids = |controller: &Controller| -> Vec<_> {
        controller.list().into_iter().map(|view| (view.record.id, view.record.created)).collect()
    };
    let before = ids(&host.open());
    assert_eq!(ids(&host.open()), before);
    // The bridge is there again after it was lost.
    host.run(|| {
        Socket::open(Family::Route).unwrap().send(&[link::delete_by_name("barge0")]).unwrap();
    });
    assert_eq!(ids(&host.open()), before);
    assert_eq!(addresses_of(&host, "barge0"), ["172.17.0.1/16"]);
}

#[test]
fn a_pool_that_the_host_uses_is_passed_over() {
    let host = TestHost::new();
    make_bridge(&host, "theirs", Some("172.17.5.1"));
    host.open();
    assert_eq!(addresses_of(&host, "barge0"), ["172.18.0.1/16"]);
}

#[test]
fn a_wanted_subnet_that_collides_is_refused_and_nothing_is_made() {
    let host = TestHost::new();
    let config = NetworkConfig { bridge: bip("10.200.0.9/16"), ..host.config() };
    let error = host.try_open(&config).unwrap_err().to_string();
    assert_eq!(
        error,
        "bridge address 10.200.0.9/16 overlaps with 10.200.0.1/24 (uplink) of the host"
    );
    assert!(!links(&host).contains(&"barge0".to_owned()));
}

#[test]
fn a_wanted_subnet_replaces_the_one_before() {
    let host = TestHost::new();
    drop(host.open());
    let controller =
        host.try_open(&NetworkConfig { bridge: bip("10.9.8.1/24"), ..host.config() }).unwrap();
    assert_eq!(addresses_of(&host, "barge0"), ["10.9.8.1/24"]);
    let container = host.start(&controller, 1, &[]);
    assert_eq!(container.address(), Ipv4Addr::new(10, 9, 8, 2));
}

#[test]
fn a_foreign_bridge_is_used_and_not_deleted() {
    let host = TestHost::new();
    make_bridge(&host, "theirs", Some("10.50.0.1"));
    let bridge = Some(BridgeConfig::new("theirs".parse().unwrap()));
    let controller = host.try_open(&NetworkConfig { bridge, ..host.config() }).unwrap();
    let container = host.start(&controller, 1, &[]);
    assert_eq!(container.address(), Ipv4Addr::new(10, 50, 0, 2));
    controller.tear_down().unwrap();
    assert_eq!(addresses_of(&host, "theirs"), ["10.50.0.1/24"]);
}

#[test]
fn an_interface_that_is_no_bridge_is_refused() {
    let host = TestHost::new();
    let bridge = Some(BridgeConfig::new("uplink".parse().unwrap()));
    let error = host.try_open(&NetworkConfig { bridge, ..host.config() }).unwrap_err();
    assert_eq!(error.to_string(), "interface uplink exists and is not a bridge");
}

#[test]
fn without_a_bridge_there_is_no_such_network_and_the_others_work() {
    let host = TestHost::new();
    let controller = host.try_open(&NetworkConfig { bridge: None, ..host.config() }).unwrap();
    assert!(!links(&host).contains(&"barge0".to_owned()));
    let error = controller.allocate(&bridge(), options(1, &[])).unwrap_err();
    assert!(matches!(error, NetworkError::BridgeDisabled));
    assert_eq!(controller.list().len(), 2);
    let endpoint = controller.allocate(&named("none"), options(1, &[])).unwrap();
    assert_eq!(endpoint.attachment, Attachment::Null);
}

#[test]
fn tear_down_leaves_nothing() {
    let host = TestHost::new();
    let before = links(&host);
    let controller = host.open();
    let _container = host.start(&controller, 1, &[port(8080, "80")]);
    controller.tear_down().unwrap();
    assert_eq!(links(&host), before);
    let rules =
        host.run(|| std::process::Command::new("nft").args(["list", "ruleset"]).output().unwrap());
    assert_eq!(String::from_utf8(rules.stdout).unwrap(), "");
}

#[test]
fn an_interface_goes_with_its_namespace_and_an_endpoint_leaves_nothing() {
    let host = TestHost::new();
    let controller = host.open();
    let container = host.start(&controller, 1, &[port(8080, "80")]);
    let name = container.endpoint.link().unwrap().host_interface.to_string();
    assert!(links(&host).contains(&name));
    drop(container);
    controller.release(&id(1)).unwrap();
    wait_until_gone(&host, &name);
    assert_eq!(std::fs::read_dir(host.folder.path().join("exec/endpoints")).unwrap().count(), 0);
    assert!(controller.inspect("bridge").unwrap().endpoints.is_empty());
    controller.release(&id(1)).unwrap();
}

#[test]
fn an_interface_whose_namespace_lives_on_is_deleted() {
    let host = TestHost::new();
    let controller = host.run(|| Controller::open(&host.config()).unwrap());
    let container = host.start(&controller, 1, &[]);
    controller.release(&id(1)).unwrap();
    wait_until_gone(&host, container.endpoint.link().unwrap().host_interface.as_str());
}

#[test]
fn living_containers_keep_their_network_over_a_restart_of_the_daemon() {
    let host = TestHost::new();
    let controller = host.open();
    let living = host.start(&controller, 1, &[port(8080, "80")]);
    let ended = host.start(&controller, 2, &[port(8081, "80")]);
    drop(controller);
    let controller = host.open();
    let restored = controller.restore(&HashSet::from([id(1)])).unwrap();
    assert_eq!(restored, std::slice::from_ref(&living.endpoint));
    assert_eq!(controller.endpoint(&id(1)), Some(living.endpoint.clone()));
    let server = living.serve_tcp(80);
    assert_eq!(
        in_netns(&host.outside, || ask_tcp(HOST, 8080)).unwrap(),
        Ok(format!("c1 {OUTSIDE}"))
    );
    server.join().unwrap();
    // What the living one has is not given to others, what the ended one had is.
    let error =
        host.run(|| controller.allocate(&bridge(), options(3, &[port(8080, "80")])).unwrap_err());
    assert!(error.source().unwrap().to_string().contains("port is already allocated"), "{error:?}");
    let next = host.start(&controller, 4, &[port(8081, "80")]);
    assert!(![living.address()].contains(&next.address()));
    let refused = in_netns(&host.outside, || ask_tcp(HOST, 8081)).unwrap();
    assert_eq!(refused, Err(std::io::ErrorKind::ConnectionRefused));
    drop(ended);
}

#[test]
fn interfaces_that_nobody_knows_are_swept() {
    let host = TestHost::new();
    let controller = host.open();
    let container = host.start(&controller, 1, &[]);
    drop(controller);
    std::fs::remove_dir_all(host.folder.path().join("exec")).unwrap();
    let _controller = host.open();
    wait_until_gone(&host, container.endpoint.link().unwrap().host_interface.as_str());
}

#[test]
fn port_errors_are_dockers() {
    let host = TestHost::new();
    let controller = host.open();
    let chain = |error: NetworkError| {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    };
    let prefix = |text: &str| {
        let id_at = text.find('(').unwrap() + 1;
        text.replacen(&text[id_at..id_at + 64], "ID", 1)
    };
    let _first = host.start(&controller, 1, &[port(8080, "80")]);
    let taken =
        host.run(|| controller.allocate(&bridge(), options(2, &[port(8080, "80")])).unwrap_err());
    assert_eq!(
        prefix(&chain(taken)),
        "driver failed programming external connectivity on endpoint c2 (ID): \
         Bind for 0.0.0.0:8080 failed: port is already allocated"
    );
    let _process = host.run(|| TcpListener::bind((HOST, 80)).unwrap());
    let busy =
        host.run(|| controller.allocate(&bridge(), options(2, &[port(80, "80")])).unwrap_err());
    assert_eq!(
        prefix(&chain(busy)),
        "driver failed programming external connectivity on endpoint c2 (ID): \
         failed to bind host port for 0.0.0.0:80:172.17.0.4:80/tcp: address already in use"
    );
}

#[test]
fn a_failed_plug_leaves_nothing_on_the_host() {
    let host = TestHost::new();
    let controller = host.open();
    let (endpoint, sandbox) = host.run(|| {
        let endpoint = controller.allocate(&bridge(), options(1, &[port(8080, "80")])).unwrap();
        let sandbox = controller.sandbox(Some(&endpoint)).unwrap();
        (endpoint, sandbox)
    });
    // A gateway that cannot be reached from the container's address: the last of the messages is refused.
    let mut wrong = endpoint.clone();
    let Attachment::Link(link) = &mut wrong.attachment else { panic!("a bridge gives a link") };
    link.gateway = Some(Ipv4Addr::new(10, 1, 1, 1));
    let endpoint = wrong;
    let error = controller.plug(&endpoint, &sandbox).unwrap_err();
    assert!(error.to_string().starts_with("cannot set up eth0 of the container"), "{error}");
    assert!(!links(&host).contains(&endpoint.link().unwrap().host_interface.to_string()));
    controller.release(&id(1)).unwrap();
    let again = host.start(&controller, 2, &[]);
    assert_eq!(again.address(), Ipv4Addr::new(172, 17, 0, 3));
}

#[test]
fn a_container_has_one_endpoint_and_modes_without_link_refuse_its_settings() {
    let host = TestHost::new();
    let controller = host.open();
    controller.allocate(&named("host"), options(1, &[])).unwrap();
    let twice = controller.allocate(&named("none"), options(1, &[])).unwrap_err();
    assert_eq!(twice.to_string(), "endpoint with name c1 already exists in network none");
    let mut fixed = options(2, &[]);
    fixed.mac = Some("02:42:ac:11:00:09".parse().unwrap());
    let error = controller.allocate(&named("host"), fixed).unwrap_err();
    assert_eq!(error.to_string(), "conflicting options: mac-address and the network mode host");
    let view = controller.inspect("host").unwrap();
    assert_eq!(view.endpoints.len(), 1);
    assert_eq!(view.endpoints[0].attachment, Attachment::Host);
}

#[test]
fn a_fixed_address_and_mac_are_given_once() {
    let host = TestHost::new();
    let controller = host.open();
    let mut wanted = options(1, &[]);
    wanted.ip = Some(Ipv4Addr::new(172, 17, 9, 9));
    wanted.mac = Some("02:42:ac:11:00:09".parse().unwrap());
    let endpoint = controller.allocate(&bridge(), wanted.clone()).unwrap();
    assert_eq!(endpoint.link().unwrap().mac.to_string(), "02:42:ac:11:00:09");
    wanted.container = id(2);
    assert!(matches!(
        controller.allocate(&bridge(), wanted.clone()),
        Err(NetworkError::AddressInUse(_))
    ));
    wanted.ip = Some(Ipv4Addr::new(10, 0, 0, 1));
    assert!(matches!(
        controller.allocate(&bridge(), wanted),
        Err(NetworkError::AddressOutside { .. })
    ));
}

#[test]
fn two_daemons_on_one_host_do_not_meet() {
    let host = TestHost::new();
    let first = host.open();
    let second = host.try_open(&second_daemon(&host)).unwrap();
    assert_eq!(addresses_of(&host, "barge1"), ["172.18.0.1/16"]);
    let one = host.start(&first, 1, &[port(8080, "80")]);
    let two = host.start(&second, 2, &[port(8081, "80")]);
    second.tear_down().unwrap();
    drop(two);
    let server = one.serve_tcp(80);
    assert_eq!(
        in_netns(&host.outside, || ask_tcp(HOST, 8080)).unwrap(),
        Ok(format!("c1 {OUTSIDE}"))
    );
    server.join().unwrap();
}

fn second_daemon(host: &TestHost) -> NetworkConfig {
    let (data, exec) = (host.folder.path().join("data2"), host.folder.path().join("exec2"));
    NetworkConfig {
        bridge: Some(BridgeConfig::new("barge1".parse().unwrap())),
        table: "barge1".parse().unwrap(),
        spares: 0,
        ..NetworkConfig::new(data, exec)
    }
}

#[test]
fn without_a_firewall_no_rule_is_written_and_containers_reach_each_other() {
    let host = TestHost::new();
    let config =
        NetworkConfig { firewall: FirewallChoice::None, ip_forward: Switch::Off, ..host.config() };
    let controller = host.try_open(&config).unwrap();
    let (one, other) =
        (host.start(&controller, 1, &[]), host.start(&controller, 2, &[port(8080, "80")]));
    let server = other.serve_tcp(80);
    assert_eq!(one.run(|| ask_tcp(other.address(), 80)), Ok("c2 172.17.0.2".to_owned()));
    server.join().unwrap();
    let rules =
        host.run(|| std::process::Command::new("nft").args(["list", "ruleset"]).output().unwrap());
    assert_eq!(String::from_utf8(rules.stdout).unwrap(), "");
}

#[test]
fn spare_sandboxes_are_like_fresh_ones() {
    let host = TestHost::new();
    let controller = host.try_open(&NetworkConfig { spares: 3, ..host.config() }).unwrap();
    let sandboxes: Vec<Sandbox> = (0..8).map(|_| controller.sandbox(None).unwrap()).collect();
    for sandbox in &sandboxes {
        in_netns(sandbox.netns(), || {
            let all = link::list(&mut Socket::open(Family::Route).unwrap()).unwrap();
            assert_eq!(all.len(), 1);
            assert!(all[0].is_up);
        })
        .unwrap();
    }
}

/// Waits until the ports of the host's bridges are as they should be. The kernel tells of each that comes or goes.
fn wait_for_ports(host: &TestHost, are_right: impl Fn(&[link::Link]) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut watch = host.run(|| link::Watch::open().unwrap());
    loop {
        let now = ports(host);
        if are_right(&now) {
            return;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "{now:?}");
        watch.wait(left).unwrap();
    }
}

/// The ports of the host's bridges.
fn ports(host: &TestHost) -> Vec<link::Link> {
    host.run(|| {
        let mut links = link::list(&mut Socket::open(Family::Route).unwrap()).unwrap();
        links.retain(|link| link.master.is_some());
        links
    })
}

#[test]
fn a_pair_that_was_made_ahead_is_like_any_other() {
    let host = TestHost::new();
    let config = NetworkConfig { spares: 2, ..host.config() };
    let controller = host.try_open(&config).unwrap();
    wait_for_ports(&host, |ports| ports.len() == 2);
    assert!(ports(&host).iter().all(|port| !port.is_up));
    let (one, two) = (host.start(&controller, 1, &[]), host.start(&controller, 2, &[]));
    let names: Vec<&str> = [&one, &two]
        .map(|container| container.endpoint.link().unwrap().host_interface.as_str())
        .to_vec();
    let up = ports(&host).into_iter().filter(|port| port.is_up).map(|port| port.name);
    let mut up: Vec<String> = up.collect();
    up.sort_by_key(|name| names.iter().position(|own| own == name));
    assert_eq!(up, names);
    one.run(|| {
        let mut socket = Socket::open(Family::Route).unwrap();
        let own = link::by_name(&mut socket, "eth0").unwrap().unwrap();
        assert_eq!(own.mac, Some(one.endpoint.link().unwrap().mac.octets()));
    });
    let server = two.serve_tcp(80);
    assert_eq!(one.run(|| ask_tcp(two.address(), 80)), Ok("c2 172.17.0.2".to_owned()));
    server.join().unwrap();
    // Those that nobody took go with the daemon, and what was taken stays for the next one.
    drop(controller);
    wait_for_ports(&host, |ports| ports.len() == 2);
    let next = host.try_open(&host.config()).unwrap();
    next.restore(&[one.id.clone(), two.id.clone()].into()).unwrap();
    let server = one.serve_tcp(80);
    assert_eq!(two.run(|| ask_tcp(one.address(), 80)), Ok("c1 172.17.0.3".to_owned()));
    server.join().unwrap();
    assert_eq!(ports(&host).len(), 2);
}

#[test]
fn a_pair_that_somebody_deleted_or_took_off_its_bridge_is_as_it_should_be() {
    for spoil in [link::delete, |index| link::set_master(index, None)] {
        let host = TestHost::new();
        let config = NetworkConfig { spares: 1, ..host.config() };
        let controller = host.try_open(&config).unwrap();
        wait_for_ports(&host, |ports| ports.len() == 1);
        host.run(|| {
            let index = ports(&host)[0].index;
            Socket::open(Family::Route).unwrap().send(&[spoil(index)]).unwrap();
        });
        let container = host.start(&controller, 1, &[]);
        let server = container.serve_tcp(80);
        assert_eq!(host.run(|| ask_tcp(container.address(), 80)), Ok("c1 172.17.0.1".to_owned()));
        server.join().unwrap();
    }
}

#[test]
fn a_chosen_pair_that_nobody_fetched_goes_with_its_endpoint() {
    let host = TestHost::new();
    let config = NetworkConfig { spares: 1, ..host.config() };
    let controller = host.try_open(&config).unwrap();
    wait_for_ports(&host, |ports| ports.len() == 1);
    let first = ports(&host).remove(0).name;
    host.run(|| {
        let endpoint = controller.allocate(&bridge(), options(1, &[])).unwrap();
        assert_eq!(endpoint.link().unwrap().host_interface.as_str(), first);
        controller.release(&endpoint.container).unwrap();
    });
    wait_until_gone(&host, &first);
}

#[test]
fn a_namespace_that_exists_already_is_plugged_too() {
    let host = TestHost::new();
    let controller = host.open();
    let netns = barge_sys::namespace::make_netns().unwrap();
    let sandbox = Sandbox::adopt(netns).unwrap();
    let endpoint = controller.allocate(&bridge(), options(1, &[])).unwrap();
    host.run(|| controller.plug(&endpoint, &sandbox)).unwrap();
    let found = in_netns(sandbox.netns(), || {
        link::by_name(&mut Socket::open(Family::Route).unwrap(), "eth0").unwrap().is_some()
    });
    assert!(found.unwrap());
}
