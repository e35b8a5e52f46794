//! A registry that closes, stalls, lies and refuses: the error says what happened, nothing half stays, the next try
//! succeeds.

use barge_testkit::{Sharing, TestHost};
use serde_json::{Value, json};

use super::fake::{Fake, Fault, OCI_MANIFEST, layer, noise};
use super::server::Wire;
use super::{inspect, lines, pull, pulled, refused, remove};

static HOST: Sharing = Sharing::new();

/// An image with one large layer, and the layer's digest.
fn one(fake: &Fake, repository: &str, seed: u64) -> String {
    let (_, blobs) = fake.add(repository, "1", &[layer("noise", &noise(seed, 500_000))]);
    blobs[0].clone()
}

/// No image has the name, and what was downloaded is no blob.
#[track_caller]
fn is_not_here(host: &TestHost, name: &str) {
    host.api().get(&format!("/images/{name}/json")).is(404);
}

#[test]
fn a_closed_connection_is_taken_up_where_it_broke() {
    let host = HOST.host();
    let fake = Fake::start(&host);
    let blob = one(&fake, "closed", 1);
    fake.fail(&blob, &[Fault::Close(200_000)]);
    let name = fake.image("closed:1");
    let reply = pull(&host, &name).is(200);
    let told = lines(&reply);
    assert!(told.iter().any(|line| line.contains("Retrying in 1 second")), "{told:?}");
    assert!(told.last().unwrap().starts_with("Status: Downloaded"), "{told:?}");
    let asked = fake.asked(&blob);
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[1].contains("bytes=") && !asked[1].contains("bytes=0-"), "{asked:?}");
    remove(&host, &name);
}

#[test]
fn refusals_that_pass_are_waited_for() {
    let host = HOST.host();
    let fake = Fake::start(&host);
    let blob = one(&fake, "busy", 2);
    let later = "Retry-After: 1\r\n";
    fake.fail(&blob, &[Fault::Status(429, later), Fault::Status(500, ""), Fault::Status(503, "")]);
    pulled(&host, &fake.image("busy:1"));
    remove(&host, &fake.image("busy:1"));
}

#[test]
fn other_bytes_than_promised_are_refused_and_the_next_try_succeeds() {
    let host = HOST.host();
    let fake = Fake::start(&host);
    for (repository, seed, fault) in [
        ("other", 3, Fault::OtherBytes),
        ("long", 4, Fault::TooLong(1000)),
        ("short", 5, Fault::TooShort(1000)),
    ] {
        let blob = one(&fake, repository, seed);
        let name = fake.image(&format!("{repository}:1"));
        // A lie is not always told twice, and not always noticed before it is told again.
        fake.fail(&blob, std::slice::from_ref(&fault));
        let first = pull(&host, &name);
        let told = lines(&first.is(200)).pop().unwrap();
        if matches!(fault, Fault::OtherBytes) {
            let text = format!("error: filesystem layer verification failed for digest {blob}");
            assert!(told.starts_with(&text), "{told}");
            is_not_here(&host, &name);
        }
        pulled(&host, &name);
        assert!(inspect(&host, &name)["Size"].as_u64().unwrap() >= 500_000);
        remove(&host, &name);
    }
}

#[test]
fn a_manifest_that_lies_about_a_length_or_a_diff_id_is_refused() {
    let host = HOST.host();
    let fake = Fake::start(&host);
    let layers = [layer("noise", &noise(6, 100_000))];
    let honest = fake.image_manifest("lies", &layers, "amd64");
    for (tag, more) in [("long", 1_i64), ("short", -1)] {
        let mut manifest = honest.clone();
        let size = manifest["layers"][0]["size"].as_i64().unwrap() + more;
        manifest["layers"][0]["size"] = json!(size);
        fake.manifest("lies", tag, &manifest);
        let name = fake.image(&format!("lies:{tag}"));
        let error = refused(&host, &name);
        assert!(!error.is_empty());
        is_not_here(&host, &name);
    }
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", "b".repeat(64))]},
    });
    let kind = "application/vnd.oci.image.config.v1+json";
    let mut manifest = honest.clone();
    manifest["config"] = fake.blob("lies", kind, config.to_string().as_bytes());
    fake.manifest("lies", "diff", &manifest);
    let error = refused(&host, &fake.image("lies:diff"));
    assert!(error.contains(&"b".repeat(64)), "{error}");
    fake.manifest("lies", "honest", &honest);
    pulled(&host, &fake.image("lies:honest"));
    remove(&host, &fake.image("lies:honest"));
}

#[test]
fn what_is_no_image_is_refused_by_its_name() {
    let host = HOST.host();
    let fake = Fake::start(&host);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": fake.blob("chart", "application/vnd.cncf.helm.config.v1+json", b"{}"),
        "layers": [fake.blob("chart", "application/vnd.cncf.helm.chart.content.v1.tar+gzip", b"x")],
    });
    fake.manifest("chart", "1", &manifest);
    let error = refused(&host, &fake.image("chart:1"));
    assert!(error.contains("application/vnd.cncf.helm.config.v1+json"), "{error}");
    let old = json!({
        "schemaVersion": 1, "name": "old", "tag": "1", "architecture": "amd64",
        "mediaType": "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "fsLayers": [], "history": [], "signatures": [],
    });
    fake.manifest("old", "1", &old);
    let error = refused(&host, &fake.image("old:1"));
    assert!(error.contains("schema 1"), "{error}");
    for garbage in ["{", "[]", "null", "{\"schemaVersion\":2}"] {
        let bytes = garbage.as_bytes();
        let digest = super::fake::digest(bytes);
        for name in ["1", &digest] {
            fake.put(&format!("garbage/manifests/{name}"), OCI_MANIFEST, bytes);
        }
        assert!(!refused(&host, &fake.image("garbage:1")).is_empty());
    }
    assert_eq!(host.api().get("/_ping").is(200).text(), "OK");
}

#[test]
fn a_layer_that_fails_ends_the_pull_and_the_others_stay_for_the_next() {
    let host = HOST.host();
    let fake = Fake::start(&host);
    let layers = [layer("a", &noise(7, 200_000)), layer("b", &noise(8, 200_000))];
    let (_, blobs) = fake.add("half", "1", &layers);
    fake.fail(&blobs[1], &vec![Fault::Status(404, ""); 1]);
    let name = fake.image("half:1");
    assert!(!refused(&host, &name).is_empty());
    is_not_here(&host, &name);
    pulled(&host, &name);
    remove(&host, &name);
}

#[test]
fn a_push_is_repeated_where_the_connection_broke() {
    let host = HOST.host();
    let registry = super::server::Registry::start(&host);
    let wire = Wire::to(&host, &registry.name);
    let name = wire.image("broken:1");
    super::tag(&host, "busybox:latest", &name);
    // Some of the first answers, and no more until the client has noticed.
    wire.cut_after(100);
    let mut connection = host.api().connect();
    let (repository, tag) = super::split(&name);
    let path = format!("/images/{repository}/push?tag={tag}");
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    connection.write(head.as_bytes());
    assert_eq!(connection.head().0, 200);
    wire.wait_for_limit();
    wire.open();
    let mut last = Value::Null;
    while let Some(chunk) = connection.chunk() {
        let text = String::from_utf8(chunk).unwrap();
        last = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    }
    if last["aux"].is_null() {
        // The first question of all was the one that was cut: nobody had answered yet, so it is not repeated.
        super::pushed(&host, &name);
    }
    remove(&host, &name);
    pulled(&host, &name);
    remove(&host, &name);
}
