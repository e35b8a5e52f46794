//! `ADD` of archives: recognised by what is in them, unpacked into the destination and nowhere else.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use barge_archive::compression::Decoder;
use barge_archive::extract::{self, Applied, ApplyOptions, Overrides, Whiteouts};
use barge_archive::tar::Reader;

use super::copy::Copier;
use super::digest::open_regular;
use super::error::{FilesError, Result, shown};
use super::select::Root;

/// Unpacks a file if it is an archive, and says whether it was one. What is in the archive keeps its owners unless there is
/// a `--chown`.
pub(super) fn unpack_root(copier: &Copier<'_>, root: &Root, to: &[u8]) -> Result<bool> {
    let mut file = File::from(open_regular(&copier.selection.tree, &root.path)?);
    if !is_archive(&file) {
        return Ok(false);
    }
    file.rewind().map_err(FilesError::io("read", shown(&root.path).as_bytes()))?;
    let folder = copier.make_folders(to)?;
    let placement = copier.placement;
    let overrides =
        Overrides { owner: placement.owner, mtime: placement.epoch, ..Overrides::default() };
    let applied = into_fd(file, &folder, overrides).map_err(|source| FilesError::Archive {
        name: String::from_utf8_lossy(&root.name).into_owned(),
        source,
    })?;
    copier.count(applied.entries, applied.bytes);
    Ok(true)
}

/// Unpacks an archive, compressed or not, into a folder.
///
/// # Errors
/// A damaged archive, one that is too large or wants out.
pub fn unpack_archive(file: File, into: &Path, owner: Option<(u32, u32)>) -> Result<Applied> {
    let overrides = Overrides { owner, ..Overrides::default() };
    apply(file, into, overrides)
        .map_err(|source| FilesError::Archive { name: "the archive".to_owned(), source })
}

fn into_fd(file: File, folder: &OwnedFd, overrides: Overrides) -> barge_archive::Result<Applied> {
    // The descriptor keeps what was found: nobody can put a link there now.
    let path = PathBuf::from(format!("/proc/self/fd/{}/.", folder.as_raw_fd()));
    apply(file, &path, overrides)
}

fn apply(file: File, into: &Path, overrides: Overrides) -> barge_archive::Result<Applied> {
    let options =
        ApplyOptions { whiteouts: Whiteouts::Names, overrides, ..ApplyOptions::default() };
    extract::apply(into, Decoder::new(BufReader::new(file))?, &options)
}

/// Whether a file holds an archive: what its name says does not count.
pub(super) fn is_archive(file: impl Read) -> bool {
    let Ok(decoder) = Decoder::new(file) else {
        return false;
    };
    matches!(Reader::new(decoder).next_entry(), Ok(Some(_)))
}
