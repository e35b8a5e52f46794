//! From creation to exit.

use std::io::Read as _;

use barge_shim_api::{Event, FailureKind, InitProcess, Request, Response, SignalTarget, Status};

use super::harness::{Container, OUTPUT, demultiplex, process};

#[test]
fn an_exit_is_on_disk_and_told_and_nothing_is_left() {
    let (container, mut daemon) = Container::running("exit 7");
    let exit = daemon.exit();
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (7, None, false));
    let record = container.exit_record();
    assert_eq!(record.exit, exit);
    assert_eq!((record.id.as_str(), record.pid), (container.id(), container.pid()));
    assert!(record.started_at.is_some_and(|started| started <= exit.at));
    match daemon.status() {
        Status::Exited { exit: told, .. } => assert_eq!(told, exit),
        other => panic!("{other:?}"),
    }
    container.finish(&mut daemon);
}

#[test]
fn requests_may_be_sent_without_waiting() {
    let (mut container, mut daemon) = Container::new("exit 3");
    let (create, descriptors) = container.create_request();
    let create = daemon.send(&create, &descriptors);
    let subscribe = daemon.send(&Request::Subscribe, &[]);
    let start = daemon.send(&Request::Start, &[]);
    assert!(matches!(daemon.answer(create), Response::Created { .. }));
    assert!(matches!(daemon.answer(subscribe), Response::State(_)));
    assert!(matches!(daemon.answer(start), Response::Started { .. }));
    assert_eq!(daemon.exit().code, 3);
    container.finish(&mut daemon);
}

#[test]
fn a_signal_ends_it_with_128_more() {
    for signal in [9, 15] {
        let (mut container, mut daemon) =
            Container::new("trap 'exit 143' TERM; echo ready; while true; do sleep 0.01; done");
        let mut client = container.attach(OUTPUT);
        container.create_and_start(&mut daemon);
        // Process 1 gets no signal that it does not handle.
        client.read_exact(&mut [0; 14]).unwrap();
        daemon.ok(&Request::Signal { signal, target: SignalTarget::Init });
        let exit = daemon.exit();
        assert_eq!(exit.code, 128 + signal);
        assert_eq!(exit.signal, (signal == 9).then_some(9));
        container.finish(&mut daemon);
    }
}

#[test]
fn every_process_can_be_signalled() {
    let (container, mut daemon) = Container::running("sleep 1000 & sleep 1000 & wait; echo never");
    daemon.ok(&Request::Signal { signal: 9, target: SignalTarget::All });
    assert_eq!(daemon.exit().code, 137);
    container.finish(&mut daemon);
}

#[test]
fn orphans_are_reaped_and_do_not_count() {
    let (mut container, mut daemon) =
        Container::new("for i in 1 2 3; do (sleep 0.01 & ); done; sleep 0.05; echo ok; exit 4");
    let client = container.attach(OUTPUT);
    container.create_and_start(&mut daemon);
    assert_eq!(demultiplex(&client).0, "ok\n");
    assert_eq!(daemon.exit().code, 4);
    container.finish(&mut daemon);
}

#[test]
fn with_an_init_the_command_is_not_process_one() {
    let (mut container, mut daemon) = Container::new("echo $$; exit 5");
    container.init = InitProcess::Reaper;
    let client = container.attach(OUTPUT);
    container.create_and_start(&mut daemon);
    assert_ne!(demultiplex(&client).0, "1\n");
    assert_eq!(daemon.exit().code, 5);
    container.finish(&mut daemon);
}

#[test]
fn it_can_be_paused_and_resumed_and_killed_while_paused() {
    let (container, mut daemon) = Container::running("sleep 1000");
    let failure = daemon.failure(&Request::Resume);
    assert_eq!(failure.kind, FailureKind::WrongState);
    daemon.ok(&Request::Pause);
    assert!(matches!(daemon.status(), Status::Running { paused: true, .. }));
    assert_eq!(daemon.failure(&Request::Pause).kind, FailureKind::WrongState);
    daemon.ok(&Request::Resume);
    assert!(matches!(daemon.status(), Status::Running { paused: false, .. }));
    daemon.ok(&Request::Pause);
    daemon.ok(&Request::Signal { signal: 9, target: SignalTarget::Init });
    assert_eq!(daemon.exit().code, 137);
    container.finish(&mut daemon);
}

#[test]
fn its_processes_and_use_are_told_and_limits_changed() {
    let (container, mut daemon) = Container::running("sleep 1000 & wait");
    let resources = serde_json::from_str(r#"{"pids": {"limit": 77}}"#).unwrap();
    daemon.ok(&Request::Update { resources });
    match daemon.ask(&Request::Pids) {
        Response::Pids(pids) => assert!(pids.contains(&container.pid())),
        other => panic!("{other:?}"),
    }
    match daemon.ask(&Request::Stats) {
        Response::Stats(stats) => assert!(stats.get().contains("77"), "{stats}"),
        other => panic!("{other:?}"),
    }
    daemon.ok(&Request::Signal { signal: 9, target: SignalTarget::Init });
    daemon.exit();
    container.finish(&mut daemon);
}

#[test]
fn a_container_that_was_never_started_is_given_up() {
    let (mut container, mut daemon) = Container::new("exit 0");
    container.create(&mut daemon);
    assert!(matches!(daemon.status(), Status::Created { .. }));
    container.finish(&mut daemon);
}

#[test]
fn a_running_container_is_not_given_up() {
    let (container, mut daemon) = Container::running("sleep 1000");
    assert_eq!(daemon.failure(&Request::Shutdown).kind, FailureKind::WrongState);
    assert_eq!(daemon.failure(&Request::Start).kind, FailureKind::WrongState);
    daemon.ok(&Request::Signal { signal: 9, target: SignalTarget::Init });
    daemon.exit();
    container.finish(&mut daemon);
}

#[test]
fn a_command_that_is_not_there_or_not_executable_is_told_as_such() {
    for (command, kind) in [
        ("/bin/nosuch", FailureKind::CommandNotFound),
        ("nosuch", FailureKind::CommandNotFound),
        ("/bin/not-executable", FailureKind::CommandNotExecutable),
        ("/proc", FailureKind::CommandNotExecutable),
    ] {
        let (mut container, mut daemon) = Container::new("");
        container.spec.process = Some(process(&[command]));
        let (create, descriptors) = container.create_request();
        let create = daemon.send(&create, &descriptors);
        let start = daemon.send(&Request::Start, &[]);
        let failure = match (daemon.answer(create), daemon.answer(start)) {
            (Response::Error(failure), _) | (_, Response::Error(failure)) => failure,
            other => panic!("{command}: {other:?}"),
        };
        assert_eq!(failure.kind, kind, "{command}: {failure:?}");
        container.finish(&mut daemon);
    }
}

#[test]
fn a_failed_creation_is_told_with_its_step_and_taken_back() {
    let (mut container, mut daemon) = Container::new("exit 0");
    let mount = serde_json::from_str(r#"{"destination": "/x", "type": "nosuchfs", "source": "x"}"#);
    container.spec.mounts.push(mount.unwrap());
    let (create, descriptors) = container.create_request();
    let create = daemon.send(&create, &descriptors);
    let start = daemon.send(&Request::Start, &[]);
    let failure = match (daemon.answer(create), daemon.answer(start)) {
        (Response::Error(failure), _) | (_, Response::Error(failure)) => failure,
        other => panic!("{other:?}"),
    };
    assert_eq!(failure.kind, FailureKind::System, "{failure:?}");
    assert!(failure.message.contains("/x"), "{failure:?}");
    container.finish(&mut daemon);
}

#[test]
fn before_a_creation_there_is_nothing() {
    let (container, mut daemon) = Container::new("exit 0");
    assert_eq!(daemon.status(), Status::Empty);
    assert_eq!(daemon.failure(&Request::Start).kind, FailureKind::WrongState);
    container.finish(&mut daemon);
}

#[test]
fn an_unknown_log_driver_is_refused_in_dockers_words() {
    let (mut container, mut daemon) = Container::new("exit 0");
    container.log_driver = "journal";
    let (create, descriptors) = container.create_request();
    let id = daemon.send(&create, &descriptors);
    match daemon.answer(id) {
        Response::Error(failure) => {
            assert_eq!(failure.message, "logger: no log driver named 'journal' is registered");
        }
        other => panic!("{other:?}"),
    }
    container.finish(&mut daemon);
}

#[test]
fn a_lack_of_memory_is_told() {
    let (mut container, mut daemon) =
        Container::new("head -c 200000000 /dev/zero | sort >/dev/null");
    let limits = r#"{"memory": {"limit": 16777216, "swap": 16777216}}"#;
    if let Some(linux) = container.spec.linux.as_mut() {
        linux.resources = Some(serde_json::from_str(limits).unwrap());
    }
    container.create_and_start(&mut daemon);
    assert!(matches!(daemon.event(), Event::Oom));
    assert!(daemon.exit().oom_killed);
    assert!(container.exit_record().exit.oom_killed);
    container.finish(&mut daemon);
}
