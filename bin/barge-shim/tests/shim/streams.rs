//! What goes in and comes out.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use barge_shim_api::{ConsoleSize, Request, Response, StdinMode, StdioConfig};

use super::harness::{ALL, Container, OUTPUT, demultiplex, stream};

const TERMINAL: StdioConfig =
    StdioConfig { stdin: StdinMode::Open, terminal: Some(ConsoleSize { height: 33, width: 77 }) };

#[test]
fn stdout_and_stderr_come_apart_to_the_client_and_to_the_log() {
    let (mut container, mut daemon) = Container::new("echo out; echo err >&2; echo -n end");
    let client = container.attach(OUTPUT);
    container.create_and_start(&mut daemon);
    assert_eq!(demultiplex(&client), ("out\nend".to_owned(), "err\n".to_owned()));
    assert_eq!(daemon.exit().code, 0);
    let mut log = container.log();
    log.sort();
    let expected = [("stderr", "err\n"), ("stdout", "end"), ("stdout", "out\n")];
    assert_eq!(log, expected.map(|(name, line)| (name, line.to_owned())));
    container.finish(&mut daemon);
}

#[test]
fn stdin_reaches_the_command_and_its_end_too() {
    let (mut container, mut daemon) = Container::new("cat; echo done");
    container.stdio.stdin = StdinMode::Once;
    let mut client = container.attach(ALL);
    container.create_and_start(&mut daemon);
    client.write_all(b"hello\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(demultiplex(&client).0, "hello\ndone\n");
    assert_eq!(daemon.exit().code, 0);
    container.finish(&mut daemon);
}

#[test]
fn stdin_can_be_closed_by_the_daemon() {
    let (mut container, mut daemon) = Container::new("cat; echo done");
    container.stdio.stdin = StdinMode::Open;
    let mut client = container.attach(ALL);
    container.create_and_start(&mut daemon);
    client.write_all(b"hello\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut frame = [0; 14];
    client.read_exact(&mut frame).unwrap();
    assert_eq!(&frame[8..], b"hello\n");
    daemon.ok(&Request::CloseStdin { exec_id: None });
    assert_eq!(demultiplex(&client).0, "done\n");
    container.finish(&mut daemon);
}

#[test]
fn without_stdin_the_command_reads_nothing() {
    let (mut container, mut daemon) = Container::new("cat; echo done");
    let client = container.attach(ALL);
    container.create_and_start(&mut daemon);
    assert_eq!(demultiplex(&client).0, "done\n");
    container.finish(&mut daemon);
}

#[test]
fn a_megabyte_arrives_whole_at_a_slow_client_and_in_the_log() {
    let (mut container, mut daemon) = Container::new("yes 0123456789abcde | head -c 1048576");
    let client = container.attach(OUTPUT);
    container.create_and_start(&mut daemon);
    // Does not read until the shim cannot go on, which a question shows does not stop the shim.
    assert!(matches!(daemon.ask(&Request::State), Response::State(_)));
    let (out, err) = demultiplex(&client);
    assert_eq!((out.len(), err.len()), (1_048_576, 0));
    assert!(out.lines().all(|line| line == "0123456789abcde"));
    assert_eq!(daemon.exit().code, 0);
    let logged: usize = container.log().iter().map(|(_, line)| line.len()).sum();
    assert_eq!(logged, 1_048_576);
    container.finish(&mut daemon);
}

#[test]
fn a_client_that_never_reads_holds_the_command_back_until_it_leaves() {
    let (mut container, mut daemon) = Container::new("yes | head -c 1000000; echo end >&2");
    container.log_driver = "none";
    let silent = container.attach(OUTPUT);
    container.create_and_start(&mut daemon);
    assert!(matches!(daemon.status(), barge_shim_api::Status::Running { .. }));
    drop(silent);
    assert_eq!(daemon.exit().code, 0);
    container.finish(&mut daemon);
}

#[test]
fn without_clients_and_log_output_goes_nowhere_and_nothing_waits() {
    let (mut container, mut daemon) = Container::new("yes | head -c 1000000");
    container.log_driver = "none";
    container.create_and_start(&mut daemon);
    assert_eq!(daemon.exit().code, 0);
    assert!(container.log().is_empty());
    container.finish(&mut daemon);
}

#[test]
fn the_log_is_complete_when_the_exit_is_told() {
    for _ in 0..5 {
        let (container, mut daemon) = Container::running("yes 0123456789abcde | head -c 60000");
        daemon.exit();
        let logged: usize = container.log().iter().map(|(_, line)| line.len()).sum();
        assert_eq!(logged, 60_000);
        container.finish(&mut daemon);
    }
}

#[test]
fn clients_come_and_go() {
    let (mut container, mut daemon) =
        Container::new("read a; echo 1 $a; read b; echo 2 $b; read c");
    container.stdio.stdin = StdinMode::Open;
    container.create_and_start(&mut daemon);
    for (word, line) in [("x\n", "1 x\n"), ("y\n", "2 y\n")] {
        let (mut client, theirs) = stream();
        let id = daemon.send(&Request::Attach(ALL), &[theirs]);
        assert!(matches!(daemon.answer(id), Response::Attached { .. }));
        client.write_all(word.as_bytes()).unwrap();
        let mut frame = [0; 12];
        client.read_exact(&mut frame).unwrap();
        assert_eq!(&frame[8..], line.as_bytes());
    }
    let (mut client, theirs) = stream();
    let id = daemon.send(&Request::Attach(ALL), &[theirs]);
    assert!(matches!(daemon.answer(id), Response::Attached { .. }));
    client.write_all(b"z\n").unwrap();
    assert_eq!(daemon.exit().code, 0);
    assert_eq!(demultiplex(&client).0, "");
    container.finish(&mut daemon);
}

#[test]
fn a_terminal_has_its_size_and_echoes() {
    let (mut container, mut daemon) = Container::new("stty size; read a; echo got $a; tty");
    container.stdio = TERMINAL;
    let mut client = container.attach(ALL);
    container.create_and_start(&mut daemon);
    client.write_all(b"word\n").unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert!(text.contains("33 77\r\n"), "{text:?}");
    assert!(text.contains("got word\r\n"), "{text:?}");
    assert!(text.contains("/dev/"), "{text:?}");
    assert_eq!(daemon.exit().code, 0);
    assert!(container.log().iter().all(|(name, _)| *name == "stdout"));
    container.finish(&mut daemon);
}

#[test]
fn a_terminal_can_be_resized_and_interrupted() {
    let (mut container, mut daemon) = Container::new(
        "trap 'stty size' WINCH; trap 'exit 3' INT; echo ready; while true; do read x; done",
    );
    container.stdio = TERMINAL;
    let mut client = container.attach(ALL);
    container.create_and_start(&mut daemon);
    let mut ready = [0; 7];
    client.read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"ready\r\n");
    let size = ConsoleSize { height: 11, width: 22 };
    daemon.ok(&Request::Resize { exec_id: None, size });
    let mut line = [0; 7];
    client.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"11 22\r\n");
    client.write_all(b"\x03").unwrap();
    assert_eq!(daemon.exit().code, 3);
    container.finish(&mut daemon);
}

#[test]
fn resizing_what_is_no_terminal_is_refused() {
    let (container, mut daemon) = Container::running("sleep 1000");
    let size = ConsoleSize { height: 1, width: 1 };
    let failure = daemon.failure(&Request::Resize { exec_id: None, size });
    assert_eq!(failure.message, "process has no terminal");
    daemon.ok(&Request::Signal { signal: 9, target: barge_shim_api::SignalTarget::Init });
    daemon.exit();
    container.finish(&mut daemon);
}
