//! A host in a network namespace of its own, containers that are namespaces, and an outside to talk to.
#![allow(clippy::unwrap_used, reason = "a helper that fails ends the test it helps")]
#![allow(missing_docs, missing_debug_implementations, unreachable_pub, reason = "part of a test")]
#![allow(dead_code, reason = "each file of tests uses some of it")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use barge_netlink::address::Address;
use barge_netlink::link::Veth;
use barge_netlink::{Family, Socket, address, link, route};
use barge_network::{
    Controller, Endpoint, EndpointOptions, HostPorts, NetworkConfig, NetworkError, NetworkMode,
    PortRequest, Sandbox,
};
use barge_sys::namespace::{in_netns, make_netns};
use barge_types::ContainerId;
use tempfile::TempDir;

/// Where the host is for the outside, and the outside for the host.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 2);

/// What must arrive does, long before: this ends what hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// What must not arrive is waited for as long as the loss of something that should arrive could take.
const SILENCE: Duration = Duration::from_millis(300);

/// A host with barge's networks, and a second machine.
pub struct TestHost {
    pub netns: OwnedFd,
    pub outside: OwnedFd,
    pub folder: TempDir,
}

/// A running container: its endpoint and its namespace.
pub struct Container {
    pub id: ContainerId,
    pub endpoint: Endpoint,
    pub sandbox: Sandbox,
}

impl TestHost {
    /// A host and an outside.
    pub fn new() -> Self {
        let (netns, outside) = (make_netns().unwrap(), make_netns().unwrap());
        in_netns(&netns, || {
            let mut here = Socket::open(Family::Route).unwrap();
            let mac = [2, 0, 0, 0, 0, 2];
            let netns = outside.as_fd();
            let veth = Veth {
                name: "uplink",
                peer: "uplink",
                peer_mac: Some(mac),
                is_up: true,
                netns,
                master: None,
                mtu: None,
            };
            here.send(&[link::create_veth(&veth)]).unwrap();
            here.send(&[link::up(1)]).unwrap();
            set_up(&mut here, HOST);
        })
        .unwrap();
        in_netns(&outside, || set_up(&mut Socket::open(Family::Route).unwrap(), OUTSIDE)).unwrap();
        Self { netns, outside, folder: TempDir::new().unwrap() }
    }

    /// Runs as a process of the host.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_netns(&self.netns, work).unwrap()
    }

    pub fn config(&self) -> NetworkConfig {
        let (data, exec) = (self.folder.path().join("data"), self.folder.path().join("exec"));
        NetworkConfig { spares: 0, ..NetworkConfig::new(data, exec) }
    }

    pub fn open(&self) -> Controller {
        self.try_open(&self.config()).unwrap()
    }

    pub fn try_open(&self, config: &NetworkConfig) -> Result<Controller, NetworkError> {
        self.run(|| Controller::open(config))
    }

    /// Starts a container.
    pub fn start(&self, controller: &Controller, number: u8, ports: &[PortRequest]) -> Container {
        self.run(|| {
            let endpoint = controller.allocate(&bridge(), options(number, ports)).unwrap();
            let sandbox = controller.sandbox(Some(&endpoint)).unwrap();
            controller.plug(&endpoint, &sandbox).unwrap();
            Container { id: id(number), endpoint, sandbox }
        })
    }

    /// Lets the outside send packets for containers here, which only an attacker or a neighbour would.
    pub fn route_from_outside(&self, subnet: Ipv4Addr) {
        in_netns(&self.outside, || {
            let mut socket = Socket::open(Family::Route).unwrap();
            let destination = Some((IpAddr::V4(subnet), 16));
            let gateway = Some(IpAddr::V4(HOST));
            socket.send(&[route::add(&route::Route { destination, gateway, link: None })]).unwrap();
        })
        .unwrap();
    }
}

fn set_up(socket: &mut Socket, own: Ipv4Addr) {
    let index = link::by_name(socket, "uplink").unwrap().unwrap().index;
    let own = Address { link: index, address: IpAddr::V4(own), prefix: 24 };
    socket.send(&[link::up(index), address::add(&own)]).unwrap();
}

/// `-p outer:inner/protocol`.
pub fn port(outer: u16, inner: &str) -> PortRequest {
    let host = HostPorts::Range { first: outer, last: outer };
    PortRequest { container: inner.parse().unwrap(), address: None, host }
}

pub fn bridge() -> NetworkMode {
    NetworkMode::parse("bridge").unwrap()
}

pub fn id(number: u8) -> ContainerId {
    ContainerId::from_bytes([number; 32])
}

pub fn options(number: u8, ports: &[PortRequest]) -> EndpointOptions {
    EndpointOptions {
        ports: ports.to_vec(),
        ..EndpointOptions::new(id(number), format!("c{number}"))
    }
}

/// Binds as soon as nobody holds the port: a program that another test starts just now holds, until it is executed, what was
/// open in this process when it was forked.
fn bind<T>(bind: impl Fn() -> std::io::Result<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match bind() {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                std::thread::yield_now();
            }
            bound => return bound.unwrap(),
        }
    }
}

impl Container {
    pub fn address(&self) -> Ipv4Addr {
        self.endpoint.link().unwrap().address.addr()
    }

    /// Runs inside.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_netns(self.sandbox.netns(), work).unwrap()
    }

    /// Answers one TCP connection to a port with its name and the address that the client seems to have.
    pub fn serve_tcp(&self, port: u16) -> std::thread::JoinHandle<()> {
        let listener = self.run(|| bind(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))));
        serve_tcp(listener, &self.endpoint.container_name)
    }

    /// Answers one datagram to a port likewise.
    pub fn serve_udp(&self, port: u16) -> std::thread::JoinHandle<()> {
        let socket = self.run(|| bind(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))));
        let name = self.endpoint.container_name.clone();
        std::thread::spawn(move || {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let (_, from) = socket.recv_from(&mut [0; 64]).unwrap();
            socket.send_to(format!("{name} {}", from.ip()).as_bytes(), from).unwrap();
        })
    }
}

pub fn serve_tcp(listener: TcpListener, name: &str) -> std::thread::JoinHandle<()> {
    let name = name.to_owned();
    std::thread::spawn(move || {
        let (mut stream, from) = listener.accept().unwrap();
        stream.write_all(format!("{name} {}", from.ip()).as_bytes()).unwrap();
    })
}

/// What a server says, from the calling thread's namespace.
pub fn ask_tcp(address: Ipv4Addr, port: u16) -> Result<String, ErrorKind> {
    ask(address, port, PATIENCE)
}

/// Whether nobody answers.
pub fn is_silent(address: Ipv4Addr, port: u16) -> bool {
    matches!(ask(address, port, SILENCE), Err(ErrorKind::TimedOut | ErrorKind::WouldBlock))
}

fn ask(address: Ipv4Addr, port: u16, patience: Duration) -> Result<String, ErrorKind> {
    let connect = TcpStream::connect_timeout(&SocketAddr::from((address, port)), patience);
    let mut stream = connect.map_err(|error| error.kind())?;
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.kind())?;
    Ok(answer)
}

/// What a server says to a datagram, from the calling thread's namespace.
pub fn ask_udp(address: Ipv4Addr, port: u16) -> Result<String, ErrorKind> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    ask_udp_from(&socket, address, port)
}

pub fn ask_udp_from(socket: &UdpSocket, address: Ipv4Addr, port: u16) -> Result<String, ErrorKind> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(b"hello", (address, port)).map_err(|error| error.kind())?;
    let mut answer = [0; 64];
    let (length, _) = socket.recv_from(&mut answer).map_err(|error| error.kind())?;
    Ok(String::from_utf8(answer[..length].to_vec()).unwrap())
}
