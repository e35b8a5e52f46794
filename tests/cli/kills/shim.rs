//! The shim, while the daemon goes on.

use barge_testkit::{TestHost, Victim};

use super::{Over, RUN, RUN_AND_REMOVE, Verb, created, nothing, running};

fn try_each(verb: &Verb) {
    let mut host = TestHost::new();
    host.busybox();
    verb.kill_at_each_place(&mut host, Victim::Shim);
}

#[test]
fn of_run() {
    try_each(&Verb::new(nothing, RUN, Over::Answered).with_steps(5));
}

#[test]
fn of_a_run_that_goes_with_its_end() {
    try_each(&Verb::new(nothing, RUN_AND_REMOVE, Over::Removed).with_steps(8));
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
