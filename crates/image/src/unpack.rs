//! One layer archive → a layer: digests, the kept blob and the driver's files in one pass over the
//! bytes.
//!
//! Reading and decompressing happen on a thread of their own beside digest and extraction. What has
//! the wrong digest, is cut short or wants out of its folder leaves nothing.

use std::io::{self, Chain, Cursor, Read, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use barge_archive::compression::{self, Compression, Decoder};
use barge_archive::{ArchiveError, DigestReader, ReadAhead};
use barge_storage::LayerId;
use barge_types::Digest;

use crate::content::BlobWriter;
use crate::error::{ImageError, Result};
use crate::faults;
use crate::layers::{BlobFormat, Layer, LayerBlob, LayerSource, chain_id};
use crate::store::{ImageStore, Pin};

/// zstd's fastest: archives that come plain are packed while they are unpacked, and must not slow
/// it down.
const ZSTD_LEVEL: i32 = 1;

/// A stream of a layer's archive, compressed or plain.
pub(crate) type LayerStream = Box<dyn Read + Send>;

/// What a layer must be.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// Number in the image, for errors.
    pub(crate) number: usize,
    /// The layer below.
    pub(crate) parent: Option<Digest>,
    /// Digest of the plain archive, where it is known.
    pub(crate) diff_id: Option<Digest>,
    /// Digest of the archive as it comes, where it is known.
    pub(crate) blob: Option<Digest>,
}

/// A layer that is there and stays while this lives.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) chain_id: Digest,
    pub(crate) diff_id: Digest,
    pub(crate) pin: Pin,
}

/// Where the kept blob goes: compressed archives as they are, plain ones packed.
enum Sink {
    AsIs(BlobWriter),
    Packing(zstd::stream::write::Encoder<'static, BlobWriter>),
}

/// Copies what is read to the sink. The first digest is over what passes here.
struct Copying {
    reader: Chain<Cursor<Vec<u8>>, LayerStream>,
    sink: Arc<Mutex<Option<Sink>>>,
}

impl Read for Copying {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        match sink.as_mut() {
            Some(Sink::AsIs(writer)) => writer.write_all(bytes)?,
            Some(Sink::Packing(encoder)) => encoder.write_all(bytes)?,
            None => {}
        }
        Ok(count)
    }
}

/// The decoder is the outer reader of a compressed archive, so that its source can be read to the
/// end.
enum Source {
    Plain(Copying),
    Compressed(Decoder<Copying>),
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Compressed(decoder) => decoder.read(buffer),
        }
    }
}

impl Source {
    fn drain(&mut self) -> barge_archive::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Compressed(decoder) => decoder.drain_source(),
        }
    }
}

/// What takes the plain bytes, and who is told.
pub(crate) struct Applying<'a, A> {
    pub(crate) apply: A,
    pub(crate) progress: &'a mut dyn FnMut(u64),
}

/// How often the progress is told.
const TELL_EVERY: u64 = 1 << 20;

/// Tells how many bytes passed.
struct Telling<'a, R> {
    reader: R,
    progress: &'a mut dyn FnMut(u64),
    bytes: u64,
    told: u64,
}

impl<R: Read> Read for Telling<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.bytes += count as u64;
        if self.bytes - self.told >= TELL_EVERY || (count == 0 && self.told < self.bytes) {
            self.told = self.bytes;
            (self.progress)(self.bytes);
        }
        Ok(count)
    }
}

/// What one pass over the bytes found.
struct Pass {
    diff_id: Digest,
    tar_size: u64,
    size: u64,
    sink: Sink,
    format: BlobFormat,
}

impl ImageStore {
    /// Unpacks a layer. A layer of this chain that turns up meanwhile (two loads at once) wins.
    /// `progress` is told the plain bytes so far.
    pub(crate) fn unpack(
        &self,
        input: LayerStream,
        expected: &Expected,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Unpacked> {
        let parent = match &expected.parent {
            None => None,
            Some(chain_id) => Some(self.layer(chain_id).ok_or_else(|| ImageError::Damaged {
                image: "to be loaded".to_owned(),
                missing: format!("layer {chain_id}"),
            })?),
        };
        let parent_cache = parent.as_ref().map(|layer| &layer.cache_id);
        let cache_id = LayerId::random().map_err(ImageError::storage("name a layer"))?;
        self.driver
            .create(&cache_id, parent_cache)
            .map_err(ImageError::storage("create a layer"))?;
        let apply = |tar: &mut dyn Read| self.driver.apply_diff(&cache_id, parent_cache, tar);
        let done = self
            .step("create a layer")
            .and_then(|()| self.pass(input, expected.number, Applying { apply, progress }))
            .and_then(|pass| self.check(pass, expected))
            .and_then(|pass| self.keep(pass, cache_id.clone(), expected));
        let used = matches!(&done, Ok((_, Used::New)));
        if !used && !faults::is_dead() {
            // The first error is the one to tell; the driver's sweep gets what cannot be removed
            // now.
            self.driver.remove(&cache_id).ok();
        }
        done.map(|(unpacked, _)| unpacked)
    }

    fn check(&self, pass: Pass, expected: &Expected) -> Result<Pass> {
        self.step("unpack a layer")?;
        match expected.diff_id {
            Some(wanted) if wanted != pass.diff_id => Err(ImageError::WrongDiffId {
                layer: expected.number,
                expected: wanted,
                got: pass.diff_id,
            }),
            _ => Ok(pass),
        }
    }

    fn pass(
        &self,
        mut input: LayerStream,
        number: usize,
        applying: Applying<'_, impl FnOnce(&mut dyn Read) -> barge_storage::Result<u64>>,
    ) -> Result<Pass> {
        let mut start = Vec::new();
        (&mut input)
            .take(compression::MAGIC_LENGTH as u64)
            .read_to_end(&mut start)
            .map_err(read_error)?;
        let format = compression::detect(&start);
        if matches!(format, Compression::Bzip2 | Compression::Xz) {
            // No media type of a layer says so: it is packed anew.
            let whole = Cursor::new(start).chain(input);
            let plain = Decoder::new(whole).map_err(ImageError::ReadArchive)?;
            return self.pass(Box::new(plain), number, applying);
        }
        let writer = self.content.writer()?;
        let sink = if format == Compression::None {
            let encoder = zstd::stream::write::Encoder::new(writer, ZSTD_LEVEL);
            Sink::Packing(encoder.map_err(read_error)?)
        } else {
            Sink::AsIs(writer)
        };
        let shared = Arc::new(Mutex::new(Some(sink)));
        let copying =
            Copying { reader: Cursor::new(start).chain(input), sink: Arc::clone(&shared) };
        let source = if format == Compression::None {
            Source::Plain(copying)
        } else {
            Source::Compressed(Decoder::new(copying).map_err(ImageError::ReadArchive)?)
        };
        let outcome = run((source, Source::drain), number, applying);
        // Taken whatever happened: the reading thread may live a little longer, a half-written blob
        // must not.
        let sink = shared.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (diff_id, tar_size, size) = outcome?;
        let sink = sink.ok_or_else(|| read_error(io::Error::other("the blob was taken")))?;
        let format = if format == Compression::Gzip { BlobFormat::Gzip } else { BlobFormat::Zstd };
        Ok(Pass { diff_id, tar_size, size, sink, format })
    }

    /// Records the layer, from then on it counts.
    fn keep(&self, pass: Pass, cache_id: LayerId, expected: &Expected) -> Result<(Unpacked, Used)> {
        let chain_id = chain_id(expected.parent.as_ref(), &pass.diff_id);
        let is_packed_here = matches!(pass.sink, Sink::Packing(_));
        let writer = match pass.sink {
            Sink::AsIs(writer) => writer,
            Sink::Packing(encoder) => {
                encoder.finish().map_err(ImageError::io("write a blob in", &self.folder))?
            }
        };
        let blob_digest = if is_packed_here { pass.diff_id } else { writer.digest() };
        if let Some(wanted) = expected.blob
            && wanted != blob_digest
        {
            return Err(ImageError::WrongDigest {
                what: format!("layer {}", expected.number),
                expected: wanted,
                got: blob_digest,
            });
        }
        let unpacked = |pin| Unpacked { chain_id, diff_id: pass.diff_id, pin };
        let _changing = self.changing();
        if let Some(pin) = self.pin(&chain_id) {
            return Ok((unpacked(pin), Used::Other));
        }
        let (digest, size) = writer.commit()?;
        self.step("keep a blob")?;
        let layer = Layer {
            chain_id,
            diff_id: pass.diff_id,
            parent: expected.parent,
            cache_id,
            size: pass.size,
            tar_size: pass.tar_size,
            blob: Some(LayerBlob { digest, size, format: pass.format }),
            source: LayerSource::Archive,
        };
        if let Err(error) = self.layer_folder.save(&layer) {
            if !faults::is_dead() {
                // As above: the first error counts, and a blob that nothing names is swept.
                self.remove_blob_if_unneeded(&digest).ok();
            }
            return Err(error);
        }
        let pin = self.write().add_layer(layer, self.shared());
        Ok((unpacked(pin), Used::New))
    }

    pub(crate) fn step(&self, name: &'static str) -> Result<()> {
        faults::point(name).map_err(ImageError::io(name, &self.folder))
    }
}

/// Reads a source on a thread of its own and applies it on this one. Returns diff id, bytes of the
/// archive, bytes of content. `drain` reads what is left of the source after the end of the archive.
pub(crate) fn run<S: Read + Send + 'static>(
    (source, drain): (S, impl FnOnce(&mut S) -> barge_archive::Result<()>),
    number: usize,
    applying: Applying<'_, impl FnOnce(&mut dyn Read) -> barge_storage::Result<u64>>,
) -> Result<(Digest, u64, u64)> {
    // Decompression there, digest and extraction here: about the same work for each of two threads.
    let ahead = ReadAhead::new(source).map_err(read_error)?;
    let mut plain = DigestReader::new(ahead);
    let Applying { apply, progress } = applying;
    let mut telling = Telling { reader: &mut plain, progress, bytes: 0, told: 0 };
    let size =
        apply(&mut telling).map_err(|source| ImageError::Unpack { layer: number, source })?;
    io::copy(&mut plain, &mut io::sink()).map_err(read_error)?;
    let (diff_id, tar_size, ahead) = plain.finish();
    let mut source = ahead.finish().map_err(read_error)?;
    drain(&mut source).map_err(ImageError::ReadArchive)?;
    Ok((diff_id, tar_size, size))
}

pub(crate) fn read_error(source: io::Error) -> ImageError {
    ImageError::ReadArchive(ArchiveError::Read { offset: 0, source })
}

/// Whose layer a chain id stands for now.
enum Used {
    New,
    Other,
}
