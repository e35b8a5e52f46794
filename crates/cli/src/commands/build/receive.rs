//! What a build made for us, put where the user wants it.

use std::io::{self, Read};

use barge_client::ByteStream;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::outputs::{Delivery, Output};
use super::unpack;
use crate::commands::archive_file;
use crate::error::{CliError, Result};
use crate::progress::Counter;

/// Pieces of an archive that may wait for the disk.
const WAITING: usize = 16;

/// Looks before the build at what can be known: nobody waits for an hour to be told of a folder
/// that is not there.
pub(super) fn check(outputs: &[Output]) -> Result<()> {
    for output in outputs {
        match &output.delivery {
            Delivery::File(path) => archive_file::check_output(Some(path), "export")?,
            Delivery::Folder(path) if path.exists() && !path.is_dir() => {
                return Err(CliError::Invalid(format!(
                    "destination directory {} is not a directory",
                    path.display()
                )));
            }
            Delivery::Folder(_) | Delivery::Stdout | Delivery::Daemon => {}
        }
    }
    Ok(())
}

/// Puts an archive where it goes.
pub(super) async fn deliver(
    archive: ByteStream,
    delivery: &Delivery,
    counter: Counter,
) -> Result<()> {
    match delivery {
        Delivery::Daemon => Ok(()),
        Delivery::File(path) => archive_file::receive(archive, (Some(path), &counter)).await,
        Delivery::Stdout => archive_file::receive(archive, (None, &counter)).await,
        Delivery::Folder(path) => {
            let folder = path.clone();
            unpacked(archive, counter, move |reader| unpack::into(&folder, reader)).await
        }
    }
}

/// Unpacks on a thread: the disk blocks.
async fn unpacked(
    mut archive: ByteStream,
    counter: Counter,
    work: impl FnOnce(Pieces) -> Result<()> + Send + 'static,
) -> Result<()> {
    let (sender, pieces) = mpsc::channel(WAITING);
    let task = tokio::task::spawn_blocking(move || work(Pieces::new(pieces)));
    while let Some(bytes) = archive.next().await? {
        counter.add(bytes.len());
        if sender.send(bytes).await.is_err() {
            // It has read enough, or failed: which of the two it says below.
            break;
        }
    }
    drop(sender);
    task.await.map_err(|error| CliError::Invalid(format!("cannot unpack: {error}")))?
}

/// An archive that comes piece by piece, to be read.
pub(super) struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl Pieces {
    fn new(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self { pieces, rest: Bytes::new() }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.pieces.blocking_recv() {
                Some(bytes) => self.rest = bytes,
                None => return Ok(0),
            }
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}
