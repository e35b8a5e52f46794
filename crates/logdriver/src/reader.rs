//! Reads a log from where the caller wants to begin, on over rotations, and further
//! when it grows.
//!
//! Never blocks: at the end of what is there it says so, and may be asked again.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use crate::error::LogError;
use crate::file_names::LogFile;
use crate::files::{Fate, Files, Source, younger_than};
use crate::format::Piece;
use crate::record::Record;

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
    log: LogFile,
    options: ReadOptions,
    /// None while there is no file yet.
    source: Option<Source>,
    /// Rotated files that come before what is written now, the next one last.
    older: Vec<Source>,
    bytes: Vec<u8>,
    taken: usize,
    /// How many bytes behind `taken` are known not to end a message.
    searched: usize,
    is_past_until: bool,
}

impl Reader {
    /// Begins to read. A log that is not there yet is empty.
    pub fn open(log: &LogFile, options: ReadOptions) -> Result<Self, LogError> {
        let mut wanted = match options.tail {
            TailLength::All => None,
            TailLength::Last(messages) => Some(messages),
        };
        let mut files = Vec::new();
        for source in Files::of(&log.path) {
            let mut source = source?;
            if let Some(wanted) = &mut wanted {
                *wanted -= source
                    .seek_last(log.format, *wanted)
                    .map_err(LogError::io("read", &log.path))?;
            }
            files.push(source);
            if wanted == Some(0) {
                break;
            }
        }
        // The oldest is read first.
        Ok(Self {
            log: log.clone(),
            options,
            source: files.pop(),
            older: files,
            bytes: Vec::new(),
            taken: 0,
            searched: 0,
            is_past_until: false,
        })
    }

    /// The next message that was asked for; none when there is no more at the moment. What is no
    /// message is left out.
    pub fn next_record(&mut self) -> Result<Option<Record>, LogError> {
        loop {
            if self.is_past_until {
                return Ok(None);
            }
            let Some(message) = self.next_message()? else {
                return Ok(None);
            };
            let Some(record) = self.log.format.parse(&self.bytes[message]) else {
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

    /// The next message, as a place in `bytes`.
    fn next_message(&mut self) -> Result<Option<std::ops::Range<usize>>, LogError> {
        loop {
            match self.log.format.piece(&self.bytes, self.taken, self.searched) {
                Piece::Whole { message, end } => {
                    self.taken = end;
                    self.searched = 0;
                    match self.source.as_mut().map(|source| &mut source.skip) {
                        Some(skip) if *skip > 0 => *skip -= 1,
                        Some(_) | None => return Ok(Some(message)),
                    }
                }
                Piece::Broken => {
                    self.taken += 1;
                    self.searched = 0;
                }
                Piece::Unfinished => {
                    self.bytes.drain(..self.taken);
                    self.taken = 0;
                    self.searched = self.bytes.len();
                    if !self.read_more()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Reads a block of this file or the beginning of the next one. False when there is nothing.
    fn read_more(&mut self) -> Result<bool, LogError> {
        loop {
            if let Some(source) = &mut self.source
                && source
                    .read_block(&mut self.bytes)
                    .map_err(LogError::io("read", &self.log.path))?
            {
                return Ok(true);
            }
            if !self.go_on()? {
                return Ok(false);
            }
        }
    }

    /// At the end of a file: goes on with the next one, or with its beginning when it was emptied.
    /// False when the file is the one that is being written.
    fn go_on(&mut self) -> Result<bool, LogError> {
        if let Some(next) = self.older.pop() {
            self.begin(next);
            return Ok(true);
        }
        let path = &self.log.path;
        let error = || LogError::io("examine", path);
        let trace = match &mut self.source {
            None => None,
            Some(source) => {
                if source.fate().map_err(error())? == Fate::Emptied {
                    self.bytes.clear();
                    self.searched = 0;
                    return Ok(true);
                }
                match fs::metadata(path) {
                    Ok(now) if (now.dev(), now.ino()) == source.identity => return Ok(false),
                    Ok(_) => {}
                    // Between the two steps of a rotation, or removed with its container.
                    Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(false),
                    Err(failure) => return Err(error()(failure)),
                }
                // Rotated. What was written to it before that and after the last read comes first.
                if source.fate().map_err(error())? == Fate::Grown {
                    return Ok(true);
                }
                Some(source.trace().map_err(error())?)
            }
        };
        self.older = younger_than(path, trace.as_ref())?;
        let Some(next) = self.older.pop() else {
            return Ok(false);
        };
        self.begin(next);
        Ok(true)
    }

    fn begin(&mut self, source: Source) {
        self.source = Some(source);
        self.bytes.clear();
        self.taken = 0;
        self.searched = 0;
    }
}

#[cfg(test)]
mod tests;
