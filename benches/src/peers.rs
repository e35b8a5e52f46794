//! Who is measured: each peer's client with what it needs to find its own daemon and folders.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::arena::{Arena, CGROUP};
use crate::{http, timed};

/// Debian's; another `docker` may come first in `PATH`.
const BUILDKIT: &str = "/usr/bin/docker";

/// How long a daemon may take to come up, and to go.
const PATIENCE: Duration = Duration::from_secs(60);

/// The columns of the table, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// Our client and daemon.
    Barge,
    /// The stock client with our daemon.
    DockerToBarge,
    /// The stock client with its own daemon.
    Docker,
    /// The BuildKit in the stock daemon, with the last client that speaks to it.
    BuildKit,
    /// Podman, which has no daemon.
    Podman,
    /// What builds for podman.
    Buildah,
    /// What the kernel's part of it takes, done by hand.
    Floor,
}

impl Who {
    pub(crate) const ALL: [Self; 7] = [
        Self::Barge,
        Self::DockerToBarge,
        Self::Docker,
        Self::BuildKit,
        Self::Podman,
        Self::Buildah,
        Self::Floor,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Barge => "barge",
            Self::DockerToBarge => "docker→barged",
            Self::Docker => "docker",
            Self::BuildKit => "buildkit",
            Self::Podman => "podman",
            Self::Buildah => "buildah",
            Self::Floor => "floor",
        }
    }
}

/// A client and where it connects to.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) who: Who,
    words: Vec<OsString>,
    home: PathBuf,
}

impl Client {
    /// Whose daemon works for it.
    pub(crate) fn daemon(&self) -> Who {
        match self.who {
            Who::Barge | Who::DockerToBarge => Who::Barge,
            Who::Docker | Who::BuildKit => Who::Docker,
            Who::Podman | Who::Buildah | Who::Floor => self.who,
        }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let (program, before) = self.words.split_first().map_or(("".as_ref(), &[][..]), |words| {
            let (program, before) = words;
            (program.as_os_str(), before)
        });
        let mut command = Command::new(program);
        command.args(before).args(arguments);
        command.env_clear().env("HOME", &self.home);
        let is_buildkit = if self.who == Who::BuildKit { "1" } else { "0" };
        command.env("DOCKER_BUILDKIT", is_buildkit);
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> anyhow::Result<Duration> {
        timed::run(&mut self.command(arguments))
    }

    /// Kills and removes at once; podman first asks nicely and waits for ten seconds unless it is told not to.
    pub(crate) fn remove(&self, container: &str) -> anyhow::Result<Duration> {
        match self.who {
            Who::Podman => self.run(&["rm", "-f", "-t", "0", container]),
            Who::Barge
            | Who::DockerToBarge
            | Who::Docker
            | Who::BuildKit
            | Who::Buildah
            | Who::Floor => self.run(&["rm", "-f", container]),
        }
    }
}

/// A daemon that we have started.
#[derive(Debug)]
pub(crate) struct Daemon {
    words: Vec<OsString>,
    log: PathBuf,
    pub(crate) socket: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// Starts it and returns how long it took until it answered.
    pub(crate) fn start(&mut self) -> anyhow::Result<Duration> {
        let (program, arguments) = self.words.split_first().context("no program")?;
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let before = Instant::now();
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        while http::ask(&self.socket, "GET /_ping", "").is_err() {
            if before.elapsed() > PATIENCE || child.try_wait()?.is_some() {
                bail!("{} does not come up: see {}", program.display(), self.log.display());
            }
            pause();
        }
        self.child = Some(child);
        Ok(before.elapsed())
    }

    /// Asks it to end and waits for that; containers live on.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::TERM,
        )?;
        child.wait()?;
        Ok(())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }
}

/// Between two looks at something that tells nobody when it is there.
fn pause() {
    rest(Duration::from_micros(500));
}

/// Lets the measured programs come to rest.
pub(crate) fn rest(time: Duration) {
    // Nothing can come on no descriptors: it only waits.
    let time = rustix::event::Timespec::try_from(time).ok();
    rustix::event::poll(&mut [], time.as_ref()).ok();
}

/// Everyone.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) barged: Daemon,
    pub(crate) dockerd: Option<Daemon>,
    pub(crate) clients: Vec<Client>,
    /// Those that only build.
    builders: Vec<Client>,
}

impl Peers {
    /// Starts the daemons and gives each an image of busybox.
    pub(crate) fn assemble(arena: &Arena) -> anyhow::Result<Self> {
        let mut barged = barged(arena);
        barged.start()?;
        let mut clients = vec![
            client(arena, Who::Barge, &[&arena.programs.join("barge"), &"-H", &host(&barged)]),
            client(arena, Who::DockerToBarge, &[&"docker", &"-H", &host(&barged)]),
        ];
        let mut builders = Vec::new();
        let dockerd = if is_installed("dockerd") {
            let mut dockerd = dockerd(arena);
            dockerd.start()?;
            clients.push(client(arena, Who::Docker, &[&"docker", &"-H", &host(&dockerd)]));
            builders.push(client(arena, Who::BuildKit, &[&BUILDKIT, &"-H", &host(&dockerd)]));
            Some(dockerd)
        } else {
            None
        };
        if is_installed("podman") {
            clients.push(podman(arena));
        }
        builders.push(buildah(arena));
        builders.retain(is_installed_client);
        clients.retain(|client| client.who == Who::Barge || is_installed_client(client));
        let image = arena.folder.join("busybox.tar");
        fs::write(&image, barge_testkit::busybox_tar())?;
        let image = image.to_string_lossy().into_owned();
        for client in clients.iter().filter(|client| client.who != Who::DockerToBarge) {
            client.run(&["import", &image, "busybox"])?;
        }
        Ok(Self { barged, dockerd, clients, builders })
    }

    pub(crate) fn client(&self, who: Who) -> Option<&Client> {
        self.clients.iter().chain(&self.builders).find(|client| client.who == who)
    }

    /// Daemons with the name of their column.
    pub(crate) fn daemons(&mut self) -> impl Iterator<Item = (Who, &mut Daemon)> {
        let docker = self.dockerd.as_mut().map(|daemon| (Who::Docker, daemon));
        std::iter::once((Who::Barge, &mut self.barged)).chain(docker)
    }
}

fn is_installed_client(client: &Client) -> bool {
    client.words.first().is_some_and(|program| is_installed(&program.to_string_lossy()))
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn host(daemon: &Daemon) -> String {
    format!("unix://{}", daemon.socket.display())
}

fn words(words: &[&dyn AsRef<std::ffi::OsStr>]) -> Vec<OsString> {
    words.iter().map(|word| (*word).as_ref().to_owned()).collect()
}

fn client(arena: &Arena, who: Who, line: &[&dyn AsRef<std::ffi::OsStr>]) -> Client {
    Client { who, words: words(line), home: arena.folder.clone() }
}

fn barged(arena: &Arena) -> Daemon {
    let socket = PathBuf::from("/run/bench-barge.sock");
    let host = format!("unix://{}", socket.display());
    let words = words(&[
        &arena.programs.join("barged"),
        &"--host",
        &host,
        &"--data-root",
        &arena.folder.join("barge"),
        &"--exec-root",
        &"/run/bench-barge",
        &"--bip",
        &"10.231.0.1/16",
        &"--cgroup-parent",
        &CGROUP,
    ]);
    Daemon { words, log: arena.folder.join("barged.log"), socket, child: None }
}

fn dockerd(arena: &Arena) -> Daemon {
    let socket = PathBuf::from("/run/bench-docker.sock");
    let host = format!("unix://{}", socket.display());
    let words = words(&[
        &"dockerd",
        &"--host",
        &host,
        &"--data-root",
        &arena.folder.join("docker"),
        &"--exec-root",
        &"/run/bench-docker",
        &"--pidfile",
        &"/run/bench-docker.pid",
        &"--bip",
        &"10.232.0.1/16",
        &"--exec-opt",
        &"native.cgroupdriver=cgroupfs",
        &"--live-restore",
        &"--cgroup-parent",
        &format!("/{CGROUP}"),
    ]);
    Daemon { words, log: arena.folder.join("dockerd.log"), socket, child: None }
}

/// On podman's images.
fn buildah(arena: &Arena) -> Client {
    let run = Path::new("/run/bench-podman/run");
    let root = arena.folder.join("podman");
    client(arena, Who::Buildah, &[&"buildah", &"--root", &root, &"--runroot", &run])
}

fn podman(arena: &Arena) -> Client {
    let run = Path::new("/run/bench-podman");
    let line: [&dyn AsRef<std::ffi::OsStr>; 11] = [
        &"podman",
        &"--root",
        &arena.folder.join("podman"),
        &"--runroot",
        &run.join("run"),
        &"--tmpdir",
        &run.join("tmp"),
        &"--cgroup-manager",
        &"cgroupfs",
        &"--events-backend",
        &"file",
    ];
    client(arena, Who::Podman, &line)
}
