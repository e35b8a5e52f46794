//! What one user does with images: pull, push, load, save and look, each against a registry on the loopback.
//!
//! Nobody's cache helps: an image is removed before it is pulled or loaded, and each push goes to a registry that has
//! nothing. What was written before is on the disk before a measurement begins, so that nobody pays for another's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::fixture::{self, Fixture};
use crate::memory;
use crate::peers::{Client, Peers, Who};
use crate::registry::Registry;
use crate::table::Table;
use crate::timed;

/// The rows of this file have this word in them.
pub(crate) const ROWS: [&str; 9] = [
    "pull, 50 MB in a layer",
    "pull, 50 MB in 20 layers",
    "pull, up to date",
    "push, 50 MB in a layer",
    "load",
    "save",
    "images",
    "image inspect",
    "pull: peak memory of the daemon (MB)",
];

/// More rounds say no more about what takes a second.
const ROUNDS: u32 = 5;

/// Measures all of it, in turns.
pub(crate) fn measure(
    peers: &mut Peers,
    table: &mut Table,
    setup: Setup<'_>,
) -> anyhow::Result<()> {
    let engines: Vec<Client> = [Who::Barge, Who::Docker, Who::Podman]
        .iter()
        .filter_map(|who| peers.client(*who).cloned())
        .collect();
    let maker = peers.client(Who::Docker).context("images are made by docker: install it")?;
    let fixture = Fixture::make(setup.folder, maker)?;
    let mut images = Images { fixture, folder: setup.folder.to_owned() };
    for round in 0..=setup.rounds.min(ROUNDS) {
        for client in &engines {
            let times = images.round(client).with_context(|| format!("{:?}", client.who))?;
            for (row, time) in times {
                if round > 0 {
                    table.add(row, client.who, time);
                }
            }
        }
        for (row, path) in [(ROWS[0], &images.fixture.one), (ROWS[1], &images.fixture.twenty)] {
            table.add(row, Who::Floor, fixture::floor(path)?);
        }
        eprint!("\rimages: round {round}");
    }
    eprintln!();
    for (who, daemon) in peers.daemons() {
        if let Some(client) = engines.iter().find(|client| client.who == who) {
            memory::forget_peak(daemon.pid())?;
            images.pull(client, "one")?;
            table.note(ROWS[8], who, memory::peak(daemon.pid())?);
            images.forget(client, "one")?;
        }
    }
    Ok(())
}

/// Where and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) rounds: u32,
}

struct Images {
    fixture: Fixture,
    folder: PathBuf,
}

impl Images {
    fn round(&mut self, client: &Client) -> anyhow::Result<Vec<(&'static str, Duration)>> {
        let mut times = vec![(ROWS[1], self.pull(client, "twenty")?)];
        self.forget(client, "twenty")?;
        times.push((ROWS[0], self.pull(client, "one")?));
        times.push((ROWS[2], self.pull(client, "one")?));
        times.push((ROWS[6], quiet(client, &["images"])?));
        times.push((ROWS[7], quiet(client, &["image", "inspect", &self.fixture.name("one")])?));
        times.push((ROWS[3], self.push(client)?));
        let archive = self.folder.join("saved.tar");
        let path = archive.to_string_lossy().into_owned();
        fs::remove_file(&archive).or_else(absent)?;
        times.push((ROWS[5], quiet(client, &["save", "-o", &path, &self.fixture.name("one")])?));
        self.forget(client, "one")?;
        let loaded = self.fixture.loaded.to_string_lossy().into_owned();
        times.push((ROWS[4], quiet(client, &["load", "-i", &loaded])?));
        client.run(&["rmi", "-f", fixture::LOADED])?;
        Ok(times)
    }

    fn pull(&self, client: &Client, image: &str) -> anyhow::Result<Duration> {
        let name = self.fixture.name(image);
        quiet(client, &with_plain_http(client, &["pull", "-q"], &name))
    }

    /// To a registry of its own that is thrown away.
    fn push(&self, client: &Client) -> anyhow::Result<Duration> {
        let registry = Registry::start(&self.folder.join("thrown-away"))?;
        let name = format!("127.0.0.1:{}/pushed:latest", registry.port());
        client.run(&["tag", &self.fixture.name("one"), &name])?;
        let time = quiet(client, &with_plain_http(client, &["push", "-q"], &name))?;
        client.run(&["rmi", &name])?;
        registry.remove()?;
        Ok(time)
    }

    fn forget(&self, client: &Client, image: &str) -> anyhow::Result<()> {
        client.run(&["rmi", "-f", &self.fixture.name(image)]).map(drop)
    }
}

/// Measures with nothing left to be written.
fn quiet(client: &Client, arguments: &[&str]) -> anyhow::Result<Duration> {
    rustix::fs::sync();
    client.run(arguments)
}

/// Podman is told on the command line that the registry has no TLS; the others know loopback addresses.
fn with_plain_http<'a>(client: &Client, verb: &[&'a str], name: &'a str) -> Vec<&'a str> {
    let mut line = verb.to_vec();
    if client.who == Who::Podman {
        line.push("--tls-verify=false");
    }
    line.push(name);
    line
}

fn absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// A command of the system that prepares something.
pub(crate) fn prepare(line: &str, folder: &Path) -> anyhow::Result<()> {
    timed::run(Command::new("sh").args(["-ec", line]).current_dir(folder)).map(drop)
}
