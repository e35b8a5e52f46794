//! Writes entries: ustar where it suffices, pax records for what does not fit, so that the same entries give the same
//! bytes everywhere.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use super::block::{self, Block};
use super::header::{EntryKind, Header};
use super::sparse::Segment;
use super::{BLOCK, number, pax};
use crate::error::{ArchiveError, Result};

/// Writes a tar archive.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    buffer: Vec<u8>,
}

const FLUSH_AT: usize = 128 * 1024;

impl<W: Write> Writer<W> {
    /// Writes to `out`, in large pieces.
    pub fn new(out: W) -> Self {
        Self { out, buffer: Vec::with_capacity(FLUSH_AT + 2 * BLOCK) }
    }

    /// Adds an entry; of a regular file `content` must give exactly `header.size` bytes.
    pub fn append(&mut self, header: &Header, content: &mut dyn Read) -> Result<()> {
        let size = if header.kind.has_data() { header.size } else { 0 };
        self.write_header(header, size, BTreeMap::new())?;
        self.copy(header, content, size)?;
        self.pad(size)
    }

    /// Adds an entry whose content is all there.
    pub fn append_bytes(&mut self, header: &Header, mut content: &[u8]) -> Result<()> {
        let mut header = header.clone();
        header.size = content.len() as u64;
        self.append(&header, &mut content)
    }

    /// Adds a regular file whose content `write` writes: exactly `header.size` bytes.
    pub fn append_written<E: From<ArchiveError>>(
        &mut self,
        header: &Header,
        write: impl FnOnce(&mut Content<'_, W>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.write_header(header, header.size, BTreeMap::new())?;
        let mut content = Content { writer: self, left: header.size };
        write(&mut content)?;
        let left = content.left;
        if left > 0 {
            let reason = format!("content ends {left} bytes early");
            return Err(ArchiveError::entry(&header.path, reason).into());
        }
        Ok(self.pad(header.size)?)
    }

    /// Adds a file with holes (pax sparse 1.0): `stored` gives the bytes of the segments, one after the other.
    pub fn append_sparse(
        &mut self,
        header: &Header,
        map: &[Segment],
        stored: &mut dyn Read,
    ) -> Result<()> {
        let mut text = format!("{}\n", map.len());
        for segment in map {
            text.push_str(&format!("{}\n{}\n", segment.offset, segment.length));
        }
        let mut text = text.into_bytes();
        text.resize(text.len().next_multiple_of(BLOCK), 0);
        let data: u64 = map.iter().map(|segment| segment.length).sum();
        let stored_size = text.len() as u64 + data;
        let (folder, name) = crate::path::split(&header.path);
        let mut outer = header.clone();
        // What readers without sparse support make of it: GNU tar's place for them.
        outer.path = crate::path::join(&crate::path::join(folder, b"GNUSparseFile.0"), name);
        let records = BTreeMap::from([
            (b"GNU.sparse.major".to_vec(), b"1".to_vec()),
            (b"GNU.sparse.minor".to_vec(), b"0".to_vec()),
            (b"GNU.sparse.name".to_vec(), header.path.clone()),
            (b"GNU.sparse.realsize".to_vec(), header.size.to_string().into_bytes()),
        ]);
        self.write_header(&outer, stored_size, records)?;
        self.buffer.extend_from_slice(&text);
        self.copy(header, stored, data)?;
        self.pad(stored_size)
    }

    /// Ends the archive and gives the writer back.
    pub fn finish(mut self) -> Result<W> {
        self.buffer.extend_from_slice(&[0; 2 * BLOCK]);
        self.flush()?;
        self.out.flush().map_err(|source| ArchiveError::Write { source })?;
        Ok(self.out)
    }

    fn copy(&mut self, header: &Header, content: &mut dyn Read, size: u64) -> Result<()> {
        let mut left = size;
        while left > 0 {
            let filled = self.buffer.len();
            let step = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(FLUSH_AT.saturating_sub(filled).max(BLOCK));
            self.buffer.resize(filled + step, 0);
            let free = self.buffer.get_mut(filled..).unwrap_or_default();
            let read = content.read(free).map_err(ArchiveError::io("read", &header.path))?;
            self.buffer.truncate(filled + read);
            if read == 0 {
                return Err(ArchiveError::entry(
                    &header.path,
                    format!("content ends {left} bytes early"),
                ));
            }
            left -= read as u64;
            self.flush_full()?;
        }
        Ok(())
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let padding = usize::try_from(size.wrapping_neg() % BLOCK as u64).unwrap_or_default();
        self.buffer.resize(self.buffer.len() + padding, 0);
        self.flush_full()
    }

    fn flush_full(&mut self) -> Result<()> {
        if self.buffer.len() >= FLUSH_AT { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.out.write_all(&self.buffer).map_err(|source| ArchiveError::Write { source })?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the header block, after a pax header if something needs one.
    fn write_header(
        &mut self,
        header: &Header,
        size: u64,
        mut records: BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> Result<()> {
        let mut path = header.path.clone();
        if header.kind == EntryKind::Directory && path.last() != Some(&b'/') {
            path.push(b'/');
        }
        let mut block = Block::zero();
        match split_path(&path) {
            Some((prefix, name)) => {
                block.set_text(block::PREFIX, prefix);
                block.set_text(block::NAME, name);
            }
            None => {
                block.set_text(block::NAME, &path);
                records.insert(b"path".to_vec(), path.clone());
            }
        }
        let texts = [
            (block::LINK, &b"linkpath"[..], &header.link),
            (block::USER, b"uname", &header.user),
            (block::GROUP, b"gname", &header.group),
        ];
        for (range, key, value) in texts {
            // A name field must keep its NUL, a link may fill its field.
            let room = if range == block::LINK { range.len() } else { range.len() - 1 };
            if value.len() > room {
                records.insert(key.to_vec(), value.clone());
            }
            let kept = value.get(..value.len().min(room)).unwrap_or_default();
            block.set_text(range, kept);
        }
        for (range, key, value) in [
            (block::UID, &b"uid"[..], header.uid),
            (block::GID, b"gid", header.gid),
            (block::SIZE, b"size", size),
        ] {
            if number::fits(range.len(), value) {
                number::write(block.field_mut(range), value);
            } else {
                number::write(block.field_mut(range), 0);
                records.insert(key.to_vec(), value.to_string().into_bytes());
            }
        }
        let seconds = u64::try_from(header.mtime.seconds)
            .ok()
            .filter(|s| number::fits(block::MTIME.len(), *s));
        if seconds.is_none() || header.mtime.nanoseconds != 0 {
            records.insert(b"mtime".to_vec(), pax::time_text(header.mtime).into_bytes());
        }
        number::write(block.field_mut(block::MTIME), seconds.unwrap_or_default());
        number::write(block.field_mut(block::MODE), u64::from(header.mode & 0o7777));
        if matches!(header.kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
            number::write(block.field_mut(block::MAJOR), u64::from(header.device.major));
            number::write(block.field_mut(block::MINOR), u64::from(header.device.minor));
        }
        for (name, value) in &header.xattrs {
            records.insert(pax::xattr_key(name), value.clone());
        }
        if !records.is_empty() {
            self.write_records(&path, &records);
        }
        finish_block(&mut block, header.kind.flag());
        self.buffer.extend_from_slice(&block.0);
        self.flush_full()
    }

    fn write_records(&mut self, path: &[u8], records: &BTreeMap<Vec<u8>, Vec<u8>>) {
        let mut data = Vec::new();
        for (key, value) in records {
            pax::write_record(&mut data, key, value);
        }
        let mut block = Block::zero();
        let (folder, name) = crate::path::split(path.strip_suffix(b"/").unwrap_or(path));
        let outer = crate::path::join(&crate::path::join(folder, b"PaxHeaders.0"), name);
        block.set_text(
            block::NAME,
            outer.get(..outer.len().min(block::NAME.len() - 1)).unwrap_or_default(),
        );
        for range in [block::MODE, block::UID, block::GID, block::MTIME] {
            number::write(block.field_mut(range), 0);
        }
        number::write(block.field_mut(block::SIZE), data.len() as u64);
        finish_block(&mut block, b'x');
        self.buffer.extend_from_slice(&block.0);
        data.resize(data.len().next_multiple_of(BLOCK), 0);
        self.buffer.extend_from_slice(&data);
    }
}

/// Takes the content of an entry.
#[derive(Debug)]
pub struct Content<'a, W> {
    writer: &'a mut Writer<W>,
    left: u64,
}

impl<W: Write> Write for Content<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            return Err(std::io::Error::other("more content than the entry has room for"));
        };
        self.left = left;
        self.writer.buffer.extend_from_slice(bytes);
        self.writer.flush_full().map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn finish_block(block: &mut Block, flag: u8) {
    block.set_text(block::FLAG..block::FLAG + 1, &[flag]);
    block.set_text(block::MAGIC, b"ustar\x0000");
    block.set_checksum();
}

/// Where a path fits: whole into the name, or cut at a slash into prefix and name.
fn split_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= block::NAME.len() {
        return Some((b"", path));
    }
    let most = block::PREFIX.len().min(path.len() - 1);
    // The last slash that leaves a name: not the one at the end of a folder.
    let at = path
        .get(..=most)?
        .iter()
        .rposition(|byte| *byte == b'/')
        .filter(|at| at + 1 < path.len())?;
    let name = path.get(at + 1..)?;
    let prefix = path.get(..at)?;
    (name.len() <= block::NAME.len() && !name.is_empty() && !prefix.is_empty())
        .then_some((prefix, name))
}
