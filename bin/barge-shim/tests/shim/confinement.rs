//! What is handed to a container from outside: its network, its seccomp filter, its neighbours'
//! processes.

use std::io::Read as _;
use std::os::fd::{AsRawFd as _, OwnedFd};

use barge_oci::runtime::NamespaceType;
use barge_shim_api::{Descriptor, Request, Response, SignalTarget};

use super::harness::{Container, OUTPUT, demultiplex, exec, stream};

#[test]
fn the_network_that_was_sent_is_the_containers() {
    let (mut container, mut daemon) = Container::new("readlink /proc/self/ns/net");
    let netns = barge_sys::namespace::make_netns().unwrap();
    let inode = rustix::fs::fstat(&netns).unwrap().st_ino;
    container.pass(Descriptor::NetworkNamespace, netns);
    let client = container.attach(OUTPUT);
    container.create_and_start(&mut daemon);
    assert_eq!(demultiplex(&client).0, format!("net:[{inode}]\n"));
    daemon.exit();
    container.finish(&mut daemon);
}

/// Answers EPERM to mkdir(2) and mkdirat(2) of x86-64 and allows the rest: `struct sock_filter`s of
/// linux/filter.h (code, jump if true, jump if false, operand).
fn no_mkdir() -> OwnedFd {
    const PROGRAM: [(u16, u8, u8, u32); 5] = [
        (0x20, 0, 0, 0),
        (0x15, 1, 0, 83),
        (0x15, 0, 1, 258),
        (0x06, 0, 0, 0x0005_0001),
        (0x06, 0, 0, 0x7fff_0000),
    ];
    let mut bytes = Vec::new();
    for (code, yes, no, operand) in PROGRAM {
        bytes.extend_from_slice(&code.to_ne_bytes());
        bytes.extend_from_slice(&[yes, no]);
        bytes.extend_from_slice(&operand.to_ne_bytes());
    }
    barge_sys::memfd::with_content("filter", &bytes).unwrap()
}

#[test]
fn the_filter_that_was_sent_holds_for_the_command_and_for_execs() {
    const REFUSED: &str = "mkdir: can't create directory '/x': Operation not permitted\n";
    let (mut container, mut daemon) = Container::new("mkdir /x; read forever");
    container.stdio.stdin = barge_shim_api::StdinMode::Open;
    let filter = no_mkdir();
    // Somebody else has read the file before.
    rustix::fs::seek(&filter, rustix::fs::SeekFrom::End(0)).unwrap();
    container.pass(Descriptor::SeccompFilter, filter);
    let mut client = container.attach(OUTPUT);
    container.create_and_start(&mut daemon);
    let mut text = vec![0; 8 + REFUSED.len()];
    client.read_exact(&mut text).unwrap();
    assert_eq!(&text[8..], REFUSED.as_bytes());

    let (client, theirs) = stream();
    let request = exec("e1", "mkdir /x", vec![OUTPUT]);
    let id = daemon.send(&Request::Exec(Box::new(request)), &[theirs]);
    assert!(matches!(daemon.answer(id), Response::ExecStarted { .. }));
    assert_eq!(demultiplex(&client).1, REFUSED);
    assert_eq!(daemon.exec_exit("e1").code, 1);
    daemon.ok(&Request::Signal { signal: 9, target: SignalTarget::Init });
    daemon.exit();
    container.finish(&mut daemon);
}

#[test]
fn without_a_pid_namespace_of_its_own_nothing_outlives_the_command_either() {
    let (mut container, mut daemon) = Container::new("sleep 1000 & echo $!; exit 3");
    if let Some(linux) = container.spec.linux.as_mut() {
        linux.namespaces.retain(|namespace| namespace.kind != NamespaceType::Pid);
    }
    let client = container.attach(OUTPUT);
    container.create_and_start(&mut daemon);
    let background = demultiplex(&client).0.trim().parse().unwrap();
    assert_eq!(daemon.exit().code, 3);
    container.finish(&mut daemon);
    let gone = barge_sys::pidfd::open(background).map(|process| process.as_raw_fd());
    assert!(gone.is_err(), "the background process lives");
}
