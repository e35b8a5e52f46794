//! More processes in a container.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use barge_shim_api::{
    ConsoleSize, Exec, FailureKind, Request, Response, SignalTarget, StdinMode, StdioConfig,
};

use super::harness::{ALL, Container, Daemon, OUTPUT, demultiplex, exec, process, stream};

fn start(daemon: &mut Daemon, exec: Exec, descriptors: &[std::os::fd::OwnedFd]) -> u32 {
    let id = daemon.send(&Request::Exec(Box::new(exec)), descriptors);
    match daemon.answer(id) {
        Response::ExecStarted { pid } => pid,
        other => panic!("{other:?}"),
    }
}

fn end(container: Container, mut daemon: Daemon) {
    daemon.ok(&Request::Signal { signal: 9, target: SignalTarget::Init });
    assert_eq!(daemon.exit().code, 137);
    container.finish(&mut daemon);
}

#[test]
fn an_exec_sees_the_container_and_its_output_and_exit_come_back() {
    let (container, mut daemon) = Container::running("sleep 1000");
    let (client, theirs) = stream();
    let script = "ps -o pid,args; cat /proc/sys/kernel/hostname >&2; exit 9";
    let request = exec("e1", script, vec![OUTPUT]);
    let pid = start(&mut daemon, request, &[theirs]);
    let (out, err) = demultiplex(&client);
    assert!(out.contains("1 sleep 1000") || out.contains("1 sh -c sleep 1000"), "{out}");
    assert_eq!(err, "shim-test\n");
    let exit = daemon.exec_exit("e1");
    assert_eq!(exit.code, 9);
    assert_ne!(pid, container.pid());
    assert!(container.log().is_empty(), "an exec is not logged");
    end(container, daemon);
}

#[test]
fn an_exec_has_its_own_stdin() {
    let (container, mut daemon) = Container::running("sleep 1000");
    let (mut client, theirs) = stream();
    let mut request = exec("e1", "cat", vec![ALL]);
    request.stdio.stdin = StdinMode::Once;
    start(&mut daemon, request, &[theirs]);
    client.write_all(b"through").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(demultiplex(&client).0, "through");
    assert_eq!(daemon.exec_exit("e1").code, 0);
    end(container, daemon);
}

#[test]
fn an_exec_has_its_own_terminal() {
    let (container, mut daemon) = Container::running("sleep 1000");
    let (mut client, theirs) = stream();
    let mut request = exec("e1", "stty size; read x; stty size", vec![ALL]);
    let size = ConsoleSize { height: 10, width: 20 };
    request.stdio = StdioConfig { stdin: StdinMode::Open, terminal: Some(size) };
    request.process.terminal = true;
    start(&mut daemon, request, &[theirs]);
    let mut line = [0; 7];
    client.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"10 20\r\n");
    let size = ConsoleSize { height: 30, width: 40 };
    daemon.ok(&Request::Resize { exec_id: Some("e1".to_owned()), size });
    client.write_all(b"\n").unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("30 40\r\n"), "{rest:?}");
    assert_eq!(daemon.exec_exit("e1").code, 0);
    end(container, daemon);
}

#[test]
fn an_exec_can_be_signalled_and_the_container_goes_on() {
    let (container, mut daemon) = Container::running("sleep 1000");
    start(&mut daemon, exec("e1", "exec sleep 1000", vec![]), &[]);
    daemon.ok(&Request::Signal { signal: 9, target: SignalTarget::Exec("e1".to_owned()) });
    assert_eq!(daemon.exec_exit("e1").code, 137);
    let gone = Request::Signal { signal: 9, target: SignalTarget::Exec("e1".to_owned()) };
    assert_eq!(daemon.failure(&gone).kind, FailureKind::NoSuchExec);
    end(container, daemon);
}

#[test]
fn the_end_of_the_container_is_the_end_of_its_execs() {
    let (container, mut daemon) = Container::running("sleep 1000");
    let (client, theirs) = stream();
    start(&mut daemon, exec("e1", "sleep 1000", vec![OUTPUT]), &[theirs]);
    daemon.ok(&Request::Signal { signal: 9, target: SignalTarget::Init });
    assert_eq!(demultiplex(&client), (String::new(), String::new()));
    let mut seen = [daemon.event(), daemon.event()].map(|event| format!("{event:?}"));
    seen.sort();
    assert!(seen[0].starts_with("Exec") && seen[1].starts_with("Exit"), "{seen:?}");
    container.finish(&mut daemon);
}

#[test]
fn a_background_child_does_not_hold_an_exec() {
    let (container, mut daemon) = Container::running("sleep 1000");
    let (client, theirs) = stream();
    start(&mut daemon, exec("e1", "sleep 1000 & echo started", vec![OUTPUT]), &[theirs]);
    assert_eq!(daemon.exec_exit("e1").code, 0);
    assert_eq!(demultiplex(&client).0, "started\n");
    end(container, daemon);
}

#[test]
fn a_command_that_cannot_be_run_is_told_as_such_and_leaves_nothing() {
    let (container, mut daemon) = Container::running("sleep 1000");
    let before = container.shim_descriptors();
    for (command, kind) in [
        ("/bin/nosuch", FailureKind::CommandNotFound),
        ("nosuch", FailureKind::CommandNotFound),
        ("/bin/not-executable", FailureKind::CommandNotExecutable),
    ] {
        let mut request = exec("e1", "", vec![]);
        request.process = Box::new(process(&[command]));
        let failure = daemon.failure(&Request::Exec(Box::new(request)));
        assert_eq!(failure.kind, kind, "{failure:?}");
    }
    assert_eq!(container.shim_descriptors(), before);
    end(container, daemon);
}

#[test]
fn many_execs_leave_nothing_open() {
    let (container, mut daemon) = Container::running("sleep 1000");
    let before = container.shim_descriptors();
    for number in 0..30 {
        let (client, theirs) = stream();
        let id = format!("e{number}");
        start(&mut daemon, exec(&id, "echo x", vec![OUTPUT]), &[theirs]);
        assert_eq!(demultiplex(&client).0, "x\n");
        assert_eq!(daemon.exec_exit(&id).code, 0);
    }
    assert!(
        matches!(daemon.ask(&Request::State), Response::State(state) if state.execs.len() <= 16 && state.execs.iter().all(|exec| exec.exit.is_some()))
    );
    assert_eq!(container.shim_descriptors(), before);
    end(container, daemon);
}

#[test]
fn an_exec_needs_a_running_container_and_an_id_of_its_own() {
    let (mut container, mut daemon) = Container::new("sleep 1000");
    container.create(&mut daemon);
    let request = Request::Exec(Box::new(exec("e1", "sleep 1000", vec![])));
    assert_eq!(daemon.failure(&request).kind, FailureKind::WrongState);
    daemon.ask(&Request::Subscribe);
    assert!(matches!(daemon.ask(&Request::Start), Response::Started { .. }));
    assert!(matches!(daemon.ask(&request), Response::ExecStarted { .. }));
    assert_eq!(daemon.failure(&request).kind, FailureKind::InvalidRequest);
    daemon.ok(&Request::Pause);
    let request = Request::Exec(Box::new(exec("e2", "true", vec![])));
    assert_eq!(daemon.failure(&request).kind, FailureKind::WrongState);
    daemon.ok(&Request::Signal { signal: 9, target: SignalTarget::All });
    while !matches!(daemon.event(), barge_shim_api::Event::Exit(_)) {}
    container.finish(&mut daemon);
}
