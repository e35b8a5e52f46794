//! What happens when a remote is slow, or gone, or comes back.

use std::io::Read as _;
use std::net::TcpListener;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;
use crate::testing::{DEADLINE, TcpServer, message, open};

fn is_readable(congestion: &Congestion<'_>) -> bool {
    let mut fds = [PollFd::new(&congestion.fd, PollFlags::IN)];
    let limit = Timespec::try_from(DEADLINE).unwrap();
    poll(&mut fds, Some(&limit)).unwrap() == 1
}

/// Logs lines of a kilobyte while nobody has to wait.
fn fill(log: &mut dyn LogDriver) -> usize {
    let line = [b'x'; 1000];
    let mut count = 0;
    while log.congestion().is_none() {
        log.log(&message(&line));
        log.flush().unwrap();
        count += 1;
        assert!(count < 100_000, "a remote that reads nothing takes everything");
    }
    count
}

#[test]
fn a_container_waits_for_a_slow_remote_and_loses_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let mut log = open("syslog", &[("syslog-address", &address)]);
    let (mut connection, _) = listener.accept().unwrap();
    let mut count = fill(&mut *log);
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        connection.read_to_end(&mut bytes).unwrap();
        bytes.iter().filter(|byte| **byte == b'\n').count()
    });
    while let Some(congestion) = log.congestion() {
        assert!(is_readable(&congestion));
        log.woken();
    }
    log.log(&message(b"last"));
    count += 1;
    log.flush().unwrap();
    log.close();
    drop(log);
    assert_eq!(reader.join().unwrap(), count);
}

#[test]
fn without_waiting_messages_are_dropped_and_counted_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let mut log = open(
        "syslog",
        &[("syslog-address", &address), ("mode", "non-blocking"), ("max-buffer-size", "16k")],
    );
    let (mut connection, _) = listener.accept().unwrap();
    const COUNT: usize = 20_000;
    let line = [b'x'; 1000];
    for _ in 0..COUNT {
        log.log(&message(&line));
        log.flush().unwrap();
        assert!(log.congestion().is_none());
    }
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        connection.read_to_string(&mut text).unwrap();
        text
    });
    log.close();
    drop(log);
    let text = reader.join().unwrap();
    let (notices, lines): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.contains("]: barge: "));
    let dropped: usize = notices
        .iter()
        .map(|notice| {
            let count = notice.split("barge: ").nth(1).unwrap();
            count.split(' ').next().unwrap().parse::<usize>().unwrap()
        })
        .sum();
    assert!(dropped > 0);
    assert_eq!(lines.len() + dropped, COUNT);
}

#[test]
fn a_remote_that_comes_back_gets_what_waited() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let address = format!("tcp://{at}");
    let mut log = open("syslog", &[("syslog-address", &address)]);
    let (connection, _) = listener.accept().unwrap();
    drop((connection, listener));
    log.log(&message(b"one"));
    log.log(&message(b"two"));
    log.flush().unwrap();
    let server = TcpServer::on(TcpListener::bind(at).unwrap());
    log.close();
    drop(log);
    let received = String::from_utf8(server.received()).unwrap();
    let words: Vec<_> = received.lines().map(|line| line.rsplit(": ").next().unwrap()).collect();
    assert_eq!(words, ["one", "two"]);
}

#[test]
fn the_patience_of_a_container_has_an_end() {
    /// Takes nothing.
    #[derive(Debug)]
    struct Wall;
    impl Transport for Wall {
        fn connect(&mut self) -> Result<(), LogError> {
            let error = std::io::ErrorKind::ConnectionRefused.into();
            Err(LogError::unreachable("dial", error))
        }
        fn send(&mut self, _packets: Packets<'_>) -> Result<usize, LogError> {
            Ok(0)
        }
    }
    #[derive(Debug)]
    struct Raw;
    impl Encode for Raw {
        fn encode(&mut self, message: &Message<'_>, out: &mut Vec<u8>) {
            out.extend_from_slice(message.line);
        }
    }
    let mut log = Remote::start(Parts {
        name: "wall",
        encoder: Box::new(Raw),
        transport: Box::new(Wall),
        mode: Mode::Blocking,
        retry: Retry::STEADY,
    })
    .unwrap();
    fill(&mut log);
    let full = log.queue.unsent();
    log.queue.set_progress(Instant::now() - PATIENCE);
    assert!(log.congestion().is_none());
    for _ in 0..100 {
        log.log(&message(&[b'x'; 1000]));
        log.flush().unwrap();
    }
    assert_eq!((log.queue.unsent(), log.dropped), (full, 100));
}
