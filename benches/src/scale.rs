//! Many containers that stay, and one that writes a lot.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::many;
use crate::memory;
use crate::peers::{Client, Peers, Who, rest};
use crate::table::Table;
use crate::timed;

/// The rows of this file.
pub(crate) const ROWS: [&str; 12] = [
    "scale: run, the first",
    "scale: run, the 501st",
    "scale: ps, 500 running",
    "scale: daemon start, 500 running",
    "scale: daemon, 500 running, RSS (MB)",
    "scale: stats --no-stream, 100 running",
    "scale: shim after 1000 execs, PSS (MB)",
    "logs: 100 MB of lines written",
    "logs: 100 MB of lines read",
    "scale: daemon more after 1000 runs, RSS (MB)",
    "scale: start (run -d), the first",
    "scale: start (run -d), the 501st",
];

const CROWD: usize = 500;
const SMALL_CROWD: usize = 100;
/// How often something short is measured.
const ROUNDS: u32 = 30;
const EXECS: u32 = 1000;
const RUNS: u32 = 1000;
/// After that long without work, everybody has given back what a start needs for moments.
const SETTLED: Duration = Duration::from_secs(2);

/// How long one start after the other leaves the machine alone: what ended before is taken down then.
const APART: Duration = Duration::from_millis(50);

/// A million lines of a hundred bytes.
const WRITER: &str = "yes 012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678 | head -n 1000000";

/// Measures all of it.
pub(crate) fn measure(peers: &mut Peers, table: &mut Table) -> anyhow::Result<()> {
    let barge = peers.client(Who::Barge).cloned().context("barge is always there")?;
    growth(&barge, peers, table)?;
    crowd(&barge, peers, table)?;
    execs(&barge, table)?;
    for who in [Who::Barge, Who::Docker, Who::Podman] {
        if let Some(client) = peers.client(who) {
            statistics(client, table)?;
            logs(client, table)?;
        }
    }
    table.add(ROWS[7], Who::Floor, pipe_to_file()?);
    Ok(())
}

/// What the daemon keeps of containers that are gone.
fn growth(client: &Client, peers: &mut Peers, table: &mut Table) -> anyhow::Result<()> {
    let run = || client.run(&["run", "--rm", "busybox", "true"]);
    let mut rss = || -> anyhow::Result<f64> {
        rest(SETTLED);
        let (_, daemon) = peers.daemons().next().context("barged is always there")?;
        Ok(memory::daemon(daemon.pid())?.rss)
    };
    for _ in 0..100 {
        run()?;
    }
    let before = rss()?;
    for _ in 0..RUNS {
        run()?;
    }
    table.note(ROWS[9], Who::Barge, rss()? - before);
    Ok(())
}

/// What depends on how many containers there are, and should not.
fn crowd(client: &Client, peers: &mut Peers, table: &mut Table) -> anyhow::Result<()> {
    let run = || client.run(&["run", "--rm", "busybox", "true"]);
    starts(client, (ROWS[10], table))?;
    for _ in 0..ROUNDS {
        table.add(ROWS[0], Who::Barge, run()?);
    }
    many::start(client, CROWD)?;
    rest(SETTLED);
    starts(client, (ROWS[11], table))?;
    for _ in 0..ROUNDS {
        table.add(ROWS[1], Who::Barge, run()?);
        table.add(ROWS[2], Who::Barge, client.run(&["ps"])?);
    }
    rest(SETTLED);
    let (_, daemon) = peers.daemons().next().context("barged is always there")?;
    table.note(ROWS[4], Who::Barge, memory::daemon(daemon.pid())?.rss);
    for _ in 0..3 {
        daemon.stop()?;
        table.add(ROWS[3], Who::Barge, daemon.start()?);
    }
    many::remove(client, CROWD)
}

/// Starts alone, without the ends of the containers: one at a time, on a machine that does nothing else.
fn starts(client: &Client, (row, table): (&'static str, &mut Table)) -> anyhow::Result<()> {
    for _ in 0..ROUNDS {
        let line = ["run", "-d", "--name", "one-more", "busybox", "sleep", "1000"];
        table.add(row, client.who, client.run(&line)?);
        client.run(&["rm", "-f", "one-more"])?;
        rest(APART);
    }
    Ok(())
}

/// What a shim keeps of commands that are gone.
fn execs(client: &Client, table: &mut Table) -> anyhow::Result<()> {
    many::start(client, 1)?;
    for _ in 0..EXECS {
        client.run(&["exec", "many0", "true"])?;
    }
    rest(SETTLED);
    table.note(ROWS[6], Who::Barge, memory::keepers(Who::Barge)?);
    many::remove(client, 1)
}

/// Whole processes; Docker's API takes two samples a second apart, which is in it.
fn statistics(client: &Client, table: &mut Table) -> anyhow::Result<()> {
    many::start(client, SMALL_CROWD)?;
    for _ in 0..3 {
        table.add(ROWS[5], client.who, client.run(&["stats", "--no-stream"])?);
    }
    many::remove(client, SMALL_CROWD)
}

fn logs(client: &Client, table: &mut Table) -> anyhow::Result<()> {
    for _ in 0..3 {
        let line = ["run", "--name", "writer", "--log-opt", "max-size=1g", "-d", "busybox"];
        let before = Instant::now();
        client.run(&[&line[..], &["sh", "-c", WRITER]].concat())?;
        client.run(&["wait", "writer"])?;
        table.add(ROWS[7], client.who, before.elapsed());
        let mut logs = client.command(&["logs", "writer"]);
        logs.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let time = timed::time(|| {
            let status = logs.status()?;
            if !status.success() {
                bail!("logs: {status}");
            }
            Ok(())
        })?;
        table.add(ROWS[8], client.who, time);
        client.remove("writer")?;
    }
    Ok(())
}

/// The same lines through a pipe to a file, by nobody's engine.
fn pipe_to_file() -> anyhow::Result<Duration> {
    let file = tempfile::NamedTempFile::new()?;
    let script = format!("busybox sh -c '{WRITER}' | cat > {}", file.path().display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]);
    timed::run(&mut shell)
}
