//! Compressed layers: the format by its first bytes, and a reader of the plain bytes.
//!
//! File names and media types are not trusted. gzip members may follow each other (pigz, bgzip, concatenated files).

use std::io::{self, BufRead as _, BufReader, Chain, Cursor, Read, Write};

use crate::error::{ArchiveError, Result};

/// How many first bytes [`detect`] wants to see.
pub const MAGIC_LENGTH: usize = 6;

const BUFFER: usize = 64 * 1024;

/// What the dictionary of an xz stream may take: that of `xz -9` is 64 MB.
const XZ_MEMORY_KB: u32 = 80 * 1024;

/// A compression format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Plain bytes.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// Read only.
    Bzip2,
    /// Read only.
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
    Bzip2(Box<bzip2::bufread::MultiBzDecoder<Rewound<R>>>),
    Xz(Box<lzma_rust2::XzReader<Rewound<R>>>),
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
            Compression::Bzip2 => {
                Inner::Bzip2(Box::new(bzip2::bufread::MultiBzDecoder::new(rewound)))
            }
            Compression::Xz => Inner::Xz(Box::new(lzma_rust2::XzReader::new_mem_limit(
                rewound,
                true,
                XZ_MEMORY_KB,
            ))),
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
            Inner::Bzip2(inner) => inner.get_ref().get_ref().count,
            Inner::Xz(inner) => inner.inner().get_ref().count,
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
            Inner::Bzip2(_) => Compression::Bzip2,
            Inner::Xz(_) => Compression::Xz,
        }
    }

    /// Reads what is left of the compressed stream (after the plain end), so that a digest around the source covers all.
    pub fn drain_source(&mut self) -> Result<()> {
        let source = match &mut self.inner {
            Inner::Plain(inner) => inner,
            Inner::Gzip(inner) => inner.get_mut(),
            Inner::Zstd(inner) => inner.get_mut(),
            Inner::Bzip2(inner) => inner.get_mut(),
            Inner::Xz(inner) => inner.inner_mut(),
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
            Inner::Bzip2(inner) => inner.read(buffer).map_err(|error| damaged("bzip2", &error)),
            Inner::Xz(inner) => inner.read(buffer).map_err(|error| damaged("xz", &error)),
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

    /// `printf 'hello\n' | bzip2`
    const BZIP2: &[u8] = &[
        0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 0xc1, 0xc0, 0x80, 0xe2, 0x00,
        0x00, 0x01, 0x41, 0x00, 0x00, 0x10, 0x02, 0x44, 0xa0, 0x00, 0x30, 0xcd, 0x00, 0xc3, 0x46,
        0x29, 0x97, 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, 0xc1, 0xc0, 0x80, 0xe2,
    ];
    /// `printf 'hello\n' | xz`
    const XZ: &[u8] = &[
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21,
        0x01, 0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x05, 0x68, 0x65, 0x6c,
        0x6c, 0x6f, 0x0a, 0x00, 0x00, 0x00, 0xa5, 0x60, 0x97, 0xf1, 0x94, 0xf6, 0xfd, 0xe0, 0x00,
        0x01, 0x1e, 0x06, 0xc1, 0x2f, 0xa4, 0x1d, 0x1f, 0xb6, 0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00,
        0x00, 0x04, 0x59, 0x5a,
    ];

    #[test]
    fn what_others_compressed_by_bzip2_and_xz_is_read() {
        for (bytes, format) in [(BZIP2, Compression::Bzip2), (XZ, Compression::Xz)] {
            assert_eq!(Decoder::new(bytes).unwrap().format(), format);
            assert_eq!(decode(bytes).unwrap(), b"hello\n");
            let twice = [bytes, bytes].concat();
            assert_eq!(decode(&twice).unwrap(), b"hello\nhello\n");
            assert!(decode(&bytes[..bytes.len() - 4]).is_err());
        }
    }

    #[test]
    fn damaged_streams_are_errors_and_nothing_worse() {
        for bytes in [BZIP2, XZ] {
            for at in 6..bytes.len() {
                for bit in 0..8 {
                    let mut damaged = bytes.to_vec();
                    damaged[at] ^= 1 << bit;
                    // Some bits do not matter; what matters is that it ends.
                    assert!(decode(&damaged).map_or(true, |plain| plain.len() < 100));
                }
            }
        }
    }

    #[test]
    fn a_format_that_cannot_be_written_is_named() {
        let error = Encoder::new(Vec::new(), Compression::Xz).unwrap_err();
        assert_eq!(error.to_string(), "cannot decompress xz");
    }
}
