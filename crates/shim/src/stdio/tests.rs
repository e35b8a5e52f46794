//! Stdio between pipes and sockets, without a container.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use barge_logdriver::{Format, LogFile, LogTarget, ReadOptions, Reader};
use barge_shim_api::LogOrigin;
use barge_shim_api::{ConsoleSize, StdinMode};
use rustix::event::{PollFd, Timespec, poll};

use super::*;

const BOTH: AttachStreams = AttachStreams { stdin: true, stdout: true, stderr: true };
const STDOUT: AttachStreams = AttachStreams { stdin: false, stdout: true, stderr: false };

/// The process's side, by hand.
struct Process {
    stdin: Option<File>,
    stdout: Option<File>,
    stderr: Option<File>,
}

fn piped(stdin: StdinMode, log: Option<Box<dyn LogDriver>>) -> (Stdio, Process) {
    let (pair, ends) = pipes(stdin).unwrap();
    let process = Process {
        stdin: Some(ends.stdin.into()),
        stdout: Some(ends.stdout.into()),
        stderr: Some(ends.stderr.into()),
    };
    (Stdio::new(pair, StdioConfig { stdin, terminal: None }, log), process)
}

fn attach(stdio: &mut Stdio, what: AttachStreams) -> UnixStream {
    let (near, far) = UnixStream::pair().unwrap();
    stdio.attach(near.into(), what, Role::Starter).unwrap();
    far
}

/// Does everything that can be done now.
fn settle(stdio: &mut Stdio) {
    let mut scratch = vec![0; 64 * 1024];
    loop {
        let mut interests = Vec::new();
        stdio.interests(&mut interests);
        let ends: Vec<End> = interests.iter().map(|interest| interest.end).collect();
        let mut fds: Vec<_> =
            interests.iter().map(|i| PollFd::from_borrowed_fd(i.fd, i.flags)).collect();
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut fds, Some(&none)).unwrap() == 0 {
            return;
        }
        let told: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        for (end, flags) in ends.into_iter().zip(told).filter(|(_, flags)| !flags.is_empty()) {
            stdio.ready(end, flags, &mut scratch);
        }
    }
}

fn end(stdio: &mut Stdio, process: Process) {
    drop(process);
    stdio.process_ended(&mut [0; 65536]);
    settle(stdio);
}

fn received(mut client: UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    bytes
}

fn log_in(folder: &Path) -> Option<Box<dyn LogDriver>> {
    let target = LogTarget {
        driver: "json-file",
        path: &folder.join("x.log"),
        options: &BTreeMap::new(),
        attributes: &BTreeMap::new(),
        origin: &LogOrigin::default(),
    };
    Some(barge_logdriver::open(&target).unwrap())
}

fn logged(folder: &Path) -> Vec<(String, String)> {
    let log = LogFile { path: folder.join("x.log"), format: Format::JsonLines };
    let mut reader = Reader::open(&log, ReadOptions::default()).unwrap();
    let mut lines = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        let line = String::from_utf8(record.line).unwrap();
        lines.push((record.stream.name().to_owned(), line));
    }
    lines
}

#[test]
fn output_is_framed_and_logged_and_its_end_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (mut stdio, mut process) = piped(StdinMode::Null, log_in(folder.path()));
    let client = attach(&mut stdio, BOTH);
    process.stdout.as_mut().unwrap().write_all(b"out\n").unwrap();
    settle(&mut stdio);
    process.stderr.as_mut().unwrap().write_all(b"no end").unwrap();
    settle(&mut stdio);
    assert!(!stdio.finish());
    end(&mut stdio, process);
    assert!(stdio.finish());
    let expected = b"\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\x06no end";
    assert_eq!(received(client), expected);
    let expected = [("stdout", "out\n"), ("stderr", "no end")];
    assert_eq!(logged(folder.path()), expected.map(|(s, l)| (s.to_owned(), l.to_owned())));
}

#[test]
fn each_stream_gets_what_it_asked_for() {
    let (mut stdio, mut process) = piped(StdinMode::Null, None);
    let only_out = attach(&mut stdio, STDOUT);
    let only_err = attach(&mut stdio, AttachStreams { stderr: true, ..AttachStreams::default() });
    process.stdout.as_mut().unwrap().write_all(b"o").unwrap();
    process.stderr.as_mut().unwrap().write_all(b"e").unwrap();
    end(&mut stdio, process);
    assert!(stdio.finish());
    assert_eq!(received(only_out), b"\x01\0\0\0\0\0\0\x01o");
    assert_eq!(received(only_err), b"\x02\0\0\0\0\0\0\x01e");
}

#[test]
fn output_without_readers_is_drained() {
    let (mut stdio, mut process) = piped(StdinMode::Null, None);
    for _ in 0..40 {
        process.stdout.as_mut().unwrap().write_all(&[b'x'; 60_000]).unwrap();
        settle(&mut stdio);
    }
    end(&mut stdio, process);
    assert!(stdio.finish());
}

#[test]
fn a_slow_client_slows_the_process_down_and_loses_nothing() {
    let (mut stdio, mut process) = piped(StdinMode::Null, None);
    let mut client = attach(&mut stdio, STDOUT);
    let written = fill(&mut stdio, process.stdout.as_mut().unwrap());
    assert!(stdio.streams[0].pending() <= 64 * 1024 + 8);

    drop(process);
    stdio.process_ended(&mut [0; 65536]);
    let mut bytes = 0;
    client.set_nonblocking(true).unwrap();
    let mut buffer = [0; 8192];
    while !stdio.finish() || bytes_left(&client) {
        settle(&mut stdio);
        while let Ok(length) = client.read(&mut buffer) {
            bytes += length;
            if length == 0 {
                break;
            }
        }
    }
    let frames = bytes - written;
    assert!(frames.is_multiple_of(8) && frames > 0, "{written} written, {bytes} received");
}

fn bytes_left(client: &UnixStream) -> bool {
    rustix::io::ioctl_fionread(client).unwrap() > 0
}

#[test]
fn a_client_that_is_gone_holds_nothing_back() {
    let (mut stdio, mut process) = piped(StdinMode::Open, None);
    let gone = attach(&mut stdio, BOTH);
    let stays = attach(&mut stdio, STDOUT);
    // A process that another test is starting has a copy of every descriptor for a moment: dropping is not the end.
    gone.shutdown(std::net::Shutdown::Both).unwrap();
    drop(gone);
    for _ in 0..3 {
        process.stdout.as_mut().unwrap().write_all(b"x").unwrap();
        settle(&mut stdio);
    }
    assert_eq!(stdio.streams.len(), 1);
    end(&mut stdio, process);
    assert!(stdio.finish());
    assert_eq!(received(stays).len(), 27);
}

#[test]
fn stdin_reaches_the_process_and_ends_with_the_client_when_asked_once() {
    let (mut stdio, mut process) = piped(StdinMode::Once, None);
    let mut client = attach(&mut stdio, BOTH);
    client.write_all(b"hello").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    settle(&mut stdio);
    let mut text = String::new();
    process.stdin.as_mut().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    // Half closed: output still comes.
    process.stdout.as_mut().unwrap().write_all(b"x").unwrap();
    end(&mut stdio, process);
    assert!(stdio.finish());
    assert_eq!(received(client), b"\x01\0\0\0\0\0\0\x01x");
}

#[test]
fn stdin_stays_open_for_the_next_client_otherwise() {
    let (mut stdio, mut process) = piped(StdinMode::Open, None);
    for _ in 0..2 {
        let mut client = attach(&mut stdio, BOTH);
        client.write_all(b"ab").unwrap();
        drop(client);
        settle(&mut stdio);
        assert!(stdio.streams.is_empty());
    }
    let mut text = [0; 4];
    process.stdin.as_mut().unwrap().read_exact(&mut text).unwrap();
    assert_eq!(&text, b"abab");
    stdio.close_input();
    assert_eq!(process.stdin.as_mut().unwrap().read(&mut text).unwrap(), 0);
}

#[test]
fn a_process_that_does_not_read_holds_the_client_back_and_gets_everything_even_when_it_left() {
    let (mut stdio, mut process) = piped(StdinMode::Once, None);
    let mut client = attach(&mut stdio, AttachStreams { stdin: true, ..AttachStreams::default() });
    client.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while let Ok(length) = client.write(&[b'x'; 10_000]) {
        sent += length;
        settle(&mut stdio);
        assert!(sent < 16 * 1024 * 1024, "nothing holds the client back");
    }
    drop(client);
    settle(&mut stdio);
    let mut stdin = process.stdin.take().unwrap();
    rustix::io::ioctl_fionbio(&stdin, true).unwrap();
    let mut buffer = vec![0; 50_000];
    let mut got = 0;
    loop {
        match stdin.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => got += length,
            Err(_) => settle(&mut stdio),
        }
    }
    assert_eq!(got, sent);
    assert!(stdio.streams.is_empty());
}

#[test]
fn a_process_that_closes_its_stdin_makes_the_client_stop() {
    let (mut stdio, mut process) = piped(StdinMode::Open, None);
    let mut client = attach(&mut stdio, BOTH);
    process.stdin = None;
    settle(&mut stdio);
    assert!(client.write_all(b"x").is_err());
    end(&mut stdio, process);
    assert!(stdio.finish());
    assert_eq!(received(client), b"");
}

#[test]
fn unread_stdin_does_not_reset_the_clients_connection() {
    let (mut stdio, process) = piped(StdinMode::Open, None);
    let mut client = attach(&mut stdio, BOTH);
    client.set_nonblocking(true).unwrap();
    while client.write(&[b'x'; 10_000]).is_ok() {
        settle(&mut stdio);
    }
    end(&mut stdio, process);
    assert!(stdio.finish());
    client.set_nonblocking(false).unwrap();
    assert_eq!(received(client), b"");
}

#[test]
fn output_held_open_by_others_is_awaited_for_a_while_only() {
    let (mut stdio, mut process) = piped(StdinMode::Null, None);
    let client = attach(&mut stdio, STDOUT);
    let mut held = process.stdout.take().unwrap();
    end(&mut stdio, process);
    held.write_all(b"late").unwrap();
    settle(&mut stdio);
    assert!(!stdio.finish());
    let deadline = stdio.deadline().unwrap();
    stdio.give_up(deadline - Duration::from_millis(1));
    assert!(!stdio.finish());
    stdio.give_up(deadline);
    assert!(stdio.finish());
    assert!(received(client).ends_with(b"late"));
}

/// Writes until neither the pipe nor the stdio takes more.
fn fill(stdio: &mut Stdio, output: &mut File) -> usize {
    rustix::io::ioctl_fionbio(&*output, true).unwrap();
    let mut written = 0;
    loop {
        match output.write(&[b'x'; 4096]) {
            Ok(length) => written += length,
            Err(_) => {
                settle(stdio);
                match output.write(&[b'x'; 4096]) {
                    Ok(length) => written += length,
                    Err(_) => return written,
                }
            }
        }
        assert!(written < 64 * 1024 * 1024, "nothing holds the process back");
    }
}

#[test]
fn the_last_output_waits_in_the_socket_of_a_client_that_does_not_read_now() {
    let (mut stdio, mut process) = piped(StdinMode::Null, None);
    let client = attach(&mut stdio, STDOUT);
    let written = fill(&mut stdio, process.stdout.as_mut().unwrap());
    assert!(stdio.streams[0].pending() > 0);
    drop(process);
    stdio.process_ended(&mut [0; 65536]);
    assert!(stdio.finish());
    let bytes = received(client);
    assert_eq!(bytes.iter().filter(|byte| **byte == b'x').count(), written);
}

#[test]
fn who_looks_on_and_takes_nothing_is_given_up_and_the_others_lose_nothing() {
    let (mut stdio, mut process) = piped(StdinMode::Null, None);
    let mut starter = attach(&mut stdio, STDOUT);
    let (near, _observer) = UnixStream::pair().unwrap();
    stdio.attach(near.into(), STDOUT, Role::Observer).unwrap();
    starter.set_nonblocking(true).unwrap();
    let (mut buffer, mut bytes) = (vec![0; 64 * 1024], 0);
    while stdio.streams[1].stalled_since().is_none() {
        process.stdout.as_mut().unwrap().write_all(&[b'x'; 4096]).unwrap();
        settle(&mut stdio);
        while let Ok(length) = starter.read(&mut buffer) {
            bytes += buffer[..length].iter().filter(|byte| **byte == b'x').count();
        }
    }
    assert!(bytes > 0);
    let deadline = stdio.deadline().unwrap();
    stdio.give_up(deadline - Duration::from_millis(1));
    assert_eq!(stdio.streams.len(), 2);
    stdio.give_up(deadline);
    assert_eq!(stdio.streams.len(), 1);
    assert_eq!(stdio.deadline(), None);
}

#[test]
fn who_started_the_process_may_hold_it_up() {
    let (mut stdio, mut process) = piped(StdinMode::Null, None);
    let _client = attach(&mut stdio, STDOUT);
    fill(&mut stdio, process.stdout.as_mut().unwrap());
    assert!(stdio.streams[0].pending() > 0);
    assert_eq!(stdio.deadline(), None);
}

#[test]
fn a_client_that_takes_nothing_is_given_up_in_the_end() {
    let (mut stdio, mut process) = piped(StdinMode::Null, None);
    let _client = attach(&mut stdio, STDOUT);
    let mut held = process.stdout.take().unwrap();
    end(&mut stdio, process);
    fill(&mut stdio, &mut held);
    let deadline = stdio.deadline().unwrap();
    stdio.give_up(deadline);
    assert!(!stdio.finish());
    let deadline = stdio.deadline().unwrap();
    stdio.give_up(deadline - Duration::from_millis(1));
    assert!(!stdio.finish());
    stdio.give_up(deadline);
    assert!(stdio.finish());
}

#[test]
fn a_terminal_is_raw_bytes_of_one_size() {
    let pty = barge_sys::pty::open().unwrap();
    let size = ConsoleSize { height: 33, width: 77 };
    let config = StdioConfig { stdin: StdinMode::Open, terminal: Some(size) };
    let folder = tempfile::tempdir().unwrap();
    let mut stdio = Stdio::new(terminal(pty.master, size).unwrap(), config, log_in(folder.path()));
    let mut client = attach(&mut stdio, BOTH);
    let mut slave = File::from(pty.slave);
    assert_eq!(rustix::termios::tcgetwinsize(&slave).unwrap().ws_row, 33);
    client.write_all(b"in\n").unwrap();
    settle(&mut stdio);
    let mut line = [0; 3];
    slave.read_exact(&mut line).unwrap();
    slave.write_all(b"out\n").unwrap();
    settle(&mut stdio);
    // The end of stdin does not hang the terminal up.
    client.shutdown(std::net::Shutdown::Write).unwrap();
    settle(&mut stdio);
    slave.write_all(b"more").unwrap();
    drop(slave);
    stdio.process_ended(&mut [0; 65536]);
    settle(&mut stdio);
    assert!(stdio.finish());
    assert_eq!(received(client), b"in\r\nout\r\nmore");
    let text: String = logged(folder.path()).into_iter().map(|(_, line)| line).collect();
    assert_eq!(text, "in\r\nout\r\nmore");
}

#[test]
fn what_was_written_before_the_exit_is_logged_when_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (mut stdio, mut process) = piped(StdinMode::Null, log_in(folder.path()));
    process.stdout.as_mut().unwrap().write_all(b"last words").unwrap();
    drop(process);
    stdio.process_ended(&mut [0; 65536]);
    assert_eq!(logged(folder.path()), [("stdout".to_owned(), "last words".to_owned())]);
    assert!(stdio.finish());
}

#[test]
fn what_is_no_stream_socket_is_refused() {
    let (mut stdio, _process) = piped(StdinMode::Null, None);
    let (pipe, _writer) = std::io::pipe().unwrap();
    assert!(stdio.attach(pipe.into(), BOTH, Role::Starter).is_err());
}
