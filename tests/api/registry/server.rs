//! A real registry (Debian's docker-registry) in a host's network, and a wire that can be cut in front of it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use barge_testkit::{DEADLINE, Process, TestHost, command, eventually};

/// `tester` with the password `secret`, as `htpasswd -nbB` writes it.
const HTPASSWD: &str = "tester:$2y$05$eHpov9.kV5YPUAO6PrFlx.3lUijXxgLyrLeEgBsSPzb0Cc0PRrlKa\n";

/// A port that no other server of this process uses; every host has a network of its own.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(5000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What a registry is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct RegistryOptions {
    /// The address to listen at, 127.0.0.1 when absent.
    pub(crate) address: Option<&'static str>,
    /// Certificate and key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// Whether name and password are asked for.
    pub(crate) has_users: bool,
}

/// A running docker-registry.
#[derive(Debug)]
pub(crate) struct Registry {
    process: Process,
    /// `host:port`.
    pub(crate) name: String,
}

impl Registry {
    pub(crate) fn start(host: &TestHost) -> Self {
        Self::with(host, &RegistryOptions::default())
    }

    pub(crate) fn with(host: &TestHost, options: &RegistryOptions) -> Self {
        let port = port();
        let name = format!("{}:{port}", options.address.unwrap_or("127.0.0.1"));
        let folder = host.scratch().join(format!("registry-{port}"));
        let mut config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http:\n  addr: \"{name}\"\n",
            folder.display()
        );
        if let Some((certificate, key)) = &options.tls {
            config.push_str(&format!(
                "  tls: {{certificate: {}, key: {}}}\n",
                certificate.display(),
                key.display()
            ));
        }
        if options.has_users {
            let users = host.file(&format!("htpasswd-{port}"), HTPASSWD);
            config
                .push_str(&format!("auth: {{htpasswd: {{realm: basic-realm, path: {users}}}}}\n"));
        }
        let config = host.file(&format!("registry-{port}.yml"), config);
        let process = host.in_netns(|| {
            Process::start(command("docker-registry").args(["serve", config.as_str()]))
        });
        let registry = Self { process, name };
        eventually("the registry listens", || {
            host.in_netns(|| TcpStream::connect(&registry.name)).is_ok()
        });
        registry
    }

    /// `127.0.0.1:5000/name`.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    /// The lines of the access log so far that contain all of these words.
    pub(crate) fn requests(&self, words: &[&str]) -> Vec<String> {
        let is_meant = |line: &&str| {
            line.contains(" HTTP/1.1\" ") && words.iter().all(|word| line.contains(word))
        };
        self.process.stdout().lines().filter(is_meant).map(str::to_owned).collect()
    }
}

/// What a wire lets through.
#[derive(Debug, Default)]
struct Gate {
    /// How many bytes towards the client are still let through; none is no limit.
    left: Mutex<Option<u64>>,
    changed: Condvar,
    /// Whether a wire at its limit is cut; otherwise it waits.
    cuts: AtomicBool,
}

/// Forwards connections to a server, as far as it is told.
#[derive(Debug)]
pub(crate) struct Wire {
    gate: Arc<Gate>,
    /// `host:port`.
    pub(crate) name: String,
}

impl Wire {
    pub(crate) fn to(host: &TestHost, server: &str) -> Self {
        let name = format!("127.0.0.1:{}", port());
        let listener = host.in_netns(|| TcpListener::bind(&name).unwrap());
        let gate = Arc::new(Gate::default());
        let inner = Arc::clone(&gate);
        let server: SocketAddr = server.parse().unwrap();
        let netns = host.netns().try_clone().unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let connect = || TcpStream::connect(server);
                let Ok(Ok(server)) = barge_sys::namespace::in_netns(&netns, connect) else {
                    return;
                };
                let (from_client, from_server) =
                    (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || forward(from_client, server, None));
                let gate = Arc::clone(&inner);
                std::thread::spawn(move || forward(from_server, client, Some(&gate)));
            }
        });
        Self { gate, name }
    }

    /// `127.0.0.1:5000/name`.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    /// Lets so many bytes more through, then nothing.
    pub(crate) fn stall_after(&self, bytes: u64) {
        self.set(Some(bytes), false);
    }

    /// Lets so many bytes more through, then cuts what is connected.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.set(Some(bytes), true);
    }

    /// Lets everything through.
    pub(crate) fn open(&self) {
        self.set(None, false);
    }

    fn set(&self, left: Option<u64>, cuts: bool) {
        *self.gate.left.lock().unwrap() = left;
        self.gate.cuts.store(cuts, Ordering::SeqCst);
        self.gate.changed.notify_all();
    }

    /// Waits until nothing more is let through.
    pub(crate) fn wait_for_limit(&self) {
        eventually("the limit is reached", || *self.gate.left.lock().unwrap() == Some(0));
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, gate: Option<&Gate>) {
    let mut chunk = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        let mut rest = &chunk[..count];
        while !rest.is_empty() {
            let Some(allowed) = gate.map_or(Some(rest.len()), |gate| gate.pass(rest.len())) else {
                to.shutdown(Shutdown::Both).ok();
                from.shutdown(Shutdown::Both).ok();
                return;
            };
            if to.write_all(&rest[..allowed]).is_err() {
                from.shutdown(Shutdown::Both).ok();
                return;
            }
            rest = &rest[allowed..];
        }
    }
    to.shutdown(Shutdown::Write).ok();
}

impl Gate {
    /// How many of so many bytes may pass now, at least one; none when the wire is cut.
    fn pass(&self, wanted: usize) -> Option<usize> {
        let mut left = self.left.lock().unwrap();
        loop {
            match left.as_mut() {
                None => return Some(wanted),
                Some(0) if self.cuts.load(Ordering::SeqCst) => return None,
                Some(0) => {
                    let (again, timeout) = self.changed.wait_timeout(left, DEADLINE).unwrap();
                    if timeout.timed_out() {
                        return None;
                    }
                    left = again;
                }
                Some(left) => {
                    let allowed = wanted.min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= allowed as u64;
                    return Some(allowed);
                }
            }
        }
    }
}
