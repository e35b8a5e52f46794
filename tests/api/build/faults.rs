//! Builds that do not come to their end: the client goes, the daemon is killed, the disk is full. Nothing is left of any.

use barge_testkit::api::Connection;
use barge_testkit::{HostOptions, TestHost, eventually};
use serde_json::Value;

use super::{build, dockerfile, failure, post};
use crate::full_disk::Disk;

const LONG: &str = "FROM busybox\nRUN echo running; sleep 1000\n";

/// A build in the middle of its long step.
fn in_a_step(host: &TestHost, query: &str) -> Connection {
    let context = dockerfile(LONG);
    let head = format!(
        "POST /build?{query} HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
        context.len()
    );
    let mut connection = host.api().connect();
    connection.write(head.as_bytes()).write(&context);
    while !connection.line().contains("\"running\\n\"") {}
    connection
}

fn assert_nothing_is_left(host: &TestHost) {
    eventually("the context is gone", || {
        std::fs::read_dir(host.data_root().join("builds/contexts")).unwrap().next().is_none()
    });
    host.api().post("/build/prune?all=1", Value::Null).is(200);
    host.assert_nothing_of_containers();
}

#[test]
fn a_client_that_goes_away_ends_its_build() {
    let host = TestHost::new();
    host.busybox();
    for query in ["", "networkmode=none", "networkmode=host"] {
        drop(in_a_step(&host, query));
        assert_nothing_is_left(&host);
    }
}

#[test]
fn a_build_is_cancelled_by_its_name() {
    let host = TestHost::new();
    host.busybox();
    let mut connection = in_a_step(&host, "buildid=mine&networkmode=none");
    assert!(host.api().post("/build/cancel", Value::Null).error(400).contains("not provided"));
    host.api().post("/build/cancel?id=other", Value::Null).is(200);
    host.api().post("/build/cancel?id=mine", Value::Null).is(200);
    while !connection.line().contains("errorDetail") {}
    drop(connection);
    assert_nothing_is_left(&host);
}

#[test]
fn a_step_ends_with_a_daemon_that_is_killed() {
    let mut host = TestHost::new();
    host.busybox();
    for query in ["", "networkmode=none"] {
        let connection = in_a_step(&host, query);
        host.kill9();
        drop(connection);
        host.start();
        assert_nothing_is_left(&host);
    }
    let text = dockerfile("FROM busybox\nRUN echo running; true\n");
    build(&host, "networkmode=none", &text);
}

#[test]
fn a_step_ends_with_a_daemon_that_is_stopped() {
    let mut host = TestHost::new();
    host.busybox();
    for query in ["", "networkmode=none"] {
        let connection = in_a_step(&host, query);
        host.stop();
        drop(connection);
        let steps = host.exec_root().join("builds/steps");
        assert_eq!(std::fs::read_dir(steps).unwrap().count(), 0);
        host.start();
        assert_nothing_is_left(&host);
    }
}

#[test]
fn a_shim_that_is_killed_ends_its_step() {
    let host = TestHost::new();
    host.busybox();
    let mut connection = in_a_step(&host, "networkmode=none");
    let steps = host.exec_root().join("builds/steps");
    let step = std::fs::read_dir(&steps).unwrap().next().unwrap().unwrap().path();
    let record: Value =
        serde_json::from_slice(&std::fs::read(step.join("step.json")).unwrap()).unwrap();
    let shim = i32::try_from(record["shim"].as_i64().unwrap()).unwrap();
    barge_sys::signal::kill(shim, libc::SIGKILL).unwrap();
    while !connection.line().contains("returned a non-zero code: 137") {}
    drop(connection);
    assert_nothing_is_left(&host);
}

#[test]
fn a_build_that_finds_no_room_leaves_nothing_and_succeeds_later() {
    let mut host = TestHost::prepare(HostOptions::default());
    let root = host.data_root().to_owned();
    let disk = Disk::mount(&host, &root, 128);
    host.start();
    host.busybox();
    let text =
        dockerfile("FROM busybox\nRUN dd if=/dev/urandom of=/noise bs=1M count=24 2>/dev/null\n");
    let filler = disk.fill_up_to(10);
    let reply = post(&host, "networkmode=none&t=large", &text).is(200);
    assert_eq!(failure(&reply)["code"], 1, "{}", reply.text());
    std::fs::remove_file(filler).unwrap();
    build(&host, "networkmode=none&t=large", &text);
    host.barge(&["rmi", "large"]).ok();
    assert_nothing_is_left(&host);
    host.stop();
    drop(disk);
}
