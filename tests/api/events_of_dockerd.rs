//! What happens is told in the words, with the attributes and in the order of dockerd, event for event.

use std::time::{SystemTime, UNIX_EPOCH};

use barge_testkit::api::Api;
use barge_testkit::{Client, Dockerd, Outcome, TestHost, busybox_tar, need};
use serde_json::Value;

/// Runs the stock client with these words.
type Run<'a> = &'a dyn Fn(&[&str]) -> Outcome;

fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
}

/// An event as a line, without what differs from run to run.
fn line(event: &Value) -> String {
    let actor = &event["Actor"];
    let mut attributes: Vec<String> = actor["Attributes"]
        .as_object()
        .unwrap()
        .iter()
        // Docker of today tells it too.
        .filter(|(key, _)| *key != "execDuration")
        .map(|(key, value)| {
            let value = value.as_str().unwrap();
            let value = if key == "reclaimed" { "…" } else { value };
            format!("{key}={}", without_id(value))
        })
        .collect();
    attributes.sort();
    let text = |key: &str| without_id(event[key].as_str().unwrap_or_default());
    format!(
        "{} {} {} [{}] status={} id={} from={} scope={}",
        text("Type"),
        text("Action"),
        without_id(actor["ID"].as_str().unwrap()),
        attributes.join(", "),
        text("status"),
        text("id"),
        text("from"),
        text("scope")
    )
}

fn without_id(text: &str) -> &str {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let is_id = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { "<id>" } else { text }
}

/// What was told since then, each kind of object by itself: between them the order is nobody's promise.
fn told(api: &Api, since: &str) -> Vec<String> {
    let path = format!("/v1.41/events?since={since}&until={}", now());
    let text = api.get(&path).is(200).text();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut lines: Vec<String> = events.iter().map(line).collect();
    lines.sort_by_key(|line| line.split(' ').next().unwrap_or_default().to_owned());
    lines
}

/// Everything that both have.
fn live(run: Run<'_>, api: &Api, folder: &str) {
    let archive = format!("{folder}/saved.tar");
    run(&["tag", "busybox", "other:1"]).ok();
    run(&["save", "-o", &archive, "other:1"]).ok();
    run(&["load", "-i", &archive]).ok();
    run(&["rmi", "other:1"]).ok();
    let create =
        ["create", "--name", "c1", "--network", "none", "-l", "a=b", "-v", "vol:/data", "-it"];
    run(&[&create[..], &["busybox", "sh"]].concat()).ok();
    run(&["start", "c1"]).ok();
    run(&["exec", "c1", "ls", "/"]).ok();
    assert_ne!(run(&["exec", "c1", "nosuch"]).code, 0);
    run(&["pause", "c1"]).ok();
    run(&["unpause", "c1"]).ok();
    run(&["rename", "c1", "c2"]).ok();
    run(&["update", "--cpu-shares", "512", "c2"]).ok();
    api.post("/v1.41/containers/c2/resize?h=20&w=30", Value::Null).is(200);
    run(&["top", "c2"]).ok();
    run(&["export", "-o", &format!("{folder}/exported.tar"), "c2"]).ok();
    run(&["commit", "c2", "made:1"]).ok();
    run(&["kill", "-s", "WINCH", "c2"]).ok();
    run(&["stop", "-t", "0", "c2"]).ok();
    run(&["start", "c2"]).ok();
    run(&["restart", "-t", "0", "c2"]).ok();
    run(&["rm", "-f", "c2"]).ok();
    run(&["run", "--rm", "--name", "c3", "--network", "none", "-v", "/anon", "busybox", "true"])
        .ok();
    run(&["run", "--name", "c4", "--network", "host", "busybox", "sh", "-c", "exit 3"]).fails(3);
    run(&["run", "-d", "--name", "c5", "--network", "none", "busybox", "/nosuch"]).fails(127);
    run(&["rm", "c5"]).ok();
    run(&["container", "prune", "-f"]).ok();
    run(&["volume", "rm", "vol"]).ok();
    run(&["volume", "create", "vol"]).ok();
    run(&["volume", "rm", "vol"]).ok();
    for kind in ["volume", "network", "image", "builder"] {
        run(&[kind, "prune", "-f"]).ok();
    }
    // One after the other: which of several goes first is a matter of luck.
    run(&["rmi", "made:1"]).ok();
    run(&["image", "prune", "-af"]).ok();
}

#[test]
fn a_long_life_is_told_as_dockerd_tells_it() {
    need!(docker, dockerd);
    let host = TestHost::new();
    let dockerd = Dockerd::start(&host);
    let archive = host.file("busybox.tar", busybox_tar());
    let folder = host.scratch().display().to_string();
    let record = |run: Run<'_>, api: &Api| {
        let since = now();
        run(&["import", &archive, "busybox:latest"]).ok();
        live(run, api, &folder);
        told(api, &since)
    };
    let theirs = record(&|words| dockerd.run(words), &dockerd.api());
    let ours = record(&|words| host.run(Client::Docker, words), &host.api());
    assert!(theirs.len() > 60, "{theirs:#?}");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
}
