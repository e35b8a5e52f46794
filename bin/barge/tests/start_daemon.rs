//! The client starts a daemon where the default socket has none: one of two clients, once, or tells
//! why not.
//!
//! In namespaces of their own (mount and process), with an empty `/run`: whatever is started ends
//! with the test.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]
#![expect(clippy::panic, reason = "a failed helper is a failed test")]

mod daemon;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

/// Stands in for the daemon: the scripts below execute it.
#[test]
#[ignore = "no test, but the daemon of the other ones"]
fn serve() {
    daemon::serve_default_socket();
}

/// A folder with the client and, beside it, a script as the daemon.
fn programs(daemon: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(env!("CARGO_BIN_EXE_barge"), folder.path().join("barge")).unwrap();
    let script = folder.path().join("barged");
    fs::write(&script, format!("#!/bin/sh\n{daemon}\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Runs a script of the shell where `/run` is empty and `$1` is the client; kills what is left
/// afterwards.
fn alone(folder: &Path, script: &str) -> Output {
    Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"])
        .arg(format!("mount -t tmpfs run /run || exit 99\n{script}"))
        .arg("sh")
        .arg(folder.join("barge"))
        .env_remove("BARGE_HOST")
        .env_remove("DOCKER_HOST")
        .env_remove("DOCKER_CONTEXT")
        .env("HOME", "/nonexistent")
        .output()
        .unwrap()
}

#[test]
fn two_clients_start_one_daemon() {
    let server = std::env::current_exe().unwrap();
    let daemon = format!(
        "echo $$ >> /run/starts; exec {} --exact serve --ignored --nocapture",
        server.display()
    );
    let folder = programs(&daemon);
    let script = r#"
        "$1" ps -q & a=$!; "$1" ps -q & b=$!
        wait $a || exit 1; wait $b || exit 2
        cat /run/starts; ps -o sid= -p "$(cat /run/starts)""#;
    let output = alone(folder.path(), script);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    // One process, which leads a session of its own.
    let stdout = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = stdout.split_whitespace().collect();
    assert!(matches!(words.as_slice(), [pid, session] if pid == session), "{stdout}{stderr}");
}

#[test]
fn a_daemon_that_ends_at_once_is_told_with_its_words() {
    let folder = programs("echo one; echo two >&2; exit 3");
    let output = alone(folder.path(), "\"$1\" ps");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "the daemon ended at once (exit status: 3); the end of its log /run/barge/barged.log:\none\ntwo\n"
    );
}

#[test]
fn a_host_that_is_named_is_not_started() {
    let folder = programs("touch /run/started");
    let script = "\"$1\" -H unix:///run/barge/barge.sock ps; test ! -e /run/started";
    let output = alone(folder.path(), script);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "Cannot connect to the barge daemon at unix:///run/barge/barge.sock. Is the daemon running?\n"
    );
}
