//! Daemons that die, come back, or are none.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use barge_shim_api::{Event, Request, Response, SignalTarget, Status, StdinMode};

use super::harness::{ALL, Container, stream};

#[test]
fn a_container_outlives_its_daemon_and_the_next_one_finds_it() {
    let (mut container, mut daemon) = Container::new("read x; echo $x; exit 6");
    container.stdio.stdin = StdinMode::Open;
    container.create_and_start(&mut daemon);
    drop(daemon);
    let mut next = container.connect();
    match next.ask(&Request::Subscribe) {
        Response::State(state) => {
            assert_eq!(state.id, container.id());
            assert!(matches!(state.status, Status::Running { pid, .. } if pid == container.pid()));
        }
        other => panic!("{other:?}"),
    }
    let (mut client, theirs) = stream();
    let id = next.send(&Request::Attach(ALL), &[theirs]);
    assert!(matches!(next.answer(id), Response::Attached { .. }));
    client.write_all(b"word\n").unwrap();
    assert_eq!(next.exit().code, 6);
    assert_eq!(container.log(), [("stdout", "word\n".to_owned())]);
    container.finish(&mut next);
}

#[test]
fn an_exit_that_no_daemon_saw_is_on_disk_and_the_shim_goes() {
    let (mut container, mut daemon) = Container::new("read x; echo bye; exit 6");
    container.stdio.stdin = StdinMode::Open;
    let mut client = container.attach(ALL);
    container.create_and_start(&mut daemon);
    drop(daemon);
    client.write_all(b"\n").unwrap();
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    assert!(bytes.ends_with(b"bye\n"));
    container.assert_gone();
    assert_eq!(container.exit_record().exit.code, 6);
    assert_eq!(container.log(), [("stdout", "bye\n".to_owned())]);
}

#[test]
fn a_daemon_that_dies_before_the_start_leaves_a_container_to_be_found() {
    let (mut container, mut daemon) = Container::new("exit 0");
    container.create(&mut daemon);
    drop(daemon);
    let mut next = container.connect();
    assert!(matches!(next.status(), Status::Created { .. }));
    container.finish(&mut next);
}

#[test]
fn a_daemon_that_dies_before_the_creation_leaves_nothing() {
    let (mut container, daemon) = Container::new("exit 0");
    drop(daemon);
    container.assert_gone();
}

#[test]
fn every_daemon_that_subscribed_is_told() {
    let (container, mut first) = Container::running("sleep 1000");
    let mut second = container.connect();
    second.ask(&Request::Subscribe);
    let mut third = container.connect();
    assert!(matches!(third.status(), Status::Running { .. }));
    second.ok(&Request::Signal { signal: 9, target: SignalTarget::Init });
    assert!(matches!(first.event(), Event::Exit(_)));
    assert!(matches!(second.event(), Event::Exit(_)));
    assert!(matches!(third.status(), Status::Exited { .. }));
    drop((second, third));
    container.finish(&mut first);
}

#[test]
fn garbage_ends_the_connection_and_nothing_else() {
    let (container, mut daemon) = Container::running("sleep 1000");
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\xff\xff\xff\xff",
        b"\0\0\0\x02{}",
        b"\0\0\0\x20{\"id\":1,\"request\":{\"attach\":{}}}",
    ] {
        let mut peer = UnixStream::connect(container.socket_path()).unwrap();
        peer.write_all(garbage).unwrap();
        let mut rest = Vec::new();
        // Closed or reset; either way the shim talks no more.
        if peer.read_to_end(&mut rest).is_ok() {
            assert!(rest.is_empty());
        }
    }
    // A peer that begins a frame and never ends it keeps nobody else waiting.
    let mut slow = UnixStream::connect(container.socket_path()).unwrap();
    slow.write_all(&[0, 0]).unwrap();
    assert!(matches!(daemon.status(), Status::Running { .. }));
    daemon.ok(&Request::Signal { signal: 9, target: SignalTarget::Init });
    daemon.exit();
    container.finish(&mut daemon);
}

#[test]
fn a_daemon_that_does_not_read_is_dropped() {
    let (container, mut daemon) = Container::running("sleep 1000");
    let mut deaf = container.connect();
    deaf.socket.set_nonblocking(true).unwrap();
    let mut frame = Vec::new();
    barge_shim_api::encode_request(1, &Request::State, &mut frame).unwrap();
    let many: Vec<u8> = frame.iter().copied().cycle().take(frame.len() * 4096).collect();
    let mut asked = 0;
    let error = loop {
        match deaf.socket.write(&many) {
            Ok(length) => asked += length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                assert!(matches!(daemon.status(), Status::Running { .. }));
            }
            Err(error) => break error,
        }
        assert!(asked < 1 << 30, "nothing bounds what waits for a deaf daemon");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    daemon.ok(&Request::Signal { signal: 9, target: SignalTarget::Init });
    daemon.exit();
    container.finish(&mut daemon);
}

#[test]
fn the_shim_keeps_nothing_of_its_starter() {
    let (container, mut daemon) = Container::running("sleep 1000");
    let link =
        |what: &str| std::fs::read_link(format!("/proc/{}/{what}", container.shim_pid())).unwrap();
    for number in 0..3 {
        assert_eq!(link(&format!("fd/{number}")).to_str(), Some("/dev/null"));
    }
    assert_eq!(link("cwd").to_str(), Some("/"));
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", container.shim_pid())).unwrap();
    let (name, rest) = stat.rsplit_once(')').unwrap();
    assert!(name.ends_with("(barge-shim"));
    let session = rest.split_whitespace().nth(3).unwrap();
    assert_eq!(session, container.shim_pid().to_string());
    daemon.ok(&Request::Signal { signal: 9, target: SignalTarget::Init });
    daemon.exit();
    container.finish(&mut daemon);
}
