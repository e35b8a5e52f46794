//! Control groups are there before their containers: who gets one, what it is, and who takes away what nobody got.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use barge_testkit::{Client, TestHost, eventually};

const READY: usize = 4;
const GIVEN: usize = 16;

/// The folder that containers' groups are in, of one hierarchy.
fn parent(host: &TestHost) -> PathBuf {
    let memory = Path::new("/sys/fs/cgroup/memory").join(host.cgroup_parent());
    if memory.exists() { memory } else { Path::new("/sys/fs/cgroup").join(host.cgroup_parent()) }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn ready(host: &TestHost) -> BTreeSet<String> {
    ready_beside(host, &[]);
    names(&parent(host))
}

/// Those of these containers are none that are ready.
fn ready_beside(host: &TestHost, ids: &[String]) {
    let is_free = |name: &String| !ids.contains(name);
    eventually("groups are made ahead", || {
        names(&parent(host)).into_iter().filter(is_free).count() >= READY
    });
}

#[test]
fn a_container_has_the_group_that_was_made_ahead_with_limits_of_its_own() {
    let host = TestHost::new();
    host.busybox();
    for client in Client::both() {
        let before = ready(&host);
        let words = ["create", "--name", "one", "--pids-limit", "33", "-m", "64m", "busybox"];
        let id = host.run(client, &[&words[..], &["sleep", "600"]].concat()).text().to_owned();
        assert!(before.contains(&id), "{id} is none of {before:?}");
        let inode = || {
            use std::os::unix::fs::MetadataExt as _;
            fs::metadata(parent(&host).join(&id)).unwrap().ino()
        };
        let made = inode();
        host.run(client, &["start", "one"]).ok();
        assert_eq!(inode(), made, "the group was not used as it was");
        assert_eq!(host.cgroup("one", "pids", "pids.max"), "33");
        assert_eq!(host.cgroup("one", "memory", "memory.limit_in_bytes"), "67108864");
        let pids = fs::read_to_string(parent(&host).join(&id).join("cgroup.procs")).unwrap();
        assert_eq!(pids.trim(), host.pid("one").to_string());
        // The second run has a new one.
        host.run(client, &["restart", "-t", "0", "one"]).ok();
        assert_eq!(host.cgroup("one", "pids", "pids.max"), "33");
        host.run(client, &["rm", "-f", "one"]).ok();
        assert!(!parent(&host).join(&id).exists());
        host.assert_nothing_of_containers();
    }
}

#[test]
fn what_was_made_ahead_and_lost_is_made_again_by_the_start() {
    let host = TestHost::new();
    host.busybox();
    ready(&host);
    let id = host.barge(&["create", "--name", "one", "busybox", "true"]).text().to_owned();
    fs::remove_dir(parent(&host).join(&id)).unwrap();
    host.barge(&["start", "-a", "one"]).ok();
    host.barge(&["rm", "one"]).ok();
    // And where it is another's: of another parent nothing is made ahead.
    let other = format!("{}/other", host.cgroup_parent());
    let parent_of_its_own = ["create", "--cgroup-parent", &other, "busybox", "true"];
    let id = host.barge(&parent_of_its_own).text().to_owned();
    assert!(!parent(&host).join(&id).exists());
    assert!(!parent(&host).join("other").join(&id).exists());
    host.barge(&["rm", &id]).ok();
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        fs::remove_dir(hierarchy.path().join(&other)).ok();
    }
}

#[test]
fn groups_of_containers_that_never_start_are_few_and_go_with_them() {
    let host = TestHost::new();
    host.busybox();
    let mut ids = Vec::new();
    for number in 0..GIVEN + READY + 2 {
        ready_beside(&host, &ids);
        let name = format!("c{number}");
        ids.push(host.barge(&["create", "--name", &name, "busybox", "true"]).text().to_owned());
        // Whoever starts one makes room for the next ones.
        host.barge(&["run", "--rm", "busybox", "true"]).ok();
    }
    let waiting = || names(&parent(&host)).into_iter().filter(|name| ids.contains(name)).count();
    assert!((1..=GIVEN).contains(&waiting()), "{} groups wait", waiting());
    assert!(!parent(&host).join(&ids[0]).exists(), "the oldest waits before the newest");
    // One without a group starts as well.
    host.barge(&["start", "-a", "c0"]).ok();
    // What cannot be created takes its group along.
    for _ in 0..READY {
        ready_beside(&host, &ids);
        host.barge(&["create", "--name", "c1", "busybox", "true"]).fails(1);
        host.barge(&["run", "--rm", "busybox", "true"]).ok();
    }
    eventually("there are those that wait and those that are ready", || {
        names(&parent(&host)).len() == waiting() + READY
    });
    assert!(waiting() >= GIVEN - 1, "{} groups wait", waiting());
    host.barge(&["container", "prune", "-f"]).ok();
    assert_eq!(waiting(), 0);
    host.assert_nothing_of_containers();
}

#[test]
fn a_daemon_takes_its_groups_along_and_those_of_a_killed_one() {
    let mut host = TestHost::new();
    host.busybox();
    let mut left = ready(&host);
    let waiting = host.barge(&["create", "--name", "waits", "busybox", "true"]).text().to_owned();
    assert!(left.contains(&waiting));
    host.kill9();
    assert!(names(&parent(&host)).is_superset(&left));
    host.start();
    eventually("those of the killed daemon are gone", || names(&parent(&host)).is_disjoint(&left));
    host.barge(&["start", "-a", "waits"]).ok();
    left = ready(&host);
    host.stop();
    assert_eq!(names(&parent(&host)), BTreeSet::new(), "of {left:?}");
    host.start();
    host.barge(&["rm", "waits"]).ok();
}
