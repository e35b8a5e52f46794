//! Every document of the API has the fields that docker.io's daemon gives it, of the same types: both daemons are asked
//! the same at the newest version that both speak, and the answers are compared field for field.
//!
//! Where ours differs on purpose, `DIFFERENCES` says why; what is listed there and no longer differs is a failure, too.

use std::collections::{BTreeMap, BTreeSet};

use barge_testkit::api::Api;
use barge_testkit::{Dockerd, TestHost, busybox_tar, eventually, need};
use serde_json::{Value, json};

#[path = "shapes_known.rs"]
mod known;

/// The newest version of docker.io.
const VERSION: &str = "/v1.41";

/// Fields whose value has names that are no fields, but a user's or a driver's.
const MAPS: &[&str] = &[
    "Attributes",
    "AuxiliaryAddresses",
    "Containers",
    "Data",
    "Details",
    "DriverOpts",
    "ExposedPorts",
    "IndexConfigs",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "Runtimes",
    "Sysctls",
    "Volumes",
    "networks",
    "stats",
];

/// What a field is: its place with the type of its value.
type Shape = BTreeMap<String, BTreeSet<&'static str>>;

fn shape(value: &Value) -> Shape {
    let mut shape = Shape::new();
    add(&mut shape, String::new(), value);
    shape
}

fn add(shape: &mut Shape, place: String, value: &Value) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    // What the kernel counted of the disk is there or not.
    if place.starts_with("blkio_stats.") {
        shape.entry(place).or_default();
        return;
    }
    let name = place.rsplit('.').next().unwrap_or_default();
    let is_map = MAPS.contains(&name);
    match value {
        Value::Array(values) => {
            for value in values {
                add(shape, format!("{place}[]"), value);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = if is_map { "*" } else { name };
                let dot = if place.is_empty() { "" } else { "." };
                add(shape, format!("{place}{dot}{name}"), value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    shape.entry(place).or_default().insert(kind);
}

/// `+ field: text` is ours alone, `- field: text` is theirs alone, `~ field: null, not list` is of another type.
fn differences(ours: &Shape, theirs: &Shape) -> Vec<String> {
    let places: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let text = |kinds: &BTreeSet<&str>| kinds.iter().copied().collect::<Vec<_>>().join(" or ");
    let of = |place: &String| match (ours.get(place), theirs.get(place)) {
        (Some(ours), None) => Some(format!("+ {place}: {}", text(ours))),
        (None, Some(theirs)) => Some(format!("- {place}: {}", text(theirs))),
        (Some(ours), Some(theirs)) if ours != theirs => {
            Some(format!("~ {place}: {}, not {}", text(ours), text(theirs)))
        }
        (_, _) => None,
    };
    places.into_iter().filter_map(of).collect()
}

/// A container with something of everything.
fn request() -> Value {
    json!({
        "Image": "busybox", "Cmd": ["sh", "-c", "echo out; sleep 1000"], "Env": ["A=b"],
        "Labels": {"l": "v"}, "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/anonymous": {}},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000_000},
        "HostConfig": {
            "NetworkMode": "none", "Binds": ["/tmp:/host:ro"], "Memory": 67_108_864,
            "Mounts": [{"Type": "volume", "Source": "vol", "Target": "/data"},
                       {"Type": "tmpfs", "Target": "/tmpfs"}],
            "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
            "Sysctls": {"net.ipv4.ip_forward": "0"}, "CapAdd": ["NET_ADMIN"],
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
        },
    })
}

/// Everything that the API says of a small life, by what was asked.
fn documents(api: &Api) -> BTreeMap<&'static str, Value> {
    let mut documents = BTreeMap::new();
    let at = |path: &str| format!("{VERSION}{path}");
    let post = |path: &str, body: Value| api.post(&at(path), body);
    let import = "/images/create?fromSrc=-&repo=busybox&tag=latest&message=made";
    let archive = Some(("application/x-tar", busybox_tar()));
    let lines = api.send("POST", &at(import), archive).is(200);
    documents.insert("import", last_line(&lines.text()));
    let volume = post("/volumes/create", json!({"Name": "vol", "Labels": {"l": "v"}}));
    documents.insert("volume create", volume.is(201).json());
    let created = post("/containers/create?name=full", request());
    documents.insert("create", created.is(201).json());
    post("/containers/create?name=plain", json!({"Image": "busybox", "Cmd": ["false"]})).is(201);
    documents.insert("inspect created", api.get(&at("/containers/full/json")).is(200).json());
    for name in ["full", "plain"] {
        post(&format!("/containers/{name}/start"), Value::Null).is(204);
    }
    documents.insert("wait", post("/containers/plain/wait", Value::Null).is(200).json());
    eventually("the health is known", || {
        let inspected = api.get(&at("/containers/full/json")).is(200).json();
        inspected["State"]["Health"]["Status"] == "healthy"
    });
    let exec = json!({"Cmd": ["sleep", "1000"], "AttachStdout": true, "Env": ["X=y"]});
    let exec = post("/containers/full/exec", exec).is(201).json();
    let id = exec["Id"].as_str().unwrap().to_owned();
    documents.insert("exec create", exec);
    post(&format!("/exec/{id}/start"), json!({"Detach": true})).is(200);
    let inspect = at(&format!("/exec/{id}/json"));
    eventually("the exec runs", || api.get(&inspect).is(200).json()["Running"] == true);
    documents.insert("exec inspect", api.get(&inspect).is(200).json());
    let commit = at("/commit?container=plain&repo=made&tag=1");
    documents.insert("commit", api.post(&commit, json!({})).is(201).json());
    for (name, path) in [
        ("containers", "/containers/json?all=1"),
        ("containers with sizes", "/containers/json?all=1&size=1"),
        ("inspect running", "/containers/full/json?size=1"),
        ("inspect ended", "/containers/plain/json"),
        ("top", "/containers/full/top"),
        ("changes", "/containers/full/changes"),
        ("stats", "/containers/full/stats?stream=0"),
        ("stats ended", "/containers/plain/stats?stream=0&one-shot=1"),
        ("images", "/images/json?digests=1"),
        ("image", "/images/busybox/json"),
        ("image committed", "/images/made:1/json"),
        ("history", "/images/made:1/history"),
        ("volumes", "/volumes"),
        ("volume", "/volumes/vol"),
        ("networks", "/networks?filters=%7B%22name%22%3A%5B%22none%22%5D%7D"),
        ("network", "/networks/none"),
        ("network host", "/networks/host"),
        ("info", "/info"),
        ("version", "/version"),
        ("df", "/system/df"),
        ("plugins", "/plugins"),
    ] {
        documents.insert(name, api.get(&at(path)).is(200).json());
    }
    ended(api, &mut documents);
    documents
}

/// What the end of it says.
fn ended(api: &Api, documents: &mut BTreeMap<&'static str, Value>) {
    let at = |path: &str| format!("{VERSION}{path}");
    let update =
        api.post(&at("/containers/full/update"), json!({"Memory": 134_217_728, "MemorySwap": -1}));
    documents.insert("update", update.is(200).json());
    let delete = api.delete(&at("/images/made:1"));
    documents.insert("image delete", delete.is(200).json());
    api.post(&at("/containers/full/kill"), Value::Null).is(204);
    api.post(&at("/containers/full/wait"), Value::Null).is(200);
    for (name, path) in [
        ("containers prune", "/containers/prune"),
        ("networks prune", "/networks/prune"),
        ("volumes prune", "/volumes/prune"),
        ("images prune", "/images/prune"),
        ("build prune", "/build/prune"),
    ] {
        documents.insert(name, api.post(&at(path), Value::Null).is(200).json());
    }
    let events = api.get(&at("/events?since=0&until=1")).is(200);
    assert_eq!(events.text(), "");
    documents.insert("error", api.get(&at("/containers/nobody/json")).is(404).json());
}

fn last_line(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap()
}

#[test]
fn every_document_has_dockerds_fields() {
    need!(dockerd);
    let host = TestHost::new();
    let dockerd = Dockerd::start(&host);
    let theirs = documents(&dockerd.api());
    let ours = documents(&host.api());
    let mut needed = BTreeSet::new();
    let mut report = Vec::new();
    for (name, ours) in &ours {
        for difference in differences(&shape(ours), &shape(&theirs[name])) {
            let fact = format!("{name}: {difference}");
            match known::DIFFERENCES.iter().position(|(known, _)| covers(known, &fact)) {
                Some(position) => drop(needed.insert(position)),
                None => report.push(fact),
            }
        }
    }
    for (position, (known, why)) in known::DIFFERENCES.iter().enumerate() {
        if !needed.contains(&position) {
            report.push(format!("nothing differs by {known:?} ({why})"));
        }
    }
    assert!(report.is_empty(), "\n{}", report.join("\n"));
}

/// A known difference: `*` in front stands for every document, one at the end for every field below.
fn covers(known: &str, fact: &str) -> bool {
    let (fact, known) = match known.strip_prefix("*: ") {
        Some(known) => (fact.split_once(": ").map_or("", |(_, fact)| fact), known),
        None => (fact, known),
    };
    match known.strip_suffix('*') {
        Some(start) => fact.starts_with(start),
        None => fact == known || fact.starts_with(&format!("{known}:")),
    }
}
