//! Bytes between async connections and sync readers and writers: a bounded channel, so that neither side runs ahead.

use std::io::{self, Read, Write};

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;

/// A request's body on its way to a verb that reads it.
pub type Upload = mpsc::Receiver<io::Result<Bytes>>;
/// A response's body on its way from a verb that writes it.
pub type Download = mpsc::Receiver<io::Result<Bytes>>;

/// How many pieces may wait.
const PIECES: usize = 4;
/// How much is gathered before it is sent.
const PIECE: usize = 64 * 1024;

/// Reads an upload; for blocking threads only.
#[derive(Debug)]
pub(crate) struct UploadReader {
    pieces: Upload,
    current: Bytes,
}

impl UploadReader {
    pub(crate) fn new(pieces: Upload) -> Self {
        Self { pieces, current: Bytes::new() }
    }
}

impl Read for UploadReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let count = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// A piece of something that must not end before it is whole.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Some of it.
    Bytes(Bytes),
    /// All of it has been sent.
    End,
}

/// Reads pieces; for blocking threads only. A sender that goes away without a word is an error, not an end.
#[derive(Debug)]
pub(crate) struct PieceReader {
    pieces: mpsc::Receiver<Piece>,
    current: Bytes,
    is_whole: bool,
}

impl PieceReader {
    /// The sender and its reader. Pieces are at most so large as the sender makes them; four of them wait.
    pub(crate) fn new() -> (mpsc::Sender<Piece>, Self) {
        let (sender, pieces) = mpsc::channel(PIECES);
        (sender, Self { pieces, current: Bytes::new(), is_whole: false })
    }
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.is_whole {
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.current = bytes,
                Some(Piece::End) => self.is_whole = true,
                None => {
                    let text = "the download was broken off";
                    return Err(io::Error::new(io::ErrorKind::ConnectionAborted, text));
                }
            }
        }
        let count = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Writes a download; for blocking threads only.
#[derive(Debug)]
pub(crate) struct DownloadWriter {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    gathered: Vec<u8>,
}

impl DownloadWriter {
    pub(crate) fn new() -> (Self, Download) {
        let (pieces, download) = mpsc::channel(PIECES);
        (Self { pieces, gathered: Vec::new() }, download)
    }

    /// Tells the reader why there is no more.
    pub(crate) fn fail(self, message: String) {
        // A reader that went away does not want to know.
        self.pieces.blocking_send(Err(io::Error::other(message))).ok();
    }
}

impl Write for DownloadWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.gathered));
        self.pieces.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_uploaded_is_read_in_order_and_an_error_ends_it() {
        let (sender, pieces) = mpsc::channel(PIECES);
        sender.blocking_send(Ok(Bytes::from_static(b"ab"))).unwrap();
        sender.blocking_send(Ok(Bytes::from_static(b"c"))).unwrap();
        sender.blocking_send(Err(io::ErrorKind::ConnectionReset.into())).unwrap();
        let mut reader = UploadReader::new(pieces);
        let mut bytes = [0; 3];
        reader.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"abc");
        assert_eq!(reader.read(&mut bytes).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn pieces_without_an_end_are_an_error() {
        let (sender, mut reader) = PieceReader::new();
        sender.blocking_send(Piece::Bytes(Bytes::from_static(b"ab"))).unwrap();
        let mut bytes = [0; 2];
        reader.read_exact(&mut bytes).unwrap();
        drop(sender);
        assert_eq!(reader.read(&mut bytes).unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        let (sender, mut reader) = PieceReader::new();
        sender.blocking_send(Piece::End).unwrap();
        drop(sender);
        assert_eq!((reader.read(&mut bytes).unwrap(), reader.read(&mut bytes).unwrap()), (0, 0));
    }

    #[test]
    fn a_writer_notices_that_its_reader_is_gone() {
        let (mut writer, download) = DownloadWriter::new();
        drop(download);
        writer.write_all(b"x").unwrap();
        assert_eq!(writer.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
