//! The small init of `--init`.

use barge_runtime_core::{Failure, InitProcess};
use barge_sys::pidfd::{self, Exit};

use crate::laboratory::Lab;

fn with_init(script: &str) -> Lab {
    let mut lab = Lab::shell(script);
    lab.init = InitProcess::Reaper;
    lab
}

#[test]
fn the_command_is_its_child_and_its_code_comes_back() {
    let ran = with_init("echo $PPID; cat /proc/1/cmdline | busybox tr '\\0' ' '; exit 7")
        .try_run()
        .unwrap();
    assert_eq!(ran.exit, Exit::Code(7));
    assert!(ran.stdout.starts_with("1\n/sbin/docker-init -- /bin/sh -c "), "{}", ran.stdout);
    let ran = with_init("kill -9 $$").try_run().unwrap();
    assert_eq!(ran.exit, Exit::Code(137));
}

#[test]
fn it_has_no_more_rights_than_the_command() {
    let text = with_init("grep CapEff /proc/1/status; echo x > /proc/1/exe; true").run();
    assert!(text.contains("CapEff:\t00000000a80425fb"), "{text}");
    assert!(text.contains("can't create") || text.contains("Read-only"), "{text}");
}

#[test]
fn orphans_are_reaped() {
    // The orphan is a grandchild that ends after its parent; its state is looked at until it is gone.
    let script = "pid=$( (busybox sh -c 'true' & echo $!) ); \
        while test -d /proc/$pid; do :; done; echo gone";
    assert_eq!(with_init(script).run(), "gone");
}

#[test]
fn signals_are_handed_on() {
    let lab = with_init("trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 1; done");
    let mut running = lab.start();
    assert_eq!(running.line(), "ready");
    pidfd::send_signal(&running.created.pidfd, 15).unwrap();
    assert_eq!(running.line(), "caught");
    assert_eq!(pidfd::wait(&running.created.pidfd).unwrap(), Exit::Code(3));
}

#[test]
fn a_missing_command_is_told_before_it_runs() {
    let mut lab = Lab::new(&["nonsense"]);
    lab.init = InitProcess::Reaper;
    assert_eq!(lab.try_run().unwrap_err().kind(), Failure::CommandNotFound);
}
