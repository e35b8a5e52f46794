//! Archives between threads that may block and requests that may not.

use std::io::{self, Read, Write};

use barge_client::ByteStream;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::{CliError, Result};
use crate::progress::Counter;

/// Pieces that may wait for the disk.
const WAITING: usize = 16;
/// Pieces of a body are at least this large, but for the last.
const PIECE: usize = 64 * 1024;

/// Hands an archive that comes from the daemon to `work`, on a thread.
pub(super) async fn read<T: Send + 'static>(
    mut archive: ByteStream,
    counter: &Counter,
    work: impl FnOnce(Pieces) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, pieces) = mpsc::channel(WAITING);
    let task = tokio::task::spawn_blocking(move || work(Pieces { pieces, rest: Bytes::new() }));
    loop {
        let next = archive.next().await;
        let piece = match next {
            Ok(None) => break,
            Ok(Some(bytes)) => {
                counter.add(bytes.len());
                Ok(bytes)
            }
            Err(error) => {
                sender.send(Err(io::ErrorKind::ConnectionAborted.into())).await.ok();
                // What it had been doing until then has no meaning of its own.
                task.await.ok();
                return Err(error.into());
            }
        };
        if sender.send(piece).await.is_err() {
            // It has read enough, or failed: which of the two it says below.
            break;
        }
    }
    drop(sender);
    task.await.map_err(|error| CliError::Invalid(format!("cannot copy: {error}")))?
}

/// An archive that comes piece by piece.
pub(super) struct Pieces {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.pieces.blocking_recv() {
                Some(bytes) => self.rest = bytes?,
                None => return Ok(0),
            }
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}

/// The writing end of a request's body; without an end the body breaks off.
pub(super) struct Body {
    pub(super) sender: mpsc::Sender<io::Result<Bytes>>,
    pub(super) counter: Counter,
    pub(super) gathered: Vec<u8>,
}

impl Body {
    pub(super) fn break_off(self) {
        self.sender.blocking_send(Err(io::ErrorKind::BrokenPipe.into())).ok();
    }
}

impl Write for Body {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = Bytes::from(std::mem::take(&mut self.gathered));
        let count = bytes.len();
        if count > 0 {
            let sent = self.sender.blocking_send(Ok(bytes));
            sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            self.counter.add(count);
        }
        Ok(())
    }
}
