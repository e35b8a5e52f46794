//! Compressed rotated files: gzip, with a mark in the header of the file that it was made of.
//!
//! A reader that follows a log knows the file at which it is by having it open; with the mark in
//! the header it finds its place again when that file has been compressed and removed meanwhile.
//! Its inode alone would not do: the next file of the log may get the same.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};

/// The two letters of our field in the header's extra part (RFC 1952, 2.3.1.1).
const FIELD: [u8; 2] = *b"bg";

/// Compresses `from` to `to` and removes it. `to` is there as a whole or not at all.
pub(crate) fn pack(from: &Path, to: &Path) -> io::Result<()> {
    // Of this thread alone; without it the container just has to share.
    rustix::process::setpriority_process(None, 10).ok();
    let mut source = File::open(from)?;
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let target =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&part)?;
    let mut gzip =
        GzBuilder::new().extra(Mark::of(&source)?.field()).write(target, Compression::fast());
    io::copy(&mut source, &mut gzip)?;
    gzip.finish()?;
    fs::rename(&part, to)?;
    fs::remove_file(from)
}

/// What tells a file from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    inode: u64,
    size: u64,
    /// Of its first bytes, with the time of the first message.
    sum: u64,
}

impl Mark {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let mut head = [0; 128];
        let length = file.read_at(&mut head, 0)?;
        Ok(Self { inode: metadata.ino(), size: metadata.len(), sum: fnv(&head[..length]) })
    }

    fn field(self) -> Vec<u8> {
        let mut extra = FIELD.to_vec();
        extra.extend_from_slice(&24_u16.to_le_bytes());
        for number in [self.inode, self.size, self.sum] {
            extra.extend_from_slice(&number.to_le_bytes());
        }
        extra
    }

    fn parse(extra: &[u8]) -> Option<Self> {
        let numbers = extra.strip_prefix(&FIELD)?.strip_prefix(&24_u16.to_le_bytes())?;
        let number = |at: usize| {
            numbers.get(at..).and_then(<[u8]>::first_chunk::<8>).map(|n| u64::from_le_bytes(*n))
        };
        Some(Self { inode: number(0)?, size: number(8)?, sum: number(16)? })
    }
}

/// FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A compressed file that is being read.
#[derive(Debug)]
pub(crate) struct PackedFile(GzDecoder<FromStart>);

impl PackedFile {
    pub(crate) fn new(file: File) -> Self {
        Self(GzDecoder::new(FromStart { file, offset: 0 }))
    }

    /// The file that it was made of; none when it is not one of ours.
    pub(crate) fn origin(&self) -> Option<Mark> {
        Mark::parse(self.0.header()?.extra()?)
    }

    /// The same file from its beginning.
    pub(crate) fn again(&self) -> io::Result<Self> {
        Ok(Self::new(self.0.get_ref().file.try_clone()?))
    }
}

impl Read for PackedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

/// Reads by offset: a file that was cloned shares its position.
#[derive(Debug)]
struct FromStart {
    file: File,
    offset: u64,
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(buffer, self.offset)?;
        self.offset += length as u64;
        Ok(length)
    }
}
