//! Containers through the API: what is made, shown, listed and waited for.

use barge_testkit::{SharedHost, Sharing};
use serde_json::{Value, json};

static HOST: Sharing = Sharing::new();

fn create(host: &SharedHost, name: &str, body: Value) -> String {
    let made =
        host.api().post(&format!("/v1.44/containers/create?name={name}"), body).is(201).json();
    assert_eq!(made["Warnings"], json!([]));
    made["Id"].as_str().unwrap().to_owned()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn what_was_asked_for_is_what_inspect_shows() {
    let host = HOST.host();
    let name = host.unique("asked");
    let id = create(
        &host,
        &name,
        json!({
            "Image": "busybox", "Cmd": ["sh", "-c", "true"], "Env": ["A=b"], "Labels": {"x": "y"}, "WorkingDir": "/tmp",
            "Hostname": "box", "Tty": false, "OpenStdin": true, "StdinOnce": true,
            "ExposedPorts": {"80/tcp": {}},
            "HostConfig": {
                "Memory": 67_108_864, "NanoCpus": 500_000_000_i64, "Binds": ["/tmp:/mnt:ro"],
                "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}]},
                "RestartPolicy": {"Name": "unless-stopped"}, "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}],
                "AutoRemove": false, "CapAdd": ["NET_ADMIN"], "Dns": ["10.0.0.1"], "Tmpfs": {"/work": "size=1m"},
            },
        }),
    );
    let it = host.inspect(&name);
    assert_eq!((&it["Id"], &it["Name"]), (&id.as_str().into(), &format!("/{name}").into()));
    assert_eq!(it["Config"]["Hostname"], "box");
    assert_eq!(it["Config"]["Env"], json!(["A=b", "PATH=/usr/local/bin:/bin"]));
    assert_eq!(it["Config"]["Image"], "busybox");
    assert!(it["Image"].as_str().unwrap().starts_with("sha256:"));
    let host_config = &it["HostConfig"];
    assert_eq!(host_config["Memory"], 67_108_864);
    assert_eq!(host_config["MemorySwap"], 134_217_728);
    assert_eq!(host_config["NanoCpus"], 500_000_000);
    assert_eq!(host_config["Binds"], json!(["/tmp:/mnt:ro"]));
    assert_eq!(host_config["Ulimits"], json!([{"Name": "nofile", "Soft": 10, "Hard": 20}]));
    assert_eq!(host_config["NetworkMode"], "bridge");
    let mount =
        it["Mounts"].as_array().unwrap().iter().find(|mount| mount["Type"] == "bind").unwrap();
    assert_eq!(
        (&mount["Source"], &mount["Destination"], &mount["RW"]),
        (&"/tmp".into(), &"/mnt".into(), &false.into())
    );
    assert_eq!(it["State"]["Status"], "created");
    assert_eq!(it["State"]["StartedAt"], "0001-01-01T00:00:00Z");
    host.api().delete(&format!("/containers/{name}")).is(204);
}

#[test]
fn the_list_is_filtered_and_limited() {
    let host = HOST.host();
    let label = host.unique("label");
    let names: Vec<String> = (0..3).map(|_| host.unique("listed")).collect();
    for name in &names {
        create(&host, name, json!({"Image": "busybox", "Labels": {"mine": label}}));
    }
    host.api().post(&format!("/containers/{}/start", names[1]), Value::Null).is(204);
    let list = |query: &str, filters: Value| {
        let filters = encoded(&filters.to_string());
        let reply =
            host.api().get(&format!("/containers/json?{query}&filters={filters}")).is(200).json();
        let mut found: Vec<String> = Vec::new();
        for container in reply.as_array().unwrap() {
            found.push(container["Names"][0].as_str().unwrap()[1..].to_owned());
        }
        found.sort();
        found
    };
    let mine = format!("mine={label}");
    assert_eq!(list("all=1", json!({"label": [mine]})), names);
    assert_eq!(
        list("all=1", json!({"label": {mine.clone(): true}, "status": ["created"]})),
        [names[0].clone(), names[2].clone()]
    );
    assert_eq!(list("limit=1", json!({"label": [mine]})), [names[2].clone()], "the last one made");
    assert_eq!(list("all=1", json!({"name": [names[0]]})), [names[0].clone()]);
    assert_eq!(list("all=1", json!({"before": [names[1]], "label": [mine]})), [names[0].clone()]);
    assert_eq!(list("all=1", json!({"ancestor": ["nothing"]})), [""; 0]);
    for name in &names {
        host.api().delete(&format!("/containers/{name}?force=1")).is(204);
    }
}

#[test]
fn a_beginning_of_an_id_is_enough_unless_there_are_two() {
    let host = HOST.host();
    let name = host.unique("short");
    let id = create(&host, &name, json!({"Image": "busybox"}));
    assert_eq!(host.inspect(&id[..12])["Id"], id.as_str());
    // More containers than there are digits: two of them begin alike.
    let others: Vec<String> = (0..17)
        .map(|_| create(&host, &host.unique("other"), json!({"Image": "busybox"})))
        .collect();
    let ambiguous = (0..16)
        .map(|digit| format!("{digit:x}"))
        .find(|digit| others.iter().filter(|id| id.starts_with(digit.as_str())).count() > 1);
    let said = host.api().get(&format!("/containers/{}/json", ambiguous.unwrap())).error(400);
    assert!(said.starts_with("multiple IDs found with provided prefix: "), "{said}");
    for id in others.iter().chain([&id]) {
        host.api().delete(&format!("/containers/{id}")).is(204);
    }
}

#[test]
fn wait_tells_that_it_waits_before_it_knows() {
    let host = HOST.host();
    let api = host.api();
    let name = host.unique("waited");
    create(
        &host,
        &name,
        json!({"Image": "busybox", "Cmd": ["sh", "-c", "read x; exit 5"], "OpenStdin": true, "HostConfig": {"AutoRemove": true}}),
    );
    let wait = |condition: &str| {
        let mut connection = api.connect();
        let head = format!(
            "POST /containers/{name}/wait?condition={condition} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        );
        connection.write(head.as_bytes());
        assert_eq!(connection.head().0, 200, "{condition}");
        connection
    };
    let (mut next, mut removed) = (wait("next-exit"), wait("removed"));
    assert_eq!(
        String::from_utf8(wait("not-running").chunk().unwrap()).unwrap().trim(),
        "{\"StatusCode\":0}"
    );
    api.post(&format!("/containers/{name}/start"), Value::Null).is(204);
    let mut stopped = wait("not-running");
    let mut stdin =
        api.hijack(&format!("/containers/{name}/attach?stream=1&stdin=1"), &Value::Null);
    stdin.write(b"\n");
    for connection in [&mut next, &mut removed, &mut stopped] {
        let answer: Value = serde_json::from_slice(&connection.chunk().unwrap()).unwrap();
        assert_eq!(answer["StatusCode"], 5);
    }
    assert!(api.get(&format!("/containers/{name}/json")).error(404).contains(&name));
    let bad = api.post("/containers/nobody/wait?condition=tomorrow", Value::Null);
    assert!(matches!(bad.status, 400 | 404));
}

#[test]
fn top_shows_what_runs() {
    let host = HOST.host();
    let name = host.unique("top");
    create(&host, &name, json!({"Image": "busybox", "Cmd": ["sleep", "1000"]}));
    host.api().post(&format!("/containers/{name}/start"), Value::Null).is(204);
    let top = host.api().get(&format!("/containers/{name}/top")).is(200).json();
    let column = top["Titles"].as_array().unwrap().iter().position(|title| title == "CMD").unwrap();
    assert_eq!(top["Processes"].as_array().unwrap().len(), 1);
    assert_eq!(top["Processes"][0][column], "sleep 1000");
    host.api().delete(&format!("/containers/{name}?force=1")).is(204);
}

#[test]
fn a_restart_is_another_process_of_the_same_container() {
    let host = HOST.host();
    let name = host.unique("restart");
    create(
        &host,
        &name,
        json!({"Image": "busybox", "Cmd": ["sleep", "1000"], "StopSignal": "SIGKILL"}),
    );
    host.api().post(&format!("/containers/{name}/start"), Value::Null).is(204);
    let (pid, id) = (host.pid(&name), host.id(&name));
    host.api().post(&format!("/containers/{name}/restart?t=1"), Value::Null).is(204);
    assert_ne!(host.pid(&name), pid);
    assert_eq!(host.id(&name), id);
    host.api().delete(&format!("/containers/{name}?force=1")).is(204);
}

#[test]
fn a_start_that_fails_leaves_a_created_container_that_says_why() {
    let host = HOST.host();
    let name = host.unique("fails");
    create(&host, &name, json!({"Image": "busybox", "Cmd": ["no-such-program"]}));
    let said = host.api().post(&format!("/containers/{name}/start"), Value::Null).error(400);
    assert!(
        said.contains("exec: \"no-such-program\": executable file not found in $PATH"),
        "{said}"
    );
    let state = host.inspect(&name)["State"].clone();
    assert_eq!((&state["Status"], &state["ExitCode"]), (&"created".into(), &127.into()));
    assert!(state["Error"].as_str().unwrap().contains("no-such-program"), "{state}");
    host.api().delete(&format!("/containers/{name}")).is(204);
}

#[test]
fn networks_that_are_not_the_containers_are_refused_and_not_forgotten() {
    let host = HOST.host();
    let api = host.api();
    let create = |mode: &str, endpoints: Value| {
        let body = json!({"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": mode},
                          "NetworkingConfig": {"EndpointsConfig": endpoints}});
        api.post("/containers/create", body)
    };
    for mode in ["", "default", "bridge", "none", "host"] {
        let said = create(mode, json!({"other": {}})).error(400);
        assert_eq!(said, "network other not found", "{mode}");
    }
    assert_eq!(
        create("bridge", json!({"bridge": {}, "no": {}})).error(400),
        "network no not found"
    );
    for (mode, network) in
        [("", "bridge"), ("default", "default"), ("default", "bridge"), ("none", "none")]
    {
        let made = create(mode, json!({network: {}})).is(201).json();
        api.delete(&format!("/containers/{}", made["Id"].as_str().unwrap())).is(204);
    }
}

#[test]
fn a_container_whose_network_is_disabled_has_none() {
    let host = HOST.host();
    let name = host.unique("apart");
    let body =
        json!({"Image": "busybox", "Cmd": ["ls", "/sys/class/net"], "NetworkDisabled": true});
    host.api().post(&format!("/containers/create?name={name}"), body).is(201);
    assert_eq!(host.barge(&["start", "-a", &name]).text(), "lo");
    assert_eq!(host.inspect(&name)["HostConfig"]["NetworkMode"], "none");
    host.barge(&["rm", &name]).ok();
}

#[test]
fn thousands_of_variables_are_there() {
    let host = HOST.host();
    let name = host.unique("variables");
    let variables = |prefix: &str| {
        let names = (0..20_000).map(|number| format!("{prefix}{number}=x"));
        names.collect::<Vec<String>>()
    };
    let body = json!({"Image": "busybox", "Cmd": ["sleep", "1000"], "Env": variables("OWN")});
    host.api().post(&format!("/containers/create?name={name}"), body).is(201);
    host.api().post(&format!("/containers/{name}/start"), Value::Null).is(204);
    let count = json!({"Cmd": ["sh", "-c", "env | grep -c =x"], "Env": variables("MORE"),
                       "AttachStdout": true});
    let exec = host.api().post(&format!("/containers/{name}/exec"), count).is(201).json();
    let path = format!("/exec/{}/start", exec["Id"].as_str().unwrap());
    let (_, output) = host.api().hijack(&path, &json!({})).frame();
    assert_eq!(String::from_utf8_lossy(&output).trim(), "40000");
    host.barge(&["rm", "-f", &name]).ok();
}
