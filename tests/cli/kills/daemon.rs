//! The daemon.

use barge_testkit::{TestHost, Victim};
use serde_json::Value;

use super::{IMAGE, Over, RUN, RUN_AND_REMOVE, SCRIPT, Verb, created, nothing, running, stopped};

fn try_each(verb: &Verb) {
    let mut host = TestHost::new();
    host.busybox();
    verb.kill_at_each_place(&mut host, Victim::Daemon);
}

#[test]
fn of_create() {
    let line = &[
        "create", "--name", "subject", "-p", "8080:80", "-v", "/home", "--mount", IMAGE, "busybox",
        "sh", "-c", SCRIPT,
    ];
    try_each(&Verb::new(nothing, line, Over::Answered).with_steps(8));
}

#[test]
fn of_run() {
    try_each(&Verb::new(nothing, RUN, Over::Answered).with_steps(15));
}

#[test]
fn of_a_run_that_goes_with_its_end() {
    try_each(&Verb::new(nothing, RUN_AND_REMOVE, Over::Removed).with_steps(20));
}

#[test]
fn of_start() {
    try_each(&Verb::new(created, &["start", "subject"], Over::Answered).with_steps(8));
    try_each(&Verb::new(stopped, &["start", "subject"], Over::Answered).with_steps(8));
}

#[test]
fn of_exec() {
    let line = &["exec", "subject", "true"];
    try_each(&Verb::new(running, line, Over::Answered).with_steps(2));
}

#[test]
fn of_stop() {
    // Long enough for it to end by itself.
    let line = &["stop", "-t", "60", "subject"];
    try_each(&Verb::new(running, line, Over::Settled).with_steps(5));
    try_each(&Verb::new(running, &["stop", "-t", "0", "subject"], Over::Settled).with_steps(5));
}

#[test]
fn of_kill() {
    try_each(&Verb::new(running, &["kill", "subject"], Over::Settled).with_steps(5));
}

#[test]
fn of_restart() {
    let line = &["restart", "-t", "0", "subject"];
    try_each(&Verb::new(running, line, Over::Answered).with_steps(15));
}

#[test]
fn of_pause() {
    let truth = |host: &TestHost, inspected: &Value| {
        let id = inspected["Id"].as_str().unwrap();
        // A container that stands still runs nothing: its shell would say "ready" again and again otherwise.
        inspected["State"]["Paused"] != true || host.barge(&["exec", id, "true"]).code != 0
    };
    let verb = Verb::new(running, &["pause", "subject"], Over::Answered);
    try_each(&Verb { truth, ..verb });
}

#[test]
fn of_rm() {
    try_each(&Verb::new(stopped, &["rm", "subject"], Over::Removed).with_steps(3));
}

#[test]
fn of_rm_by_force() {
    try_each(&Verb::new(running, &["rm", "-f", "-v", "subject"], Over::Removed).with_steps(8));
}

/// The limit in the record is the limit in force.
fn has_its_limit(host: &TestHost, inspected: &Value) -> bool {
    if inspected["State"]["Running"] != true {
        return true;
    }
    let group = format!("{}/{}", host.cgroup_parent(), inspected["Id"].as_str().unwrap());
    let limit = inspected["HostConfig"]["PidsLimit"].as_i64();
    let expected = limit.filter(|limit| *limit > 0).map_or("max".to_owned(), |it| it.to_string());
    barge_testkit::controller_file("pids", &group, "pids.max").trim() == expected
}

#[test]
fn of_update() {
    let verb = Verb::new(running, &["update", "--pids-limit", "77", "subject"], Over::Answered);
    try_each(&Verb { truth: has_its_limit, ..verb.with_steps(3) });
}

/// What the record publishes is published, and nothing else.
fn has_its_ports(host: &TestHost, inspected: &Value) -> bool {
    let is_bound = inspected["HostConfig"]["PortBindings"]["81/tcp"].is_array();
    let is_running = inspected["State"]["Running"] == true;
    let is_shown = inspected["NetworkSettings"]["Ports"]["81/tcp"].is_array();
    let is_labelled = inspected["Config"]["Labels"]["edited"] == "yes";
    is_labelled == is_bound
        && is_shown == (is_bound && is_running)
        && host.ruleset().contains("8081") == is_shown
}

#[test]
fn of_an_edit() {
    let line = &[
        "container",
        "update",
        "--publish-add",
        "8081:81",
        "--label-add",
        "edited=yes",
        "--env-add",
        "A=1",
        "subject",
    ];
    let verb = Verb::new(running, line, Over::Answered);
    try_each(&Verb { truth: has_its_ports, ..verb.with_steps(3) });
}

#[test]
fn of_an_edit_of_what_is_stopped() {
    let line = &["container", "update", "--mount-add", "type=volume,dst=/etc", "subject"];
    try_each(&Verb::new(stopped, line, Over::Answered));
}
