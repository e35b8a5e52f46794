//! A full disk: whatever brings an image says so and leaves nothing, and succeeds when there is room again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use barge_testkit::{
    ArchiveImage, HostOptions, Layout, Process, TarBuilder, TestHost, busybox_tar, command,
    eventually,
};
use serde_json::json;

use crate::registry::server::Registry;

/// An ext4 of its own for the data root.
pub(crate) struct Disk<'h>(&'h Path);

impl<'h> Disk<'h> {
    pub(crate) fn mount(host: &TestHost, root: &'h Path, megabytes: u64) -> Self {
        let image = host.scratch().join("disk");
        fs::File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
        Process::start(command("mkfs.ext4").arg("-q").arg(&image)).wait().ok();
        fs::create_dir_all(root).unwrap();
        Process::start(command("mount").args(["-o", "loop"]).arg(&image).arg(root)).wait().ok();
        Self(root)
    }

    /// Leaves so many megabytes.
    pub(crate) fn fill_up_to(&self, megabytes: u64) -> PathBuf {
        let room = rustix::fs::statvfs(self.0).unwrap();
        let filler = self.0.join("filler");
        let file = fs::File::create(&filler).unwrap();
        let size = room.f_bavail * room.f_frsize - (megabytes << 20);
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size).unwrap();
        filler
    }

    /// Leaves nothing, also of what only root may use.
    fn fill(&self) {
        let file = fs::File::create(self.0.join("last")).unwrap();
        let mut offset = 0;
        for size in [1 << 20, 64 << 10, 4 << 10] {
            let flags = rustix::fs::FallocateFlags::empty();
            while rustix::fs::fallocate(&file, flags, offset, size).is_ok() {
                offset += size;
            }
        }
        file.sync_all().ok();
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        barge_sys::mount::detach(self.0).ok();
    }
}

fn on_disk(host: &TestHost) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["content/blobs/sha256", "content/ingest", "overlay2", "image/overlay2"] {
        for entry in fs::read_dir(host.data_root().join(folder)).unwrap() {
            found.insert(format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy()));
        }
    }
    found.remove("image/overlay2/reserve");
    found
}

/// Bytes that nothing makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    })
    .take(length)
    .collect()
}

#[test]
fn what_finds_no_room_leaves_nothing_and_succeeds_later() {
    let mut host = TestHost::prepare(HostOptions::default());
    let root = host.data_root().to_owned();
    let disk = Disk::mount(&host, &root, 192);
    host.start();
    host.busybox();
    let image = ArchiveImage {
        name: "large:1".to_owned(),
        layers: vec![
            busybox_tar().to_vec(),
            TarBuilder::new().file("noise", 0o644, &noise(16 << 20)).finish(),
        ],
        config: json!({"Cmd": ["sh"]}),
    };
    let file = host.file("large.tar", image.save(Layout::Oci));
    let registry = Registry::start(&host);
    let remote = registry.image("large:1");
    host.barge(&["load", "-i", &file]).ok();
    host.barge(&["tag", "large:1", &remote]).ok();
    host.barge(&["push", "-q", &remote]).ok();
    host.barge(&["rmi", &remote, "large:1"]).ok();
    let script = "dd if=/dev/urandom of=/noise bs=1M count=12 2>/dev/null";
    host.barge(&["run", "--name", "source", "--network", "none", "busybox", "sh", "-c", script])
        .ok();
    let verbs: [&[&str]; 3] =
        [&["load", "-i", &file], &["pull", &remote], &["commit", "source", "made:1"]];
    let filler = disk.fill_up_to(10);
    let before = on_disk(&host);
    for verb in verbs {
        let refused = host.barge(verb);
        assert!(
            refused.code == 1 && refused.stderr.contains("no space left on device")
                || refused.stderr.contains("No space left on device"),
            "{refused}"
        );
        eventually(&format!("nothing is left of {verb:?}"), || on_disk(&host) == before);
    }
    assert_eq!(
        host.barge(&["run", "--rm", "--network", "none", "busybox", "echo", "on"]).text(),
        "on"
    );
    fs::remove_file(filler).unwrap();
    for verb in verbs {
        host.barge(verb).ok();
    }
    for name in ["large:1", &remote, "made:1"] {
        let size =
            host.barge(&["run", "--rm", "--network", "none", name, "stat", "-c", "%s", "/noise"]);
        assert!(["16777216", "12582912"].contains(&size.text()), "{size}");
        host.barge(&["rmi", "-f", name]).ok();
    }
    host.barge(&["rm", "source"]).ok();
    host.stop();
    drop(disk);
}

#[test]
fn an_image_can_be_removed_to_make_room() {
    let mut host = TestHost::prepare(HostOptions::default());
    let root = host.data_root().to_owned();
    let disk = Disk::mount(&host, &root, 64);
    host.start();
    host.busybox();
    host.barge(&["tag", "busybox", "other:1"]).ok();
    disk.fill();
    host.barge(&["rmi", "other:1"]).ok();
    host.barge(&["rmi", "busybox"]).ok();
    assert_eq!(host.barge(&["images", "-q"]).text(), "");
    host.stop();
    drop(disk);
}

#[test]
fn a_daemon_starts_on_a_full_disk_and_room_can_be_made() {
    let mut host = TestHost::prepare(HostOptions::default());
    let root = host.data_root().to_owned();
    let disk = Disk::mount(&host, &root, 64);
    host.start();
    host.busybox();
    let run = ["run", "-d", "--network", "none"];
    let large = ["busybox", "sh", "-c", "head -c 4000000 /dev/zero > /large; exec sleep 1000"];
    host.barge(&[&run[..], &["--name", "live"], &large].concat()).ok();
    host.barge(&[&run[..], &["--name", "done"], &["busybox", "true"]].concat()).ok();
    host.barge(&["volume", "create", "kept"]).ok();
    eventually("it is done", || host.status("done") == "exited");
    disk.fill();
    host.kill9();
    host.start();
    assert_eq!((host.status("live"), host.status("done")), ("running".into(), "exited".into()));
    assert_eq!(host.barge(&["exec", "live", "echo", "in"]).text(), "in");
    // What is there can be told of, and goes; an image goes by what is kept for that.
    host.barge(&["logs", "live"]).ok();
    host.barge(&["system", "df"]).ok();
    host.barge(&["stop", "-t", "0", "live"]).ok();
    host.stop();
    host.start();
    assert_eq!(host.status("live"), "exited");
    host.barge(&["rm", "live", "done"]).ok();
    host.barge(&["volume", "rm", "kept"]).ok();
    eventually("there is room", || {
        host.barge(&["run", "--rm", "--network", "none", "busybox", "echo", "on"]).text() == "on"
    });
    host.assert_nothing_of_containers();
    host.stop();
    drop(disk);
}
