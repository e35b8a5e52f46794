//! Header blocks to values.

use super::block::{self, Block, Format};
use super::header::{Device, EntryKind, Header, Timestamp};
use super::number;
use super::sparse::Segment;
use crate::error::{ArchiveError, Result};

/// The header without extensions.
pub(super) fn plain_header(block: &Block, at: u64) -> Result<Header> {
    let format = block.format();
    let mut path = block.text(block::NAME).to_vec();
    if format == Format::Ustar {
        let prefix = block.text(block::PREFIX);
        // The old star's prefix is shorter: times follow it.
        let length = if block.field(508..512) == b"tar\0" { 131 } else { 155 };
        let prefix = prefix.get(..prefix.len().min(length)).unwrap_or_default();
        if !prefix.is_empty() {
            path = [prefix, b"/", &path].concat();
        }
    }
    let kind = EntryKind::from_flag(block.byte(block::FLAG), b"");
    let mut header = Header::new(path, kind);
    header.mode =
        u32::try_from(positive(block, block::MODE, at, "mode")? & 0o7777).unwrap_or_default();
    header.uid = owner(block, block::UID, at, "uid")?;
    header.gid = owner(block, block::GID, at, "gid")?;
    header.size = positive(block, block::SIZE, at, "size")?;
    header.mtime = Timestamp { seconds: signed(block, block::MTIME, at, "mtime")?, nanoseconds: 0 };
    header.link = block.text(block::LINK).to_vec();
    if format != Format::V7 {
        header.user = block.text(block::USER).to_vec();
        header.group = block.text(block::GROUP).to_vec();
    }
    if matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
        let part = |range, what| {
            u32::try_from(positive(block, range, at, what)?)
                .map_err(|_| ArchiveError::header(at, format!("{what} out of range")))
        };
        header.device = Device {
            major: part(block::MAJOR, "device major")?,
            minor: part(block::MINOR, "device minor")?,
        };
    }
    Ok(header)
}

fn signed(block: &Block, range: std::ops::Range<usize>, at: u64, what: &str) -> Result<i64> {
    number::parse(block.field(range))
        .ok_or_else(|| ArchiveError::header(at, format!("{what} is not a number")))
}

pub(super) fn positive(
    block: &Block,
    range: std::ops::Range<usize>,
    at: u64,
    what: &str,
) -> Result<u64> {
    u64::try_from(signed(block, range, at, what)?)
        .map_err(|_| ArchiveError::header(at, format!("{what} is negative")))
}

/// An owner: GNU tar writes ids above 2³¹ as negative numbers when its `uid_t` was signed.
fn owner(block: &Block, range: std::ops::Range<usize>, at: u64, what: &str) -> Result<u64> {
    let value = signed(block, range, at, what)?;
    if let Ok(value) = i32::try_from(value) {
        return Ok(u64::from(value.cast_unsigned()));
    }
    u64::try_from(value).map_err(|_| ArchiveError::header(at, format!("{what} is negative")))
}

/// Reads pairs of an old GNU map; `false` when the map ended in here.
pub(super) fn segments(field: &[u8], map: &mut Vec<Segment>, at: u64) -> Result<bool> {
    for pair in field.chunks_exact(24) {
        let (offset, length) = pair.split_at(12);
        if offset.first() == Some(&0) {
            return Ok(false);
        }
        let value = |field: &[u8]| {
            number::parse(field)
                .and_then(|value| u64::try_from(value).ok())
                .ok_or_else(|| ArchiveError::header(at, "sparse map with a bad number"))
        };
        map.push(Segment { offset: value(offset)?, length: value(length)? });
    }
    Ok(true)
}

pub(super) fn until_nul(mut text: Vec<u8>) -> Vec<u8> {
    if let Some(end) = text.iter().position(|byte| *byte == 0) {
        text.truncate(end);
    }
    text
}
