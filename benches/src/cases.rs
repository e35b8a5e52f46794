//! What one user does with one container: each case is one row, measured for everyone in turn, round after round.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::floor::Floor;
use crate::peers::{Client, Peers, Who};
use crate::{http, timed};

/// The container that `exec` and `ps` look at.
const RESIDENT: &str = "resident";

/// A thing that is done and measured.
pub(crate) struct Case {
    pub(crate) row: &'static str,
    pub(crate) who: Who,
    run: Box<dyn FnMut() -> anyhow::Result<Duration>>,
}

impl Case {
    fn new(
        row: &'static str,
        who: Who,
        run: impl FnMut() -> anyhow::Result<Duration> + 'static,
    ) -> Self {
        Self { row, who, run: Box::new(run) }
    }

    pub(crate) fn measure(&mut self) -> anyhow::Result<Duration> {
        (self.run)()
    }
}

/// Whole processes, with the arguments that every client takes.
const LINES: [(&str, &[&str]); 7] = [
    ("run --rm --network none", &["run", "--rm", "--network", "none", "busybox", "true"]),
    ("run --rm (bridge)", &["run", "--rm", "busybox", "true"]),
    ("run --rm -p 80", &["run", "--rm", "-p", "80", "busybox", "true"]),
    ("run --rm --network host", &["run", "--rm", "--network", "host", "busybox", "true"]),
    ("exec", &["exec", RESIDENT, "true"]),
    ("ps", &["ps"]),
    ("--version", &["--version"]),
];

/// Everything, in the order of the rows.
pub(crate) fn all(peers: &Peers, floor: Floor) -> Vec<Case> {
    let mut cases = Vec::new();
    for (row, line) in LINES {
        for client in &peers.clients {
            let of_interest = row != "--version" || client.who != Who::DockerToBarge;
            if of_interest {
                let client = client.clone();
                cases.push(Case::new(row, client.who, move || client.run(line)));
            }
        }
    }
    for client in &peers.clients {
        let client = client.clone();
        cases.push(Case::new("rm -f of a running one", client.who, move || remove(&client)));
    }
    let sockets = [
        (Who::Barge, Some(peers.barged.socket.clone())),
        (Who::Docker, peers.dockerd.as_ref().map(|daemon| daemon.socket.clone())),
    ];
    for (row, network) in API_ROWS {
        for (who, socket) in &sockets {
            if let Some(socket) = socket.clone() {
                cases.push(Case::new(row, *who, move || api(&socket, network)));
            }
        }
    }
    floor_cases(&mut cases, floor);
    cases
}

const API_ROWS: [(&str, &str); 2] =
    [("API create+start+wait+rm, none", "none"), ("API create+start+wait+rm, bridge", "bridge")];

fn floor_cases(cases: &mut Vec<Case>, floor: Floor) {
    let floor = std::rc::Rc::new(std::cell::RefCell::new(floor));
    for (row, _) in LINES.iter().take(2).chain(&API_ROWS.map(|(row, _)| (row, &[][..]))) {
        let floor = std::rc::Rc::clone(&floor);
        let is_alone = row.contains("none");
        cases.push(Case::new(row, Who::Floor, move || {
            if is_alone { floor.borrow().alone() } else { floor.borrow_mut().bridged() }
        }));
    }
}

/// Starts what the cases look at. One daemon's clients share it.
pub(crate) fn prepare(peers: &Peers) -> anyhow::Result<()> {
    for client in peers.clients.iter().filter(|client| client.who != Who::DockerToBarge) {
        client.run(&["run", "-d", "--name", RESIDENT, "busybox", "sleep", "100000"])?;
    }
    Ok(())
}

/// Ends what [`prepare`] has started.
pub(crate) fn finish(peers: &Peers) -> anyhow::Result<()> {
    for client in peers.clients.iter().filter(|client| client.who != Who::DockerToBarge) {
        client.remove(RESIDENT)?;
    }
    Ok(())
}

fn remove(client: &Client) -> anyhow::Result<Duration> {
    client.run(&["run", "-d", "--name", "shortlived", "busybox", "sleep", "100000"])?;
    client.remove("shortlived")
}

fn api(socket: &Path, network: &str) -> anyhow::Result<Duration> {
    let body =
        json!({ "Image": "busybox", "Cmd": ["true"], "HostConfig": { "NetworkMode": network } });
    let body = body.to_string();
    timed::time(|| {
        let made = http::ask(socket, "POST /v1.41/containers/create", &body)?;
        let made: serde_json::Value = serde_json::from_str(&unchunked(&made))?;
        let id = made["Id"].as_str().unwrap_or_default();
        http::ask(socket, &format!("POST /v1.41/containers/{id}/start"), "")?;
        http::ask(socket, &format!("POST /v1.41/containers/{id}/wait"), "")?;
        http::ask(socket, &format!("DELETE /v1.41/containers/{id}"), "").map(drop)
    })
}

/// The JSON within a body that may be sent in chunks.
fn unchunked(body: &str) -> String {
    let inside = body.find('{').zip(body.rfind('}'));
    inside.and_then(|(from, to)| body.get(from..=to)).unwrap_or_default().to_owned()
}
