//! Reads a `json-file` log from where the caller wants to begin, on over rotations, and further
//! when it grows.
//!
//! Never blocks: at the end of what is there it says so, and may be asked again.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::error::LogError;
use crate::file_names::rotated;
use crate::record::Record;
use crate::tail::tail_start;

const BLOCK: usize = 64 * 1024;

/// More rotated files than this are not looked for.
const MAX_AGE: u32 = 1000;

/// How much of a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TailLength {
    /// From its beginning.
    #[default]
    All,
    /// This many of its last messages (of both streams), and what comes then.
    Last(u64),
}

/// What of a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadOptions {
    /// Where to begin.
    pub tail: TailLength,
    /// Leaves out what is older (nanoseconds since 1970).
    pub since: Option<i64>,
    /// Ends before the first message that is younger.
    pub until: Option<i64>,
}

/// Reads messages in the order in which they were written.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    options: ReadOptions,
    /// None while there is no file yet.
    file: Option<File>,
    /// Of the next byte to read.
    offset: u64,
    /// Rotated files that come before what is written now, the next one last.
    older: Vec<File>,
    bytes: Vec<u8>,
    taken: usize,
    is_past_until: bool,
}

impl Reader {
    /// Begins to read. A log that is not there yet is empty.
    pub fn open(path: &Path, options: ReadOptions) -> Result<Self, LogError> {
        let mut reader = Self {
            path: path.to_owned(),
            options,
            file: None,
            offset: 0,
            older: Vec::new(),
            bytes: Vec::new(),
            taken: 0,
            is_past_until: false,
        };
        let mut wanted = match options.tail {
            TailLength::All => u64::MAX,
            TailLength::Last(lines) => lines,
        };
        let mut files = Vec::new();
        for file in Files::of(path) {
            let file = file?;
            let (offset, lines) = reader.start_of(&file, wanted)?;
            reader.offset = offset;
            files.push(file);
            wanted -= lines;
            if wanted == 0 {
                break;
            }
        }
        // The oldest is read first.
        reader.file = files.pop();
        reader.older = files;
        Ok(reader)
    }

    fn start_of(&self, file: &File, wanted: u64) -> Result<(u64, u64), LogError> {
        if wanted == u64::MAX {
            return Ok((0, 0));
        }
        let start = tail_start(file, wanted).map_err(LogError::io("read", &self.path))?;
        Ok((start.offset, start.lines))
    }

    /// The next message that was asked for; none when there is no more at the moment. Lines that
    /// are no messages are left out.
    pub fn next_record(&mut self) -> Result<Option<Record>, LogError> {
        loop {
            if self.is_past_until {
                return Ok(None);
            }
            let Some(line) = self.next_line()? else {
                return Ok(None);
            };
            let Some(record) = Record::parse(&self.bytes[line]) else {
                continue;
            };
            if self.options.since.is_some_and(|since| record.time < since) {
                continue;
            }
            if self.options.until.is_some_and(|until| record.time > until) {
                self.is_past_until = true;
                return Ok(None);
            }
            return Ok(Some(record));
        }
    }

    /// Whether nothing will come any more, however long one waits: what comes is younger than asked
    /// for.
    pub fn is_finished(&self) -> bool {
        self.is_past_until
    }

    /// The next line without its end, as a place in `bytes`.
    fn next_line(&mut self) -> Result<Option<std::ops::Range<usize>>, LogError> {
        let mut searched = self.taken;
        loop {
            if let Some(end) = self.bytes[searched..].iter().position(|&byte| byte == b'\n') {
                let line = self.taken..searched + end;
                self.taken = line.end + 1;
                return Ok(Some(line));
            }
            self.bytes.drain(..self.taken);
            self.taken = 0;
            searched = self.bytes.len();
            if !self.read_more()? {
                return Ok(None);
            }
        }
    }

    /// Reads a block of this file or the beginning of the next one. False when there is nothing.
    fn read_more(&mut self) -> Result<bool, LogError> {
        loop {
            if self.read_block()? {
                return Ok(true);
            }
            if !self.go_on()? {
                return Ok(false);
            }
        }
    }

    fn read_block(&mut self) -> Result<bool, LogError> {
        let Some(file) = &self.file else {
            return Ok(false);
        };
        let old = self.bytes.len();
        self.bytes.resize(old + BLOCK, 0);
        let outcome = file.read_at(&mut self.bytes[old..], self.offset);
        let length = *outcome.as_ref().unwrap_or(&0);
        self.bytes.truncate(old + length);
        self.offset += length as u64;
        outcome.map_err(LogError::io("read", &self.path))?;
        Ok(length > 0)
    }

    /// At the end of a file: goes on with the next one, or with its beginning when it was emptied.
    /// False when the file is the one that is being written.
    fn go_on(&mut self) -> Result<bool, LogError> {
        if let Some(next) = self.older.pop() {
            self.begin(next);
            return Ok(true);
        }
        let error = || LogError::io("examine", &self.path);
        let Some(file) = &self.file else {
            let Some(first) = open_file(&self.path)? else {
                return Ok(false);
            };
            self.begin(first);
            return Ok(true);
        };
        let now = file.metadata().map_err(error())?;
        if now.len() < self.offset {
            self.offset = 0;
            self.bytes.clear();
            return Ok(true);
        }
        let inode = (now.dev(), now.ino());
        match fs::metadata(&self.path) {
            Ok(current) if (current.dev(), current.ino()) == inode => return Ok(false),
            Ok(_) => {}
            // Between the two steps of a rotation, or removed with its container.
            Err(failure) if failure.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(failure) => return Err(error()(failure)),
        }
        // Rotated. What was written to it before that and after the last read comes first.
        if now.len() > self.offset {
            return Ok(true);
        }
        self.older = self.younger_than(inode)?;
        let Some(next) = self.older.pop() else {
            return Ok(false);
        };
        self.begin(next);
        Ok(true)
    }

    /// The files that came after the one with this inode, the newest first; all of them when it is
    /// not there any more.
    fn younger_than(&self, inode: (u64, u64)) -> Result<Vec<File>, LogError> {
        let mut files = Vec::new();
        for file in Files::of(&self.path) {
            let file = file?;
            if inode_of(&file, &self.path)? == inode {
                break;
            }
            files.push(file);
        }
        Ok(files)
    }

    fn begin(&mut self, file: File) {
        self.file = Some(file);
        self.offset = 0;
        self.bytes.clear();
        self.taken = 0;
    }
}

fn open_file(path: &Path) -> Result<Option<File>, LogError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LogError::io("open", path)(error)),
    }
}

fn inode_of(file: &File, path: &Path) -> Result<(u64, u64), LogError> {
    let metadata = file.metadata().map_err(LogError::io("examine", path))?;
    Ok((metadata.dev(), metadata.ino()))
}

/// The files of a log, the newest first. A rotation meanwhile renames from the oldest on: it shows
/// a file a second time under its next name, which its inode tells, or leaves one name free for a
/// moment.
struct Files<'a> {
    path: &'a Path,
    age: u32,
    is_after_gap: bool,
    seen: Vec<(u64, u64)>,
}

impl<'a> Files<'a> {
    fn of(path: &'a Path) -> Self {
        Self { path, age: 0, is_after_gap: false, seen: Vec::new() }
    }

    fn step(&mut self) -> Result<Option<File>, LogError> {
        while self.age < MAX_AGE {
            let file = open_file(&rotated(self.path, self.age))?;
            self.age += 1;
            match file {
                Some(file) => {
                    self.is_after_gap = false;
                    let inode = inode_of(&file, self.path)?;
                    if !self.seen.contains(&inode) {
                        self.seen.push(inode);
                        return Ok(Some(file));
                    }
                }
                None if self.is_after_gap => break,
                None => self.is_after_gap = true,
            }
        }
        Ok(None)
    }
}

impl Iterator for Files<'_> {
    type Item = Result<File, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

#[cfg(test)]
mod tests;
