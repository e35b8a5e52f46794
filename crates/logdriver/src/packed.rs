//! Compressed rotated files: gzip, with a mark in the header of the file that it was made of.
//!
//! A reader that follows a log knows the file at which it is by having it open; with the mark in
//! the header it finds its place again when that file has been compressed and removed meanwhile.
//! Its inode alone would not do: the next file of the log may get the same.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};

/// The two letters of our field in the header's extra part (RFC 1952, 2.3.1.1).
const FIELD: [u8; 2] = *b"bg";

/// Compresses `from` to `to` and removes it. `to` is there as a whole or not at all.
///
/// A shim that ends may be at this while the container's next shim rotates the same log: a file
/// that moved meanwhile stays as it is.
pub(crate) fn pack(from: &Path, to: &Path) -> io::Result<()> {
    // Of this thread alone; without it the container just has to share.
    rustix::process::setpriority_process(None, 10).ok();
    Part::compress(from, to)?.replace(from, to)
}

/// A compressed file that is not in its place yet. Both files are open, so that no other gets their
/// inodes.
#[derive(Debug)]
struct Part {
    source: File,
    target: File,
    path: PathBuf,
}

impl Part {
    fn compress(from: &Path, to: &Path) -> io::Result<Self> {
        let mut source = File::open(from)?;
        let mut path = to.as_os_str().to_owned();
        path.push(".part");
        let path = PathBuf::from(path);
        // Of a shim that was killed, or of one that is still at a file that has moved since: that
        // one notices.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let target = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path)?;
        let mut gzip =
            GzBuilder::new().extra(Mark::of(&source)?.field()).write(target, Compression::fast());
        io::copy(&mut source, &mut gzip)?;
        let target = gzip.finish()?;
        Ok(Self { source, target, path })
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !is_at(&self.target, &self.path)? {
            return Ok(());
        }
        if !is_at(&self.source, from)? {
            return fs::remove_file(&self.path);
        }
        fs::rename(&self.path, to)?;
        if is_at(&self.source, from)? { fs::remove_file(from) } else { Ok(()) }
    }
}

/// Whether this is the file's name still.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_names::{packed, rotated};

    fn content(path: &Path) -> String {
        let mut text = String::new();
        PackedFile::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_file_that_moved_while_it_was_compressed_stays() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        let (first, second, gz) = (rotated(&log, 1), rotated(&log, 2), packed(&log, 1));
        fs::write(&first, "old").unwrap();
        let part = Part::compress(&first, &gz).unwrap();
        fs::rename(&first, &second).unwrap();
        fs::write(&first, "new").unwrap();
        part.replace(&first, &gz).unwrap();
        assert_eq!(fs::read_to_string(&first).unwrap(), "new");
        assert_eq!(fs::read_to_string(&second).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn two_shims_do_not_mix_their_compressed_files() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        let (first, second, gz) = (rotated(&log, 1), rotated(&log, 2), packed(&log, 1));
        fs::write(&first, "old").unwrap();
        let old = Part::compress(&first, &gz).unwrap();
        fs::rename(&first, &second).unwrap();
        fs::write(&first, "new").unwrap();
        let new = Part::compress(&first, &gz).unwrap();
        old.replace(&first, &gz).unwrap();
        assert!(first.exists() && !gz.exists());
        new.replace(&first, &gz).unwrap();
        assert_eq!(content(&gz), "new");
        assert_eq!(fs::read_to_string(&second).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
