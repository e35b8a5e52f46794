//! One entry of an archive and its content.

use std::io::{self, Read};

use super::header::Header;
use super::reader::Reader;
use super::sparse::Segment;
use crate::error::{ArchiveError, Result};

/// One entry. Reading gives the content, holes as zeros.
pub struct Entry<'a, R> {
    pub(super) header: Header,
    /// What is stored; of a file without holes one segment.
    pub(super) map: Vec<Segment>,
    pub(super) segment: usize,
    /// Where in the file reading is.
    pub(super) position: u64,
    pub(super) reader: &'a mut Reader<R>,
}

impl<R> std::fmt::Debug for Entry<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("header", &self.header).finish_non_exhaustive()
    }
}

impl<R: Read> Entry<'_, R> {
    /// What the archive says of it.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Which parts of the file are stored.
    pub fn segments(&self) -> &[Segment] {
        &self.map
    }

    /// Calls `each` with every stored part and its place in the file, straight from the reader's buffer. Holes are left
    /// out. To be used instead of reading, not after it.
    pub fn for_each_chunk(&mut self, mut each: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        for segment in self.map.iter().skip(self.segment) {
            let mut at = segment.offset;
            let end = segment.offset + segment.length;
            while at < end {
                let most = usize::try_from(end - at).unwrap_or(usize::MAX);
                if !self.reader.fill()? {
                    return Err(self.reader.truncated());
                }
                let chunk = self.reader.available(most);
                each(at, chunk)?;
                let length = chunk.len();
                self.reader.advance(length);
                self.reader.stored -= length as u64;
                at += length as u64;
            }
        }
        self.segment = self.map.len();
        self.position = self.header.size;
        Ok(())
    }
}

impl<R: Read> Reader<R> {
    fn truncated(&self) -> ArchiveError {
        ArchiveError::Truncated { offset: self.offset(), expected: "the content of a file" }
    }
}

impl<R: Read> Read for Entry<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let segment = loop {
            match self.map.get(self.segment) {
                Some(segment) if self.position >= segment.offset + segment.length => {
                    self.segment += 1;
                }
                other => break other.copied(),
            }
        };
        // Where the next hole or the next stored part ends.
        let (is_hole, until) = match segment {
            Some(segment) if self.position >= segment.offset => {
                (false, segment.offset + segment.length)
            }
            Some(segment) => (true, segment.offset),
            None => (true, self.header.size),
        };
        let most = usize::try_from(until.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let Some(out) = buffer.get_mut(..most).filter(|out| !out.is_empty()) else {
            return Ok(0);
        };
        if is_hole {
            out.fill(0);
            self.position += most as u64;
            return Ok(most);
        }
        if !self.reader.fill().map_err(to_io)? {
            return Err(to_io(self.reader.truncated()));
        }
        let chunk = self.reader.available(most);
        let length = chunk.len();
        if let Some(out) = out.get_mut(..length) {
            out.copy_from_slice(chunk);
        }
        self.reader.advance(length);
        self.reader.stored -= length as u64;
        self.position += length as u64;
        Ok(length)
    }
}

fn to_io(error: ArchiveError) -> io::Error {
    let kind = match &error {
        ArchiveError::Truncated { .. } => io::ErrorKind::UnexpectedEof,
        ArchiveError::Read { source, .. } => source.kind(),
        ArchiveError::InvalidHeader { .. }
        | ArchiveError::TooLong { .. }
        | ArchiveError::Breakout { .. }
        | ArchiveError::InvalidEntry { .. }
        | ArchiveError::TooLarge { .. }
        | ArchiveError::Clash { .. }
        | ArchiveError::Compression { .. }
        | ArchiveError::Io { .. }
        | ArchiveError::Write { .. } => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}
