//! docker.io's daemon of 20.10 with its own client, which is the last that speaks to the BuildKit in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::api::Api;
use crate::{Outcome, Process, TestHost, command, eventually};

/// Debian's; another `docker` may come first in `PATH`.
const CLIENT: &str = "/usr/bin/docker";

/// Runs in the host's network, with its data in memory: what it writes is to be read once.
#[derive(Debug)]
pub struct Dockerd {
    process: Option<Process>,
    root: PathBuf,
}

impl Dockerd {
    /// Starts it without a network of its own: its containers have none, or the host's.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(host: &TestHost) -> Self {
        Self::start_with(host, "--bridge=none")
    }

    /// Starts it with the default network that it makes itself, `10.99.0.0/24`, and without rules for it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with_bridge(host: &TestHost) -> Self {
        Self::start_with(host, "--bip=10.99.0.1/24")
    }

    fn start_with(host: &TestHost, network: &str) -> Self {
        let root = host.scratch().join("dockerd");
        std::fs::create_dir_all(&root).unwrap();
        run(command("mount").args(["-t", "tmpfs", "-o", "size=4g", "dockerd"]).arg(&root));
        let path = |name: &str| root.join(name).display().to_string();
        let mut line = command("/usr/sbin/dockerd");
        line.args(["--data-root", &path("data"), "--exec-root", &path("exec")])
            .args(["--pidfile", &path("pid"), "-H", &format!("unix://{}", path("d.sock"))])
            .args([network, "--iptables=false", "--ip-forward=false"])
            .args(["--storage-driver=overlay2"]);
        let process = Some(host.in_netns(|| Process::start(&mut line)));
        let dockerd = Self { process, root };
        eventually("dockerd answers", || {
            Process::start(dockerd.client().arg("version")).wait().code == 0
        });
        dockerd
    }

    /// Its client's command line, to be completed.
    #[must_use]
    pub fn client(&self) -> Command {
        let mut line = command(CLIENT);
        line.env("HOME", &self.root).arg("-H").arg(self.socket());
        line
    }

    /// Runs its client to its end.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        Process::start(self.client().args(arguments)).wait()
    }

    /// Its API, without a client.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::new(self.root.join("d.sock"))
    }

    fn socket(&self) -> String {
        format!("unix://{}", self.root.join("d.sock").display())
    }

    /// Loads an archive of images.
    ///
    /// # Panics
    /// When it cannot be loaded.
    pub fn load(&self, archive: &Path) {
        run(self.client().args(["load", "-i"]).arg(archive));
    }

    /// Saves images into one archive.
    ///
    /// # Panics
    /// When they cannot be saved.
    #[must_use]
    pub fn save(&self, names: &[String]) -> Vec<u8> {
        let archive = self.root.join("saved.tar");
        run(self.client().args(["save", "-o"]).arg(&archive).args(names));
        std::fs::read(&archive).unwrap()
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // It takes its containerd and its mounts with it.
        if let Some(process) = self.process.take() {
            process.signal(libc::SIGTERM);
            let ended = process.wait();
            assert!(std::thread::panicking() || ended.code == 0, "{ended}");
        }
        run(command("umount").arg("-l").arg(&self.root));
    }
}

fn run(line: &mut Command) {
    Process::start(line).wait().ok();
}
