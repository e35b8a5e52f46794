//! Health checks beside those of dockerd: the same containers, the same answers and the same events.

use std::time::{SystemTime, UNIX_EPOCH};

use barge_testkit::api::Api;
use barge_testkit::{Dockerd, TestHost, busybox_tar, eventually, need};
use serde_json::{Value, json};

fn shell(command: &str) -> Value {
    json!({"Test": ["CMD-SHELL", command], "Interval": 200_000_000, "Retries": 1})
}

fn with(mut check: Value, field: &str, value: Value) -> Value {
    check[field] = value;
    check
}

/// What is run, and the status that it comes to.
fn cases() -> Vec<(Value, &'static str)> {
    let hour = 3_600_000_000_000_i64;
    let who = shell("id -u; pwd; echo $WORD");
    let more = json!({"User": "7", "WorkingDir": "/tmp", "Env": ["WORD=word"]});
    let mut all = vec![
        (json!({"Healthcheck": shell("echo fine")}), "healthy"),
        (
            json!({"Healthcheck": with(shell("echo ill >&2; exit 3"), "Retries", json!(2))}),
            "unhealthy",
        ),
        (
            json!({"Healthcheck": with(shell("sleep 100"), "Timeout", json!(300_000_000))}),
            "unhealthy",
        ),
        (json!({"Healthcheck": with(shell("false"), "StartPeriod", json!(hour))}), "starting"),
        (json!({"Healthcheck": shell("yes 0123456 | head -c 4096")}), "healthy"),
        (json!({"Healthcheck": shell("yes 0123456 | head -c 4097")}), "healthy"),
        (
            json!({"Healthcheck": with(shell(""), "Test", json!(["CMD", "echo", "a  b", "$PATH"]))}),
            "healthy",
        ),
        (json!({"Healthcheck": with(shell(""), "Test", json!(["CMD", "nosuch"]))}), "unhealthy"),
    ];
    let mut own = json!({"Healthcheck": who});
    own.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all.push((own, "healthy"));
    all
}

fn health(api: &Api, name: &str) -> Value {
    api.get(&format!("/v1.41/containers/{name}/json")).is(200).json()["State"]["Health"].clone()
}

/// Runs each of them and says what is seen of it.
fn seen(api: &Api) -> Vec<Value> {
    let number = |(number, (case, status)): (usize, (Value, &str))| {
        let name = format!("case{number}");
        let mut body = json!({"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}});
        body.as_object_mut().unwrap().extend(case.as_object().unwrap().clone());
        api.post(&format!("/v1.41/containers/create?name={name}"), body).is(201);
        let new = health(api, &name);
        api.post(&format!("/v1.41/containers/{name}/start"), Value::Null).is(204);
        eventually(status, || {
            let health = health(api, &name);
            health["Status"] == status
                && health["Log"].as_array().is_some_and(|log| !log.is_empty())
        });
        let now = health(api, &name);
        let filters =
            format!("%7B%22name%22%3A%5B%22{name}%22%5D%2C%22health%22%3A%5B%22{status}%22%5D%7D");
        let list = api.get(&format!("/v1.41/containers/json?filters={filters}")).is(200).json();
        let listed = list[0]["Status"]
            .as_str()
            .unwrap()
            .split_once(" (")
            .map(|(_, health)| health.to_owned());
        api.post(&format!("/v1.41/containers/{name}/stop?t=0"), Value::Null).is(204);
        let stopped = health(api, &name);
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let first = &now["Log"][0];
        json!({
            "check": api.get(&format!("/v1.41/containers/{name}/json")).is(200).json()["Config"]["Healthcheck"],
            "new": new,
            "fields": [keys(&now), keys(first)],
            "first": [first["ExitCode"], without_class(first["Output"].as_str().unwrap())],
            "listed": listed,
            "stopped": stopped["Status"],
            "told": told(api, &name),
        })
    };
    cases().into_iter().enumerate().map(number).collect()
}

/// Docker's client of containerd adds the class of an error, which says nothing.
fn without_class(text: &str) -> &str {
    text.strip_suffix(": unknown").unwrap_or(text)
}

/// The events up to the first verdict, or to the end of the first probe.
fn told(api: &Api, name: &str) -> Vec<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let until = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
    let filters = format!("%7B%22container%22%3A%5B%22{name}%22%5D%7D");
    let text =
        api.get(&format!("/v1.41/events?since=1&until={until}&filters={filters}")).is(200).text();
    let line = |event: &Value| {
        let attributes = event["Actor"]["Attributes"].as_object().unwrap();
        let shown = attributes.iter().map(|(key, value)| match key.as_str() {
            "execID" => key.clone(),
            _ => format!("{key}={}", value.as_str().unwrap()),
        });
        format!("{} {:?}", event["Action"].as_str().unwrap(), shown.collect::<Vec<_>>())
    };
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let own: Vec<Value> = events.filter(|event| event["Type"] == "container").collect();
    let is_verdict = |event: &Value| event["Action"].as_str().unwrap().starts_with("health_status");
    let is_end = |event: &Value| event["Action"] == "exec_die";
    let end = own.iter().position(is_verdict).or_else(|| own.iter().position(is_end));
    let until_then = own[..=end.unwrap_or(own.len() - 1)].iter();
    // dockerd tells the end of a probe before or after the verdict.
    until_then.filter(|event| !is_end(event)).map(line).collect()
}

#[test]
fn containers_are_as_well_as_dockerd_says() {
    need!(docker, dockerd);
    let host = TestHost::new();
    let dockerd = Dockerd::start(&host);
    let archive = host.file("busybox.tar", busybox_tar());
    dockerd.run(&["import", &archive, "busybox:latest"]).ok();
    host.busybox();
    let (theirs, ours) = (seen(&dockerd.api()), seen(&host.api()));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
}

#[test]
fn what_dockerd_refuses_is_refused_in_its_words() {
    need!(docker, dockerd);
    let host = TestHost::new();
    let dockerd = Dockerd::start(&host);
    let refusal = |api: &Api, check: &Value| {
        let body = json!({"Image": "busybox", "Cmd": ["true"], "Healthcheck": check});
        api.post("/v1.41/containers/create", body).error(400)
    };
    host.busybox();
    for check in [
        json!({"Interval": 1}),
        json!({"Timeout": 999_999}),
        json!({"StartPeriod": -1}),
        json!({"Retries": -1}),
    ] {
        assert_eq!(refusal(&host.api(), &check), refusal(&dockerd.api(), &check));
    }
}
