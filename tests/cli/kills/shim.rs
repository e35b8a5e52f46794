//! The shim, while the daemon goes on.

use barge_testkit::{TestHost, Victim};

use super::{Over, SCRIPT, Verb, created, nothing, running};

fn try_each(verb: &Verb) {
    let mut host = TestHost::new();
    host.busybox();
    verb.kill_at_each_place(&mut host, Victim::Shim);
}

#[test]
fn of_run() {
    let line = &[
        "run", "-d", "--name", "subject", "-p", "8080:80", "-v", "/home", "busybox", "sh", "-c",
        SCRIPT,
    ];
    try_each(&Verb::new(nothing, line, Over::Answered).with_steps(5));
}

#[test]
fn of_a_run_that_goes_with_its_end() {
    let line = &["run", "--rm", "--name", "subject", "busybox", "true"];
    try_each(&Verb::new(nothing, line, Over::Removed).with_steps(8));
}

#[test]
fn of_start() {
    try_each(&Verb::new(created, &["start", "subject"], Over::Answered).with_steps(5));
}

#[test]
fn of_exec() {
    let line = &["exec", "subject", "true"];
    try_each(&Verb::new(running, line, Over::Answered).with_steps(2));
}

#[test]
fn of_stop() {
    let line = &["stop", "-t", "60", "subject"];
    try_each(&Verb::new(running, line, Over::Settled).with_steps(5));
}

#[test]
fn of_kill() {
    try_each(&Verb::new(running, &["kill", "subject"], Over::Settled).with_steps(5));
}

#[test]
fn of_restart() {
    let line = &["restart", "-t", "0", "subject"];
    try_each(&Verb::new(running, line, Over::Answered).with_steps(8));
}

#[test]
fn of_rm_by_force() {
    try_each(&Verb::new(running, &["rm", "-f", "-v", "subject"], Over::Removed).with_steps(5));
}
