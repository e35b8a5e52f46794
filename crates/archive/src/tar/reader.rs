//! Reads entries one after the other; each is read, or skipped, before the next.

use std::io::{self, Read};

use super::block::{self, Block};
use super::decode::{plain_header, positive, segments, until_nul};
use super::entry::Entry;
use super::header::{EntryKind, Header};
use super::pax::{self, Records};
use super::sparse::{self, Segment};
use super::{BLOCK, MAX_EXTENSION};
use crate::error::{ArchiveError, Result};

const BUFFER: usize = 128 * 1024;

/// Longest records that stay for all entries that follow: each entry costs a look at them.
const MAX_GLOBAL: u64 = 64 * 1024;

/// Several headers in a row must not hold more than one may.
fn check_total(records: &Records, most: u64, at: u64) -> Result<()> {
    let size = records.size();
    if size > most {
        return Err(ArchiveError::TooLong { offset: at, what: "pax headers in a row", size });
    }
    Ok(())
}

/// Reads a plain tar archive.
///
/// It reads ahead: bytes behind the archive's end in the same source are lost, or read by [`Reader::drain`].
pub struct Reader<R> {
    source: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes handed out, so: where in the archive `start` is.
    offset: u64,
    /// Stored bytes of the current entry that are still to come, and zeros after them.
    pub(super) stored: u64,
    padding: u64,
    global: Records,
    ended: bool,
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl<R: Read> Reader<R> {
    /// Reads from `source`, which need not be buffered.
    pub fn new(source: R) -> Self {
        Self {
            source,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            offset: 0,
            stored: 0,
            padding: 0,
            global: Records::default(),
            ended: false,
        }
    }

    /// Bytes of the archive used so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next entry; what is left of the one before is skipped. `None` at the end.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_, R>>> {
        if self.ended {
            return Ok(None);
        }
        self.skip_data()?;
        let mut local = Records::default();
        let (mut long_path, mut long_link) = (None, None);
        loop {
            let at = self.offset;
            let Some(block) = self.header_block()? else {
                self.ended = true;
                return Ok(None);
            };
            let bad = |reason: &'static str| ArchiveError::header(at, reason);
            match block.byte(block::FLAG) {
                b'x' => {
                    local.add(&self.extension(&block, at, "pax header")?).map_err(bad)?;
                    check_total(&local, MAX_EXTENSION, at)?;
                }
                b'g' => {
                    let mut records = Records::default();
                    records.add(&self.extension(&block, at, "pax header")?).map_err(bad)?;
                    self.global = self.global.with(records);
                    check_total(&self.global, MAX_GLOBAL, at)?;
                }
                b'L' => long_path = Some(until_nul(self.extension(&block, at, "long name")?)),
                b'K' => long_link = Some(until_nul(self.extension(&block, at, "long link")?)),
                _ => {
                    let mut header = plain_header(&block, at)?;
                    if let Some(path) = long_path {
                        header.path = path;
                    }
                    if let Some(link) = long_link {
                        header.link = link;
                    }
                    return self.entry(&block, header, &self.global.with(local), at).map(Some);
                }
            }
        }
    }

    /// Reads what is left of the source, so that a digest around it covers every byte.
    pub fn drain(&mut self) -> Result<()> {
        self.ended = true;
        while self.fill()? {
            self.advance(self.end - self.start);
        }
        Ok(())
    }

    /// Makes the entry: extension headers applied, sparse maps read.
    fn entry(
        &mut self,
        block: &Block,
        mut header: Header,
        records: &Records,
        at: u64,
    ) -> Result<Entry<'_, R>> {
        let bad = |reason: &'static str| ArchiveError::header(at, reason);
        records.apply(&mut header).map_err(bad)?;
        // Only the whole name tells: a header may hold the start of a long one, cut at a slash.
        header.kind = EntryKind::from_flag(block.byte(block::FLAG), &header.path);
        if !header.kind.has_data() {
            header.size = 0;
        }
        self.stored = header.size;
        self.padding = header.size.wrapping_neg() % BLOCK as u64;
        let mut map = Vec::new();
        let sparse_size = records.sparse_size().map_err(bad)?;
        if block.byte(block::FLAG) == b'S' {
            header.size = positive(block, block::SPARSE_SIZE, at, "size")?;
            map = self.old_gnu_map(block, at)?;
            sparse::check(&map, header.size, self.stored).map_err(bad)?;
        } else if header.kind == EntryKind::Regular
            && let Some(size) = sparse_size
        {
            header.size = size;
            map = if records.map_is_in_data() {
                self.map_in_data(at)?
            } else {
                records.sparse_map().map_err(bad)?
            };
            sparse::check(&map, header.size, self.stored).map_err(bad)?;
        } else if header.size > 0 {
            map.push(Segment { offset: 0, length: header.size });
        }
        Ok(Entry { header, map, segment: 0, position: 0, reader: self })
    }

    /// The rest of an old GNU map: in the header and in blocks of 21 segments after it.
    fn old_gnu_map(&mut self, block: &Block, at: u64) -> Result<Vec<Segment>> {
        let mut map = Vec::new();
        let mut more = segments(block.field(block::SPARSE), &mut map, at)?
            && block.byte(block::SPARSE_MORE) != 0;
        while more {
            if (map.len() * 24) as u64 > MAX_EXTENSION {
                return Err(ArchiveError::TooLong {
                    offset: at,
                    what: "sparse map",
                    size: (map.len() * 24) as u64,
                });
            }
            let mut extra = Block::zero();
            self.read_full(&mut extra.0, "a sparse map")?;
            more = segments(extra.field(block::EXTRA_SPARSE), &mut map, at)?
                && extra.byte(block::EXTRA_MORE) != 0;
        }
        Ok(map)
    }

    /// The map of pax sparse 1.0: lines of decimal numbers at the start of the data, padded to a block.
    fn map_in_data(&mut self, at: u64) -> Result<Vec<Segment>> {
        let bad = |reason: &'static str| ArchiveError::header(at, reason);
        let mut text = Vec::new();
        let mut used = 0;
        let mut lines = 0;
        let mut wanted: Option<u64> = None;
        while wanted.is_none_or(|wanted| lines < wanted) {
            if text.len() as u64 >= MAX_EXTENSION {
                return Err(ArchiveError::TooLong {
                    offset: at,
                    what: "sparse map",
                    size: text.len() as u64,
                });
            }
            let mut block = Block::zero();
            self.stored = self
                .stored
                .checked_sub(BLOCK as u64)
                .ok_or_else(|| bad("pax sparse map longer than its file"))?;
            self.read_full(&mut block.0, "a sparse map")?;
            lines += block.0.iter().filter(|byte| **byte == b'\n').count() as u64;
            text.extend_from_slice(&block.0);
            if wanted.is_none()
                && let Some(end) = text.iter().position(|byte| *byte == b'\n')
            {
                let count = text
                    .get(..end)
                    .and_then(pax::decimal)
                    .ok_or_else(|| bad("pax sparse map without its length"))?;
                wanted = Some(count.saturating_mul(2).saturating_add(1));
                used = end + 1;
            }
        }
        let count = usize::try_from(wanted.unwrap_or(1) - 1).unwrap_or(usize::MAX);
        let numbers: Option<Vec<u64>> = text
            .get(used..)
            .unwrap_or_default()
            .split(|byte| *byte == b'\n')
            .take(count)
            .map(pax::decimal)
            .collect();
        let numbers = numbers.ok_or_else(|| bad("pax sparse map with a bad number"))?;
        Ok(numbers
            .chunks_exact(2)
            .filter_map(|pair| match *pair {
                [offset, length] => Some(Segment { offset, length }),
                _ => None,
            })
            .collect())
    }

    /// The content of an extension header, if it is not absurdly long.
    fn extension(&mut self, block: &Block, at: u64, what: &'static str) -> Result<Vec<u8>> {
        let size = positive(block, block::SIZE, at, "size")?;
        if size > MAX_EXTENSION {
            return Err(ArchiveError::TooLong { offset: at, what, size });
        }
        // Grown as the bytes come: a header alone does not get memory.
        let mut data = Vec::new();
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        while left > 0 {
            if !self.fill()? {
                return Err(ArchiveError::Truncated { offset: self.offset, expected: what });
            }
            let chunk = self.available(left);
            data.extend_from_slice(chunk);
            let length = chunk.len();
            self.advance(length);
            left -= length;
        }
        self.discard(size.wrapping_neg() % BLOCK as u64, what)?;
        Ok(data)
    }

    /// The next header with a right checksum, or `None` at the end: a zero block, or no more bytes.
    fn header_block(&mut self) -> Result<Option<Block>> {
        let at = self.offset;
        if !self.fill()? {
            return Ok(None);
        }
        let mut block = Block::zero();
        self.read_full(&mut block.0, "a header")?;
        if block.is_zero() {
            // Two zero blocks end an archive; one at the very end does too.
            if !self.fill()? {
                return Ok(None);
            }
            self.read_full(&mut block.0, "the end of the archive")?;
            if block.is_zero() {
                return Ok(None);
            }
            return Err(ArchiveError::header(at, "a single zero block"));
        }
        if !block.has_right_checksum() {
            return Err(ArchiveError::header(at, "wrong checksum"));
        }
        Ok(Some(block))
    }

    /// Skips what is left of the current entry.
    fn skip_data(&mut self) -> Result<()> {
        let (stored, padding) = (self.stored, self.padding);
        self.stored = 0;
        self.padding = 0;
        self.discard(stored, "the content of a file")?;
        // The last file's padding may be missing: Go accepts it.
        match self.discard(padding, "padding") {
            Err(ArchiveError::Truncated { .. }) => Ok(()),
            result => result,
        }
    }

    fn discard(&mut self, mut length: u64, expected: &'static str) -> Result<()> {
        while length > 0 {
            if !self.fill()? {
                return Err(ArchiveError::Truncated { offset: self.offset, expected });
            }
            let here = (self.end - self.start) as u64;
            let step = here.min(length);
            self.advance(usize::try_from(step).unwrap_or(usize::MAX));
            length -= step;
        }
        Ok(())
    }

    fn read_full(&mut self, out: &mut [u8], expected: &'static str) -> Result<()> {
        let mut filled = 0;
        while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            if !self.fill()? {
                return Err(ArchiveError::Truncated { offset: self.offset, expected });
            }
            let chunk = self.available(rest.len());
            let length = chunk.len();
            if let Some(rest) = rest.get_mut(..length) {
                rest.copy_from_slice(chunk);
            }
            self.advance(length);
            filled += length;
        }
        Ok(())
    }

    /// Makes sure that a byte is there; `false` at the end of the source.
    pub(super) fn fill(&mut self) -> Result<bool> {
        while self.start == self.end {
            match self.source.read(&mut self.buffer) {
                Ok(0) => return Ok(false),
                // A reader that lies about its length is not believed.
                Ok(length) => (self.start, self.end) = (0, length.min(self.buffer.len())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(ArchiveError::Read { offset: self.offset, source });
                }
            }
        }
        Ok(true)
    }

    pub(super) fn available(&self, most: usize) -> &[u8] {
        let end = self.end.min(self.start.saturating_add(most));
        self.buffer.get(self.start..end).unwrap_or_default()
    }

    pub(super) fn advance(&mut self, length: usize) {
        self.start += length;
        self.offset += length as u64;
    }
}
