//! Reading what the driver wrote, while it writes.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;
use crate::driver::{Completeness, LogDriver as _, Message, Stream};
use crate::drivers::{JsonFile, JsonFileConfig};
use crate::watch::Watch;

struct Log {
    _folder: tempfile::TempDir,
    path: PathBuf,
    driver: JsonFile,
}

impl Log {
    fn new(max_size: Option<u64>, max_files: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let config = JsonFileConfig { max_size, max_files };
        let driver = JsonFile::open(&path, config, &BTreeMap::new()).unwrap();
        Self { _folder: folder, path, driver }
    }

    /// Writes the line `number` at the second `number`.
    fn write(&mut self, number: i64) {
        let line = number.to_string();
        self.driver.log(&Message {
            stream: if number % 2 == 0 { Stream::Stdout } else { Stream::Stderr },
            time: number * 1_000_000_000,
            line: line.as_bytes(),
            completeness: Completeness::Complete,
        });
        self.driver.flush().unwrap();
    }

    fn reader(&self, options: ReadOptions) -> Reader {
        Reader::open(&self.path, options).unwrap()
    }
}

fn numbers(reader: &mut Reader) -> Vec<i64> {
    let mut numbers = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        let line = String::from_utf8(record.line).unwrap();
        let number = line.strip_suffix('\n').unwrap().parse().unwrap();
        assert_eq!(record.time, number * 1_000_000_000);
        assert_eq!(record.stream == Stream::Stderr, number % 2 == 1);
        numbers.push(number);
    }
    numbers
}

fn last(lines: u64) -> ReadOptions {
    ReadOptions { tail: TailLength::Last(lines), ..ReadOptions::default() }
}

#[test]
fn what_was_written_is_read_and_then_what_comes() {
    let mut log = Log::new(None, 1);
    log.write(1);
    log.write(2);
    let mut reader = log.reader(ReadOptions::default());
    assert_eq!(numbers(&mut reader), [1, 2]);
    log.write(3);
    assert_eq!(numbers(&mut reader), [3]);
    assert!(numbers(&mut reader).is_empty());
}

#[test]
fn a_log_that_is_not_there_yet_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.log");
    let mut reader = Reader::open(&path, last(5)).unwrap();
    assert!(numbers(&mut reader).is_empty());
    fs::write(
        &path,
        "{\"log\":\"2\\n\",\"stream\":\"stdout\",\"time\":\"1970-01-01T00:00:02Z\"}\n",
    )
    .unwrap();
    assert_eq!(numbers(&mut reader), [2]);
}

#[test]
fn tail_since_and_until_choose() {
    let mut log = Log::new(None, 1);
    (1..=9).for_each(|number| log.write(number));
    for (tail, expected) in [(0, vec![]), (2, vec![8, 9]), (100, (1..=9).collect())] {
        assert_eq!(numbers(&mut log.reader(last(tail))), expected);
    }
    let options = ReadOptions {
        tail: TailLength::All,
        since: Some(3_000_000_000),
        until: Some(5_000_000_000),
    };
    let mut reader = log.reader(options);
    assert!(!reader.is_finished());
    assert_eq!(numbers(&mut reader), [3, 4, 5]);
    assert!(reader.is_finished());
    // As Docker: the tail is counted first.
    let mut reader = log.reader(ReadOptions { tail: TailLength::Last(2), ..options });
    assert!(numbers(&mut reader).is_empty());
}

#[test]
fn rotated_files_are_read_oldest_first() {
    let mut log = Log::new(Some(120), 4);
    (1..=7).for_each(|number| log.write(number));
    assert!(rotated(&log.path, 3).exists());
    assert_eq!(numbers(&mut log.reader(ReadOptions::default())), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(numbers(&mut log.reader(last(4))), [4, 5, 6, 7]);
    assert_eq!(numbers(&mut log.reader(last(1))), [7]);
}

#[test]
fn following_goes_over_rotations() {
    let mut log = Log::new(Some(1), 10);
    log.write(1);
    let mut reader = log.reader(ReadOptions::default());
    assert_eq!(numbers(&mut reader), [1]);
    (2..=6).for_each(|number| log.write(number));
    assert_eq!(numbers(&mut reader), [2, 3, 4, 5, 6]);
    log.write(7);
    assert_eq!(numbers(&mut reader), [7]);
}

#[test]
fn following_goes_on_when_the_file_was_emptied() {
    let mut log = Log::new(None, 1);
    log.write(1);
    log.write(2);
    let mut reader = log.reader(ReadOptions::default());
    assert_eq!(numbers(&mut reader), [1, 2]);
    File::options().write(true).open(&log.path).unwrap().set_len(0).unwrap();
    log.write(3);
    assert_eq!(numbers(&mut reader), [3]);
}

#[test]
fn a_line_is_read_when_it_is_whole_and_garbage_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.log");
    let mut file = File::create(&path).unwrap();
    let line = "{\"log\":\"2\\n\",\"stream\":\"stdout\",\"time\":\"1970-01-01T00:00:02Z\"}\n";
    let (front, back) = line.split_at(20);
    file.write_all(b"\0\0\0\0\n{\"log\":\"cut o\n[]\n").unwrap();
    file.write_all(front.as_bytes()).unwrap();
    let mut reader = Reader::open(&path, ReadOptions::default()).unwrap();
    assert!(numbers(&mut reader).is_empty());
    file.write_all(back.as_bytes()).unwrap();
    assert_eq!(numbers(&mut reader), [2]);
}

#[test]
fn attributes_are_read() {
    let record = Record::parse(
        br#"{"log":"x\n","stream":"stderr","attrs":{"b":"2","a":"1"},"time":"1970-01-01T00:00:00Z"}"#,
    )
    .unwrap();
    assert_eq!(record.details(), "a=1,b=2");
    assert_eq!(record.stream, Stream::Stderr);
}

#[test]
fn a_watch_tells_of_lines_and_of_rotations() {
    let mut log = Log::new(Some(70), 3);
    let watch = Watch::new(&log.path).unwrap();
    let is_readable = |watch: &Watch, seconds| {
        let mut fds = [PollFd::new(watch, PollFlags::IN)];
        let limit = Timespec::try_from(Duration::from_secs(seconds)).unwrap();
        poll(&mut fds, Some(&limit)).unwrap() == 1
    };
    assert!(!is_readable(&watch, 0));
    for number in 1..=5 {
        log.write(number);
        assert!(is_readable(&watch, 10));
        watch.drain().unwrap();
        assert!(!is_readable(&watch, 0));
    }
}
