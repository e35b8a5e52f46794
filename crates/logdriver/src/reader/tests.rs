//! Reading what the driver wrote, while it writes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;
use crate::driver::LogDriver;
use crate::drivers::{JsonFile, Local};
use crate::file_names::{packed, rotated};
use crate::format::Format;
use crate::message::{Completeness, Message, Stream};
use crate::options::RotationConfig;
use crate::watch::Watch;

const FORMATS: [Format; 2] = [Format::JsonLines, Format::Frames];

struct Log {
    _folder: tempfile::TempDir,
    file: LogFile,
    driver: Box<dyn LogDriver>,
}

impl Log {
    fn new(format: Format, max_size: Option<u64>, max_files: u32) -> Self {
        Self::with(format, RotationConfig { max_size, max_files, compress: false })
    }

    fn with(format: Format, config: RotationConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = LogFile { path: folder.path().join("x.log"), format };
        let driver: Box<dyn LogDriver> = match format {
            Format::JsonLines => {
                Box::new(JsonFile::open(&file.path, config, &BTreeMap::new()).unwrap())
            }
            Format::Frames => Box::new(Local::open(&file.path, config).unwrap()),
        };
        Self { _folder: folder, file, driver }
    }

    /// Writes the line `number` at the second `number`.
    fn write(&mut self, number: i64) {
        let line = number.to_string();
        self.driver.log(&Message {
            stream: if number % 2 == 0 { Stream::Stdout } else { Stream::Stderr },
            time: number * 1_000_000_000,
            line: line.as_bytes(),
            completeness: Completeness::Complete,
            part: None,
        });
        self.driver.flush().unwrap();
    }

    fn reader(&self, options: ReadOptions) -> Reader {
        Reader::open(&self.file, options).unwrap()
    }
}

fn json(path: &Path) -> LogFile {
    LogFile { path: path.to_owned(), format: Format::JsonLines }
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
    for format in FORMATS {
        let mut log = Log::new(format, None, 1);
        log.write(1);
        log.write(2);
        let mut reader = log.reader(ReadOptions::default());
        assert_eq!(numbers(&mut reader), [1, 2]);
        log.write(3);
        assert_eq!(numbers(&mut reader), [3]);
        assert!(numbers(&mut reader).is_empty());
    }
}

#[test]
fn a_log_that_is_not_there_yet_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.log");
    let mut reader = Reader::open(&json(&path), last(5)).unwrap();
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
    for format in FORMATS {
        let mut log = Log::new(format, None, 1);
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
}

#[test]
fn rotated_files_are_read_oldest_first() {
    for format in FORMATS {
        let mut log =
            Log::new(format, if format == Format::JsonLines { Some(120) } else { Some(40) }, 4);
        (1..=7).for_each(|number| log.write(number));
        assert!(rotated(&log.file.path, 3).exists());
        assert_eq!(numbers(&mut log.reader(ReadOptions::default())), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(numbers(&mut log.reader(last(4))), [4, 5, 6, 7]);
        assert_eq!(numbers(&mut log.reader(last(1))), [7]);
    }
}

#[test]
fn following_goes_over_rotations() {
    for format in FORMATS {
        let mut log = Log::new(format, Some(1), 10);
        log.write(1);
        let mut reader = log.reader(ReadOptions::default());
        assert_eq!(numbers(&mut reader), [1]);
        (2..=6).for_each(|number| log.write(number));
        assert_eq!(numbers(&mut reader), [2, 3, 4, 5, 6]);
        log.write(7);
        assert_eq!(numbers(&mut reader), [7]);
    }
}

#[test]
fn following_goes_on_when_the_file_was_emptied() {
    for format in FORMATS {
        let mut log = Log::new(format, None, 1);
        log.write(1);
        log.write(2);
        let mut reader = log.reader(ReadOptions::default());
        assert_eq!(numbers(&mut reader), [1, 2]);
        File::options().write(true).open(&log.file.path).unwrap().set_len(0).unwrap();
        log.write(3);
        assert_eq!(numbers(&mut reader), [3]);
    }
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
    let mut reader = Reader::open(&json(&path), ReadOptions::default()).unwrap();
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
    let mut log = Log::new(Format::JsonLines, Some(70), 3);
    let watch = Watch::new(&log.file.path).unwrap();
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

const COMPRESSED: RotationConfig =
    RotationConfig { max_size: Some(1), max_files: 6, compress: true };

/// Every message is alone in its file; all but the last are compressed.
fn compressed(format: Format, last: i64) -> Log {
    let mut log = Log::with(format, COMPRESSED);
    for number in 1..=last {
        log.write(number);
        log.driver.close();
    }
    log
}

#[test]
fn compressed_files_are_read_as_others() {
    for format in FORMATS {
        let log = compressed(format, 8);
        assert!(packed(&log.file.path, 5).exists() && !packed(&log.file.path, 6).exists());
        assert!((1..=6).all(|age| !rotated(&log.file.path, age).exists()));
        assert_eq!(numbers(&mut log.reader(ReadOptions::default())), [3, 4, 5, 6, 7, 8]);
        assert_eq!(numbers(&mut log.reader(last(4))), [5, 6, 7, 8]);
        assert_eq!(numbers(&mut log.reader(last(1))), [8]);
    }
}

#[test]
fn the_last_messages_may_begin_within_a_compressed_file() {
    for format in FORMATS {
        let config = RotationConfig { max_size: Some(400), ..COMPRESSED };
        let mut log = Log::with(format, config);
        (1..=30).for_each(|number| {
            log.write(number);
            log.driver.close();
        });
        assert!(packed(&log.file.path, 1).exists());
        for count in 1..=9 {
            let expected: Vec<i64> = (31 - count..=30).collect();
            let wanted = last(count.try_into().unwrap());
            assert_eq!(numbers(&mut log.reader(wanted)), expected);
        }
    }
}

#[test]
fn following_goes_on_when_the_file_was_compressed_meanwhile() {
    for format in FORMATS {
        let mut log = compressed(format, 3);
        let mut reader = log.reader(ReadOptions::default());
        assert_eq!(numbers(&mut reader), [1, 2, 3]);
        for number in 4..=6 {
            log.write(number);
            log.driver.close();
        }
        assert_eq!(numbers(&mut reader), [4, 5, 6]);
    }
}

#[test]
fn a_file_that_is_no_log_of_ours_is_left_out() {
    let log = compressed(Format::Frames, 3);
    fs::write(packed(&log.file.path, 2), b"no gzip").unwrap();
    assert_eq!(numbers(&mut log.reader(ReadOptions::default())), [2, 3]);
}
