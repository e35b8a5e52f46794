//! The file that `json-file` writes.

use std::fs::{self, OpenOptions};

use super::*;

const UNBOUNDED: RotationConfig = RotationConfig { max_size: None, max_files: 1, compress: false };

fn message(line: &[u8]) -> Message<'_> {
    Message {
        stream: Stream::Stdout,
        time: 5_000_000_000,
        line,
        completeness: Completeness::Complete,
        part: None,
    }
}

fn open(folder: &Path, max_size: Option<u64>, max_files: u32) -> JsonFile {
    let config = RotationConfig { max_size, max_files, compress: false };
    JsonFile::open(&folder.join("x.log"), config, &BTreeMap::new()).unwrap()
}

fn text(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn lines_have_dockers_form() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), None, 1);
    log.log(&message(b"hello"));
    log.log(&Message { stream: Stream::Stderr, ..message(b"<\xff>") });
    log.log(&Message { completeness: Completeness::Partial, time: 1, ..message(b"part") });
    log.flush().unwrap();
    assert_eq!(
        text(folder.path(), "x.log"),
        concat!(
            r#"{"log":"hello\n","stream":"stdout","time":"1970-01-01T00:00:05Z"}"#,
            "\n",
            r#"{"log":"\u003c\ufffd\u003e\n","stream":"stderr","time":"1970-01-01T00:00:05Z"}"#,
            "\n",
            r#"{"log":"part","stream":"stdout","time":"1970-01-01T00:00:00.000000001Z"}"#,
            "\n",
        )
    );
}

#[test]
fn attributes_stand_between_stream_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.log");
    let attributes =
        BTreeMap::from([("b".to_owned(), "2\"".to_owned()), ("a".to_owned(), "1".to_owned())]);
    let mut log = JsonFile::open(&path, UNBOUNDED, &attributes).unwrap();
    log.log(&message(b"x"));
    log.flush().unwrap();
    assert_eq!(
        text(folder.path(), "x.log"),
        concat!(
            r#"{"log":"x\n","stream":"stdout","attrs":{"a":"1","b":"2\""},"#,
            r#""time":"1970-01-01T00:00:05Z"}"#,
            "\n"
        )
    );
}

#[test]
fn nothing_is_written_before_the_flush() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), None, 1);
    log.log(&message(b"x"));
    assert_eq!(text(folder.path(), "x.log"), "");
    log.flush().unwrap();
    assert_ne!(text(folder.path(), "x.log"), "");
}

#[test]
fn a_full_file_is_rotated_and_the_oldest_goes() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), Some(60), 3);
    for number in 0..10 {
        log.log(&message(format!("line {number}").as_bytes()));
        if number % 3 == 0 {
            log.flush().unwrap();
        }
    }
    log.flush().unwrap();
    let numbers = |name: &str| -> Vec<String> {
        text(folder.path(), name).lines().map(|line| line[13..14].to_owned()).collect()
    };
    assert_eq!(numbers("x.log"), ["9"]);
    assert_eq!(numbers("x.log.1"), ["8"]);
    assert_eq!(numbers("x.log.2"), ["7"]);
    assert!(!folder.path().join("x.log.3").exists());
}

#[test]
fn a_rotation_that_could_not_open_its_file_goes_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), Some(60), 3);
    for line in [b"one", b"two", b"six"] {
        log.log(&message(line));
    }
    log.flush().unwrap();
    // As it is when the renames were done and there was no space for the new file.
    fs::remove_file(folder.path().join("x.log")).unwrap();
    log.log(&message(b"new"));
    log.flush().unwrap();
    for (name, line) in [("x.log", "new"), ("x.log.1", "two"), ("x.log.2", "one")] {
        assert!(text(folder.path(), name).starts_with(&format!(r#"{{"log":"{line}\n""#)), "{name}");
    }
}

#[test]
fn a_single_file_is_emptied_when_it_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), Some(60), 1);
    log.log(&message(b"one"));
    log.log(&message(b"two"));
    log.flush().unwrap();
    assert!(text(folder.path(), "x.log").starts_with(r#"{"log":"two\n""#));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_log_goes_on_where_it_was_and_after_a_broken_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), None, 1);
    log.log(&message(b"one"));
    log.flush().unwrap();
    drop(log);
    log = open(folder.path(), None, 1);
    log.log(&message(b"two"));
    log.flush().unwrap();
    assert_eq!(text(folder.path(), "x.log").lines().count(), 2);

    let path = folder.path().join("x.log");
    let whole = fs::metadata(&path).unwrap().len();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(whole - 5).unwrap();
    log = open(folder.path(), None, 1);
    log.log(&message(b"three"));
    log.flush().unwrap();
    let lines = text(folder.path(), "x.log");
    assert_eq!(lines.lines().count(), 3);
    assert!(lines.lines().last().unwrap().contains("three"));
}

#[test]
fn a_failed_write_leaves_no_half_line_and_the_log_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), None, 1);
    log.log(&message(b"one"));
    log.flush().unwrap();
    let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
    let good = log.file.replace_file(full);
    log.log(&message(b"lost"));
    let error = log.flush().unwrap_err();
    assert!(error.to_string().starts_with("cannot write log "), "{error}");
    log.file.replace_file(good);
    log.log(&message(b"two"));
    log.flush().unwrap();
    let lines = text(folder.path(), "x.log");
    assert_eq!(lines.lines().count(), 2);
    assert!(!lines.contains("lost"));
}
