//! Contexts that arrive as one stream: an archive, compressed or not, or a Dockerfile alone.
//!
//! What arrives is hostile: names that climb, links, devices, bombs. Nothing is written outside of the folder, no device is
//! made, and after an error nothing is left.

use std::io::Read;
use std::path::Path;

use barge_archive::ArchiveError;
use barge_archive::compression::Decoder;
use barge_archive::extract::{self, ApplyOptions, Devices, Limits, Special, Whiteouts};

use super::error::{FilesError, Result};
use super::unpack::is_archive;

/// What arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// An archive, which was unpacked.
    Archive,
    /// A Dockerfile alone: the only file in the folder, called `Dockerfile`.
    Dockerfile,
}

/// Most bytes of a Dockerfile. Several times as much is needed to build by one.
pub(crate) const LONGEST_DOCKERFILE: u64 = 4 << 20;
/// Enough for a header, with names as long as they get.
const START: u64 = 64 * 1024;
/// Most things in a context.
const MOST_ENTRIES: u64 = 5_000_000;
/// Most bytes of its files: far below what numbers overflow at.
const MOST_BYTES: u64 = 4 << 40;

/// Unpacks a context into an empty folder.
///
/// # Errors
/// An archive that is damaged, too large or wants out; something that is neither an archive nor text of a Dockerfile's
/// size. The folder is empty then.
pub fn receive_context(reader: &mut dyn Read, into: &Path) -> Result<Received> {
    let received = receive(reader, into);
    if received.is_err() {
        sweep(into);
    }
    received
}

fn receive(reader: &mut dyn Read, into: &Path) -> Result<Received> {
    let failed = |source| FilesError::Archive { name: "the build context".to_owned(), source };
    let mut decoder = Decoder::new(reader).map_err(failed)?;
    let read = |source: std::io::Error| {
        let is_cut = source.kind() == std::io::ErrorKind::UnexpectedEof;
        failed(match is_cut {
            true => ArchiveError::Truncated { offset: 0, expected: "a compressed stream" },
            false => ArchiveError::Read { offset: 0, source },
        })
    };
    let mut start = Vec::new();
    decoder.by_ref().take(START).read_to_end(&mut start).map_err(read)?;
    if start.is_empty() || is_archive(&*start) || start.iter().all(|byte| *byte == 0) {
        let options = ApplyOptions {
            limits: Limits { entries: MOST_ENTRIES, bytes: MOST_BYTES },
            whiteouts: Whiteouts::Names,
            special: Special { devices: Devices::Refused, ..Special::default() },
            ..ApplyOptions::default()
        };
        extract::apply(into, start.chain(decoder), &options).map_err(failed)?;
        return Ok(Received::Archive);
    }
    let mut text = start;
    decoder.take(LONGEST_DOCKERFILE).read_to_end(&mut text).map_err(read)?;
    if text.len() as u64 > LONGEST_DOCKERFILE {
        return Err(FilesError::NoContext { limit: LONGEST_DOCKERFILE });
    }
    let path = into.join("Dockerfile");
    std::fs::write(&path, text)
        .map_err(FilesError::io("write", path.as_os_str().as_encoded_bytes()))?;
    Ok(Received::Dockerfile)
}

/// Empties a folder as far as that goes; whoever made it removes it.
fn sweep(folder: &Path) {
    use std::os::fd::AsFd as _;
    let (Ok(entries), Ok(root)) =
        (std::fs::read_dir(folder), barge_sys::openat2::open_root(folder))
    else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        barge_archive::remove::tree(root.as_fd(), name.as_encoded_bytes()).ok();
    }
}
