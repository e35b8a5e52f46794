//! A daemon of a test's own, which leaves nothing behind.
//!
//! It has its own folders, socket, bridge and cgroup, and lives in a network namespace of its own: its rules, links and
//! published ports are nobody else's. Mounts are made in the namespace of the machine, so that a test sees them.

mod daemon;
mod etc;
mod leftovers;
mod shared;

use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use barge_sys::namespace;
use serde_json::Value;

use crate::api::Api;
use crate::{Client, Outcome, Process, Terminal, busybox_tar, command, program};
use daemon::Daemon;

pub use daemon::{Victim, fault_places};
pub use shared::{SharedHost, Sharing};

/// What is different from an ordinary daemon.
#[derive(Clone, Debug, Default)]
pub struct HostOptions {
    /// More flags for barged.
    pub flags: Vec<String>,
    /// An `ip` command line (`route add …`) per entry, run in the host's network before the daemon starts.
    pub links: Vec<String>,
    /// Files in the `/etc` that the daemon sees, by name. With any, its mounts are in a namespace of their own.
    pub etc: Vec<(String, String)>,
}

/// A daemon with everything that belongs to it. Dropping it removes all of it and looks whether that worked.
#[derive(Debug)]
pub struct TestHost {
    name: String,
    data_root: PathBuf,
    exec_root: PathBuf,
    scratch: PathBuf,
    netns: OwnedFd,
    mounts: Option<OwnedFd>,
    flags: Vec<String>,
    daemon: Option<Daemon>,
    busybox: OnceLock<()>,
    /// Set when a test that used it failed: then it is only cleaned up.
    failed: AtomicBool,
    names: AtomicU32,
}

impl TestHost {
    /// Starts an ordinary daemon.
    ///
    /// # Panics
    /// When it does not start, with its log.
    #[must_use]
    pub fn new() -> Self {
        Self::with(HostOptions::default())
    }

    /// Starts a daemon with flags or a network of its own.
    ///
    /// # Panics
    /// When it does not start, with its log.
    #[must_use]
    pub fn with(options: HostOptions) -> Self {
        let mut host = Self::prepare(options);
        host.start();
        host
    }

    /// Everything but the daemon itself.
    ///
    /// # Panics
    /// When the machine does not let us.
    #[must_use]
    pub fn prepare(options: HostOptions) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        leftovers::sweep_dead_runs();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{}-{number}", leftovers::PREFIX, std::process::id());
        let data_root = Path::new("/var/tmp").join(&name);
        let exec_root = Path::new("/run").join(&name);
        let scratch = data_root.join("scratch");
        for folder in [&exec_root, &scratch] {
            fs::create_dir_all(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        }
        let netns = namespace::make_netns().expect("the tests run as root");
        let mounts = (!options.etc.is_empty()).then(|| etc::namespace_with(&options.etc, &scratch));
        let host = Self {
            flags: options.flags,
            name,
            data_root: data_root.join("data"),
            exec_root,
            scratch,
            netns,
            mounts,
            daemon: None,
            busybox: OnceLock::new(),
            failed: AtomicBool::new(false),
            names: AtomicU32::new(0),
        };
        host.in_netns(|| {
            let links = ["link set lo up".to_owned()].into_iter().chain(options.links);
            for line in links {
                Process::start(command("ip").args(line.split_whitespace())).wait().ok();
            }
        });
        host
    }

    /// The name of its parent cgroup, different for every host.
    #[must_use]
    pub fn cgroup_parent(&self) -> &str {
        &self.name
    }

    /// Where its daemon keeps what outlives a reboot.
    #[must_use]
    pub fn data_root(&self) -> &Path {
        &self.data_root
    }

    /// Where its daemon keeps its run-time state.
    #[must_use]
    pub fn exec_root(&self) -> &Path {
        &self.exec_root
    }

    /// A folder for the test's own files.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.exec_root.join("barge.sock")
    }

    /// Its bridge.
    #[must_use]
    pub fn bridge(&self) -> &'static str {
        "bt0"
    }

    /// A name for a container that no other test of this host uses.
    #[must_use]
    pub fn unique(&self, stem: &str) -> String {
        format!("{stem}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// The API, without a client.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::new(self.socket())
    }

    /// Runs something inside the host's network.
    ///
    /// # Panics
    /// When `work` does.
    pub fn in_netns<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        namespace::in_netns(&self.netns, work).expect("a namespace that we made can be entered")
    }

    /// The namespace that the daemon and its published ports live in.
    #[must_use]
    pub fn netns(&self) -> &OwnedFd {
        &self.netns
    }

    /// A client's command line, ready to be started.
    #[must_use]
    pub fn client(&self, client: Client, arguments: &[&str]) -> Command {
        let mut line = match client {
            Client::Barge => command(program("barge")),
            Client::Docker => command("docker"),
        };
        line.env("DOCKER_CONFIG", self.scratch.join("docker-config"))
            .env("HOME", &self.scratch)
            .current_dir(&self.scratch)
            .arg("-H")
            .arg(format!("unix://{}", self.socket().display()))
            .args(arguments);
        line
    }

    /// Runs a client to its end, without input.
    #[track_caller]
    pub fn run(&self, client: Client, arguments: &[&str]) -> Outcome {
        Process::start(&mut self.client(client, arguments)).wait()
    }

    /// Runs a client to its end with this input.
    #[track_caller]
    pub fn run_with_input(&self, client: Client, arguments: &[&str], input: &[u8]) -> Outcome {
        let mut process = Process::start(&mut self.client(client, arguments));
        process.feed(input);
        process.wait()
    }

    /// Starts a client beside the test.
    #[must_use]
    pub fn start_client(&self, client: Client, arguments: &[&str]) -> Process {
        Process::start(&mut self.client(client, arguments))
    }

    /// Starts a client in a terminal.
    #[must_use]
    pub fn terminal(&self, client: Client, arguments: &[&str]) -> Terminal {
        Terminal::start(&self.client(client, arguments))
    }

    /// Runs `barge` to its end.
    #[track_caller]
    pub fn barge(&self, arguments: &[&str]) -> Outcome {
        self.run(Client::Barge, arguments)
    }

    /// Makes the image `busybox`, once; its command is `sh`.
    ///
    /// # Panics
    /// When the daemon does not take it.
    pub fn busybox(&self) -> &Self {
        self.busybox.get_or_init(|| {
            let path = "/images/create?fromSrc=-&repo=busybox&tag=latest\
                        &changes=CMD%20%5B%22sh%22%5D\
                        &changes=ENV%20PATH%3D%2Fusr%2Flocal%2Fbin%3A%2Fbin";
            let content = ("application/x-tar", busybox_tar());
            let reply = self.api().send("POST", path, Some(content)).is(200);
            assert!(!reply.text().contains("error"), "{}", reply.text());
        });
        self
    }

    /// Writes a file into the scratch folder and returns its path.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.scratch.join(name);
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path.to_str().expect("our own paths are text").to_owned()
    }

    /// What `inspect` says of a container.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn inspect(&self, container: &str) -> Value {
        self.api().get(&format!("/containers/{container}/json")).is(200).json()
    }

    /// The process id of a container's first process, as the host counts.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    #[track_caller]
    pub fn pid(&self, container: &str) -> i32 {
        let pid = self.inspect(container)["State"]["Pid"].as_i64().unwrap_or(0);
        assert!(pid > 0, "{container} does not run");
        pid.try_into().unwrap()
    }

    /// The id of a container.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn id(&self, container: &str) -> String {
        self.inspect(container)["Id"].as_str().expect("a container has an id").to_owned()
    }

    /// The state that `inspect` shows: `running`, `exited`…
    #[must_use]
    #[track_caller]
    pub fn status(&self, container: &str) -> String {
        self.inspect(container)["State"]["Status"].as_str().unwrap_or_default().to_owned()
    }

    /// A file of a container's cgroup, as the host sees it.
    #[must_use]
    #[track_caller]
    pub fn cgroup(&self, container: &str, controller: &str, file: &str) -> String {
        let group = format!("{}/{}", self.name, self.id(container));
        crate::controller_file(controller, &group, file)
    }

    /// The process id of the shim of a container.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn shim(&self, container: &str) -> i32 {
        let id = self.id(container);
        leftovers::shim_of(&id).unwrap_or_else(|| panic!("{container} has no shim"))
    }

    /// Whether the container of this id has a shim.
    #[must_use]
    pub fn has_shim(&self, id: &str) -> bool {
        leftovers::shim_of(id).is_some()
    }

    /// The process ids of everything in a container.
    #[must_use]
    #[track_caller]
    pub fn processes(&self, container: &str) -> Vec<i32> {
        crate::cgroup::processes(&format!("{}/{}", self.name, self.id(container)))
    }

    /// The address of a container on the default bridge.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    #[track_caller]
    pub fn address(&self, container: &str) -> Ipv4Addr {
        let inspected = self.inspect(container);
        let text = inspected["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].as_str();
        text.unwrap_or_default().parse().expect("the container has an address")
    }

    /// Makes this host's end a clean-up only, without looking for what was left behind.
    pub fn give_up(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
}

impl Default for TestHost {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        let failed = self.failed.load(Ordering::Relaxed) || std::thread::panicking();
        let mut found = Vec::new();
        if !failed {
            found = self.remove_containers_and_look();
        }
        if let Err(complaint) = self.end_daemon() {
            found.push(complaint);
        }
        if !failed {
            found.extend(self.look_after_the_daemon());
        }
        if failed || !found.is_empty() {
            eprintln!("the log of {}:\n{}", self.name, self.log());
        }
        self.clean_up();
        assert!(failed || found.is_empty(), "left behind:\n  {}", found.join("\n  "));
    }
}
