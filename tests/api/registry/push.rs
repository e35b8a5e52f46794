//! What a push says and does.

use barge_testkit::{ArchiveImage, Layout, Sharing, TarBuilder, TestHost};
use serde_json::{Value, json};

use super::fake::noise;
use super::server::Registry;
use super::{inspect, lines, messages, pulled, push, pushed, refused, remove, tag};

static HOST: Sharing = Sharing::new();

/// Loads an image of two layers and returns its name and its diff ids.
fn image(host: &TestHost) -> (String, Vec<String>) {
    let name = host.unique("pushed");
    let layer = |file: &str, seed: u64| {
        TarBuilder::new().file(file, 0o644, &noise(seed, 50_000)).file(
            "name",
            0o644,
            name.as_bytes(),
        )
    };
    let image = ArchiveImage {
        layers: vec![layer("a", 1).finish(), layer("b", 2).finish()],
        config: json!({"Cmd": ["true"]}),
        name: format!("{name}:1"),
    };
    let content = image.save(Layout::Legacy);
    host.api().send("POST", "/images/load", Some(("application/x-tar", &content))).is(200);
    let layers = inspect(host, &image.name)["RootFS"]["Layers"].as_array().unwrap().clone();
    (image.name, layers.iter().map(|layer| layer.as_str().unwrap().to_owned()).collect())
}

fn with(lines: &[String], text: &str) -> usize {
    lines.iter().filter(|line| line.contains(text)).count()
}

#[test]
fn a_push_tells_each_layer_and_the_digest() {
    let host = HOST.host();
    let registry = Registry::start(&host);
    let (local, layers) = image(&host);
    let name = registry.image("first:1");
    tag(&host, &local, &name);
    let reply = push(&host, &name).is(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let told = lines(&reply);
    assert_eq!(told[0], format!("The push refers to repository [{}]", registry.image("first")));
    for layer in &layers {
        let id = super::short(layer);
        let own: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix(id)).collect();
        assert_eq!(own, [" Preparing", " Pushed"], "{told:?}");
    }
    let aux = messages(&reply).pop().unwrap();
    let (digest, size) = (aux["aux"]["Digest"].as_str().unwrap(), &aux["aux"]["Size"]);
    assert_eq!(aux["aux"]["Tag"], "1");
    assert_eq!(told[told.len() - 2], format!("1: digest: {digest} size: {size}"));
    let found = host.api().get(&format!("/distribution/{name}/json")).is(200).json();
    assert_eq!(found["Descriptor"]["digest"], digest);
    assert_eq!(&found["Descriptor"]["size"], size);
    assert_eq!(
        inspect(&host, &name)["RepoDigests"],
        json!([registry.image(&format!("first@{digest}"))])
    );
    let again = lines(&push(&host, &name).is(200));
    assert_eq!(with(&again, "Layer already exists"), 2, "{again:?}");
    assert_eq!(pushed(&host, &name), digest);
    remove(&host, &name);
    remove(&host, &local);
}

#[test]
fn layers_are_mounted_from_another_repository_of_the_registry() {
    let host = HOST.host();
    let registry = Registry::start(&host);
    let (local, _) = image(&host);
    let (first, second) = (registry.image("from/here:1"), registry.image("to/there:1"));
    tag(&host, &local, &first);
    let digest = pushed(&host, &first);
    tag(&host, &local, &second);
    let told = lines(&push(&host, &second).is(200));
    assert_eq!(with(&told, "Mounted from from/here"), 2, "{told:?}");
    assert!(told.last().unwrap().contains(&digest));
    assert!(registry.requests(&["PATCH /v2/to/there/"]).is_empty());
    for name in [&first, &second, &local] {
        remove(&host, name);
    }
}

#[test]
fn a_pulled_image_is_pushed_elsewhere_with_the_same_digest() {
    let host = HOST.host();
    let (from, to) = (Registry::start(&host), Registry::start(&host));
    let fake = super::fake::Fake::start(&host);
    // Written by nobody of us: spaces, unknown members, an order of its own.
    let manifest = fake.image_manifest("x", &[super::fake::layer("f", b"x")], "amd64");
    let mut text = serde_json::to_string_pretty(&manifest).unwrap();
    text = text.replacen('{', "{ \"annotations\": {\"a\": \"b\"},", 1);
    let digest = super::fake::digest(text.as_bytes());
    for name in ["1", &digest] {
        fake.put(&format!("x/manifests/{name}"), super::fake::OCI_MANIFEST, text.as_bytes());
    }
    pulled(&host, &fake.image("x:1"));
    for registry in [&from, &to] {
        let name = registry.image("moved:1");
        tag(&host, &fake.image("x:1"), &name);
        assert_eq!(pushed(&host, &name), digest);
        remove(&host, &name);
    }
    remove(&host, &fake.image("x:1"));
    pulled(&host, &to.image("moved:1"));
    assert_eq!(pushed(&host, &to.image("moved:1")), digest);
    remove(&host, &to.image("moved:1"));
}

#[test]
fn all_tags_of_a_repository_are_pushed_when_none_is_named() {
    let host = HOST.host();
    let registry = Registry::start(&host);
    let (local, _) = image(&host);
    for name in ["tags:1", "tags:2"] {
        tag(&host, &local, &registry.image(name));
    }
    let path = format!("/images/{}/push", registry.image("tags"));
    let reply = host.api().post(&path, Value::Null).is(200);
    let told = lines(&reply);
    assert_eq!((with(&told, "1: digest: "), with(&told, "2: digest: ")), (1, 1), "{told:?}");
    remove(&host, &local);
    for name in ["tags:1", "tags:2"] {
        remove(&host, &registry.image(name));
        pulled(&host, &registry.image(name));
        remove(&host, &registry.image(name));
    }
}

#[test]
fn what_cannot_be_pushed_is_said_in_dockerds_words() {
    let host = HOST.host();
    let registry = Registry::start(&host);
    let error = |name: &str| {
        let reply = push(&host, name).is(200);
        lines(&reply).pop().unwrap()
    };
    let nowhere = registry.image("nowhere:1");
    assert_eq!(
        error(&nowhere),
        format!(
            "error: An image does not exist locally with the tag: {}",
            registry.image("nowhere")
        )
    );
    let here = registry.image("here:1");
    tag(&host, "busybox:latest", &here);
    let other = registry.image("here:2");
    assert_eq!(error(&other), format!("error: tag does not exist: {other}"));
    let digest = registry.image(&format!("here@sha256:{}", "a".repeat(64)));
    let reply = host.api().post(&format!("/images/{digest}/push"), Value::Null).is(200);
    assert_eq!(lines(&reply).pop().unwrap(), "error: cannot push a digest reference");
    assert!(host.api().post("/images/UP/push?tag=1", Value::Null).status >= 400);
    assert!(refused(&host, &here).contains("not found"));
    remove(&host, &here);
}

#[test]
fn events_tell_what_was_pulled_and_pushed() {
    let host = HOST.host();
    let registry = Registry::start(&host);
    let (local, _) = image(&host);
    let name = registry.image("told:1");
    tag(&host, &local, &name);
    pushed(&host, &name);
    remove(&host, &name);
    pulled(&host, &name);
    let now = host.api().get("/info").is(200).json();
    let until = now["SystemTime"].as_str().unwrap().to_owned();
    let filters = json!({"type": ["image"], "event": ["push", "pull"]}).to_string();
    let path = format!("/events?since=1&until={until}&filters={}", escape(&filters));
    let text = host.api().get(&path).is(200).text();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let own: Vec<Value> = events.filter(|event| event["id"] == *name).collect();
    let actions: Vec<&Value> = own.iter().map(|event| &event["Action"]).collect();
    assert_eq!(actions, ["push", "pull"], "{text}");
    for event in &own {
        assert_eq!(event["Actor"]["ID"], *name);
        assert_eq!(event["Actor"]["Attributes"]["name"], registry.image("told"));
    }
    remove(&host, &name);
    remove(&host, &local);
}

fn escape(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn images_of_several_platforms_go_with_an_index() {
    let host = HOST.host();
    let registry = Registry::start(&host);
    let name = registry.image("several:1");
    let folder = host.scratch().join(host.unique("several"));
    std::fs::create_dir(&folder).unwrap();
    let text = "FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /for-$TARGETARCH\n";
    std::fs::write(folder.join("Dockerfile"), text).unwrap();
    let folder = folder.to_str().unwrap();
    let platforms = "--platform=linux/amd64,linux/arm64";
    host.barge(&["build", "-q", platforms, "-t", &name, folder]).ok();
    let digest = pushed(&host, &name);
    let found = host.api().get(&format!("/distribution/{name}/json")).is(200).json();
    assert_eq!(found["Descriptor"]["digest"], digest);
    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    assert_eq!(found["Descriptor"]["mediaType"], list);
    let architectures: Vec<&Value> =
        found["Platforms"].as_array().unwrap().iter().map(|one| &one["architecture"]).collect();
    assert_eq!(architectures, ["amd64", "arm64"]);
    // One that is wanted goes alone.
    let one = host.api().post(&format!("/images/{name}/push?platform=linux/arm64"), Value::Null);
    assert!(one.is(200).text().contains("\"Digest\""));
    let found = host.api().get(&format!("/distribution/{name}/json")).is(200).json();
    assert_eq!(found["Platforms"][0]["architecture"], "arm64");
    remove(&host, &name);
    assert!(host.api().get(&format!("/images/{name}/json")).status == 404);
}
