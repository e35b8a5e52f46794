//! Docker's frames that carry stdout and stderr over one stream: `{stream, 0, 0, 0, length (big
//! endian)}`, then bytes.
//!
//! The splitter is fed whatever arrives and gives out slices of it: nothing is copied, a header may
//! be cut anywhere.

use std::io;

const HEADER: usize = 8;

/// Which stream a piece belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StdStream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// An error of the daemon, about the stream itself.
    System,
}

/// Takes a stream of frames apart.
#[derive(Debug, Default)]
pub struct Splitter {
    header: [u8; HEADER],
    filled: usize,
    left: usize,
}

/// Part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Its stream.
    pub stream: StdStream,
    /// What it carries.
    pub bytes: &'a [u8],
    /// Whether the frame begins with it.
    pub is_first: bool,
}

impl Splitter {
    /// Hands every piece of `bytes` to `sink`, in order.
    pub fn feed<E: From<io::Error>>(
        &mut self,
        bytes: &[u8],
        mut sink: impl FnMut(StdStream, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.feed_pieces(bytes, |piece| sink(piece.stream, piece.bytes))
    }

    /// The same for whom frames matter.
    pub fn feed_pieces<E: From<io::Error>>(
        &mut self,
        mut bytes: &[u8],
        mut sink: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            if self.left == 0 {
                let count = bytes.len().min(HEADER - self.filled);
                self.header[self.filled..self.filled + count].copy_from_slice(&bytes[..count]);
                self.filled += count;
                bytes = &bytes[count..];
                if self.filled == HEADER {
                    self.filled = 0;
                    self.left = self.length();
                    self.stream()?;
                }
                continue;
            }
            let count = bytes.len().min(self.left);
            let stream = self.stream()?;
            let is_first = self.left == self.length();
            sink(Piece { stream, bytes: &bytes[..count], is_first })?;
            self.left -= count;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Whether the stream may end here: not inside a frame.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.left == 0 && self.filled == 0
    }

    fn length(&self) -> usize {
        let [_, _, _, _, a, b, c, d] = self.header;
        // usize is at least 32 bits wide on every target.
        u32::from_be_bytes([a, b, c, d]) as usize
    }

    fn stream(&self) -> io::Result<StdStream> {
        match self.header[0] {
            // Docker's own client treats 0 (stdin) as stdout.
            0 | 1 => Ok(StdStream::Out),
            2 => Ok(StdStream::Err),
            3 => Ok(StdStream::System),
            other => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("unrecognized stream: {other}"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, text: &[u8]) -> Vec<u8> {
        let mut frame = vec![stream, 0, 0, 0];
        frame.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend(text);
        frame
    }

    fn split(pieces: &[&[u8]]) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut splitter = Splitter::default();
        for piece in pieces {
            splitter.feed(piece, |stream, bytes| {
                match stream {
                    StdStream::Out => out.extend(bytes),
                    StdStream::Err | StdStream::System => err.extend(bytes),
                }
                Ok::<_, io::Error>(())
            })?;
        }
        assert!(splitter.is_complete());
        Ok((out, err))
    }

    #[test]
    fn streams_come_apart_wherever_they_are_cut() {
        let mut all = frame(1, b"hello ");
        all.extend(frame(2, b"oops"));
        all.extend(frame(1, b""));
        all.extend(frame(1, b"world"));
        for cut in 0..=all.len() {
            let (out, err) = split(&[&all[..cut], &all[cut..]]).unwrap();
            assert_eq!(out, b"hello world", "cut at {cut}");
            assert_eq!(err, b"oops", "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = all.chunks(1).collect();
        assert_eq!(split(&bytes).unwrap().0, b"hello world");
    }

    #[test]
    fn an_unknown_stream_is_refused() {
        let error = split(&[&frame(7, b"x")]).unwrap_err();
        assert_eq!(error.to_string(), "unrecognized stream: 7");
    }

    #[test]
    fn an_end_inside_a_frame_is_seen() {
        let mut splitter = Splitter::default();
        let sink = |_: StdStream, _: &[u8]| Ok::<_, io::Error>(());
        splitter.feed(&frame(1, b"abc")[..9], sink).unwrap();
        assert!(!splitter.is_complete());
    }
}
