//! Many containers at once: how fast they start and go, what they cost in memory, how long a daemon takes to come back
//! to them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::bail;

use crate::memory;
use crate::peers::{Client, Peers, Who, rest};
use crate::table::Table;
use crate::timed;

/// Containers started in one go, and how many of the starts happen at the same time.
const BURST: usize = 50;
const BURST_SHARE: f64 = 50.0;
const WORKERS: usize = 8;
/// Containers that run while memory and restarts are looked at.
const CROWD: usize = 20;
/// After that long without work, everybody has given back what a start needs for moments.
const SETTLED: Duration = Duration::from_secs(2);
/// How often a daemon is restarted for one figure.
const RESTARTS: usize = 3;

/// 50 starts, 8 at a time, with the bridge; and the end of all of them.
pub(crate) fn burst(peers: &Peers, table: &mut Table) -> anyhow::Result<()> {
    let clients = [Who::Barge, Who::Docker, Who::Podman];
    for client in clients.iter().filter_map(|who| peers.client(*who)) {
        let share = |time: Duration| time.as_secs_f64() * 1e3 / BURST_SHARE;
        let time = timed::time(|| start(client, BURST))?;
        table.note("50 starts, 8 at a time: ms each", client.who, share(time));
        let time = timed::time(|| remove(client, BURST))?;
        table.note("50 × rm -f, 8 at a time: ms each", client.who, share(time));
    }
    Ok(())
}

/// Memory with no, one and many containers.
pub(crate) fn memory(peers: &mut Peers, table: &mut Table) -> anyhow::Result<()> {
    for who in [Who::Barge, Who::Docker, Who::Podman] {
        let Some(client) = peers.client(who).cloned() else {
            continue;
        };
        if let Some((_, daemon)) = peers.daemons().find(|(daemon, _)| *daemon == who) {
            let family = memory::daemon(daemon.pid())?;
            table.note("daemon idle, RSS (MB)", who, family.rss);
            table.note("daemon idle, PSS (MB)", who, family.pss);
        }
        for (count, row) in [
            (1, "per container, 1 running, PSS (MB)"),
            (CROWD, "per container, 20 running, PSS (MB)"),
        ] {
            start(&client, count)?;
            rest(SETTLED);
            let total = memory::keepers(who)?;
            table.note(row, who, total / f64::from(u32::try_from(count)?));
            remove(&client, count)?;
        }
    }
    Ok(())
}

/// How long the daemons take to start, alone and with containers that outlived the last one.
pub(crate) fn restarts(peers: &mut Peers, table: &mut Table) -> anyhow::Result<()> {
    for (who, count, row) in [
        (Who::Barge, 0, "daemon start, no containers"),
        (Who::Docker, 0, "daemon start, no containers"),
        (Who::Barge, CROWD, "daemon start, 20 running"),
        (Who::Docker, CROWD, "daemon start, 20 running"),
    ] {
        let Some(client) = peers.client(who).cloned() else {
            continue;
        };
        start(&client, count)?;
        if let Some((_, daemon)) = peers.daemons().find(|(daemon, _)| *daemon == who) {
            for _ in 0..RESTARTS {
                daemon.stop()?;
                table.add(row, who, daemon.start()?);
            }
        }
        remove(&client, count)?;
    }
    Ok(())
}

pub(crate) fn start(client: &Client, count: usize) -> anyhow::Result<()> {
    each(count, &|name| client.run(&["run", "-d", "--name", name, "busybox", "sleep", "100000"]))
}

pub(crate) fn remove(client: &Client, count: usize) -> anyhow::Result<()> {
    each(count, &|name| client.remove(name))
}

/// Does it once for each name, several at the same time.
fn each(
    count: usize,
    work: &(dyn Fn(&str) -> anyhow::Result<Duration> + Sync),
) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    let worker = || -> anyhow::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            work(&format!("many{number}"))?;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS.min(count)).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            match worker.join() {
                Ok(done) => done?,
                Err(_) => bail!("a worker panicked"),
            }
        }
        Ok(())
    })
}
