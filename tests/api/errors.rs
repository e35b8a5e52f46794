//! What is wrong with a request is said as Docker says it: a status and `{"message": …}`, never a hang.

use barge_testkit::Sharing;
use serde_json::{Value, json};

static HOST: Sharing = Sharing::new();

#[test]
fn what_does_not_exist_is_not_found() {
    let host = HOST.host();
    let api = host.api();
    assert_eq!(api.get("/no/such/endpoint").error(404), "page not found");
    assert_eq!(api.get("/v1.44/no/such/endpoint").error(404), "page not found");
    for path in ["json", "logs?stdout=1", "top"] {
        let said = api.get(&format!("/containers/nobody/{path}")).error(404);
        assert_eq!(said, "No such container: nobody", "{path}");
    }
    for path in ["start", "stop", "kill", "restart", "pause", "unpause", "wait", "resize?h=1&w=1"] {
        let said = api.post(&format!("/containers/nobody/{path}"), Value::Null).error(404);
        assert_eq!(said, "No such container: nobody", "{path}");
    }
    assert_eq!(api.delete("/containers/nobody").error(404), "No such container: nobody");
    assert_eq!(api.get("/exec/nothing/json").error(404), "No such exec instance: nothing");
    assert_eq!(api.get("/images/nothing/json").error(404), "No such image: nothing:latest");
    assert_eq!(api.get("/volumes/nothing").error(404), "get nothing: no such volume");
    assert_eq!(api.get("/networks/nothing").error(404), "network nothing not found");
    let missing = api.post("/containers/create", json!({"Image": "nothing"}));
    assert_eq!(missing.error(404), "No such image: nothing:latest");
}

#[test]
fn every_endpoint_of_docker_answers_if_only_that_it_is_not_there() {
    let host = HOST.host();
    let paths = [
        ("POST", "/auth"),
        ("POST", "/build"),
        ("POST", "/commit?container=nobody"),
        ("GET", "/configs"),
        ("GET", "/containers/nobody/stats?stream=0"),
        ("GET", "/containers/nobody/export"),
        ("GET", "/containers/nobody/archive?path=/"),
        ("POST", "/containers/nobody/update"),
        ("GET", "/distribution/x/json"),
        ("GET", "/images/search?term=x"),
        ("POST", "/images/x/push"),
        ("POST", "/networks/create"),
        ("GET", "/nodes"),
        ("GET", "/plugins"),
        ("GET", "/secrets"),
        ("GET", "/services"),
        ("POST", "/session"),
        ("GET", "/swarm"),
        ("POST", "/swarm/init"),
        ("GET", "/tasks"),
        ("GET", "/system/df"),
        ("PATCH", "/_ping"),
    ];
    for (method, path) in paths {
        let reply = host.api().send(method, path, None);
        assert!(
            matches!(reply.status, 200 | 400 | 404 | 405 | 500 | 501 | 503),
            "{method} {path}: {}",
            reply.status
        );
        if reply.status != 200 {
            assert!(
                reply.json()["message"].as_str().is_some_and(|text| !text.is_empty()),
                "{path}"
            );
        }
    }
}

#[test]
fn a_body_that_makes_no_sense_is_refused() {
    let host = HOST.host();
    let api = host.api();
    let create =
        |kind: &str, body: &[u8]| api.send("POST", "/containers/create", Some((kind, body)));
    for body in [
        "",
        "{",
        "[]",
        "\"text\"",
        "{\"Image\": 7}",
        "{\"HostConfig\": {\"Memory\": \"much\"}}",
        "{} {}",
        "\u{0}",
    ] {
        let said = create("application/json", body.as_bytes()).error(400);
        assert!(!said.is_empty(), "{body}");
    }
    let said = create("text/plain", b"{}").error(400);
    assert!(said.contains("text/plain"), "{said}");
    assert_eq!(
        create("application/json", b"{}").error(400),
        "config cannot be empty in order to create a container"
    );
    let endless = "[".repeat(100_000);
    assert!(!create("application/json", endless.as_bytes()).error(400).is_empty());
}

#[test]
fn parameters_that_make_no_sense_are_refused() {
    let host = HOST.host();
    let api = host.api();
    for path in [
        "/containers/json?limit=many",
        "/containers/json?filters=nonsense",
        "/containers/json?filters=%7B%22no-such-filter%22%3A%5B%22x%22%5D%7D",
        "/containers/json?filters=%7B%22status%22%3A%5B%22dancing%22%5D%7D",
        "/events?since=yesterday",
        "/images/json?filters=%7B",
    ] {
        assert!(!api.get(path).error(400).is_empty(), "{path}");
    }
    let made = api.post("/containers/create?name=-bad", json!({"Image": "busybox"})).error(400);
    assert_eq!(made, "Invalid container name (-bad), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
}

#[test]
fn a_filter_that_cannot_be_read_is_no_missing_filter() {
    let host = HOST.host();
    let api = host.api();
    let name = host.unique("kept");
    let kept = json!({"Image": "busybox", "Cmd": ["true"]});
    api.post(&format!("/containers/create?name={name}"), kept).is(201);
    for (escape, said) in [("%zz", "%zz"), ("%", "%"), ("%7B%2", "%2")] {
        let answer = api.post(&format!("/containers/prune?filters={escape}"), Value::Null);
        assert_eq!(answer.error(400), format!("invalid URL escape \"{said}\""));
    }
    // {"label":["\xff"]}: what is no text is a label that nobody has.
    let filter = "%7B%22label%22%3A%5B%22%ff%22%5D%7D";
    api.post(&format!("/containers/prune?filters={filter}"), Value::Null).is(200);
    assert_eq!(host.status(&name), "created");
    let made = api.post("/containers/create?name=%ff%fe", json!({"Image": "busybox"})).error(400);
    assert!(made.starts_with("Invalid container name (\u{fffd}\u{fffd})"), "{made}");
    host.barge(&["rm", &name]).ok();
}

#[test]
fn what_is_no_http_ends_the_connection() {
    let host = HOST.host();
    for bytes in [&b"nonsense\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n"]
    {
        let mut connection = host.api().connect();
        connection.write(bytes);
        let answer = String::from_utf8_lossy(&connection.rest()).into_owned();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400") || answer.contains(" 505 "),
            "{answer}"
        );
    }
    assert_eq!(host.api().get("/_ping").status, 200);
}

#[test]
fn a_state_that_does_not_fit_is_a_conflict() {
    let host = HOST.host();
    let api = host.api();
    let name = host.unique("state");
    let made = api.post(
        &format!("/containers/create?name={name}"),
        json!({"Image": "busybox", "Cmd": ["sleep", "1000"]}),
    );
    let id = made.is(201).json()["Id"].as_str().unwrap().to_owned();
    let post = |verb: &str| api.post(&format!("/containers/{name}/{verb}"), Value::Null);
    post("stop").is(304);
    assert!(post("kill").error(409).contains("is not running"));
    assert!(post("pause").error(409).contains("is not running"));
    assert!(post("unpause").error(409).contains("is not paused"));
    let exec = api.post(&format!("/containers/{name}/exec"), json!({"Cmd": ["true"]})).error(409);
    assert_eq!(exec, format!("container {id} is not running"));
    post("start").is(204);
    post("start").is(304);
    assert_eq!(
        api.delete(&format!("/containers/{name}")).error(409),
        format!(
            "cannot remove container \"/{name}\": container is running: stop the container before removing or force remove"
        )
    );
    post("pause").is(204);
    assert!(post("pause").error(409).contains("is already paused"));
    let paused = api.post(&format!("/containers/{name}/exec"), json!({"Cmd": ["true"]})).error(409);
    assert!(paused.contains("is paused, unpause the container before exec"), "{paused}");
    post("unpause").is(204);
    let no_command = api.post(&format!("/containers/{name}/exec"), json!({"Cmd": []})).error(400);
    assert_eq!(no_command, "No exec command specified");
    assert_eq!(post("kill?signal=NONSENSE").error(400), "Invalid signal: NONSENSE");
    api.delete(&format!("/containers/{name}?force=1")).is(204);
}
