//! A process that no signal ends: verbs give up after their deadline and say what blocks, and it ends as it was told to
//! when it can.

use std::fs;
use std::path::PathBuf;

use barge_testkit::{TestHost, eventually};

/// A freezer of cgroup v1 of the test's own: what is in it takes no SIGKILL, as a process that waits for a device.
struct Freezer(PathBuf);

impl Freezer {
    fn hold(host: &TestHost, pid: i32) -> Option<Self> {
        let root = PathBuf::from("/sys/fs/cgroup/freezer");
        if !root.join("cgroup.procs").exists() {
            return None;
        }
        let folder =
            root.join(host.unique(&format!("{}-stuck", host.cgroup_parent().replace('/', ""))));
        fs::create_dir(&folder).unwrap();
        let freezer = Self(folder);
        fs::write(freezer.0.join("cgroup.procs"), pid.to_string()).unwrap();
        freezer.set("FROZEN");
        Some(freezer)
    }

    fn set(&self, state: &str) {
        fs::write(self.0.join("freezer.state"), state).unwrap();
        eventually("the freezer has done it", || {
            fs::read_to_string(self.0.join("freezer.state")).unwrap().trim() == state
        });
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.set("THAWED");
        eventually("nothing is in it any more", || fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
fn a_process_that_no_signal_ends_holds_no_verb_for_ever() {
    let host = TestHost::new();
    host.busybox();
    host.barge(&["run", "-d", "--name", "stuck", "busybox", "sleep", "1000"]).ok();
    let pid = host.pid("stuck");
    let Some(freezer) = Freezer::hold(&host, pid) else {
        eprintln!("skipped: only the freezer of cgroup v1 holds what is killed");
        return;
    };
    let (stop, remove) = (
        host.start_client(barge_testkit::Client::Barge, &["stop", "-t", "0", "stuck"]),
        host.start_client(barge_testkit::Client::Barge, &["rm", "-f", "stuck"]),
    );
    let reason = format!("process {pid} does not react");
    stop.wait().fails_saying(1, &reason);
    remove.wait().fails_saying(1, &reason);
    // Whoever only sends a signal has done so.
    host.barge(&["kill", "stuck"]).ok();
    assert_eq!(host.status("stuck"), "running");
    assert!(host.barge(&["ps"]).text().contains("stuck"));
    drop(freezer);
    eventually("it ends", || host.status("stuck") == "exited");
    assert_eq!(host.inspect("stuck")["State"]["ExitCode"], 137);
    host.barge(&["rm", "stuck"]).ok();
    host.assert_nothing_of_containers();
}

#[test]
fn a_container_that_somebody_else_froze_is_ended() {
    if !std::path::Path::new("/sys/fs/cgroup/freezer/cgroup.procs").exists() {
        eprintln!("skipped: only the freezer of cgroup v1 holds what is killed");
        return;
    }
    let host = TestHost::new();
    host.busybox();
    for verb in [&["stop", "-t", "0"][..], &["kill"], &["rm", "-f"]] {
        host.barge(&["run", "-d", "--name", "frozen", "busybox", "sleep", "1000"]).ok();
        let id = host.id("frozen");
        let state = format!("/sys/fs/cgroup/freezer/{}/{id}/freezer.state", host.cgroup_parent());
        fs::write(&state, "FROZEN").unwrap();
        eventually("it is frozen", || fs::read_to_string(&state).unwrap().trim() == "FROZEN");
        host.barge(&[verb, &["frozen"]].concat()).ok();
        if verb[0] != "rm" {
            assert_eq!(host.status("frozen"), "exited", "{verb:?}");
            host.barge(&["rm", "frozen"]).ok();
        }
    }
    host.assert_nothing_of_containers();
}
