//! What the journal receives; its socket is the test's.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixDatagram;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use super::*;
use crate::driver::LogDriver as _;
use crate::message::Part;
use crate::testing::{DEADLINE, message, options, with_target};

struct Journal {
    folder: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Journal {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("socket")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { folder, socket }
    }

    fn open(&self) -> Remote {
        let path = self.folder.path().join("socket");
        with_target("journald", &options(&[]), |target| open_at(target, &path)).unwrap()
    }

    /// An entry, however it comes.
    fn entry(&self) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let length = rustix::net::recvmsg(
            &self.socket,
            &mut [std::io::IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
        .unwrap()
        .bytes;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut fds) = message {
                let file = File::from(fds.next().unwrap());
                let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
                let mut content = vec![0; length];
                file.read_exact_at(&mut content, 0).unwrap();
                assert!(file.set_len(0).is_err(), "the journal refuses files that may change");
                return content;
            }
        }
        bytes.truncate(length);
        bytes
    }
}

fn has(entry: &[u8], field: &str) -> bool {
    entry.split(|byte| *byte == b'\n').any(|line| line == field.as_bytes())
}

#[test]
fn an_entry_tells_the_line_and_its_container() {
    let journal = Journal::start();
    let mut log = journal.open();
    log.log(&message(b"hi"));
    log.log(&Message { stream: Stream::Stderr, ..message(b"bad") });
    log.flush().unwrap();
    let id = "0123456789abcdef".repeat(4);
    let entry = journal.entry();
    for field in [
        "MESSAGE=hi",
        "PRIORITY=6",
        "SYSLOG_TIMESTAMP=2024-02-29T23:59:59.123456789Z",
        "CONTAINER_LOG_ORDINAL=1",
        "CONTAINER_ID=0123456789ab",
        &format!("CONTAINER_ID_FULL={id}"),
        "CONTAINER_NAME=web",
        "CONTAINER_TAG=0123456789ab",
        "SYSLOG_IDENTIFIER=0123456789ab",
        "IMAGE_NAME=busybox",
        "APP=shop",
    ] {
        assert!(has(&entry, field), "{field}: {}", String::from_utf8_lossy(&entry));
    }
    let entry = journal.entry();
    assert!(has(&entry, "MESSAGE=bad") && has(&entry, "PRIORITY=3"));
}

#[test]
fn parts_are_marked() {
    let journal = Journal::start();
    let mut log = journal.open();
    let part = Some(Part { line: 1, ordinal: 1 });
    log.log(&Message { part, completeness: Completeness::Partial, ..message(b"x") });
    log.flush().unwrap();
    let entry = journal.entry();
    assert!(has(&entry, "CONTAINER_PARTIAL_MESSAGE=true"));
    assert!(has(&entry, "CONTAINER_PARTIAL_ORDINAL=1"));
    assert!(has(&entry, "CONTAINER_PARTIAL_LAST=false"));
}

#[test]
fn a_large_entry_comes_as_a_file_that_nobody_can_change() {
    let journal = Journal::start();
    let mut log = journal.open();
    let line = vec![b'x'; 2_000_000];
    log.log(&message(&line));
    log.flush().unwrap();
    let entry = journal.entry();
    assert!(entry.starts_with(b"MESSAGE=xxx") && entry.len() > line.len());
}

#[test]
fn names_and_values_fit_the_journal() {
    assert_eq!(field_name("com.example/a-b"), "COM_EXAMPLE_A_B");
    assert_eq!(field_name("__x"), "X");
    assert_eq!(field_name("."), "");
    let mut out = Vec::new();
    append_field(&mut out, "A", b"1\n2");
    assert_eq!(out, b"A\n\x03\0\0\0\0\0\0\x001\n2\n");
}

#[test]
fn without_a_journal_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none");
    let error =
        with_target("journald", &options(&[]), |target| open_at(target, &path).unwrap_err());
    assert_eq!(error.to_string(), "journald is not enabled on this host");
}
