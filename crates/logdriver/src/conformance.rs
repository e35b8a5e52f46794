//! What every log driver must do, run for each of them.

use std::any::Any;
use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use crate::copier::{Copier, MAX_LINE};
use crate::driver::{LogDriver, LogTarget, open, validate};
use crate::file_names::LogFile;
use crate::message::Stream;
use crate::options::Options;
use crate::reader::{ReadOptions, Reader};
use crate::testing::{TcpServer, options, origin, udp_server};

struct Opened {
    folder: tempfile::TempDir,
    driver: Box<dyn LogDriver>,
    name: &'static str,
    options: Options,
    /// For a remote driver: who listens.
    _remote: Vec<Box<dyn Any>>,
}

impl Opened {
    fn new(name: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (options, remote) = remote(name, folder.path());
        let driver = open_in(folder.path(), name, &options);
        Self { folder, driver, name, options, _remote: remote }
    }

    /// All that can be read back, when anything can.
    fn text(&self) -> Option<Vec<u8>> {
        let Some(file) = log_file(self.folder.path(), self.name) else {
            assert_eq!(std::fs::read_dir(&self.folder).unwrap().count(), 0, "unreadable leftovers");
            return None;
        };
        let mut reader = Reader::open(&file, ReadOptions::default()).unwrap();
        let mut text = Vec::new();
        while let Some(record) = reader.next_record().unwrap() {
            text.extend_from_slice(&record.line);
        }
        Some(text)
    }
}

/// What a driver needs to be opened at all, and who takes what it sends.
fn remote(name: &str, folder: &Path) -> (Options, Vec<Box<dyn Any>>) {
    match name {
        "fluentd" => {
            let server = TcpServer::start();
            let address = format!("127.0.0.1:{}", server.port);
            (options(&[("fluentd-address", &address)]), vec![Box::new(server)])
        }
        "gelf" => {
            let (server, port) = udp_server();
            let address = format!("udp://127.0.0.1:{port}");
            (options(&[("gelf-address", &address)]), vec![Box::new(server)])
        }
        "syslog" => {
            let server = TcpServer::start();
            let address = format!("tcp://127.0.0.1:{}", server.port);
            (options(&[("syslog-address", &address)]), vec![Box::new(server)])
        }
        "journald" => {
            let server = UnixDatagram::bind(folder.join("journal")).unwrap();
            (Options::new(), vec![Box::new(server)])
        }
        _ => (Options::new(), Vec::new()),
    }
}

fn log_file(folder: &Path, name: &str) -> Option<LogFile> {
    LogFile::of(name, &BTreeMap::new(), folder, "0123")
}

fn open_in(folder: &Path, name: &str, options: &Options) -> Box<dyn LogDriver> {
    let path = log_file(folder, name).map_or_else(PathBuf::new, |file| file.path);
    let target = LogTarget {
        driver: name,
        path: &path,
        options,
        attributes: &BTreeMap::new(),
        origin: &origin(),
    };
    if name == "journald" {
        return crate::drivers::open_journal_at(&target, &folder.join("journal")).unwrap();
    }
    open(&target).unwrap()
}

fn says_its_name(name: &'static str) {
    assert_eq!(Opened::new(name).driver.name(), name);
    validate(name, &remote(name, tempfile::tempdir().unwrap().path()).0).unwrap();
}

fn gives_back_what_it_took(name: &'static str) {
    let mut log = Opened::new(name);
    let mut copier = Copier::new(Stream::Stdout);
    let mut text = b"one\n\ntwo \xc3\xa4 <&>\"\\\t\n".to_vec();
    text.extend(std::iter::repeat_n(b'x', 3 * MAX_LINE + 7));
    text.extend_from_slice(b"\nno end");
    copier.copy(&text, 1, &mut *log.driver);
    copier.finish(2, &mut *log.driver);
    log.driver.flush().unwrap();
    if let Some(read) = log.text() {
        assert!(read == text, "{} bytes in, {} out", text.len(), read.len());
    }
}

fn keeps_what_was_there_when_opened_again(name: &'static str) {
    let mut log = Opened::new(name);
    let mut copier = Copier::new(Stream::Stderr);
    copier.copy(b"before\n", 1, &mut *log.driver);
    log.driver.flush().unwrap();
    log.driver = open_in(log.folder.path(), name, &log.options);
    copier.copy(b"after\n", 1, &mut *log.driver);
    log.driver.flush().unwrap();
    if let Some(read) = log.text() {
        assert_eq!(read, b"before\nafter\n");
    }
}

fn goes_on_after_it_was_closed_and_opened_again(name: &'static str) {
    let mut log = Opened::new(name);
    let mut copier = Copier::new(Stream::Stdout);
    for line in ["one\n", "two\n"] {
        copier.copy(line.as_bytes(), 1, &mut *log.driver);
        log.driver.flush().unwrap();
        log.driver.close();
        log.driver = open_in(log.folder.path(), name, &log.options);
    }
    if let Some(read) = log.text() {
        assert_eq!(read, b"one\ntwo\n");
    }
}

fn an_option_it_does_not_have_is_refused_with_its_name(name: &'static str) {
    let options = options(&[("max-sze", "1")]);
    match validate(name, &options) {
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("unknown log opt ") && text.contains("max-sze"), "{text}");
            assert!(text.contains(name), "{text}");
        }
        // People set options for every container in `daemon.json`.
        Ok(()) => assert_eq!(name, "none"),
    }
}

fn an_empty_flush_is_nothing(name: &'static str) {
    let mut log = Opened::new(name);
    log.driver.flush().unwrap();
    if let Some(read) = log.text() {
        assert_eq!(read, b"");
    }
}

macro_rules! conformance {
    ($module:ident, $name:literal) => {
        mod $module {
            conformance!(@each $name says_its_name gives_back_what_it_took
                keeps_what_was_there_when_opened_again an_empty_flush_is_nothing
                goes_on_after_it_was_closed_and_opened_again
                an_option_it_does_not_have_is_refused_with_its_name);
        }
    };
    (@each $name:literal $($check:ident)*) => {
        $(#[test] fn $check() { super::$check($name); })*
    };
}

conformance!(fluentd, "fluentd");
conformance!(gelf, "gelf");
conformance!(journald, "journald");
conformance!(json_file, "json-file");
conformance!(local, "local");
conformance!(none, "none");
conformance!(syslog, "syslog");

#[test]
fn an_unknown_driver_is_refused_in_dockers_words() {
    let error = validate("jsonfile", &BTreeMap::new()).unwrap_err();
    assert_eq!(error.to_string(), "logger: no log driver named 'jsonfile' is registered");
}
