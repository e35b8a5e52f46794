//! Storage drivers and their options, chosen by the daemon's flags and by containers.

use std::fs;
use std::path::{Path, PathBuf};

use barge_testkit::{HostOptions, Process, TestHost, command};
use serde_json::{Value, json};

/// A file system of its own under a data root.
struct Disk {
    folder: PathBuf,
    file: PathBuf,
}

impl Disk {
    /// None when the kernel does not have it.
    #[allow(clippy::print_stderr, reason = "a skip is announced")]
    fn mount(host: &TestHost, make: &[&str], options: &str) -> Option<Self> {
        let disk =
            Self { folder: host.data_root().to_owned(), file: host.scratch().join("disk.img") };
        fs::create_dir_all(&disk.folder).unwrap();
        fs::File::create(&disk.file).unwrap().set_len(320 << 20).unwrap();
        Process::start(command(make[0]).args(&make[1..]).arg(&disk.file)).wait().ok();
        let mut mount = command("mount");
        mount.args(["-o", options]).arg(&disk.file).arg(&disk.folder);
        let mounted = Process::start(&mut mount).wait();
        if mounted.code != 0 {
            eprintln!("skipped: {make:?} with {options}: {}", mounted.stderr);
            return None;
        }
        Some(disk)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        barge_sys::mount::detach(&self.folder).ok();
        fs::remove_file(&self.file).ok();
    }
}

fn with_flags(flags: &[&str]) -> HostOptions {
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    HostOptions { flags, ..HostOptions::default() }
}

/// What a container without a size can write, and one with a size cannot.
fn sizes_are_enforced(host: &TestHost, driver: &str) {
    host.busybox();
    let info = host.api().get("/info").is(200).json();
    assert_eq!(info["Driver"], driver);
    assert!(info["DriverStatus"].as_array().is_some_and(|status| !status.is_empty()), "{info}");
    let write = "dd if=/dev/urandom of=/file bs=1M count=24 && sync";
    host.barge(&["run", "--rm", "busybox", "sh", "-c", write]).ok();
    let small =
        ["run", "--name", "small", "--storage-opt", "size=12m", "busybox", "sh", "-c", write];
    let failed = host.barge(&small);
    assert_ne!(failed.code, 0, "{failed}");
    let is_told = ["No space left on device", "quota exceeded"]
        .iter()
        .any(|text| failed.stderr.contains(text));
    assert!(is_told, "{failed}");
    assert_eq!(host.inspect("small")["HostConfig"]["StorageOpt"], json!({"size": "12m"}));
    let list = host.api().get("/containers/json?all=1&size=1").is(200).json();
    assert!(list[0]["SizeRw"].as_i64().unwrap() <= 12 << 20, "{list}");
    // What it has written is taken along by a commit, which has no size.
    host.barge(&["rm", "small"]).ok();
    host.barge(&["create", "--name", "plain", "busybox", "sh"]).ok();
    host.barge(&["commit", "plain", "again"]).ok();
    host.barge(&["run", "--rm", "again", "true"]).ok();
    host.barge(&["rm", "plain"]).ok();
}

fn test_sizes(driver: &str, make: &[&str], options: &str) {
    let mut host = TestHost::prepare(with_flags(&["--storage-driver", driver]));
    let Some(disk) = Disk::mount(&host, make, options) else {
        host.give_up();
        return;
    };
    host.start();
    sizes_are_enforced(&host, driver);
    host.assert_nothing_of_containers();
    host.stop();
    drop(disk);
    host.give_up();
}

#[test]
fn sizes_are_enforced_on_btrfs() {
    if let barge_testkit::Verdict::Absent(_) = barge_testkit::check("mkfs.btrfs") {
        return;
    }
    test_sizes("btrfs", &["mkfs.btrfs", "-q", "-f"], "loop");
}

#[test]
fn sizes_are_enforced_on_ext4_with_project_quotas() {
    let make = ["mkfs.ext4", "-q", "-F", "-O", "quota,project", "-E", "quotatype=prjquota"];
    test_sizes("overlay2", &make, "loop,prjquota");
}

#[test]
fn sizes_that_nothing_enforces_are_refused() {
    let host = TestHost::new();
    host.busybox();
    let create = |options: Value| {
        let body = json!({"Image": "busybox", "HostConfig": {"StorageOpt": options}});
        host.api().post("/containers/create", body)
    };
    let refused = |options: Value| create(options).error(400);
    assert!(refused(json!({"colour": "red"})).contains("unknown option colour: known is size"));
    assert!(refused(json!({"size": "much"})).contains("size=much"));
    create(json!({})).is(201);
    if has_quotas(host.data_root()) {
        return;
    }
    assert_eq!(
        refused(json!({"size": "10m"})),
        "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
    );
    assert_eq!(
        host.api().get("/containers/json?all=1").is(200).json().as_array().unwrap().len(),
        1
    );
}

/// Whether the file system of a path is mounted with project quotas.
fn has_quotas(path: &Path) -> bool {
    let options =
        Process::start(command("findmnt").args(["-no", "OPTIONS", "-T"]).arg(path)).wait();
    ["prjquota", "pquota"].iter().any(|option| options.text().contains(option))
}

#[test]
fn other_drivers_and_wrong_options_are_told_at_the_start() {
    let host = TestHost::with(with_flags(&["-s", "vfs"]));
    host.busybox();
    assert_eq!(host.api().get("/info").is(200).json()["Driver"], "vfs");
    host.barge(&["run", "--name", "cc", "busybox", "sh", "-c", "echo 1 > /f"]).ok();
    host.barge(&["commit", "cc", "made"]).ok();
    assert_eq!(host.barge(&["run", "--rm", "made", "cat", "/f"]).text(), "1");
    assert_eq!(host.inspect("cc")["GraphDriver"]["Name"], "vfs");
    for (flags, text) in [
        (["--storage-driver", "nosuch"], "nosuch"),
        (["--storage-driver", "aufs"], "aufs"),
        (["--storage-opt", "colour=red"], "unknown option colour"),
        (["--storage-opt", "btrfs.min_space=1"], "btrfs"),
    ] {
        let mut host = TestHost::prepare(with_flags(&flags));
        let said = host.start_in_vain();
        assert!(said.contains(text), "{flags:?}: {said}");
        host.give_up();
    }
}
