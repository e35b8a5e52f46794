//! `kill -9` of the daemon between any two steps that change the disk, while images come, are made and go.
//!
//! A sample of the places in an ordinary run; all of them with `BARGE_ALL_FAULTS` in the environment. Whatever place it
//! was: the next daemon has the images of before or of after, each of them runs, nothing else is left, and the verb
//! succeeds when it is tried again.

use std::collections::BTreeSet;
use std::fs;

use barge_testkit::{
    ArchiveImage, Layout, TarBuilder, TestHost, Victim, busybox_tar, eventually, fault_places,
};
use serde_json::json;

use crate::registry::server::Registry;

/// What a verb is, seen from outside.
struct Verb<'a> {
    /// Brings about what the verb needs.
    prepare: &'a dyn Fn(&TestHost),
    /// The command line.
    line: Vec<String>,
    /// The image that is there afterwards, or before for a verb that removes it.
    image: &'a str,
    /// Whether it is there afterwards.
    comes: bool,
}

/// Every blob and every layer.
fn on_disk(host: &TestHost) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["content/blobs/sha256", "overlay2", "image/overlay2/layers"] {
        for entry in fs::read_dir(host.data_root().join(folder)).unwrap() {
            found.insert(format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy()));
        }
    }
    found
}

fn has(host: &TestHost, image: &str) -> bool {
    let names = host.barge(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    names.text().lines().any(|line| line == image)
}

fn runs(host: &TestHost, image: &str) {
    let ran = host.barge(&["run", "--rm", "--network", "none", image, "cat", "/mark"]);
    assert_eq!(ran.text(), "mine", "{image}");
}

/// What is there besides the mount points that a first run adds to an image.
fn without_mount_points(found: &BTreeSet<String>) -> BTreeSet<String> {
    found.iter().filter(|name| !name.ends_with("-init")).cloned().collect()
}

/// Gives up the cache of builds.
fn prune(host: &TestHost) {
    host.api().post("/build/prune?all=1", serde_json::Value::Null).is(200);
}

fn kill_at_each_place(host: &mut TestHost, verb: &Verb<'_>) {
    let empty = on_disk(host);
    let line: Vec<&str> = verb.line.iter().map(String::as_str).collect();
    for place in fault_places() {
        (verb.prepare)(host);
        let before = on_disk(host);
        assert_eq!(has(host, verb.image), !verb.comes);
        host.arm_fault(Victim::Daemon, place);
        let outcome = host.barge(&line);
        let Some(name) = host.disarm_fault(Victim::Daemon) else {
            outcome.ok();
            prune(host);
            assert!(place > 3, "there are places to be killed at");
            return;
        };
        host.kill9();
        host.start();
        // What a build keeps for the next one is nothing that is left, and nothing that an image needs.
        prune(host);
        let told = format!("killed at place {place}, {name}");
        let is_here = has(host, verb.image);
        if is_here {
            runs(host, verb.image);
        }
        if is_here != verb.comes {
            let is_as_before =
                || without_mount_points(&on_disk(host)) == without_mount_points(&before);
            eventually(&format!("{told}: nothing is left"), is_as_before);
            host.barge(&line).ok();
        }
        assert_eq!(has(host, verb.image), verb.comes, "{told}");
        if verb.comes {
            runs(host, verb.image);
            host.barge(&["rmi", verb.image]).ok();
        }
        prune(host);
        eventually(&format!("{told}: all of it goes"), || on_disk(host) == empty);
    }
}

fn archive(name: &str) -> ArchiveImage {
    ArchiveImage {
        name: name.to_owned(),
        layers: vec![
            busybox_tar().to_vec(),
            TarBuilder::new().file("mark", 0o644, b"mine\n").finish(),
            TarBuilder::new().file("other", 0o644, b"more\n").finish(),
        ],
        config: json!({"Cmd": ["sh"]}),
    }
}

#[test]
fn a_load_is_whole_or_nothing() {
    let mut host = TestHost::new();
    host.busybox();
    let file = host.file("image.tar", archive("loaded:1").save(Layout::Oci));
    let line = ["load", "-i", &file].map(str::to_owned).to_vec();
    let verb = Verb { prepare: &|_| {}, line, image: "loaded:1", comes: true };
    kill_at_each_place(&mut host, &verb);
    host.barge(&["rmi", "loaded:1"]).ok();
}

#[test]
fn a_commit_is_whole_or_nothing() {
    let mut host = TestHost::new();
    host.busybox();
    let script = "echo mine > /mark; mkdir -p /a/b; ln -s x /a/b/c";
    host.barge(&["run", "--name", "source", "--network", "none", "busybox", "sh", "-c", script])
        .ok();
    let line = ["commit", "source", "made:1"].map(str::to_owned).to_vec();
    let verb = Verb { prepare: &|_| {}, line, image: "made:1", comes: true };
    kill_at_each_place(&mut host, &verb);
    host.barge(&["rm", "source"]).ok();
    host.barge(&["rmi", "made:1"]).ok();
}

#[test]
fn a_removal_is_whole_or_nothing() {
    let mut host = TestHost::new();
    host.busybox();
    let file = host.file("image.tar", archive("gone:1").save(Layout::Oci));
    let prepare = |host: &TestHost| host.barge(&["load", "-i", &file]).ok();
    let line = ["rmi", "gone:1"].map(str::to_owned).to_vec();
    kill_at_each_place(&mut host, &Verb { prepare: &prepare, line, image: "gone:1", comes: false });
}

#[test]
fn a_pull_is_whole_or_nothing() {
    let mut host = TestHost::new();
    host.busybox();
    let registry = Registry::start(&host);
    let name = registry.image("pulled:1");
    let file = host.file("image.tar", archive("pushed:1").save(Layout::Oci));
    host.barge(&["load", "-i", &file]).ok();
    host.barge(&["tag", "pushed:1", &name]).ok();
    host.barge(&["push", "-q", &name]).ok();
    host.barge(&["rmi", &name, "pushed:1"]).ok();
    let line = ["pull", "-q", &name].map(str::to_owned).to_vec();
    kill_at_each_place(&mut host, &Verb { prepare: &|_| {}, line, image: &name, comes: true });
    host.barge(&["rmi", &name]).ok();
}

#[test]
fn a_build_is_whole_or_nothing() {
    let mut host = TestHost::new();
    host.busybox();
    let folder = host.scratch().join("context");
    fs::create_dir(&folder).unwrap();
    let text = "FROM busybox\nCOPY mark /mark\nRUN echo more > /other\nWORKDIR /w\n";
    fs::write(folder.join("Dockerfile"), text).unwrap();
    fs::write(folder.join("mark"), "mine\n").unwrap();
    let line = ["build", "-q", "--no-cache", "--network", "none", "-t", "built:1"];
    let line = line.into_iter().chain([folder.to_str().unwrap()]).map(str::to_owned).collect();
    kill_at_each_place(&mut host, &Verb { prepare: &|_| {}, line, image: "built:1", comes: true });
    host.barge(&["rmi", "built:1"]).ok();
}
