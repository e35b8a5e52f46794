//! `run`, `exec` and their kin against a scripted daemon: streams, signals, the terminal, exit
//! codes.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]
#![expect(clippy::panic, reason = "a failed helper is a failed test")]

mod daemon;

use std::io::{Read as _, Write as _};
use std::process::{Child, Output, Stdio};

use daemon::Daemon;
use daemon::terminal::{on_terminal, window};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::tcsetwinsize;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn run_attaches_before_it_starts_and_passes_the_exit_code_on() {
    let daemon = Daemon::start();
    let output = daemon.run(&["run", "--rm", "--name", "n", "quick", "sh", "-c", "x"]);
    assert_eq!(code(&output), 7);
    assert_eq!(text(&output.stdout), "out\n");
    assert_eq!(text(&output.stderr), "WARNING: mind the gap\nerr\n");
    let lines = daemon.lines();
    assert_eq!(lines[0], "POST /containers/create?name=n");
    let position = |start: &str| lines.iter().position(|line| line.starts_with(start)).unwrap();
    let started = position("POST /containers/quick/start");
    assert!(position("POST /containers/quick/attach?stream=1&stdout=1&stderr=1") < started);
    assert!(position("POST /containers/quick/wait?condition=removed") < started);
    assert_eq!(lines.len(), 4, "{lines:?}");
    let body = &daemon.requests()[0].body;
    assert_eq!(body["Cmd"], serde_json::json!(["sh", "-c", "x"]));
    assert_eq!(body["HostConfig"]["AutoRemove"], true);
}

#[test]
fn detached_it_tells_the_id() {
    let daemon = Daemon::start();
    let file = daemon.folder().join("cid");
    let output = daemon.run(&["run", "-d", "--cidfile", file.to_str().unwrap(), "stay"]);
    assert_eq!((code(&output), text(&output.stdout)), (0, "stay\n"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "stay");
    assert_eq!(daemon.lines(), ["POST /containers/create", "POST /containers/stay/start"]);
    assert_eq!(daemon.requests()[0].body["AttachStdout"], false);
}

#[test]
fn a_start_that_fails_has_dockers_exit_code() {
    let daemon = Daemon::start();
    let output = daemon.run(&["run", "-d", "notfound", "zzz"]);
    assert_eq!(code(&output), 127);
    assert_eq!(
        text(&output.stderr),
        "WARNING: mind the gap\nbarge: Error response from daemon: exec: \"zzz\": executable file not \
         found in $PATH\n\nRun 'barge run --help' for more information\n"
    );
}

#[test]
fn a_missing_image_is_fetched_or_not() {
    let daemon = Daemon::start();
    let output = daemon.run(&["run", "missing"]);
    assert_eq!(code(&output), 125);
    assert_eq!(
        text(&output.stderr),
        "Unable to find image 'missing:latest' locally\nbarge: Error response from daemon: pulling \
         is not supported\n\nRun 'barge run --help' for more information\n"
    );
    let output = daemon.run(&["run", "--pull=never", "missing"]);
    assert_eq!(code(&output), 125);
    assert!(text(&output.stderr).starts_with("barge: Error response from daemon: No such image"));
}

#[test]
fn input_goes_in_and_its_end_closes_one_way_only() {
    let daemon = Daemon::start();
    let mut child = daemon
        .barge(&["run", "-i", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let all = vec![b'z'; 300_000];
    child.stdin.take().unwrap().write_all(&all).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0);
    assert!(output.stdout == all, "{} bytes came back", output.stdout.len());
    assert_eq!(daemon.input().len(), all.len());
    assert_eq!(daemon.requests()[0].body["StdinOnce"], true);
}

#[test]
fn signals_reach_the_container() {
    let daemon = Daemon::start();
    let child = daemon.barge(&["run", "stay"]).stdin(Stdio::null()).spawn().unwrap();
    daemon.wait_for("POST /containers/stay/start");
    signal(&child, Signal::TERM);
    daemon.wait_for("POST /containers/stay/kill?signal=TERM");
    assert_eq!(code(&child.wait_with_output().unwrap()), 143);
}

#[test]
fn a_reader_that_has_gone_ends_it_quietly() {
    let daemon = Daemon::start();
    let mut child = daemon
        .barge(&["run", "yes"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "WARNING: mind the gap\n");
}

#[test]
fn exec_asks_for_the_exit_code() {
    let daemon = Daemon::start();
    let output = daemon.run(&["exec", "-e", "A=1", "-u", "5", "stay", "ls", "-l"]);
    assert_eq!(code(&output), 5);
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("out\n", "err\n"));
    let body = &daemon.requests()[0].body;
    assert_eq!(body["Cmd"], serde_json::json!(["ls", "-l"]));
    assert_eq!((&body["User"], &body["Env"]), (&"5".into(), &serde_json::json!(["A=1"])));
}

#[test]
fn several_containers_are_told_in_order_and_errors_last() {
    let daemon = Daemon::start();
    let output = daemon.run(&["stop", "a", "nope", "b"]);
    // The scripted daemon stops every name.
    assert_eq!((code(&output), text(&output.stdout)), (0, "a\nnope\nb\n"));
    let output = daemon.run(&["pause", "nope", "nope"]);
    assert_eq!(code(&output), 1);
    let error = "Error response from daemon: No such container: nope\n";
    assert_eq!(text(&output.stderr), error.repeat(2));
    let output = daemon.run(&["rm", "-f", "nope"]);
    assert_eq!((code(&output), text(&output.stderr)), (0, error));
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn a_terminal_is_raw_while_the_process_has_it() {
    let daemon = Daemon::start();
    let mut terminal = on_terminal(daemon.barge(&["run", "-it", "shell"]));
    assert!(!terminal.is_raw());
    assert_eq!(terminal.read_until("$ "), "$ ");
    assert!(terminal.is_raw());
    let body = daemon.requests()[0].body.clone();
    assert_eq!(body["HostConfig"]["ConsoleSize"], serde_json::json!([33, 99]));
    daemon.wait_for("POST /containers/shell/resize?h=33&w=99");
    // Ctrl-C is a key, not a signal.
    terminal.ours.write_all(b"\x03q").unwrap();
    assert_eq!(terminal.read_until("bye\r\n"), "bye\r\n");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(3));
    assert!(!terminal.is_raw());
    assert_eq!(daemon.input(), b"\x03q");
}

#[test]
fn a_new_size_of_the_window_is_told() {
    let daemon = Daemon::start();
    let mut terminal = on_terminal(daemon.barge(&["run", "-it", "shell"]));
    terminal.read_until("$ ");
    daemon.wait_for("POST /containers/shell/resize?h=33&w=99");
    tcsetwinsize(&terminal.theirs, window(50, 60)).unwrap();
    // The terminal is nobody's controlling one, so the kernel tells nobody.
    signal(&terminal.child, Signal::WINCH);
    daemon.wait_for("POST /containers/shell/resize?h=50&w=60");
    terminal.ours.write_all(b"q").unwrap();
    assert_eq!(terminal.child.wait().unwrap().code(), Some(3));
}

#[test]
fn who_leaves_by_the_detach_keys_ends_well() {
    let daemon = Daemon::start();
    let mut terminal = on_terminal(daemon.barge(&["run", "-it", "--detach-keys", "x", "shell"]));
    terminal.read_until("$ ");
    daemon
        .wait_for("POST /containers/shell/attach?stream=1&stdin=1&stdout=1&stderr=1&detachKeys=x");
    terminal.ours.write_all(b"x").unwrap();
    assert_eq!(terminal.child.wait().unwrap().code(), Some(0));
    assert!(!terminal.is_raw());
    daemon.wait_for("GET /containers/shell/json");
}

#[test]
fn a_start_that_fails_gives_the_terminal_back() {
    let daemon = Daemon::start();
    let mut terminal = on_terminal(daemon.barge(&["run", "-it", "notfound"]));
    assert_eq!(terminal.child.wait().unwrap().code(), Some(127));
    assert!(!terminal.is_raw());
}
