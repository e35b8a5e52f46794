//! Shims that hang, and records that are damaged: nobody waits for ever, and the daemon starts.

use std::fs;

use barge_testkit::{Client, TestHost, eventually};

fn host() -> TestHost {
    let host = TestHost::new();
    host.busybox();
    host
}

fn signal(pid: i32, number: i32) {
    barge_sys::signal::kill(pid, number).unwrap();
}

fn run(host: &TestHost, name: &str) {
    host.barge(&["run", "-d", "--name", name, "-p", "80", "busybox", "sleep", "1000"]).ok();
}

#[test]
fn a_container_is_ended_although_its_shim_is_stopped() {
    let host = host();
    let verbs: [&[&str]; 4] =
        [&["stop", "-t", "0"], &["kill"], &["restart", "-t", "0"], &["rm", "-f"]];
    for verb in verbs {
        run(&host, "subject");
        let pid = host.pid("subject");
        signal(host.shim("subject"), libc::SIGSTOP);
        host.barge(&[verb, &["subject"]].concat()).ok();
        let path = format!("/proc/{pid}");
        eventually("its process is gone", || !fs::exists(&path).unwrap());
        if verb[0] == "rm" {
            assert_eq!(host.api().get("/containers/subject/json").status, 404);
            continue;
        }
        let expected = if verb[0] == "restart" { "running" } else { "exited" };
        assert_eq!(host.status("subject"), expected, "{verb:?}");
        host.barge(&["rm", "-f", "subject"]).ok();
        host.assert_nothing_of_containers();
    }
}

#[test]
fn a_paused_container_is_stopped_although_its_shim_is_stopped() {
    let host = host();
    run(&host, "subject");
    host.barge(&["pause", "subject"]).ok();
    signal(host.shim("subject"), libc::SIGSTOP);
    host.barge(&["stop", "-t", "0", "subject"]).ok();
    assert_eq!(host.status("subject"), "exited");
    host.barge(&["rm", "subject"]).ok();
    host.assert_nothing_of_containers();
}

#[test]
fn a_shim_that_hangs_costs_a_starting_daemon_neither_time_nor_the_container() {
    let mut host = host();
    let names = ["one", "two", "three"];
    for name in names {
        run(&host, name);
    }
    let shims = names.map(|name| host.shim(name));
    let pids = names.map(|name| host.pid(name));
    for shim in shims {
        signal(shim, libc::SIGSTOP);
    }
    host.kill9();
    host.start();
    for (name, pid) in names.into_iter().zip(pids) {
        assert_eq!(host.pid(name), pid, "{name} is kept");
    }
    // One goes on, one ends first, one is taken away.
    signal(shims[0], libc::SIGCONT);
    host.barge(&["exec", "one", "true"]).ok();
    signal(pids[1], libc::SIGKILL);
    signal(shims[1], libc::SIGCONT);
    assert_eq!(host.barge(&["wait", "two"]).text(), "137");
    host.barge(&["rm", "-f", "three", "two", "one"]).ok();
    host.assert_nothing_of_containers();
}

#[test]
fn an_end_during_the_daemons_absence_is_told_by_a_shim_that_answers_late() {
    let mut host = host();
    let script = "mkfifo /go; read x < /go; exit 42";
    host.barge(&["run", "-d", "--name", "late", "busybox", "sh", "-c", script]).ok();
    let (pid, shim) = (host.pid("late"), host.shim("late"));
    eventually("it waits", || host.barge(&["exec", "late", "test", "-p", "/go"]).code == 0);
    host.kill9();
    signal(shim, libc::SIGSTOP);
    fs::write(format!("/proc/{pid}/root/go"), "go\n").unwrap();
    host.start();
    assert_eq!(host.status("late"), "running", "nobody knows better");
    signal(shim, libc::SIGCONT);
    assert_eq!(host.barge(&["wait", "late"]).text(), "42");
    host.barge(&["rm", "late"]).ok();
    host.assert_nothing_of_containers();
}

#[test]
fn a_killed_first_process_of_a_stopped_shim_is_told_when_the_shim_goes_on() {
    let host = host();
    for client in Client::both() {
        run(&host, "subject");
        let (pid, shim) = (host.pid("subject"), host.shim("subject"));
        signal(pid, libc::SIGSTOP);
        host.run(client, &["stop", "-t", "0", "subject"]).ok();
        assert_eq!(host.inspect("subject")["State"]["ExitCode"], 137);
        eventually("the shim goes", || !fs::exists(format!("/proc/{shim}")).unwrap());
        host.run(client, &["rm", "subject"]).ok();
    }
}

#[test]
fn damaged_records_are_set_aside_and_the_daemon_starts() {
    let mut host = host();
    host.barge(&["volume", "create", "kept"]).ok();
    host.barge(&["run", "--rm", "-v", "kept:/v", "busybox", "touch", "/v/file"]).ok();
    run(&host, "runs");
    let (pid, address) = (host.pid("runs"), host.address("runs"));
    host.kill9();
    let folders = [
        host.data_root().join("network/networks"),
        host.exec_root().join("network/endpoints"),
        host.data_root().join("volumes/.records"),
    ];
    // The endpoint's record stays whole: a container keeps its address when its network's record is lost.
    for folder in [&folders[0], &folders[2]] {
        let records: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!records.is_empty(), "{}", folder.display());
        for record in records {
            fs::write(record, "{\"half\":").unwrap();
        }
    }
    host.start();
    assert_eq!((host.pid("runs"), host.address("runs")), (pid, address));
    let listed = host.barge(&["run", "--rm", "-v", "kept:/v", "busybox", "ls", "/v"]);
    assert_eq!(listed.text(), "file", "the files of a volume outlive its record");
    assert!(host.log().contains("it is set aside"), "{}", host.log());
    // Without the endpoint's record too the container goes on and can be removed.
    host.kill9();
    for record in fs::read_dir(&folders[1]).unwrap() {
        fs::write(record.unwrap().path(), "").unwrap();
    }
    host.start();
    assert_eq!(host.pid("runs"), pid);
    host.barge(&["run", "--rm", "busybox", "true"]).ok();
    host.barge(&["rm", "-f", "runs"]).ok();
    host.assert_nothing_of_containers();
}
