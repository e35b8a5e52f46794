//! What every log driver must do, run for each of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::copier::{Copier, MAX_LINE};
use crate::driver::{LogDriver, LogOrigin, LogTarget, open, validate};
use crate::file_names::LogFile;
use crate::message::Stream;
use crate::reader::{ReadOptions, Reader};

struct Opened {
    folder: tempfile::TempDir,
    driver: Box<dyn LogDriver>,
    name: &'static str,
}

impl Opened {
    fn new(name: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let driver = open_in(folder.path(), name);
        Self { folder, driver, name }
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

fn log_file(folder: &Path, name: &str) -> Option<LogFile> {
    LogFile::of(name, &BTreeMap::new(), folder, "0123")
}

fn open_in(folder: &Path, name: &str) -> Box<dyn LogDriver> {
    let (options, attributes) = (BTreeMap::new(), BTreeMap::new());
    let path = log_file(folder, name).map_or_else(PathBuf::new, |file| file.path);
    let origin = LogOrigin::default();
    let target = LogTarget {
        driver: name,
        path: &path,
        options: &options,
        attributes: &attributes,
        origin: &origin,
    };
    open(&target).unwrap()
}

fn says_its_name(name: &'static str) {
    assert_eq!(Opened::new(name).driver.name(), name);
    validate(name, &BTreeMap::new()).unwrap();
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
    log.driver = open_in(log.folder.path(), name);
    copier.copy(b"after\n", 1, &mut *log.driver);
    log.driver.flush().unwrap();
    if let Some(read) = log.text() {
        assert_eq!(read, b"before\nafter\n");
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
                keeps_what_was_there_when_opened_again an_empty_flush_is_nothing);
        }
    };
    (@each $name:literal $($check:ident)*) => {
        $(#[test] fn $check() { super::$check($name); })*
    };
}

conformance!(json_file, "json-file");
conformance!(local, "local");
conformance!(none, "none");

#[test]
fn an_unknown_driver_is_refused_in_dockers_words() {
    let error = validate("jsonfile", &BTreeMap::new()).unwrap_err();
    assert_eq!(error.to_string(), "logger: no log driver named 'jsonfile' is registered");
}
