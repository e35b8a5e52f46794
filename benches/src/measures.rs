//! What is measured: each measure is done by everyone once, then the next, and the whole again for each round.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::arena::Arena;
use crate::floor::Floor;
use crate::peers::{Client, Peers, Who};
use crate::statistics::Samples;
use crate::{Options, http, table, timed};

/// The name of the container that is there all the time.
const RESIDENT: &str = "resident";

/// What a client is asked to do, as a whole process.
const BY_CLIENT: [(&str, &[&str]); 6] = [
    ("run --rm --network none", &["run", "--rm", "--network", "none", "busybox", "true"]),
    ("run --rm (bridge)", &["run", "--rm", "busybox", "true"]),
    ("run --rm -p 80", &["run", "--rm", "-p", "80", "busybox", "true"]),
    ("run --rm --network host", &["run", "--rm", "--network", "host", "busybox", "true"]),
    ("exec", &["exec", RESIDENT, "true"]),
    ("ps", &["ps"]),
];
const REMOVE: &str = "rm -f of a running one";
const API: &str = "API create, start, wait, rm (none)";

/// All samples by measure, in the order of the table.
type Results = Vec<(String, BTreeMap<Who, Samples>)>;

pub(crate) fn run(arena: &Arena, peers: &Peers, options: &Options) -> anyhow::Result<()> {
    for client in peers.clients.iter().filter(|client| client.who != Who::DockerToBarge) {
        client.run(&["run", "-d", "--name", RESIDENT, "busybox", "sleep", "100000"])?;
    }
    let floor = Floor::new(arena)?;
    let names = BY_CLIENT.iter().map(|(name, _)| *name).chain([REMOVE, API]);
    let mut results: Results = names
        .filter(|name| name.contains(&options.only))
        .map(|name| (name.to_owned(), BTreeMap::new()))
        .collect();
    for round in 0..options.rounds {
        for (name, samples) in &mut results {
            for who in Who::ALL {
                // A peer that cannot do it here has no number; the reason is said once.
                match measure(name, who, peers, &floor) {
                    Ok(Some(time)) => samples.entry(who).or_insert_with(Samples::default).add(time),
                    Ok(None) => {}
                    Err(error) if round == 0 => eprintln!("{}: {name}: {error:#}", who.name()),
                    Err(_) => {}
                }
            }
        }
    }
    table::print(&results, options.rounds);
    for client in peers.clients.iter().filter(|client| client.who != Who::DockerToBarge) {
        client.run(&["rm", "-f", RESIDENT])?;
    }
    Ok(())
}

fn measure(name: &str, who: Who, peers: &Peers, floor: &Floor) -> anyhow::Result<Option<Duration>> {
    if who == Who::Floor {
        return floor.measure(name);
    }
    let Some(client) = peers.client(who) else { return Ok(None) };
    match name {
        REMOVE => {
            client.run(&["run", "-d", "--name", "doomed", "busybox", "sleep", "100000"])?;
            client.run(&["rm", "-f", "doomed"]).map(Some)
        }
        API => match (who, &peers.dockerd) {
            (Who::Barge, _) => api(&peers.barged.socket).map(Some),
            (Who::Docker, Some(daemon)) => api(&daemon.socket).map(Some),
            _ => Ok(None),
        },
        _ => match BY_CLIENT.iter().find(|(known, _)| *known == name) {
            Some((_, words)) => client.run(words).map(Some),
            None => Ok(None),
        },
    }
}

/// A container's life by the API alone.
fn api(socket: &Path) -> anyhow::Result<Duration> {
    let body = r#"{"Image":"busybox","Cmd":["true"],"HostConfig":{"NetworkMode":"none"}}"#;
    timed::time(|| {
        let answer = http::ask(socket, "POST /v1.40/containers/create", body)?;
        let from = answer.find(r#""Id":""#).map_or(0, |at| at + 6);
        let id = answer.get(from..from + 64).unwrap_or_default();
        http::ask(socket, &format!("POST /v1.40/containers/{id}/start"), "")?;
        http::ask(socket, &format!("POST /v1.40/containers/{id}/wait"), "")?;
        http::ask(socket, &format!("DELETE /v1.40/containers/{id}"), "").map(|_| ())
    })
}

/// Fifty containers, eight at a time.
pub(crate) fn parallel(peers: &Peers) -> anyhow::Result<()> {
    const COUNT: usize = 50;
    println!("\n{COUNT} starts (run -d, bridge), 8 at a time");
    for client in &peers.clients {
        let before = Instant::now();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|worker| scope.spawn(move || start_some(client, worker, COUNT)))
                .collect();
            workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Ok(())))
        })?;
        let seconds = before.elapsed().as_secs_f64();
        println!("  {:<16}{:>8.1} containers/s", client.who.name(), 50.0 / seconds);
        let names: Vec<String> = (0..COUNT).map(|number| format!("many-{number}")).collect();
        let words: Vec<&str> =
            ["rm", "-f"].into_iter().chain(names.iter().map(String::as_str)).collect();
        client.run(&words)?;
    }
    Ok(())
}

fn start_some(client: &Client, worker: usize, count: usize) -> anyhow::Result<()> {
    for number in (worker..count).step_by(8) {
        client.run(&[
            "run",
            "-d",
            "--name",
            &format!("many-{number}"),
            "busybox",
            "sleep",
            "100000",
        ])?;
    }
    Ok(())
}
