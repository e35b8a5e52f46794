//! What a build made for us, put where the user wants it.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

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
            Delivery::Folder(path) => {
                // It is made with all that leads there.
                let there = path.ancestors().find(|path| path.exists());
                if let Some(there) = there.filter(|there| !there.is_dir()) {
                    return Err(CliError::Invalid(format!(
                        "destination directory {} is not a directory",
                        there.display()
                    )));
                }
            }
            Delivery::Stdout | Delivery::Daemon => {}
        }
    }
    Ok(())
}

/// The same for files that tell of the result; one without a name is not wanted.
pub(super) fn check_files(paths: &[&str]) -> Result<()> {
    for path in paths.iter().filter(|path| !path.is_empty()) {
        let path = Path::new(path);
        if path.is_dir() {
            return Err(CliError::Invalid(format!("open {}: is a directory", path.display())));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            // With the dot a file in its place is an error, too.
            fs::metadata(folder.join(".")).map_err(CliError::file("open", path))?;
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

#[cfg(test)]
mod tests {
    use super::super::outputs::{Shorthands, parse};
    use super::*;

    #[test]
    fn places_that_are_none_are_told_before_a_build() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_string_lossy().into_owned();
        fs::write(folder.path().join("file"), "").unwrap();
        let output = |text: &str| {
            let text = text.replace('@', &path);
            let outputs = parse(&[text], Shorthands::default())?;
            check(&outputs).map_err(|error| CliError::Invalid(error.to_string()))
        };
        for text in
            ["@/new/below", "@", "type=tar,dest=@/file", "type=oci,dest=@/new", "type=docker"]
        {
            output(text).unwrap();
        }
        for text in [
            "@/file/below",
            "@/file",
            "type=local",
            "type=tar,dest=@/none/x",
            "type=oci,dest=@/none/x",
            "type=docker,dest=@/none/x",
            "type=docker,dest=@",
            "type=zip,dest=@/new",
        ] {
            assert!(output(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_that_tell_of_the_result_have_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        fs::write(at("file"), "").unwrap();
        let checked = |name: &str| check_files(&[&at(name)]).map_err(|error| error.to_string());
        assert_eq!(checked("new"), Ok(()));
        assert_eq!(checked("file"), Ok(()));
        check_files(&["", "in-this-folder"]).unwrap();
        let wrong = |name: &str, why: &str| Err(format!("open {}: {why}", at(name)));
        assert_eq!(checked("none/new"), wrong("none/new", "no such file or directory"));
        assert_eq!(checked("file/new"), wrong("file/new", "not a directory"));
        assert_eq!(checked(""), wrong("", "is a directory"));
    }
}
