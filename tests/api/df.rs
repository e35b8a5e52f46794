//! What is said to take how much of the disk is what `du` finds there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use barge_testkit::{Client, TestHost, eventually};
use serde_json::{Value, json};

/// What `du` says of the files (not the folders) below some folders, each counted once.
fn du(folders: &[PathBuf]) -> i64 {
    let line = "find \"$@\" -type f -print0 | du -cb --files0-from=- | tail -n1 | cut -f1";
    let output = Command::new("sh").args(["-c", line, "sh"]).args(folders).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().parse().unwrap_or_else(|error| panic!("{error}: {text:?} for {folders:?}"))
}

fn df(host: &TestHost, query: &str) -> Value {
    host.api().get(&format!("/system/df{query}")).is(200).json()
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn run(host: &TestHost, name: &str, script: &str) {
    let arguments = ["run", "-v", "/data", "--name", name, "busybox", "sh", "-c", script];
    host.barge(&arguments).ok();
}

/// Two images with a layer of their own each, a container that has ended, one that runs; logs, rotated ones too.
fn fill(host: &TestHost) {
    host.busybox();
    let big = "dd if=/dev/zero of=$f bs=1000 count=$n 2>/dev/null";
    run(host, "maker", &format!("f=/layer; n=300; {big}; ln /layer /again"));
    host.barge(&["commit", "maker", "made"]).ok();
    run(
        host,
        "ended",
        &format!("f=/own; n=20; {big}; f=/data/file; n=30; {big}; echo some output"),
    );
    let script = format!("f=/more; n=7; {big}; while :; do echo a line of the log; done");
    host.barge(&[
        "run",
        "-d",
        "--name",
        "running",
        "--log-opt",
        "max-size=20k",
        "--log-opt",
        "max-file=3",
        "made",
        "sh",
        "-c",
        &script,
    ])
    .ok();
    let folder = host.data_root().join("containers").join(host.id("running"));
    eventually("its log is rotated", || {
        subfolders(&folder).iter().any(|path| path.to_string_lossy().ends_with(".log.2"))
    });
    host.barge(&["kill", "running"]).ok();
    host.barge(&["run", "-d", "--name", "idle", "made", "sleep", "1000"]).ok();
}

#[test]
fn the_numbers_are_those_of_du() {
    let host = TestHost::new();
    fill(&host);
    let usage = df(&host, "");
    let root = host.data_root();

    let mut diffs = Vec::new();
    for image in usage["Images"].as_array().unwrap() {
        let path = format!("/images/{}/json", image["Id"].as_str().unwrap());
        let data = host.api().get(&path).is(200).json()["GraphDriver"]["Data"].clone();
        let lower = data["LowerDir"].as_str().unwrap_or_default();
        let folders = data["UpperDir"].as_str().into_iter().chain(lower.split(':'));
        let folders: Vec<PathBuf> =
            folders.filter(|path| !path.is_empty()).map(PathBuf::from).collect();
        assert_eq!(image["Size"], du(&folders), "{image}");
        diffs.extend(folders);
    }
    diffs.sort();
    diffs.dedup();
    assert_eq!(usage["LayersSize"], du(&diffs));

    let containers = usage["Containers"].as_array().unwrap();
    assert_eq!(containers.len(), 4);
    for container in containers {
        let id = container["Id"].as_str().unwrap();
        let own = du(&[root.join("overlay2").join(id).join("diff")]);
        assert_eq!(container["SizeRw"].as_i64().unwrap_or(0), own, "{container}");
        let made =
            host.api().get(&format!("/images/{}/json", container["ImageID"].as_str().unwrap()));
        let image = made.is(200).json()["Size"].as_i64().unwrap();
        assert_eq!(container["SizeRootFs"], own + image);
    }

    for volume in usage["Volumes"].as_array().unwrap() {
        let folder = PathBuf::from(volume["Mountpoint"].as_str().unwrap());
        assert_eq!(volume["UsageData"], json!({"RefCount": 1, "Size": du(&[folder])}));
    }
    let sizes = usage["Volumes"].as_array().unwrap().iter();
    assert_eq!(
        sizes.map(|volume| volume["UsageData"]["Size"].as_i64().unwrap()).max(),
        Some(30_000)
    );

    let logs = &usage["LogsUsage"];
    let folders = subfolders(&root.join("containers"));
    let logs_on_disk: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| subfolders(folder))
        .filter(|path| path.to_string_lossy().contains("-json.log"))
        .collect();
    assert_eq!(logs["TotalSize"], du(&logs_on_disk));
    assert_eq!((&logs["TotalCount"], &logs["ActiveCount"]), (&json!(4), &json!(1)));
    let content = &usage["ContentUsage"];
    assert_eq!(content["TotalSize"], du(&[root.join("content/blobs")]));
    assert_eq!(content["PartialCount"], 0);
    assert_eq!(usage["BuildCache"], json!([]));
}

#[test]
fn archives_of_layers_go_with_images_that_nothing_uses() {
    let host = TestHost::new();
    host.busybox();
    let content = || df(&host, "?type=image")["ContentUsage"].clone();
    let unused = content();
    assert!(unused["TotalSize"].as_i64().unwrap() > 0);
    assert_eq!(unused["Reclaimable"], unused["TotalSize"]);
    host.barge(&["create", "--name", "user", "busybox"]).ok();
    assert_eq!(content()["Reclaimable"], 0);
    host.barge(&["rm", "user"]).ok();
    let shown = host.barge(&["system", "df", "-v"]);
    assert!(shown.text().contains("Layer archives usage: "), "{shown}");
    host.barge(&["image", "prune", "-af"]).ok();
    assert_eq!(content()["TotalSize"], 0);
}

#[test]
fn a_layer_that_only_the_cache_has_is_counted_there_alone() {
    let host = TestHost::new();
    let folder = host.scratch().join("context");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("Dockerfile"), "FROM scratch\nCOPY big /\n").unwrap();
    fs::write(folder.join("big"), vec![1; 5000]).unwrap();
    host.barge(&["build", "-q", "-t", "made", folder.to_str().unwrap()]).ok();
    let sizes = || {
        let usage = df(&host, "");
        let [entry] = usage["BuildCache"].as_array().unwrap().as_slice() else {
            panic!("{usage}");
        };
        assert!(entry["LastUsedAt"].is_string() && entry["UsageCount"] == 1, "{entry}");
        assert_eq!(entry["Size"], 5000);
        (usage["LayersSize"].clone(), entry["Shared"].clone())
    };
    assert_eq!(sizes(), (json!(5000), json!(true)));
    host.barge(&["rmi", "made"]).ok();
    assert_eq!(sizes(), (json!(0), json!(false)));
}

#[test]
fn a_kind_is_given_alone_and_an_unknown_one_refused() {
    let host = TestHost::new();
    host.busybox();
    let kinds = [("image", "Images"), ("container", "Containers"), ("volume", "Volumes")];
    for (kind, field) in kinds.into_iter().chain([("build-cache", "BuildCache")]) {
        let usage = df(&host, &format!("?type={kind}"));
        for (_, other) in kinds {
            assert_eq!(usage[other].is_array(), other == field, "{kind}: {usage}");
        }
        assert_eq!(usage["LayersSize"].as_i64().unwrap() > 0, kind == "image");
        assert!(usage["LogsUsage"].is_null());
    }
    assert!(df(&host, "?type=log&type=volume")["LogsUsage"].is_object());
    let refused = host.api().get("/system/df?type=foo").error(400);
    assert_eq!(refused, "unknown object type: foo");
}

#[test]
fn sizes_follow_a_container_whose_image_was_forced_away() {
    let host = TestHost::new();
    host.busybox();
    run(&host, "cc", "echo 12345 > /x");
    let sizes = || {
        let list = host.api().get("/containers/json?all=1&size=1").is(200).json();
        (list[0]["SizeRw"].clone(), list[0]["SizeRootFs"].clone())
    };
    let before = sizes();
    assert_eq!(before.0, 6);
    host.barge(&["rmi", "-f", "busybox"]).ok();
    assert_eq!(sizes(), before);
    // What is still there for the container is counted.
    let usage = df(&host, "");
    assert_eq!(usage["Images"], json!([]));
    assert_eq!(usage["LayersSize"].as_i64().unwrap(), before.1.as_i64().unwrap() - 6);
    host.barge(&["rm", "-v", "cc"]).ok();
    assert_eq!(df(&host, "")["LayersSize"], 0);
}

#[test]
fn both_clients_show_it() {
    let host = TestHost::new();
    fill(&host);
    for client in Client::both() {
        let shown = host.run(client, &["system", "df"]);
        for words in ["Images", "Containers", "Local Volumes", "Build Cache"] {
            assert!(shown.text().contains(words), "{}", shown.text());
        }
        let verbose = host.run(client, &["system", "df", "-v"]);
        assert!(verbose.text().contains("made"), "{}", verbose.text());
    }
    assert!(host.barge(&["system", "df"]).text().contains("Logs"));
}
