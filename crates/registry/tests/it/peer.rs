//! Debian's `docker-registry` as a real peer: a folder, a configuration, a process that ends with its value.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tempfile::TempDir;

/// Generous: the machine may have a lot to do.
const DEADLINE: Duration = Duration::from_secs(120);

/// What is said about a registry besides where its files lie; YAML.
#[derive(Default)]
pub(crate) struct PeerOptions {
    /// `tls: {certificate: …, key: …}` inside of `http`.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// The value of `auth`.
    pub(crate) auth: Option<String>,
    /// The value of `proxy`: a pull-through cache of another.
    pub(crate) proxy: Option<String>,
}

/// A running registry.
pub(crate) struct Peer {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself; its test said why.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Peer {
    pub(crate) fn start(options: &PeerOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yml");
        fs::write(&config, yaml(folder.path(), options)).unwrap();
        let (output, writer) = std::io::pipe().unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .spawn()
            .expect("docker-registry must be installed (Debian package docker-registry)");
        let mut peer = Self { process, port: 0, folder };
        peer.port = port_of(output);
        peer
    }

    /// `127.0.0.1:port`.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Where it keeps its files.
    pub(crate) fn storage(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

fn yaml(folder: &Path, options: &PeerOptions) -> String {
    let mut text = format!(
        "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n",
        folder.join("data").display()
    );
    text.push_str("http:\n  addr: 127.0.0.1:0\n");
    if let Some((certificate, key)) = &options.tls {
        text.push_str(&format!(
            "  tls: {{certificate: {}, key: {}}}\n",
            certificate.display(),
            key.display()
        ));
    }
    for (name, value) in [("auth", &options.auth), ("proxy", &options.proxy)] {
        if let Some(value) = value {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    text
}

/// The port, which it chooses and says; its output is read to the end, so that it never waits for us.
fn port_of(output: std::io::PipeReader) -> u16 {
    let (sender, said) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Nobody listens any more when the port is known.
            sender.send(line).ok();
        }
    });
    let (end, mut text) = (Instant::now() + DEADLINE, String::new());
    loop {
        match said.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                let rest = line.split_once("listening on 127.0.0.1:").map(|(_, rest)| rest);
                let digits = rest.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
                if let Some(port) = digits.and_then(|digits| digits.parse().ok()) {
                    return port;
                }
                text.push_str(&line);
                text.push('\n');
            }
            Err(RecvTimeoutError::Timeout) => panic!("docker-registry does not come up:\n{text}"),
            Err(RecvTimeoutError::Disconnected) => panic!("docker-registry ended:\n{text}"),
        }
    }
}

/// Waits until somebody has made a file.
pub(crate) fn until_made(path: &Path) {
    let end = Instant::now() + DEADLINE;
    while !path.exists() {
        let watch = inotify::init(CreateFlags::CLOEXEC).unwrap();
        let folder = path.ancestors().skip(1).find(|folder| folder.exists()).unwrap();
        inotify::add_watch(&watch, folder, WatchFlags::CREATE | WatchFlags::MOVED_TO).unwrap();
        let next = path.ancestors().find(|below| below.parent() == Some(folder)).unwrap();
        // Made before the watch: there is no event to wait for.
        if next.exists() {
            continue;
        }
        let left = Timespec::try_from(end.saturating_duration_since(Instant::now())).unwrap();
        let ready = poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&left)).unwrap();
        assert!(ready > 0, "{} is not made within {DEADLINE:?}", path.display());
    }
}
