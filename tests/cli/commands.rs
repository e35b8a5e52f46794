//! Every command on containers, every flag: the stock client and ours do the same, print the same and are refused in the
//! same words. The command lines are in `creates.txt` and `commands.txt`; a test of the client looks whether any flag is
//! missing there.

use std::collections::BTreeSet;

use barge_testkit::api::Api;
use barge_testkit::{
    Client, Dockerd, Outcome, Process, TestHost, busybox_tar, command, eventually, need,
};
use serde_json::{Value, json};

use crate::formats::words;

const CREATES: &str = include_str!("creates.txt");
const COMMANDS: &str = include_str!("commands.txt");

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

/// With the files that the lines name.
fn host() -> TestHost {
    let host = TestHost::new();
    host.busybox();
    for (name, content) in [
        ("env", "# comment\nB=2\nC=3\n"),
        ("labels", "d=e\n"),
        ("profile.json", r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#),
    ] {
        drop(host.file(name, content));
    }
    host
}

/// The word that differs from client to client.
const fn me(client: Client) -> &'static str {
    match client {
        Client::Barge => "me-one",
        Client::Docker => "me-two",
    }
}

/// What a client has said, without its name and without what differs from container to container.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    fn of(me: &str, outcome: &Outcome, ids: &[String]) -> Self {
        let clean = |text: &str| {
            let mut text = text.replace("docker", "barge").replace(me, "me");
            for id in ids {
                text = text.replace(id, "<id>").replace(&id[..12], "<short id>");
            }
            text
        };
        Self { code: outcome.code, stdout: clean(&outcome.stdout), stderr: clean(&outcome.stderr) }
    }
}

/// What a line makes: what was said and the request that the daemon got.
fn created(host: &TestHost, client: Client, line: &str) -> (Said, Value) {
    let words = words(&format!("create {line}").replace("{me}", me(client)));
    let outcome = host.run(client, &words.iter().map(String::as_str).collect::<Vec<_>>());
    let id = outcome.stdout.trim().to_owned();
    if outcome.code != 0 {
        return (Said::of(me(client), &outcome, &[]), Value::Null);
    }
    let request = host.api().get(&format!("/containers/{id}/request")).is(200).json();
    let request = request["Request"].to_string().replace(me(client), "me");
    host.api().delete(&format!("/containers/{id}?force=1&v=1")).is(204);
    (Said::of(me(client), &outcome, &[id]), said(serde_json::from_str(&request).unwrap()))
}

/// Without what says nothing: one client sends it, the other does not.
fn said(value: Value) -> Value {
    let fields = match value {
        Value::Object(fields) => fields,
        Value::Array(list) => return list.into_iter().map(said).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            return other;
        }
    };
    let says = |(name, value): (String, Value)| {
        let mut value = said(value);
        // The stock client's order is random, but where it means something.
        if let Value::Array(list) = &mut value
            && !["Cmd", "Entrypoint", "Test", "ConsoleSize"].contains(&name.as_str())
        {
            list.sort_by_key(Value::to_string);
        }
        let is_nothing = match &value {
            Value::Null => true,
            // Not the same as nothing.
            Value::Bool(is_true) => !is_true && name != "Init",
            Value::Number(number) => number.as_i64() == Some(0) && name != "MemorySwappiness",
            Value::String(text) => text.is_empty(),
            Value::Array(list) => {
                list.is_empty() && name != "MaskedPaths" && name != "ReadonlyPaths"
            }
            Value::Object(fields) => fields.is_empty(),
        };
        (!is_nothing).then_some((name, value))
    };
    Value::Object(fields.into_iter().filter_map(says).collect())
}

#[test]
fn every_flag_of_create_asks_for_what_the_stock_client_asks_for() {
    need!(docker);
    let host = host();
    let mut wrong = Vec::new();
    for line in lines(CREATES) {
        let [ours, theirs] =
            [Client::Barge, Client::Docker].map(|client| created(&host, client, line));
        if ours != theirs {
            wrong.push(format!("=== {line}\nbarge: {ours:?}\ndocker: {theirs:?}"));
        }
    }
    assert!(lines(CREATES).count() > 120);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A client and the daemon that it speaks to.
struct Side<'a> {
    api: Api,
    me: &'static str,
    run: &'a dyn Fn(&[&str]) -> Outcome,
    /// What the daemon has of networks.
    network: Value,
}

impl Side<'_> {
    /// Makes the container `it` of a kind; its id.
    fn prepare(&self, kind: &str) -> String {
        let script = match kind {
            "made" | "up" | "paused" => "exec sleep 1000",
            "listening" => "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done",
            "reading" => "cat; exit 4",
            "ended" | "brief" => "echo out; echo err >&2; echo more; exit 3",
            _ => panic!("there are no containers of the kind {kind:?}"),
        };
        let request = json!({
            "Image": "busybox", "Cmd": ["sh", "-c", script], "ExposedPorts": {"80/tcp": {}},
            "OpenStdin": kind == "reading", "StdinOnce": kind == "reading",
            "HostConfig": self.network,
        });
        let made = self.api.post("/containers/create?name=it", request).is(201).json();
        let id = made["Id"].as_str().unwrap().to_owned();
        if !matches!(kind, "made" | "brief") {
            self.api.post("/containers/it/start", Value::Null).is(204);
        }
        let logs = || self.api.get("/containers/it/logs?stdout=1&stderr=1").is(200).text();
        match kind {
            "ended" => {
                self.api.post("/containers/it/wait", Value::Null).is(200);
                // The end is told before the last output is written.
                eventually("all is in the log", || {
                    ["out", "err", "more"].iter().all(|word| logs().contains(word))
                });
            }
            "listening" => eventually("it listens", || logs().contains("ready")),
            "paused" => drop(self.api.post("/containers/it/pause", Value::Null).is(204)),
            _ => {}
        }
        id
    }

    /// What became of a container: its name, its state and how it is to be run.
    fn state(&self, id: &str) -> (Value, Value) {
        let reply = self.api.get(&format!("/containers/{id}/json"));
        if reply.status == 404 {
            return (Value::Null, Value::Null);
        }
        let it = reply.is(200).json();
        let state = &it["State"];
        (json!([it["Name"], state["Status"], state["ExitCode"]]), it["HostConfig"].clone())
    }

    /// What is done with a container of its own: what was said, and what became of it.
    fn done(&self, line: &str) -> (Said, (Value, Value)) {
        let (kind, command) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?}"));
        let id = self.prepare(kind);
        let words = words(&command.replace("{me}", self.me));
        let outcome = (self.run)(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let state = self.state(&id);
        let deleted = self.api.delete(&format!("/containers/{id}?force=1&v=1"));
        assert!([204, 404].contains(&deleted.status), "{line}: {}", deleted.text());
        // Where the line has made one.
        drop(self.api.delete(&format!("/images/made-{}?force=1", self.me)));
        let mut ids = vec![id];
        // What a commit has printed.
        ids.extend(outcome.stdout.trim().strip_prefix("sha256:").map(str::to_owned));
        (Said::of(self.me, &outcome, &ids), state)
    }
}

#[test]
fn every_command_on_a_container_does_what_the_stock_clients_does() {
    need!(docker);
    let host = host();
    let runs = [Client::Barge, Client::Docker].map(|client| {
        (client, {
            let host = &host;
            move |words: &[&str]| host.run(client, words)
        })
    });
    let port = json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18480"}]});
    let [ours, theirs] = runs.each_ref().map(|(client, run)| Side {
        api: host.api(),
        me: me(*client),
        run,
        network: json!({"PortBindings": port}),
    });
    let mut wrong = Vec::new();
    for line in lines(COMMANDS) {
        let line = line.trim_start_matches("! ");
        let (ours, theirs) = (ours.done(line), theirs.done(line));
        if ours != theirs {
            wrong.push(format!("=== {line}\nbarge: {ours:?}\ndocker: {theirs:?}"));
        }
    }
    assert!(lines(COMMANDS).count() > 120);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_command_does_to_a_container_what_it_does_at_dockerd() {
    need!(docker, dockerd);
    let host = host();
    let dockerd = Dockerd::start(&host);
    let archive = host.file("busybox.tar", busybox_tar());
    dockerd.run(&["import", &archive, "busybox:latest"]).ok();
    let at_theirs = |words: &[&str]| {
        Process::start(dockerd.client().current_dir(host.scratch()).args(words)).wait()
    };
    // The same client; one of today says what 20.10 does not know.
    let at_ours = |words: &[&str]| {
        let mut line = command(dockerd.client().get_program());
        line.env("HOME", host.scratch()).current_dir(host.scratch());
        line.arg("-H").arg(format!("unix://{}", host.socket().display()));
        Process::start(line.args(words)).wait()
    };
    let network = json!({"NetworkMode": "none"});
    let ours = Side { api: host.api(), me: "me-one", run: &at_ours, network: network.clone() };
    let theirs = Side { api: dockerd.api(), me: "me-two", run: &at_theirs, network };
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for line in lines(COMMANDS).filter(|line| !line.starts_with("! ")) {
        // A container of dockerd's takes its time: one line of each command tells enough.
        let command = line.split(' ').skip(1).find(|word| !["container", "system"].contains(word));
        if !seen.insert(command) {
            continue;
        }
        let ((our_words, (our_state, _)), (their_words, (their_state, _))) =
            (ours.done(line), theirs.done(line));
        // Errors are worded otherwise since.
        let is_same = our_words.code == their_words.code
            && (our_words.code != 0 || our_words.stdout == their_words.stdout);
        if !is_same || our_state != their_state {
            wrong.push(format!("=== {line}\nbarged: {our_words:?} {our_state}\ndockerd: {their_words:?} {their_state}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
