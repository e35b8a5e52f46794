//! Filters of every listing and prune let through what docker.io's daemon lets through: both have the same objects and
//! are asked the same.

use std::collections::BTreeSet;

use barge_testkit::api::Api;
use barge_testkit::{Dockerd, TestHost, busybox_tar, need};
use serde_json::{Value, json};

/// The newest version of docker.io.
const VERSION: &str = "/v1.41";

/// Lists of containers, by the query behind `/containers/json?`; `ID` is the id of `one`.
const CONTAINERS: &[&str] = &[
    "",
    "all=1",
    "all=1&limit=2",
    "limit=1",
    "all=1&limit=0",
    "all=1&limit=-1",
    r#"all=1&filters={"name":["one"]}"#,
    r#"all=1&filters={"name":["^/one$"]}"#,
    r#"all=1&filters={"name":["^one$"]}"#,
    r#"all=1&filters={"name":["o"]}"#,
    r#"all=1&filters={"name":["o","w"]}"#,
    r#"all=1&filters={"name":["("]}"#,
    r#"all=1&filters={"id":["ID"]}"#,
    r#"all=1&filters={"id":["nothing"]}"#,
    r#"all=1&filters={"label":["l"]}"#,
    r#"all=1&filters={"label":["l=v"]}"#,
    r#"all=1&filters={"label":["l=w"]}"#,
    r#"all=1&filters={"label":["l","m"]}"#,
    r#"all=1&filters={"label":{"l":true,"m=n":true}}"#,
    r#"filters={"exited":["3"]}"#,
    r#"all=1&filters={"exited":["0"]}"#,
    r#"all=1&filters={"exited":["3","0"]}"#,
    r#"filters={"status":["created"]}"#,
    r#"filters={"status":["exited","running"]}"#,
    r#"filters={"status":["paused"]}"#,
    r#"filters={"status":["restarting","dead","removing"]}"#,
    r#"all=1&filters={"ancestor":["busybox"]}"#,
    r#"all=1&filters={"ancestor":["busybox:latest"]}"#,
    r#"all=1&filters={"ancestor":["made:1"]}"#,
    r#"all=1&filters={"ancestor":["nothing"]}"#,
    r#"all=1&filters={"before":["two"]}"#,
    r#"all=1&filters={"since":["two"]}"#,
    r#"filters={"before":["three"],"label":["l"]}"#,
    r#"all=1&filters={"volume":["vol"]}"#,
    r#"all=1&filters={"volume":["/data"]}"#,
    r#"all=1&filters={"volume":["/tmp"]}"#,
    r#"all=1&filters={"volume":["/host"]}"#,
    r#"all=1&filters={"network":["none"]}"#,
    r#"all=1&filters={"network":["host"]}"#,
    r#"all=1&filters={"network":["nothing"]}"#,
    r#"all=1&filters={"expose":["80"]}"#,
    r#"all=1&filters={"expose":["80/tcp"]}"#,
    r#"all=1&filters={"expose":["70-90"]}"#,
    r#"all=1&filters={"expose":["80/udp"]}"#,
    r#"all=1&filters={"expose":["53/udp"]}"#,
    r#"all=1&filters={"publish":["80"]}"#,
    r#"all=1&filters={"publish":["8080"]}"#,
    r#"all=1&filters={"publish":["81-90/tcp"]}"#,
    r#"all=1&filters={"health":["none"]}"#,
    r#"all=1&filters={"health":["healthy"]}"#,
    r#"all=1&filters={"is-task":["false"]}"#,
    r#"all=1&filters={"is-task":["true"]}"#,
    r#"all=1&filters={"name":["one"],"status":["running"]}"#,
    r#"all=1&filters={"name":["one"],"status":["exited"]}"#,
];

/// Of other things: path, the list's place in the answer, the name's in an item.
const OTHERS: &[(&str, &str, &str)] = &[
    ("/volumes", "/Volumes", "Name"),
    (r#"/volumes?filters={"name":["vol"]}"#, "/Volumes", "Name"),
    (r#"/volumes?filters={"name":["ree"]}"#, "/Volumes", "Name"),
    (r#"/volumes?filters={"label":["l"]}"#, "/Volumes", "Name"),
    (r#"/volumes?filters={"label":["l=x"]}"#, "/Volumes", "Name"),
    (r#"/volumes?filters={"dangling":["true"]}"#, "/Volumes", "Name"),
    (r#"/volumes?filters={"dangling":["0"]}"#, "/Volumes", "Name"),
    (r#"/volumes?filters={"driver":["local"]}"#, "/Volumes", "Name"),
    (r#"/volumes?filters={"driver":["x"]}"#, "/Volumes", "Name"),
    (r#"/networks?filters={"name":["no"]}"#, "", "Name"),
    (r#"/networks?filters={"name":["none"]}"#, "", "Name"),
    (r#"/networks?filters={"driver":["null","host"]}"#, "", "Name"),
    (r#"/networks?filters={"driver":["x"]}"#, "", "Name"),
    (r#"/networks?filters={"type":["custom"]}"#, "", "Name"),
    (r#"/networks?filters={"scope":["swarm"]}"#, "", "Name"),
    (r#"/networks?filters={"label":["l"]}"#, "", "Name"),
    ("/images/json", "", "RepoTags"),
    (r#"/images/json?filters={"reference":["made"]}"#, "", "RepoTags"),
    (r#"/images/json?filters={"reference":["m*:*"]}"#, "", "RepoTags"),
    (r#"/images/json?filters={"reference":["made:2"]}"#, "", "RepoTags"),
    (r#"/images/json?filters={"dangling":["true"]}"#, "", "RepoTags"),
    (r#"/images/json?filters={"dangling":["false"]}"#, "", "RepoTags"),
    (r#"/images/json?filters={"label":["of"]}"#, "", "RepoTags"),
    (r#"/images/json?filters={"label":["of=image"]}"#, "", "RepoTags"),
    (r#"/images/json?filters={"label":["of=x"]}"#, "", "RepoTags"),
    (r#"/images/json?filters={"since":["busybox"]}"#, "", "RepoTags"),
    (r#"/images/json?filters={"before":["made:1"]}"#, "", "RepoTags"),
];

/// Prunes in their order: path, the place of the list of what was removed.
const PRUNES: &[(&str, &str)] = &[
    (r#"/containers/prune?filters={"label":["nothing"]}"#, "/ContainersDeleted"),
    (r#"/containers/prune?filters={"until":["1h"]}"#, "/ContainersDeleted"),
    (r#"/containers/prune?filters={"label!":["m"]}"#, "/ContainersDeleted"),
    (r#"/containers/prune?filters={"label":["l=v"]}"#, "/ContainersDeleted"),
    ("/containers/prune", "/ContainersDeleted"),
    (r#"/volumes/prune?filters={"label":["l=x"]}"#, "/VolumesDeleted"),
    (r#"/volumes/prune?filters={"label!":["l"]}"#, "/VolumesDeleted"),
    ("/volumes/prune", "/VolumesDeleted"),
    (r#"/networks/prune?filters={"until":["1h"]}"#, "/NetworksDeleted"),
    (r#"/images/prune?filters={"dangling":["false"],"label":["of=x"]}"#, "/ImagesDeleted"),
    (r#"/images/prune?filters={"dangling":["false"],"until":["1h"]}"#, "/ImagesDeleted"),
    (r#"/images/prune?filters={"dangling":["false"],"label!":["of"]}"#, "/ImagesDeleted"),
];

/// A path as clients send it.
fn escaped(path: &str) -> String {
    let path = path.replace('%', "%25").replace('{', "%7B").replace('}', "%7D");
    let path = path.replace('"', "%22").replace('[', "%5B").replace(']', "%5D");
    format!("{VERSION}{}", path.replace('^', "%5E"))
}

/// What both daemons have: three containers that ended, run and were only made, two volumes and two images.
fn fill(api: &Api) {
    let post = |path: &str, body: Value| api.post(&format!("{VERSION}{path}"), body);
    let archive = Some(("application/x-tar", busybox_tar()));
    let import = format!("{VERSION}/images/create?fromSrc=-&repo=busybox&tag=latest");
    assert_eq!(api.send("POST", &import, archive).status, 200);
    for (name, labels) in
        [("vol", json!({"l": "v"})), ("free", json!({"l": "x"})), ("bare", json!({}))]
    {
        post("/volumes/create", json!({"Name": name, "Labels": labels})).is(201);
    }
    let create = |name: &str, body: Value| {
        post(&format!("/containers/create?name={name}"), body).is(201);
    };
    create(
        "one",
        json!({
            "Image": "busybox", "Cmd": ["sh", "-c", "exit 3"], "Labels": {"l": "v"},
            "HostConfig": {"NetworkMode": "none", "Binds": ["vol:/data", "/tmp:/host"]},
        }),
    );
    post("/containers/one/start", Value::Null).is(204);
    assert_eq!(post("/containers/one/wait", Value::Null).is(200).json()["StatusCode"], 3);
    post("/commit?container=one&repo=made&tag=1&changes=LABEL%20of%3Dimage", json!({})).is(201);
    create(
        "two",
        json!({
            "Image": "made:1", "Cmd": ["sleep", "1000"], "Labels": {"l": "w", "m": "n"},
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "HostConfig": {"NetworkMode": "none"},
        }),
    );
    post("/containers/two/start", Value::Null).is(204);
    create(
        "three",
        json!({
            "Image": "busybox", "Cmd": ["true"],
            "HostConfig": {"NetworkMode": "host", "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}},
        }),
    );
}

/// The names that came, in the order in which they came.
fn names(list: &Value, field: &str) -> Vec<String> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| item[field].to_string()).collect()
}

fn ask(api: &Api, path: &str) -> Result<Value, String> {
    let reply = api.get(&escaped(path));
    if reply.status == 200 { Ok(reply.json()) } else { Err(reply.text()) }
}

#[test]
fn every_filter_lets_through_what_dockerd_lets_through() {
    need!(dockerd);
    let host = TestHost::new();
    let dockerd = Dockerd::start(&host);
    let (ours, theirs) = (host.api(), dockerd.api());
    fill(&ours);
    fill(&theirs);
    let mut wrong = Vec::new();
    let mut compare = |what: &str, ours: Vec<String>, theirs: Vec<String>| {
        if ours != theirs {
            wrong.push(format!("{what}\n    barge   {ours:?}\n    dockerd {theirs:?}"));
        }
    };
    for query in CONTAINERS {
        let [ours, theirs] = [&ours, &theirs].map(|api| {
            let inspected = ask(api, "/containers/one/json").unwrap();
            let id = inspected["Id"].as_str().unwrap();
            let found = ask(api, &format!("/containers/json?{}", query.replace("ID", &id[..12])));
            found.map_or_else(|error| vec![error], |found| names(&found, "Names"))
        });
        compare(query, ours, theirs);
    }
    for (path, place, field) in OTHERS {
        let [ours, theirs] = [&ours, &theirs].map(|api| {
            let sorted = |found: Value| {
                let found: BTreeSet<_> = names(found.pointer(place).unwrap_or(&Value::Null), field)
                    .into_iter()
                    .collect();
                // The other daemon runs without a bridge.
                found.into_iter().filter(|name| name != "\"bridge\"").collect()
            };
            ask(api, path).map_or_else(|error| vec![error], sorted)
        });
        compare(path, ours, theirs);
    }
    for (path, place) in PRUNES {
        let [ours, theirs] = [&ours, &theirs].map(|api| {
            let pruned = api.post(&escaped(path), Value::Null).is(200).json();
            let removed = pruned.pointer(place).and_then(Value::as_array).map_or(0, Vec::len);
            let left = names(&ask(api, "/containers/json?all=1").unwrap(), "Names");
            vec![removed.to_string(), left.join(" ")]
        });
        compare(path, ours, theirs);
    }
    for api in [&ours, &theirs] {
        assert_eq!(api.delete("/containers/two?force=1").status, 204);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
