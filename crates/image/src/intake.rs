//! The bytes of a layer on their way in: kept, counted and digested as they pass, then unpacked.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use barge_archive::compression::{Compression, Decoder};
use barge_archive::{ArchiveError, Digester};
use barge_types::Digest;

use crate::error::{ImageError, Result};
use crate::layers::BlobFormat;
use crate::unpack::{Applying, LayerStream, read_error, run};

/// What one pass over a layer's bytes found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applied {
    pub(crate) tar_size: u64,
    pub(crate) size: u64,
    pub(crate) format: BlobFormat,
}

/// How much came, of what, so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) digester: Digester,
    pub(crate) bytes: u64,
    pub(crate) state: Came,
}

/// How the stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Came {
    /// There may be more.
    #[default]
    Some,
    /// It ended.
    All,
    /// It broke off.
    Broken,
    /// It did not end where it should.
    TooMuch,
}

/// The bytes that are here, then those that come, which are kept.
pub(crate) struct Intake {
    pub(crate) kept: io::Take<File>,
    pub(crate) rest: LayerStream,
    pub(crate) sink: Option<File>,
    pub(crate) tally: Arc<Mutex<Tally>>,
    pub(crate) read: Arc<AtomicU64>,
    pub(crate) limit: u64,
}

impl Read for Intake {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut count = self.kept.read(buffer)?;
        let is_new = count == 0;
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        if is_new {
            count = self.rest.read(buffer).inspect_err(|_| tally.state = Came::Broken)?;
            if count == 0 {
                tally.state = Came::All;
            }
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        if tally.bytes + count as u64 > self.limit {
            tally.state = Came::TooMuch;
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        if is_new && let Some(sink) = &mut self.sink {
            sink.write_all(bytes)?;
        }
        tally.digester.update(bytes);
        tally.bytes += count as u64;
        self.read.store(tally.bytes, Ordering::Relaxed);
        Ok(count)
    }
}

pub(crate) fn unpack_stream(
    intake: Intake,
    number: usize,
    applying: Applying<'_, impl FnOnce(&mut dyn Read) -> barge_storage::Result<u64>>,
) -> Result<(Digest, Applied)> {
    let decoder = Decoder::new(intake).map_err(ImageError::ReadArchive)?;
    let format = format_of(&decoder)?;
    let (diff_id, tar_size, size) = run((decoder, Decoder::drain_source), number, applying)?;
    Ok((diff_id, Applied { tar_size, size, format }))
}

pub(crate) fn fetch_stream(mut intake: Intake, progress: &mut dyn FnMut(u64)) -> Result<()> {
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match intake.read(&mut buffer).map_err(read_error)? {
            0 => return Ok(()),
            _ => progress(intake.read.load(Ordering::Relaxed)),
        }
    }
}

/// No media type of a layer says bzip2 or xz: what comes so could never be given on.
pub(crate) fn format_of<R: Read>(decoder: &Decoder<R>) -> Result<BlobFormat> {
    match decoder.format() {
        Compression::None => Ok(BlobFormat::Plain),
        Compression::Gzip => Ok(BlobFormat::Gzip),
        Compression::Zstd => Ok(BlobFormat::Zstd),
        format @ (Compression::Bzip2 | Compression::Xz) => {
            let source = io::Error::from(io::ErrorKind::Unsupported);
            let format = format.name();
            Err(ImageError::ReadArchive(ArchiveError::Compression { format, source }))
        }
    }
}
