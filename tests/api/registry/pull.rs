//! What a pull says and does.

use barge_testkit::api::Connection;
use barge_testkit::{ArchiveImage, Client, Layout, Sharing, TestHost, busybox_tar};
use serde_json::{Value, json};

use super::fake::{Fake, Fault, OCI_INDEX, layer, noise};
use super::server::{Registry, Wire};
use super::{inspect, line, lines, messages, pull, pulled, pushed, refused, remove, short, tag};

static HOST: Sharing = Sharing::new();

#[test]
fn a_pull_tells_each_layer_its_digest_and_what_it_did() {
    let host = HOST.host();
    let fake = Fake::start(&host);
    let (manifest, blobs) =
        fake.add("a/b", "1", &[layer("x", b"one"), layer("y", &noise(1, 300_000))]);
    let name = fake.image("a/b:1");
    let reply = pull(&host, &name).is(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let lines = lines(&reply);
    assert_eq!(lines[0], "1 Pulling from a/b");
    for blob in &blobs {
        let id = short(blob);
        let own: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix(id)).collect();
        let steps =
            [" Pulling fs layer", " Verifying Checksum", " Download complete", " Pull complete"];
        assert_eq!(own, steps, "{lines:?}");
    }
    let end = [format!("Digest: {manifest}"), format!("Status: Downloaded newer image for {name}")];
    assert_eq!(lines[lines.len() - 2..], end);
    let about_layers = messages(&reply).into_iter().filter(|m| m["id"] == short(&blobs[0]));
    for message in about_layers {
        assert!(message["progressDetail"].is_object(), "{message}");
    }
    let image = inspect(&host, &name);
    assert_eq!(image["RepoTags"], json!([name]));
    assert_eq!(image["RepoDigests"], json!([fake.image(&format!("a/b@{manifest}"))]));
    remove(&host, &name);
}

#[test]
fn an_image_that_is_up_to_date_costs_one_question() {
    let host = HOST.host();
    let fake = Fake::start(&host);
    let (manifest, _) = fake.add("same", "1", &[layer("x", b"same")]);
    let name = fake.image("same:1");
    pulled(&host, &name);
    fake.forget();
    let reply = pull(&host, &name).is(200);
    let expected = [
        "1 Pulling from same".to_owned(),
        format!("Digest: {manifest}"),
        format!("Status: Image is up to date for {name}"),
    ];
    assert_eq!(lines(&reply), expected);
    assert_eq!(fake.asked("same/"), ["HEAD same/manifests/1 "]);
    assert!(fake.asked("").len() <= 2, "{:?}", fake.asked(""));
    remove(&host, &name);
}

#[test]
fn layers_that_are_here_are_not_downloaded_again() {
    let host = HOST.host();
    let fake = Fake::start(&host);
    let base = layer("base", &noise(2, 10_000));
    let (_, first) = fake.add("one", "1", &[base.clone(), layer("x", b"1")]);
    let (_, second) = fake.add("two", "1", &[base, layer("x", b"2")]);
    pulled(&host, &fake.image("one:1"));
    fake.forget();
    let reply = pull(&host, &fake.image("two:1")).is(200);
    assert!(lines(&reply).contains(&format!("{} Already exists", short(&first[0]))));
    assert!(fake.asked(&first[0]).is_empty());
    assert_eq!(fake.asked(&second[1]).len(), 1);
    remove(&host, &fake.image("one:1"));
    remove(&host, &fake.image("two:1"));
}

#[test]
fn what_is_not_there_is_said_in_dockerds_words() {
    let host = HOST.host();
    let registry = Registry::start(&host);
    tag(&host, "busybox:latest", &registry.image("some:1"));
    pushed(&host, &registry.image("some:1"));
    let unknown = "not found: manifest unknown: manifest unknown";
    for name in ["some:2", "none:1"] {
        let name = registry.image(name);
        let reply = pull(&host, &name);
        assert_eq!(reply.error(404), format!("manifest for {name} {unknown}"));
    }
    let digest = format!("sha256:{}", "a".repeat(64));
    let name = registry.image(&format!("some@{digest}"));
    assert_eq!(pull(&host, &name).error(404), format!("manifest for {name} {unknown}"));
    let none = registry.image("none");
    let all = host.api().post(&format!("/images/create?fromImage={none}"), Value::Null);
    assert_eq!(
        all.error(404),
        format!("repository {none} not found: name unknown: repository name not known to registry")
    );
    let nobody = refused(&host, "127.0.0.1:9/x:1");
    assert!(nobody.ends_with("dial tcp 127.0.0.1:9: connect: connection refused"), "{nobody}");
    let upper = pull(&host, "UP:1").error(400);
    assert_eq!(upper, "invalid reference format: repository name (library/UP) must be lowercase");
    assert!(pull(&host, "scratch:latest").error(403).contains("'scratch' is a reserved name"));
    remove(&host, &registry.image("some:1"));
}

#[test]
fn the_platform_is_chosen_from_an_index() {
    let host = HOST.host();
    let fake = Fake::start(&host);
    let entry = |architecture: &str| {
        let layers = [layer("arch", architecture.as_bytes())];
        let manifest = fake.image_manifest("multi", &layers, architecture);
        let digest = fake.manifest("multi", architecture, &manifest);
        json!({
            "mediaType": manifest["mediaType"], "digest": digest,
            "size": manifest.to_string().len(),
            "platform": {"os": "linux", "architecture": architecture},
        })
    };
    let own = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let manifests = [entry("s390x"), entry("amd64"), entry("arm64")];
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
    let digest = fake.manifest("multi", "1", &index);
    let name = fake.image("multi:1");
    pulled(&host, &name);
    assert_eq!(inspect(&host, &name)["Architecture"], own);
    assert_eq!(
        inspect(&host, &name)["RepoDigests"],
        json!([fake.image(&format!("multi@{digest}"))])
    );
    let with = |platform: &str| {
        let path =
            format!("/images/create?fromImage={}&tag=1&platform={platform}", fake.image("multi"));
        host.api().post(&path, Value::Null)
    };
    let other = with("linux/s390x").is(200);
    assert_eq!(lines(&other).pop().unwrap(), format!("Status: Downloaded newer image for {name}"));
    assert_eq!(inspect(&host, &name)["Architecture"], "s390x");
    assert_eq!(
        lines(&with("linux/riscv64").is(200)).pop().unwrap(),
        "error: no matching manifest for linux/riscv64 in the manifest list entries"
    );
    assert!(with("bad/x/y/z").error(400).contains("bad/x/y/z"));
    let path = format!("/distribution/{name}/json");
    let found = host.api().get(&path).is(200).json();
    assert_eq!(found["Descriptor"]["digest"], digest);
    assert_eq!(found["Descriptor"]["mediaType"], OCI_INDEX);
    assert_eq!(found["Platforms"].as_array().unwrap().len(), 3);
    assert_eq!(found["Platforms"][0], json!({"architecture": "s390x", "os": "linux"}));
    remove(&host, &name);
}

#[test]
fn a_digest_is_pulled_without_a_tag_and_all_tags_at_once() {
    let host = HOST.host();
    let registry = Registry::start(&host);
    for tagged in ["many:1", "many:2"] {
        tag(&host, "busybox:latest", &registry.image(tagged));
        pushed(&host, &registry.image(tagged));
    }
    let digest = pushed(&host, &registry.image("many:1"));
    for tagged in ["many:1", "many:2"] {
        remove(&host, &registry.image(tagged));
    }
    let by_digest = registry.image(&format!("many@{digest}"));
    let reply = pull(&host, &by_digest).is(200);
    let told = lines(&reply);
    assert_eq!(told[0], format!("{by_digest} Pulling from many"));
    assert_eq!(told.last().unwrap(), &format!("Status: Downloaded newer image for {by_digest}"));
    let image = inspect(&host, &by_digest);
    assert!(image["RepoDigests"].as_array().unwrap().contains(&json!(by_digest)), "{image}");
    let many = registry.image("many");
    let all = host.api().post(&format!("/images/create?fromImage={many}"), Value::Null).is(200);
    let told = lines(&all);
    for from in ["1 Pulling from many", "2 Pulling from many"] {
        assert!(told.iter().any(|line| line == from), "{told:?}");
    }
    assert_eq!(told.last().unwrap(), &format!("Status: Downloaded newer image for {many}"));
    for tagged in ["many:1", "many:2"] {
        assert_eq!(inspect(&host, &registry.image(tagged))["Id"], image["Id"]);
        remove(&host, &registry.image(tagged));
    }
}

/// A pull whose messages are read one by one.
struct Pulling(Connection);

impl Pulling {
    fn begin(host: &TestHost, name: &str) -> Self {
        let mut connection = host.api().connect();
        let (repository, tag) = super::split(name);
        let path = format!("/images/create?fromImage={repository}&tag={tag}");
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        connection.write(head.as_bytes());
        assert_eq!(connection.head().0, 200);
        Self(connection)
    }

    /// All up to the message with this text.
    #[track_caller]
    fn until(&mut self, text: &str) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(chunk) = self.0.chunk() {
            let chunk = String::from_utf8(chunk).unwrap();
            let lines = chunk.split("\r\n").filter(|line| !line.is_empty());
            told.extend(lines.map(|text| line(&serde_json::from_str(text).unwrap())));
            if told.iter().any(|line| line.contains(text)) {
                return told;
            }
        }
        panic!("no {text:?} in {told:?}");
    }
}

#[test]
fn clients_share_the_work_each_hears_all_of_it_and_one_may_leave() {
    let host = HOST.host();
    let fake = Fake::start(&host);
    let (_, blobs) = fake.add("shared", "1", &[layer("x", &noise(3, 400_000))]);
    fake.fail(&blobs[0], &[Fault::Hold(100_000)]);
    let name = fake.image("shared:1");
    let mut pulls: Vec<Pulling> = (0..3).map(|_| Pulling::begin(&host, &name)).collect();
    for pull in &mut pulls {
        let told = pull.until("Downloading");
        assert_eq!(told[0], "1 Pulling from shared");
        assert_eq!(told[1], format!("{} Pulling fs layer", short(&blobs[0])));
    }
    drop(pulls.remove(0));
    fake.release();
    for pull in &mut pulls {
        let told = pull.until("Status: ");
        let complete = format!("{} Pull complete", short(&blobs[0]));
        assert!(told.contains(&complete), "{told:?}");
        assert!(told.last().unwrap().starts_with("Status: Downloaded newer image"), "{told:?}");
    }
    assert_eq!(fake.asked(&blobs[0]).len(), 1, "{:?}", fake.asked(&blobs[0]));
    remove(&host, &name);
}

#[test]
fn images_that_share_a_layer_download_it_once() {
    let host = HOST.host();
    let fake = Fake::start(&host);
    let base = layer("base", &noise(4, 300_000));
    let (_, blobs) = fake.add("left", "1", &[base.clone(), layer("x", b"left")]);
    fake.add("right", "1", &[base, layer("x", b"right")]);
    fake.fail(&blobs[0], &[Fault::Hold(100_000)]);
    let names = ["left:1", "right:1"].map(|name| fake.image(name));
    let mut pulls = names.each_ref().map(|name| Pulling::begin(&host, name));
    pulls[0].until("Downloading");
    pulls[1].until("Pulling fs layer");
    fake.release();
    for pull in &mut pulls {
        pull.until("Status: Downloaded newer image");
    }
    assert_eq!(fake.asked(&blobs[0]).len(), 1, "{:?}", fake.asked(&blobs[0]));
    names.iter().for_each(|name| remove(&host, name));
}

#[test]
fn an_image_for_another_platform_is_pulled_with_a_warning() {
    let host = HOST.host();
    let fake = Fake::start(&host);
    let manifest = fake.image_manifest("only", &[layer("x", b"only")], "s390x");
    fake.manifest("only", "1", &manifest);
    let name = fake.image("only:1");
    let path = format!("/images/create?fromImage={name}&platform=linux/riscv64");
    let told = lines(&host.api().post(&path, Value::Null).is(200));
    let warning = format!(
        "WARNING: image with reference {name} was found but its platform (linux/s390x) does not match the specified platform (linux/riscv64)"
    );
    assert!(told.contains(&warning), "{told:?}");
    remove(&host, &name);
}

#[test]
fn a_pull_that_its_client_leaves_goes_on_from_where_it_was() {
    let host = HOST.host();
    let registry = Registry::start(&host);
    push_big(&host, &registry, "left:1");
    let wire = Wire::to(&host, &registry.name);
    wire.stall_after(STALL);
    let name = wire.image("left:1");
    let process = host.start_client(Client::Barge, &["pull", &name]);
    wire.wait_for_limit();
    process.signal(libc::SIGKILL);
    drop(process);
    wire.open();
    pulled(&host, &name);
    assert_resumed(&registry);
    remove(&host, &name);
}

#[test]
fn a_pull_whose_daemon_is_killed_goes_on_by_range() {
    let mut host = TestHost::new();
    host.busybox();
    let registry = Registry::start(&host);
    push_big(&host, &registry, "killed:1");
    let wire = Wire::to(&host, &registry.name);
    wire.stall_after(STALL);
    let name = wire.image("killed:1");
    let process = host.start_client(Client::Barge, &["pull", &name]);
    wire.wait_for_limit();
    host.kill9();
    drop(process);
    wire.open();
    host.start();
    host.api().get(&format!("/images/{name}/json")).is(404);
    pulled(&host, &name);
    assert_resumed(&registry);
    let unpacked = host.barge(&["run", "--rm", "--network", "none", &name, "wc", "-c", "/noise"]);
    assert_eq!(unpacked.text(), format!("{BIG} /noise"));
}

const BIG: usize = 24 << 20;
/// Far into the layer, far from its end.
const STALL: u64 = 16 << 20;

/// Pushes an image with a large layer and forgets it.
fn push_big(host: &TestHost, registry: &Registry, name: &str) {
    let image = ArchiveImage {
        name: format!("{}:1", host.unique("big")),
        layers: vec![busybox_tar().to_vec(), layer("noise", &noise(7, BIG)).finish()],
        config: json!({"Env": ["PATH=/bin"]}),
    };
    let archive = image.save(Layout::Legacy);
    host.api().send("POST", "/images/load", Some(("application/x-tar", &archive))).is(200);
    let name = registry.image(name);
    tag(host, &image.name, &name);
    pushed(host, &name);
    remove(host, &name);
    remove(host, &image.name);
}

/// One request got all of the large layer but what another one got before; none got all.
#[track_caller]
fn assert_resumed(registry: &Registry) {
    let partial = registry.requests(&["GET /v2/", "/blobs/", " 206 "]);
    assert_eq!(partial.len(), 1, "{:?}", registry.requests(&["GET "]));
    let bytes: u64 =
        partial[0].split(" 206 ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    // What was on its way when the end came is asked for again.
    assert!((BIG as u64 - STALL..BIG as u64).contains(&bytes), "{partial:?}");
}
