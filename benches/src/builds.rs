//! What one user does with a Dockerfile: build it for the first time, again, with a large context, with many stages.
//!
//! The steps have no network with anybody. The base image is there; what a build made is removed before the next one,
//! but for the rows that are about what is kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use crate::memory;
use crate::peers::{Client, Peers, Who};
use crate::table::Table;

/// The rows of this file.
pub(crate) const ROWS: [&str; 9] = [
    "build, 10 steps with files, cold",
    "build, 10 steps, all cached",
    "build, 1 GB in 50,000 files, cold",
    "build, 1 GB in 50,000 files, unchanged",
    "build, 1 GB in 50,000 files, one changed",
    "build, ten stages that compute",
    "build, ten stages that compute, on one core",
    "build, 1 GB context: peak memory of the daemon (MB)",
    "build, cores' worth of ten stages",
];

/// Everybody that builds.
const ENGINES: [Who; 4] = [Who::Barge, Who::Docker, Who::BuildKit, Who::Buildah];

/// More rounds say no more about what takes a second.
const ROUNDS: u32 = 5;
/// And these take many.
const LARGE_ROUNDS: u32 = 3;

const LARGE_FILES: usize = 50_000;
const LARGE_FOLDERS: usize = 500;
const LARGE_SIZE: usize = 20_000;

const TAG: &str = "built";

/// Where and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) rounds: u32,
}

/// Measures all of it, in turns.
pub(crate) fn measure(
    peers: &mut Peers,
    table: &mut Table,
    setup: Setup<'_>,
) -> anyhow::Result<()> {
    let engines: Vec<Client> =
        ENGINES.iter().filter_map(|who| peers.client(*who).cloned()).collect();
    let contexts = Contexts::make(setup.folder)?;
    for round in 0..=setup.rounds.min(ROUNDS) {
        for client in &engines {
            let times = contexts.round(client).with_context(|| format!("{:?}", client.who))?;
            for (row, time) in times.into_iter().filter(|_| round > 0) {
                table.add(row, client.who, time);
            }
        }
        eprint!("\rbuilds: round {round}");
    }
    eprintln!();
    for client in &engines {
        if let Some((_, daemon)) = peers.daemons().find(|(who, _)| *who == client.daemon()) {
            memory::forget_peak(daemon.pid())?;
        }
        // Those that read and send everything each time take half a minute for each build.
        let is_slow = matches!(client.who, Who::Docker | Who::Buildah);
        let rounds = if is_slow { 1 } else { setup.rounds.min(LARGE_ROUNDS) };
        contexts.large(client, table, rounds)?;
        if let Some((_, daemon)) = peers.daemons().find(|(who, _)| *who == client.daemon()) {
            table.note(ROWS[7], client.who, memory::peak(daemon.pid())?);
        }
        let time = |row| table.median(row, client.who);
        if let (Some(one), Some(both)) = (time(ROWS[6]), time(ROWS[5])) {
            table.note(ROWS[8], client.who, one / both);
        }
    }
    Ok(())
}

/// The folders that are built.
struct Contexts {
    steps: PathBuf,
    stages: PathBuf,
    large: PathBuf,
}

impl Contexts {
    fn make(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("contexts");
        let contexts = Self {
            steps: folder.join("steps"),
            stages: folder.join("stages"),
            large: folder.join("large"),
        };
        for path in [&contexts.steps, &contexts.stages, &contexts.large] {
            fs::create_dir_all(path)?;
        }
        let mut steps = "FROM busybox\n".to_owned();
        for number in 0..5 {
            fs::write(contexts.steps.join(format!("file{number}")), vec![b'x'; 100_000])?;
            steps += &format!("COPY file{number} /copied/\n");
            steps += &format!("RUN mkdir /made{number} && cp /copied/* /made{number}\n");
        }
        fs::write(contexts.steps.join("Dockerfile"), steps)?;
        fs::write(contexts.stages.join("Dockerfile"), stages())?;
        contexts.fill_large()?;
        Ok(contexts)
    }

    /// No two files are the same.
    fn fill_large(&self) -> anyhow::Result<()> {
        let mut content = vec![b'.'; LARGE_SIZE];
        for folder in 0..LARGE_FOLDERS {
            let path = self.large.join(format!("folder{folder}"));
            fs::create_dir(&path)?;
            for file in 0..LARGE_FILES / LARGE_FOLDERS {
                let name = format!("{folder}-{file}\n");
                content[..name.len()].copy_from_slice(name.as_bytes());
                fs::write(path.join(format!("file{file}")), &content)?;
            }
        }
        Ok(fs::write(self.large.join("Dockerfile"), "FROM busybox\nCOPY . /large\n")?)
    }

    fn round(&self, client: &Client) -> anyhow::Result<Vec<(&'static str, Duration)>> {
        let mut times = vec![
            (ROWS[0], build(client, &self.steps, &["--no-cache"])?),
            (ROWS[1], build(client, &self.steps, &[])?),
        ];
        forget(client)?;
        times.push((ROWS[5], build(client, &self.stages, &["--no-cache"])?));
        forget(client)?;
        // Docker's BuildKit does not heed the flag.
        if client.who != Who::BuildKit {
            let one = ["--no-cache", "--cpuset-cpus", "0"];
            times.push((ROWS[6], build(client, &self.stages, &one)?));
            forget(client)?;
        }
        Ok(times)
    }

    fn large(&self, client: &Client, table: &mut Table, rounds: u32) -> anyhow::Result<()> {
        table.add(ROWS[2], client.who, build(client, &self.large, &[])?);
        for round in 0..rounds {
            table.add(ROWS[3], client.who, build(client, &self.large, &[])?);
            let changed = format!("changed {round} for {:?}\n", client.who);
            fs::write(self.large.join("folder7/file7"), changed)?;
            table.add(ROWS[4], client.who, build(client, &self.large, &[])?);
        }
        forget(client)
    }
}

/// Ten that do not know of each other, and one that waits for all.
fn stages() -> String {
    let mut text = String::new();
    for number in 0..10 {
        text += &format!("FROM busybox AS stage{number}\n");
        text += &format!("RUN seq 1 200000 | sha256sum > /sum{number}; ");
        text += "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done\n";
    }
    text += "FROM scratch\n";
    for number in 0..10 {
        text += &format!("COPY --from=stage{number} /sum{number} /\n");
    }
    text
}

/// With nothing left to be written by somebody else.
fn build(client: &Client, context: &Path, flags: &[&str]) -> anyhow::Result<Duration> {
    let context = context.to_string_lossy();
    let mut line = vec!["build", "-q", "--network", "none", "-t", TAG];
    if client.who == Who::Buildah {
        // What the others do without being told.
        line.push("--layers");
    }
    line.extend(flags);
    line.push(&context);
    rustix::fs::sync();
    client.run(&line)
}

/// The image and everything that was kept for the next build.
fn forget(client: &Client) -> anyhow::Result<()> {
    match client.who {
        // Only images that have a name stay: the base.
        Who::Buildah => {
            client.run(&["rmi", "-f", TAG])?;
            client.run(&["rmi", "--prune", "--force"])?;
        }
        Who::Docker => {
            client.run(&["rmi", "-f", TAG])?;
            client.run(&["image", "prune", "-f"])?;
        }
        Who::Barge | Who::DockerToBarge | Who::BuildKit | Who::Podman | Who::Floor => {
            client.run(&["rmi", "-f", TAG])?;
            client.run(&["builder", "prune", "-a", "-f"])?;
        }
    }
    Ok(())
}
