//! Compressed layers: the format by its first bytes, and a reader of the plain bytes.
//!
//! File names and media types are not trusted. gzip members may follow each other (pigz, bgzip, concatenated files).

use std::io::{self, BufRead as _, BufReader, Chain, Cursor, Read, Write};

use crate::error::{ArchiveError, Result};

/// How many first bytes [`detect`] wants to see.
pub const MAGIC_LENGTH: usize = 6;

const BUFFER: usize = 64 * 1024;

/// A compression format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Plain bytes.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// Recognised, so that the error can name it; barge does not read it.
    Bzip2,
    /// Recognised, so that the error can name it; barge does not read it.
    Xz,
}

impl Compression {
    /// The word for people: `gzip`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        }
    }
}

/// Tells the format by the first bytes of a stream.
pub fn detect(start: &[u8]) -> Compression {
    const SKIPPABLE: std::ops::RangeInclusive<u8> = 0x50..=0x5f;
    match start {
        [0x1f, 0x8b, 0x08, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        // A skippable frame first: what zstd:chunked and pzstd write.
        [first, 0x2a, 0x4d, 0x18, ..] if SKIPPABLE.contains(first) => Compression::Zstd,
        [b'B', b'Z', b'h', ..] => Compression::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0x00, ..] => Compression::Xz,
        _ => Compression::None,
    }
}

type Rewound<R> = BufReader<Counted<Chain<Cursor<Vec<u8>>, R>>>;

/// What a compressed stream may become: a few MB of zeros in a layer are many GB on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expansion {
    /// Plain bytes that are never too many.
    pub always: u64,
    /// Beyond them: plain bytes for each compressed one.
    pub ratio: u64,
}

impl Default for Expansion {
    /// 16 GiB, then 250 times: real layers are far below. gzip itself cannot exceed 1032 times, zstd can.
    fn default() -> Self {
        Self { always: 16 << 30, ratio: 250 }
    }
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.count += length as u64;
        Ok(length)
    }
}

/// Reads the plain bytes of a stream of any known format.
pub struct Decoder<R: Read> {
    inner: Inner<R>,
    expansion: Expansion,
    /// Plain bytes so far.
    plain: u64,
}

enum Inner<R: Read> {
    Plain(Rewound<R>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<Rewound<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Rewound<R>>>),
}

impl<R: Read> std::fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("format", &self.format()).finish()
    }
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes of `reader` and decodes what they say, unless it becomes absurdly large.
    pub fn new(reader: R) -> Result<Self> {
        Self::with_expansion(reader, Expansion::default())
    }

    /// The same with other bounds. Beyond them reading fails with `InvalidData`.
    pub fn with_expansion(mut reader: R, expansion: Expansion) -> Result<Self> {
        let mut start = Vec::with_capacity(MAGIC_LENGTH);
        reader
            .by_ref()
            .take(MAGIC_LENGTH as u64)
            .read_to_end(&mut start)
            .map_err(|source| ArchiveError::Read { offset: 0, source })?;
        let format = detect(&start);
        let rewound = BufReader::with_capacity(
            BUFFER,
            Counted { inner: Cursor::new(start).chain(reader), count: 0 },
        );
        let inner = match format {
            Compression::None => Inner::Plain(rewound),
            Compression::Gzip => {
                Inner::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(rewound)))
            }
            Compression::Zstd => Inner::Zstd(Box::new(
                zstd::stream::read::Decoder::with_buffer(rewound)
                    .map_err(|source| ArchiveError::Compression { format: "zstd", source })?,
            )),
            Compression::Bzip2 | Compression::Xz => {
                return Err(ArchiveError::Compression {
                    format: format.name(),
                    source: io::Error::new(
                        io::ErrorKind::Unsupported,
                        "only plain, gzip and zstd archives can be read",
                    ),
                });
            }
        };
        Ok(Self { inner, expansion, plain: 0 })
    }

    /// Counts plain bytes, and fails when they are too many for the compressed ones.
    fn expanded(&mut self, length: usize) -> io::Result<usize> {
        self.plain += length as u64;
        let Expansion { always, ratio } = self.expansion;
        let compressed = match &self.inner {
            Inner::Plain(_) => return Ok(length),
            Inner::Gzip(inner) => inner.get_ref().get_ref().count,
            Inner::Zstd(inner) => inner.get_ref().get_ref().count,
        };
        if self.plain <= always || self.plain / ratio.max(1) <= compressed {
            return Ok(length);
        }
        let text = format!("archive expands to more than {ratio} times its {compressed} bytes");
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }

    /// The format found.
    pub fn format(&self) -> Compression {
        match self.inner {
            Inner::Plain(_) => Compression::None,
            Inner::Gzip(_) => Compression::Gzip,
            Inner::Zstd(_) => Compression::Zstd,
        }
    }

    /// Reads what is left of the compressed stream (after the plain end), so that a digest around the source covers all.
    pub fn drain_source(&mut self) -> Result<()> {
        let source = match &mut self.inner {
            Inner::Plain(inner) => inner,
            Inner::Gzip(inner) => inner.get_mut(),
            Inner::Zstd(inner) => inner.get_mut(),
        };
        loop {
            let length =
                source.fill_buf().map_err(|source| ArchiveError::Read { offset: 0, source })?.len();
            if length == 0 {
                return Ok(());
            }
            source.consume(length);
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = match &mut self.inner {
            Inner::Plain(inner) => inner.read(buffer),
            Inner::Gzip(inner) => inner.read(buffer).map_err(|error| damaged("gzip", &error)),
            Inner::Zstd(inner) => inner.read(buffer).map_err(|error| damaged("zstd", &error)),
        }?;
        self.expanded(length)
    }
}

/// Names the format, and keeps the class of the error: an early end stays `UnexpectedEof`.
fn damaged(format: &str, error: &io::Error) -> io::Error {
    let text = if error.kind() == io::ErrorKind::UnexpectedEof {
        "unexpected EOF"
    } else {
        "invalid data"
    };
    io::Error::new(error.kind(), format!("{format}: {text}: {error}"))
}

/// Compresses what is written to it, one thread, gzip level 5 or zstd level 3.
pub struct Encoder<W: Write> {
    inner: EncoderInner<W>,
}

enum EncoderInner<W: Write> {
    Plain(W),
    Gzip(flate2::write::GzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> std::fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl<W: Write> Encoder<W> {
    /// Compresses to `writer`.
    pub fn new(writer: W, format: Compression) -> Result<Self> {
        let inner = match format {
            Compression::None => EncoderInner::Plain(writer),
            Compression::Gzip => EncoderInner::Gzip(flate2::write::GzEncoder::new(
                writer,
                flate2::Compression::new(5),
            )),
            Compression::Zstd => EncoderInner::Zstd(
                zstd::stream::write::Encoder::new(writer, 3)
                    .map_err(|source| ArchiveError::Compression { format: "zstd", source })?,
            ),
            Compression::Bzip2 | Compression::Xz => {
                return Err(ArchiveError::Compression {
                    format: format.name(),
                    source: io::Error::from(io::ErrorKind::Unsupported),
                });
            }
        };
        Ok(Self { inner })
    }

    /// Writes what is left and gives the writer back.
    pub fn finish(self) -> Result<W> {
        match self.inner {
            EncoderInner::Plain(writer) => Ok(writer),
            EncoderInner::Gzip(encoder) => encoder.finish(),
            EncoderInner::Zstd(encoder) => encoder.finish(),
        }
        .map_err(|source| ArchiveError::Write { source })
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match &mut self.inner {
            EncoderInner::Plain(inner) => inner.write(buffer),
            EncoderInner::Gzip(inner) => inner.write(buffer),
            EncoderInner::Zstd(inner) => inner.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.inner {
            EncoderInner::Plain(inner) => inner.flush(),
            EncoderInner::Gzip(inner) => inner.flush(),
            EncoderInner::Zstd(inner) => inner.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compress(format: Compression, plain: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), format).unwrap();
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Decoder::new(bytes).unwrap().read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn every_format_comes_back() {
        let plain: Vec<u8> = (0..200_000u32).flat_map(|n| n.to_le_bytes()).collect();
        for format in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let packed = compress(format, &plain);
            assert_eq!(Decoder::new(&packed[..]).unwrap().format(), format);
            assert_eq!(decode(&packed).unwrap(), plain);
        }
    }

    #[test]
    fn members_and_frames_may_follow_each_other() {
        for format in [Compression::Gzip, Compression::Zstd] {
            let mut packed = compress(format, b"one ");
            packed.extend(compress(format, b"two"));
            assert_eq!(decode(&packed).unwrap(), b"one two");
        }
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        for format in [Compression::Gzip, Compression::Zstd] {
            let packed = compress(format, &[7; 5000]);
            let error = decode(&packed[..packed.len() - 4]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
        }
    }

    #[test]
    fn bombs_are_noticed_while_they_expand() {
        let zeros = vec![0; 8 << 20];
        let noise: Vec<u8> =
            (0..1_u32 << 20).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        for format in [Compression::Gzip, Compression::Zstd] {
            let expansion = Expansion { always: 1 << 20, ratio: 100 };
            let read = |plain: &[u8], expansion| {
                let packed = compress(format, plain);
                let mut decoder = Decoder::with_expansion(&packed[..], expansion).unwrap();
                let mut out = Vec::new();
                let result = decoder.read_to_end(&mut out);
                (result.map_err(|error| error.to_string()), out.len())
            };
            let (result, length) = read(&zeros, expansion);
            let error = result.unwrap_err();
            assert!(error.starts_with("archive expands to more than 100 times its"), "{error}");
            assert!(length < 2 << 20, "{length}");
            assert_eq!(read(&noise, expansion).0, Ok(noise.len()));
            assert_eq!(read(&zeros, Expansion::default()).0, Ok(zeros.len()));
        }
        let plain = Expansion { always: 0, ratio: 1 };
        let mut decoder = Decoder::with_expansion(&b"plain"[..], plain).unwrap();
        assert_eq!(decoder.read_to_end(&mut Vec::new()).unwrap(), 5);
    }

    #[test]
    fn short_and_empty_streams_are_plain() {
        assert_eq!(decode(b"").unwrap(), b"");
        assert_eq!(decode(b"ab").unwrap(), b"ab");
    }

    #[test]
    fn unsupported_formats_are_named() {
        let error = Decoder::new(&b"BZh91AY&SY"[..]).unwrap_err();
        assert_eq!(error.to_string(), "cannot decompress bzip2");
    }
}
