//! The files of a log, and reading on in one of them.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use crate::error::LogError;
use crate::file_names::{packed, rotated};
use crate::format::{Format, Piece};
use crate::packed::{Mark, PackedFile};

const BLOCK: usize = 64 * 1024;

/// More rotated files than this are not looked for.
const MAX_AGE: u32 = 1000;

/// Device and inode.
pub(crate) type Identity = (u64, u64);

/// One file of a log, at a place in it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) identity: Identity,
    content: Content,
    /// Messages to leave out.
    pub(crate) skip: u64,
}

#[derive(Debug)]
enum Content {
    Plain {
        file: File,
        /// Of the next byte to read.
        offset: u64,
    },
    Packed {
        file: Box<PackedFile>,
        origin: Mark,
    },
}

/// What is kept of a file to know it again. It is open, so that no other gets its inode.
#[derive(Debug)]
pub(crate) struct Trace {
    identity: Identity,
    plain: Option<File>,
}

impl Trace {
    /// Whether it is this file, or what was made of it.
    fn is_of(&self, source: &Source) -> io::Result<bool> {
        if self.identity == source.identity {
            return Ok(true);
        }
        match (&self.plain, &source.content) {
            (Some(file), Content::Packed { origin, .. }) => Ok(Mark::of(file)? == *origin),
            (_, Content::Plain { .. }) | (None, Content::Packed { .. }) => Ok(false),
        }
    }
}

/// What has become of a file that was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It has more.
    Grown,
    /// It was emptied, and is read from its beginning.
    Emptied,
    /// It has no more.
    Same,
}

impl Source {
    fn plain(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        Ok(Self { identity, content: Content::Plain { file, offset: 0 }, skip: 0 })
    }

    /// None when it is not one of ours.
    fn packed(file: File) -> io::Result<Option<Self>> {
        let metadata = file.metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        let file = Box::new(PackedFile::new(file));
        Ok(file.origin().map(|origin| Self {
            identity,
            content: Content::Packed { file, origin },
            skip: 0,
        }))
    }

    pub(crate) fn trace(&self) -> io::Result<Trace> {
        let plain = match &self.content {
            Content::Plain { file, .. } => Some(file.try_clone()?),
            Content::Packed { .. } => None,
        };
        Ok(Trace { identity: self.identity, plain })
    }

    /// Goes to the last messages; how many there are.
    pub(crate) fn seek_last(&mut self, format: Format, messages: u64) -> io::Result<u64> {
        match &mut self.content {
            Content::Plain { file, offset } => {
                let start = format.tail_start(file, messages)?;
                *offset = start.offset;
                Ok(start.lines)
            }
            Content::Packed { file: packed, .. } => {
                // It has no end to begin at: read twice, which needs neither memory nor disk.
                let count = count(&mut packed.again()?, format)?;
                self.skip = count.saturating_sub(messages);
                Ok(count.min(messages))
            }
        }
    }

    /// Reads a block behind `bytes`. False at the end.
    pub(crate) fn read_block(&mut self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let old = bytes.len();
        bytes.resize(old + BLOCK, 0);
        let outcome = match &mut self.content {
            Content::Plain { file, offset } => {
                let outcome = file.read_at(&mut bytes[old..], *offset);
                *offset += *outcome.as_ref().unwrap_or(&0) as u64;
                outcome
            }
            Content::Packed { file, .. } => file.read(&mut bytes[old..]),
        };
        bytes.truncate(old + *outcome.as_ref().unwrap_or(&0));
        Ok(outcome? > 0)
    }

    pub(crate) fn fate(&mut self) -> io::Result<Fate> {
        let Content::Plain { file, offset } = &mut self.content else {
            return Ok(Fate::Same);
        };
        let length = file.metadata()?.len();
        if length < *offset {
            *offset = 0;
            return Ok(Fate::Emptied);
        }
        Ok(if length > *offset { Fate::Grown } else { Fate::Same })
    }
}

fn count(packed: &mut PackedFile, format: Format) -> io::Result<u64> {
    let (mut bytes, mut messages) = (Vec::with_capacity(2 * BLOCK), 0);
    loop {
        let old = bytes.len();
        bytes.resize(old + BLOCK, 0);
        let length = packed.read(&mut bytes[old..])?;
        bytes.truncate(old + length);
        if length == 0 {
            return Ok(messages);
        }
        let mut start = 0;
        loop {
            match format.piece(&bytes, start, 0) {
                Piece::Whole { end, .. } => {
                    messages += 1;
                    start = end;
                }
                Piece::Broken => start += 1,
                Piece::Unfinished => break,
            }
        }
        bytes.drain(..start);
    }
}

fn open_file(path: &Path) -> Result<Option<File>, LogError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LogError::io("open", path)(error)),
    }
}

/// The files that came after the one with this trace, the newest first; all of them when it is not
/// there any more.
pub(crate) fn younger_than(path: &Path, trace: Option<&Trace>) -> Result<Vec<Source>, LogError> {
    let mut files = Vec::new();
    for source in Files::of(path) {
        let source = source?;
        if let Some(trace) = trace
            && trace.is_of(&source).map_err(LogError::io("examine", path))?
        {
            break;
        }
        files.push(source);
    }
    Ok(files)
}

/// The files of a log, the newest first. A rotation meanwhile renames from the oldest on: it shows
/// a file a second time under its next name, which its trace tells, or leaves one name free for
/// a moment.
#[derive(Debug)]
pub(crate) struct Files<'a> {
    path: &'a Path,
    age: u32,
    is_after_gap: bool,
    seen: Vec<Trace>,
}

impl<'a> Files<'a> {
    pub(crate) fn of(path: &'a Path) -> Self {
        Self { path, age: 0, is_after_gap: false, seen: Vec::new() }
    }

    fn step(&mut self) -> Result<Option<Source>, LogError> {
        while self.age < MAX_AGE {
            let source = self.open()?;
            self.age += 1;
            match source {
                Some(source) => {
                    self.is_after_gap = false;
                    if self.is_new(&source).map_err(LogError::io("examine", self.path))? {
                        return Ok(Some(source));
                    }
                }
                None if self.is_after_gap => break,
                None => self.is_after_gap = true,
            }
        }
        Ok(None)
    }

    fn is_new(&mut self, source: &Source) -> io::Result<bool> {
        for trace in self.seen.iter().rev() {
            if trace.is_of(source)? {
                return Ok(false);
            }
        }
        self.seen.push(source.trace()?);
        Ok(true)
    }

    /// The file of this age, whichever way it is kept.
    fn open(&self) -> Result<Option<Source>, LogError> {
        let error = || LogError::io("examine", self.path);
        if let Some(file) = open_file(&rotated(self.path, self.age))? {
            return Source::plain(file).map(Some).map_err(error());
        }
        if self.age > 0
            && let Some(file) = open_file(&packed(self.path, self.age))?
        {
            return Source::packed(file).map_err(error());
        }
        Ok(None)
    }
}

impl Iterator for Files<'_> {
    type Item = Result<Source, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
