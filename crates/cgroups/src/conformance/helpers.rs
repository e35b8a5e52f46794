//! Programs that the suite runs inside a group: this very test program, started again for one of these.

use std::{
    env, fs, io,
    process::{Command, Stdio},
};

use crate::{CgroupPath, Layout};

fn wait_for_go() {
    let mut line = String::new();
    io::stdin().read_line(&mut line).unwrap();
}

#[test]
#[ignore = "run by the suite in a group with a limit of tasks"]
fn fork_until_refused() {
    wait_for_go();
    let mut children = Vec::new();
    let errno = loop {
        let mut command = Command::new("sleep");
        match command.arg("600").stdin(Stdio::null()).spawn() {
            Ok(child) => children.push(child),
            Err(error) => break error.raw_os_error(),
        }
        assert!(children.len() < 100, "nobody refused");
    };
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    println!("\nrefused after {} with {errno:?}", children.len());
}

#[test]
#[ignore = "run by the suite to move itself"]
fn enter() {
    wait_for_go();
    let path = env::var("BARGE_TEST_CGROUP").unwrap();
    let layout = Layout::detect().unwrap();
    let inner = CgroupPath::new(&path, "inner").unwrap();
    let group = layout.manager(&inner);
    group.create().unwrap();
    let entry = group.entry().unwrap();
    entry.enter().unwrap();
    // The test's harness keeps a second thread, which stays behind on v1.
    let own = fs::read_to_string("/proc/thread-self/cgroup").unwrap();
    let wanted = format!("/{}", inner.as_path().display());
    let entered = own.lines().filter(|line| line.ends_with(&wanted)).count();
    assert_eq!(entered, entry.files().count(), "{own}");
    println!("\nentered");
}
