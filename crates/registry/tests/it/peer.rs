//! Debian's `docker-registry` as a real peer: a folder, a configuration, a process that ends with its value.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

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
    pub(crate) async fn start(options: PeerOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yml");
        fs::write(&config, yaml(folder.path(), &options)).unwrap();
        let log = folder.path().join("log");
        let output = fs::File::create(&log).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .expect("docker-registry must be installed (Debian package docker-registry)");
        let mut peer = Self { process, port: 0, folder };
        peer.port = peer.wait_for_port(&log).await;
        peer
    }

    /// It chooses its port and says it in its log.
    async fn wait_for_port(&mut self, log: &Path) -> u16 {
        let end = Instant::now() + DEADLINE;
        loop {
            let text = fs::read_to_string(log).unwrap();
            let port = text
                .split("listening on 127.0.0.1:")
                .nth(1)
                .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>())
                .filter(|digits| !digits.is_empty());
            if let Some(port) = port {
                return port.parse().unwrap();
            }
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("docker-registry ended with {status}:\n{text}");
            }
            assert!(Instant::now() < end, "docker-registry does not come up:\n{text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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

/// Waits for something that comes without being told of.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
