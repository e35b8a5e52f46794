//! Terminals of containers and of processes in them.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

use barge_oci::runtime::ConsoleSize;
use barge_runtime_core::{ExecOptions, exec};
use barge_sys::pidfd;

use crate::laboratory::{Lab, program};

/// Everything up to the end: reading a terminal whose other end is closed is EIO.
fn read_all(terminal: &std::fs::File) -> String {
    let (mut terminal, mut text, mut buffer) = (terminal, Vec::new(), [0; 1024]);
    while let Ok(length) = terminal.read(&mut buffer) {
        if length == 0 {
            break;
        }
        text.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8(text).unwrap().replace('\r', "")
}

#[test]
fn a_container_has_its_terminal_as_console_and_stdio() {
    let mut lab = Lab::shell(
        "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all; stat -c %t:%T /dev/console /dev/pts/0; cat /proc/self/stat",
    );
    lab.process().terminal = true;
    lab.process().console_size = Some(ConsoleSize { height: 33, width: 99 });
    let (_unused, writer) = std::io::pipe().unwrap();
    let mut created = lab.create(&writer).unwrap();
    let terminal = std::fs::File::from(created.terminal.take().unwrap());
    created.start().unwrap();
    let text = read_all(&terminal);
    pidfd::wait(&created.pidfd).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..3], ["/dev/pts/0", "33 99", "all"], "{text}");
    assert_eq!(lines[3], lines[4]);
    // Field 7: the controlling terminal, 136:0.
    assert_eq!(lines[5].split(' ').nth(6), Some("34816"), "{text}");
}

#[test]
fn a_process_in_it_has_one_of_its_own() {
    let lab = Lab::shell("echo ready; exec sleep 1000");
    let mut running = lab.start();
    assert_eq!(running.line(), "ready");
    let mut process = lab.spec.process.clone().unwrap();
    process.terminal = true;
    process.args = ["/bin/sh", "-c", "tty; read word; echo got $word"].map(str::to_owned).to_vec();
    let null = std::fs::File::open("/dev/null").unwrap();
    let started = exec(&ExecOptions {
        pid: running.created.pid,
        pidfd: running.created.pidfd.as_fd(),
        process: &process,
        stdio: [null.as_fd(), null.as_fd(), null.as_fd()],
        cgroup: None,
        runtime: program().as_fd(),
        seccomp_filter: None,
        seccomp_flags: 0,
    })
    .unwrap();
    let mut terminal = std::fs::File::from(started.terminal.unwrap());
    terminal.write_all(b"something\n").unwrap();
    let text = read_all(&terminal);
    pidfd::wait(&started.pidfd).unwrap();
    assert!(text.contains("/dev/pts/0\n"), "{text}");
    assert!(text.ends_with("got something\n"), "{text}");
}

#[test]
fn without_a_devpts_there_is_no_terminal() {
    let mut lab = Lab::new(&["/bin/true"]);
    lab.process().terminal = true;
    lab.spec.mounts.retain(|mount| mount.destination != "/dev/pts");
    assert!(lab.try_run().unwrap_err().message.contains("/dev/pts"));
}
