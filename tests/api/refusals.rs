//! What does not go is refused with dockerd's status and words.

use barge_testkit::api::{Api, Reply};
use barge_testkit::{Dockerd, TestHost, busybox_tar, eventually, need};
use serde_json::{Value, json};

const STATES: [&str; 4] = ["created", "exited", "paused", "restarting"];

/// Method, path behind the container, body.
fn requests() -> Vec<(&'static str, &'static str, Value)> {
    let exec = json!({"Cmd": ["true"]});
    vec![
        ("POST", "pause", Value::Null),
        ("POST", "exec", exec),
        ("POST", "exec", json!({"Cmd": []})),
        ("POST", "resize?h=20&w=30", Value::Null),
        ("POST", "resize?h=x&w=30", Value::Null),
        ("POST", "kill?signal=NONE", Value::Null),
        ("POST", "rename?name=", Value::Null),
        ("POST", "rename", Value::Null),
        ("POST", "rename?name=a/b", Value::Null),
        ("POST", "rename?name=refused-created", Value::Null),
        ("POST", "attach?stream=1&detachKeys=zz", Value::Null),
        ("GET", "top", Value::Null),
    ]
}

/// Makes a container of each state, for as long as it stays so.
fn make(api: &Api, state: &str) -> String {
    let name = format!("refused-{state}");
    let policy = if state == "restarting" { "always" } else { "no" };
    let body = json!({
        "Image": "busybox", "Cmd": if state == "paused" { ["sleep", "1000"] } else { ["sh", "-c"] },
        "HostConfig": {"NetworkMode": "none", "RestartPolicy": {"Name": policy}},
    });
    let made = api.post(&format!("/containers/create?name={name}"), body).is(201).json();
    let id = made["Id"].as_str().unwrap().to_owned();
    if state != "created" {
        api.post(&format!("/containers/{id}/start"), Value::Null).is(204);
    }
    if state == "paused" {
        api.post(&format!("/containers/{id}/pause"), Value::Null).is(204);
    }
    // The back-off gets long enough to ask.
    eventually("it is in its state", || {
        let found = api.get(&format!("/containers/{id}/json")).is(200).json();
        found["State"]["Status"] == state
            && (state != "restarting" || found["RestartCount"].as_i64().unwrap() >= 5)
    });
    id
}

/// Asks until the container was in this state before and after.
fn in_state(api: &Api, (id, state): (&str, &str), ask: impl Fn() -> Reply) -> Reply {
    let look = || {
        let found = api.get(&format!("/containers/{id}/json")).is(200).json();
        (found["State"]["Status"] == state).then(|| found["State"]["FinishedAt"].to_string())
    };
    let mut answered = None;
    eventually("it stays in its state for one question", || {
        let before = look();
        answered = before.is_some().then(&ask);
        let is_right = before.is_some() && look() == before;
        if !is_right && state == "restarting" {
            // It had just been started, and may have been paused.
            drop(api.post(&format!("/containers/{id}/unpause"), Value::Null));
        }
        is_right
    });
    answered.unwrap()
}

fn answers(api: &Api) -> Vec<String> {
    let (mut all, mut ids) = (Vec::new(), Vec::new());
    for state in STATES {
        let id = make(api, state);
        ids.push(id.clone());
        for (method, path, body) in requests() {
            // What goes would change the state.
            // dockerd resizes what is restarting in vain: there is "no such container".
            if state == "restarting" && path.starts_with("resize?h=2") {
                continue;
            }
            if state == "paused" && (path == "top" || path.starts_with("resize?h=2")) {
                continue;
            }
            let reply = in_state(api, (&id, state), || {
                let body = body.to_string();
                let content = (body != "null").then_some(("application/json", body.as_bytes()));
                api.send(method, &format!("/v1.41/containers/{id}/{path}"), content)
            });
            // dockerd answers an attach with text.
            let message = serde_json::from_slice::<Value>(&reply.body).map_or_else(
                |_| reply.text(),
                |body| body["message"].as_str().unwrap_or_default().to_owned(),
            );
            let message = message.trim_end().to_owned();
            let message = ids.iter().fold(message, |text, id| text.replace(id, "<id>"));
            let mut letters = message.chars();
            // Docker of today begins in lower case.
            let first = letters.next().map(|letter| letter.to_ascii_lowercase());
            let message: String = first.into_iter().chain(letters).collect();
            all.push(format!("{state} {path}: {} {message}", reply.status));
        }
    }
    for state in STATES {
        api.delete(&format!("/v1.41/containers/refused-{state}?force=1")).is(204);
    }
    all
}

/// In another form, with a reason.
fn differs(line: &str) -> bool {
    // Which number is wrong.
    line.contains("resize?h=x")
}

#[test]
fn verbs_in_the_wrong_state_are_refused_in_dockerds_words() {
    need!(docker, dockerd);
    let host = TestHost::new();
    host.busybox();
    let dockerd = Dockerd::start(&host);
    dockerd.run(&["import", &host.file("busybox.tar", busybox_tar()), "busybox:latest"]).ok();
    let theirs = answers(&dockerd.api());
    let ours = answers(&host.api());
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        if differs(ours) {
            let status =
                |line: &str| line.split(' ').take(3).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(status(ours), status(theirs));
        } else {
            assert_eq!(ours, theirs);
        }
    }
}

#[test]
fn who_kills_or_stops_what_waits_for_its_restart_ends_that() {
    let host = TestHost::new();
    host.busybox();
    let api = host.api();
    for verb in ["kill", "stop"] {
        let id = make(&api, "restarting");
        api.post(&format!("/containers/{id}/{verb}"), Value::Null).is(204);
        assert_eq!(host.status(&id), "exited");
        api.delete(&format!("/containers/{id}")).is(204);
    }
}

#[test]
fn who_kills_what_its_policy_is_just_starting_ends_that() {
    let host = TestHost::new();
    host.busybox();
    let api = host.api();
    let body = json!({
        "Image": "busybox", "Cmd": ["true"],
        "HostConfig": {"NetworkMode": "none", "RestartPolicy": {"Name": "always"}},
    });
    // Each at another moment of its first restart, 100 ms after its end.
    for round in 0..10 {
        let made = api.post("/containers/create", body.clone()).is(201).json();
        let id = made["Id"].as_str().unwrap();
        api.post(&format!("/containers/{id}/start"), Value::Null).is(204);
        let ended = || host.status(id) == "restarting";
        eventually("it has ended once", ended);
        for _ in 0..round * 4 {
            ended();
        }
        api.post(&format!("/containers/{id}/kill"), Value::Null).is(204);
        assert_eq!(host.status(id), "exited");
        api.delete(&format!("/containers/{id}")).is(204);
    }
}

#[test]
fn an_exec_of_a_paused_container_can_be_started_later() {
    let host = TestHost::new();
    host.busybox();
    let api = host.api();
    host.barge(&["run", "-d", "--name", "still", "busybox", "sleep", "1000"]).ok();
    let body = json!({"Cmd": ["sh", "-c", "exit 5"], "DetachKeys": "ctrl-a,b"});
    let made = api.post("/containers/still/exec", body).is(201).json();
    let exec = made["Id"].as_str().unwrap();
    let start = || api.post(&format!("/exec/{exec}/start"), json!({"Detach": true}));
    let inspect = || api.get(&format!("/exec/{exec}/json")).is(200).json();
    assert_eq!(inspect()["DetachKeys"], "AWI=");
    host.barge(&["pause", "still"]).ok();
    assert!(start().error(409).ends_with("is paused, unpause the container before exec"));
    assert_eq!(inspect()["ExitCode"], Value::Null);
    host.barge(&["unpause", "still"]).ok();
    start().is(200);
    eventually("it has ended", || inspect()["ExitCode"] == 5);
    assert_ne!(inspect()["Pid"], 0);
    assert_eq!(start().error(409), format!("Error: Exec command {exec} has already run"));
}
