//! The default bridge, published ports and names, seen from a container, its host and a machine beside the host.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use barge_sys::namespace;
use barge_testkit::{
    Client, DEADLINE, HostOptions, Process, Sharing, TestHost, command, eventually, need,
};

static HOST: Sharing = Sharing::new();

/// A machine beside the host: 192.0.2.2, with the host at 192.0.2.1.
struct Neighbour {
    netns: OwnedFd,
}

impl Neighbour {
    fn of(host: &TestHost) -> Self {
        let netns = namespace::make_netns().unwrap();
        let ip = |line: &str| {
            Process::start(command("ip").args(line.split_whitespace())).wait().ok();
        };
        // The test's own process knows both namespaces by their descriptors.
        let own = std::process::id();
        let number = std::os::fd::AsRawFd::as_raw_fd(&netns);
        let path = format!("/proc/{own}/fd/{number}");
        host.in_netns(|| {
            ip(&format!("link add side0 type veth peer name side1 netns {path}"));
            ip("addr add 192.0.2.1/24 dev side0");
            ip("link set side0 up");
        });
        let this = Self { netns };
        this.run(|| {
            ip("link set lo up");
            ip("addr add 192.0.2.2/24 dev side1");
            ip("link set side1 up");
            // No route to the containers: what they send has to come from the host's own address.
        });
        this
    }

    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        namespace::in_netns(&self.netns, work).unwrap()
    }
}

/// Asks until it is answered: a server in a container starts listening in its own time.
fn ask_tcp(address: &str) -> String {
    let address: SocketAddr = address.parse().unwrap();
    let mut answer = String::new();
    eventually("somebody answers", || {
        let Ok(mut stream) = TcpStream::connect_timeout(&address, DEADLINE) else {
            return false;
        };
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        answer.clear();
        stream.read_to_string(&mut answer).is_ok() && !answer.is_empty()
    });
    answer
}

fn refuses_tcp(address: &str) -> bool {
    TcpStream::connect_timeout(&address.parse().unwrap(), DEADLINE).is_err()
}

fn ask_udp(address: &str) -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut bytes = [0; 512];
    let mut answer = String::new();
    eventually("somebody answers", || {
        socket.connect(address).unwrap();
        socket.send(b"question\n").ok();
        socket.recv(&mut bytes).is_ok_and(|count| {
            answer = String::from_utf8_lossy(&bytes[..count]).into_owned();
            true
        })
    });
    answer
}

/// Answers at port 53 of a container, as often as somebody asks: busybox has no server for datagrams. Its socket would
/// keep the container's network, so it ends with its value.
struct Answering(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Answering {
    fn start(host: &TestHost, container: &str) -> Self {
        let netns = fs::File::open(format!("/proc/{}/ns/net", host.pid(container))).unwrap();
        let socket = namespace::in_netns(netns, || UdpSocket::bind("0.0.0.0:53").unwrap()).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            let mut bytes = [0; 512];
            while !over.load(Ordering::Relaxed) {
                let Ok((count, peer)) = socket.recv_from(&mut bytes) else { continue };
                assert_eq!(&bytes[..count], b"question\n");
                // Who has asked twice may be gone.
                socket.send_to(b"answer\n", peer).ok();
            }
        });
        Self(is_over, Some(thread))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let ended = self.1.take().map(JoinHandle::join);
        assert!(
            std::thread::panicking() || matches!(ended, Some(Ok(()))),
            "it got what nobody asks"
        );
    }
}

fn serve(host: &TestHost, client: Client, flags: &[&str]) -> String {
    let name = host.unique("server");
    let server = ["busybox", "nc", "-ll", "-p", "80", "-e", "echo", "served"];
    host.run(client, &[&["run", "-d", "--name", &name], flags, &server].concat()).ok();
    name
}

#[test]
fn a_container_has_an_address_a_route_and_a_name() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("addressed");
        host.run(client, &["run", "-d", "--name", &name, "-h", "box", "busybox", "sleep", "1000"])
            .ok();
        let address = host.address(&name);
        let inside = |command: &[&str]| {
            host.run(client, &[&["exec", &name], command].concat()).text().to_owned()
        };
        assert_eq!(address.octets()[..2], [172, 17]);
        assert!(
            inside(&["ip", "-4", "addr", "show", "eth0"]).contains(&format!("inet {address}/16"))
        );
        assert_eq!(
            inside(&["ip", "route"]).lines().next(),
            Some("default via 172.17.0.1 dev eth0 ")
        );
        let hosts = inside(&["cat", "/etc/hosts"]);
        assert!(hosts.contains(&format!("{address}\tbox")), "{hosts}");
        assert!(hosts.starts_with("127.0.0.1\tlocalhost\n"), "{hosts}");
        assert_eq!(inside(&["cat", "/etc/hostname"]), "box");
        inside(&["ping", "-c", "1", "-W", "5", "172.17.0.1"]);
        let network = &host.inspect(&name)["NetworkSettings"]["Networks"]["bridge"];
        assert_eq!(network["Gateway"], "172.17.0.1");
        assert_eq!(network["IPPrefixLen"], 16);
        let mac = network["MacAddress"].as_str().unwrap();
        assert!(inside(&["cat", "/sys/class/net/eth0/address"]) == mac, "{mac}");
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn containers_reach_each_other_and_share_a_network_when_asked() {
    let host = HOST.host();
    for client in Client::both() {
        let server = serve(&host, client, &[]);
        let address = host.address(&server).to_string();
        let script = format!("until nc {address} 80 </dev/null; do :; done");
        let outcome = host.run(client, &["run", "--rm", "busybox", "sh", "-c", &script]);
        assert_eq!(outcome.text(), "served");
        let partner = format!("container:{server}");
        let local = ["run", "--rm", "--network", &partner, "busybox", "nc", "127.0.0.1", "80"];
        assert_eq!(host.run(client, &local).text(), "served");
        host.run(client, &["rm", "-f", &server]).ok();
    }
}

#[test]
fn what_leaves_the_host_has_the_hosts_address() {
    need!(ip);
    let host = TestHost::new();
    host.busybox();
    let neighbour = Neighbour::of(&host);
    let listener = neighbour.run(|| TcpListener::bind("192.0.2.2:7000").unwrap());
    listener.set_nonblocking(true).unwrap();
    for client in Client::both() {
        let run = host.start_client(client, &["run", "--rm", "busybox", "nc", "192.0.2.2", "7000"]);
        let mut accepted = None;
        eventually("the container connects", || {
            accepted = listener.accept().ok();
            accepted.is_some()
        });
        let (mut stream, peer) = accepted.unwrap();
        assert_eq!(peer.ip().to_string(), "192.0.2.1", "{client:?}");
        stream.write_all(b"hello\n").unwrap();
        drop(stream);
        assert_eq!(run.wait().text(), "hello");
    }
}

#[test]
fn a_published_port_is_reached_from_beside_the_host_and_from_the_host_itself() {
    need!(ip);
    let host = TestHost::new();
    host.busybox();
    let neighbour = Neighbour::of(&host);
    for client in Client::both() {
        let name = serve(&host, client, &["-p", "8080:80", "-p", "127.0.0.1:8081:80"]);
        assert_eq!(neighbour.run(|| ask_tcp("192.0.2.1:8080")), "served\n");
        assert_eq!(host.in_netns(|| ask_tcp("127.0.0.1:8080")), "served\n");
        assert_eq!(host.in_netns(|| ask_tcp("192.0.2.1:8080")), "served\n");
        assert_eq!(host.in_netns(|| ask_tcp("127.0.0.1:8081")), "served\n");
        assert!(neighbour.run(|| refuses_tcp("192.0.2.1:8081")), "published on loopback alone");
        let shown = host.run(client, &["port", &name, "80"]);
        let mut lines: Vec<&str> = shown.text().lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["0.0.0.0:8080", "127.0.0.1:8081"]);
        host.run(client, &["rm", "-f", &name]).ok();
        assert!(neighbour.run(|| refuses_tcp("192.0.2.1:8080")), "gone with the container");
    }
}

#[test]
fn a_published_udp_port_is_answered() {
    need!(ip);
    let host = TestHost::new();
    host.busybox();
    let neighbour = Neighbour::of(&host);
    for client in Client::both() {
        let name = host.unique("udp");
        let flags = ["run", "-d", "--name", &name, "-p", "5353:53/udp", "busybox", "sleep", "1000"];
        host.run(client, &flags).ok();
        let answering = Answering::start(&host, &name);
        assert_eq!(neighbour.run(|| ask_udp("192.0.2.1:5353")), "answer\n", "{client:?}");
        assert_eq!(host.in_netns(|| ask_udp("127.0.0.1:5353")), "answer\n", "{client:?}");
        drop(answering);
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn a_port_without_a_number_gets_a_free_one() {
    let host = HOST.host();
    for client in Client::both() {
        let name = serve(&host, client, &["-p", "80"]);
        let shown = host.run(client, &["port", &name, "80/tcp"]);
        let port = shown.text().lines().next().unwrap().rsplit(':').next().unwrap().to_owned();
        assert_eq!(host.in_netns(|| ask_tcp(&format!("127.0.0.1:{port}"))), "served\n");
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn a_port_that_is_taken_is_refused_in_dockers_words() {
    let host = TestHost::new();
    host.busybox();
    host.barge(&["run", "-d", "--name", "first", "-p", "8080:80", "busybox", "sleep", "1000"]).ok();
    let taken = host.in_netns(|| TcpListener::bind("0.0.0.0:9090").unwrap());
    for client in Client::both() {
        let again = host.run(client, &["run", "--rm", "-p", "8080:80", "busybox", "true"]);
        again.fails_saying(125, "Bind for 0.0.0.0:8080 failed: port is already allocated");
        let other = host.run(client, &["run", "--rm", "-p", "9090:80", "busybox", "true"]);
        other.fails_saying(125, "address already in use");
    }
    drop(taken);
    assert_eq!(host.barge(&["ps", "-aq"]).text().lines().count(), 1, "only the first is there");
    host.barge(&["rm", "-f", "first"]).ok();
    host.barge(&["run", "--rm", "-p", "8080:80", "-p", "9090:81", "busybox", "true"]).ok();
}

#[test]
fn a_host_that_uses_the_first_pool_gets_the_next() {
    need!(ip);
    let links = [
        "link add taken type veth peer name taken1",
        "addr add 172.17.5.1/24 dev taken",
        "link set taken up",
    ];
    let links = links.map(str::to_owned).to_vec();
    let host = TestHost::with(HostOptions { links, ..HostOptions::default() });
    host.busybox();
    let outcome = host.barge(&["run", "--rm", "busybox", "ip", "route"]);
    assert!(outcome.text().starts_with("default via 172.18.0.1 dev eth0"), "{outcome}");
    host.in_netns(|| Process::start(command("ip").args(["link", "del", "taken"])).wait().ok());
}

#[test]
fn the_subnet_can_be_chosen_and_is_kept_over_a_restart() {
    let flags = vec!["--bip".to_owned(), "10.99.0.1/24".to_owned()];
    let mut host = TestHost::with(HostOptions { flags, ..HostOptions::default() });
    host.busybox();
    for _ in 0..2 {
        let outcome = host.barge(&["run", "--rm", "busybox", "ip", "route"]);
        assert!(outcome.text().starts_with("default via 10.99.0.1 dev eth0"), "{outcome}");
        host.restart();
    }
    let inspected =
        host.barge(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "bridge"]);
    assert_eq!(inspected.text(), "10.99.0.0/24");
}

#[test]
fn a_bad_subnet_keeps_the_daemon_from_starting() {
    for (bip, text) in [
        ("10.99.0.1", "10.99.0.1"),
        ("300.0.0.1/24", "300.0.0.1/24"),
        ("10.0.0.0/99", "10.0.0.0/99"),
    ] {
        let flags = vec!["--bip".to_owned(), bip.to_owned()];
        let mut host = TestHost::prepare(HostOptions { flags, ..HostOptions::default() });
        let said = host.start_in_vain();
        assert!(said.contains(text), "{said}");
        host.give_up();
    }
}

#[test]
fn rules_of_others_are_as_they_were() {
    need!(nft);
    let mut host = TestHost::new();
    host.busybox();
    let theirs = "table inet theirs {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\
                  \t\ttcp dport 12345 counter packets 0 bytes 0 drop\n\t}\n}\ntable ip nat {\n\tchain theirs {\n\t\tip saddr 10.0.0.1 accept\n\t}\n}\n";
    let file = host.file("theirs.nft", theirs);
    host.in_netns(|| Process::start(command("nft").args(["-f", &file])).wait().ok());
    let list = |host: &TestHost| {
        let table = |family: &str, name: &str| {
            let arguments = ["list", "table", family, name];
            host.in_netns(|| {
                Process::start(command("nft").args(arguments)).wait().text().to_owned()
            })
        };
        format!("{}\n{}", table("inet", "theirs"), table("ip", "nat"))
    };
    let before = list(&host);
    for client in Client::both() {
        let name = serve(&host, client, &["-p", "8080:80"]);
        assert_eq!(list(&host), before);
        host.run(client, &["rm", "-f", &name]).ok();
    }
    host.restart();
    assert_eq!(list(&host), before);
    host.kill9();
    host.start();
    assert_eq!(list(&host), before);
}

#[test]
fn a_daemon_that_comes_back_finds_its_rules_and_makes_none_twice() {
    let mut host = TestHost::new();
    host.busybox();
    let name = serve(&host, Client::Barge, &["-p", "8080:80"]);
    assert_eq!(host.in_netns(|| ask_tcp("127.0.0.1:8080")), "served\n");
    let before = host.ruleset();
    host.kill9();
    assert_eq!(host.in_netns(|| ask_tcp("127.0.0.1:8080")), "served\n", "without a daemon");
    host.start();
    assert_eq!(host.ruleset(), before);
    assert_eq!(host.in_netns(|| ask_tcp("127.0.0.1:8080")), "served\n");
    let again = host.barge(&["run", "--rm", "-p", "8080:80", "busybox", "true"]);
    again.fails_saying(125, "port is already allocated");
    let other = host.barge(&["run", "-d", "busybox", "sleep", "1000"]).text().to_owned();
    assert_ne!(host.address(&other), host.address(&name), "the address is still taken");
    host.barge(&["rm", "-f", &name, &other]).ok();
    host.assert_nothing_of_containers();
}

#[test]
fn a_rule_set_that_somebody_flushed_comes_back_with_the_daemon() {
    need!(nft);
    let mut host = TestHost::new();
    host.busybox();
    let name = serve(&host, Client::Barge, &["-p", "8080:80"]);
    assert_eq!(host.in_netns(|| ask_tcp("127.0.0.1:8080")), "served\n");
    host.in_netns(|| Process::start(command("nft").args(["flush", "ruleset"])).wait().ok());
    host.restart();
    assert_eq!(host.in_netns(|| ask_tcp("127.0.0.1:8080")), "served\n");
    host.barge(&["rm", "-f", &name]).ok();
}

#[test]
fn the_host_network_is_the_hosts() {
    let host = HOST.host();
    for client in Client::both() {
        let outcome =
            host.run(client, &["run", "--rm", "--network", "host", "busybox", "ip", "-4", "addr"]);
        assert!(outcome.text().contains(host.bridge()), "{outcome}");
        assert!(outcome.text().contains("172.17.0.1/16"), "{outcome}");
    }
}

#[test]
fn the_names_of_a_partner_are_seen_too() {
    let host = HOST.host();
    let first = host.unique("first");
    host.barge(&[
        "run",
        "-d",
        "--name",
        &first,
        "-h",
        "one",
        "--add-host",
        "x:1.2.3.4",
        "busybox",
        "sleep",
        "1000",
    ])
    .ok();
    for client in Client::both() {
        let partner = format!("container:{first}");
        let outcome = host.run(
            client,
            &[
                "run",
                "--rm",
                "--network",
                &partner,
                "busybox",
                "sh",
                "-c",
                "hostname; cat /etc/hosts",
            ],
        );
        assert!(outcome.text().starts_with("one\n"), "{outcome}");
        assert!(outcome.text().contains("1.2.3.4\tx"), "{outcome}");
    }
    host.barge(&["rm", "-f", &first]).ok();
}

#[test]
fn resolv_conf_is_the_hosts_without_what_only_the_host_can_reach() {
    let host = HOST.host();
    let hosts_own = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let reachable = |line: &&str| line.starts_with("nameserver") && !line.contains("127.");
    let expected: Vec<&str> = hosts_own.lines().filter(reachable).collect();
    for client in Client::both() {
        let outcome = host.run(client, &["run", "--rm", "busybox", "cat", "/etc/resolv.conf"]);
        let seen: Vec<&str> =
            outcome.text().lines().filter(|l| l.starts_with("nameserver")).collect();
        if expected.is_empty() {
            assert!(!seen.is_empty() || !Path::new("/etc/resolv.conf").exists(), "{outcome}");
        } else {
            assert_eq!(seen, expected);
        }
    }
}
