//! `ADD` of archives: recognised by what is in them, unpacked into the destination and nowhere else.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use barge_archive::ArchiveError;
use barge_archive::compression::Decoder;
use barge_archive::extract::{self, Applied, ApplyOptions, RootEntry, Special, Whiteouts};
use barge_archive::tar::Reader;

use super::copy::Copier;
use super::digest::open_regular;
use super::error::{FilesError, Result, shown};
use super::select::Root;

/// Unpacks a file if it is an archive, and says whether it was one. As in BuildKit, what is in it keeps its owners and
/// times: `--chown` is about folders that have to be made for it.
pub(super) fn unpack_root(copier: &Copier<'_>, root: &Root, to: &[u8]) -> Result<bool> {
    let mut file = File::from(open_regular(&copier.selection.tree, &root.path)?);
    if !is_archive(&file) {
        return Ok(false);
    }
    file.rewind().map_err(FilesError::io("read", shown(&root.path).as_bytes()))?;
    let folder = copier.make_folders(to)?;
    // The descriptor keeps what was found: nobody can put a link there now.
    let path = PathBuf::from(format!("/proc/self/fd/{}/.", folder.as_raw_fd()));
    let name = String::from_utf8_lossy(&root.name);
    let applied = apply(file, &path).map_err(failed(&name))?;
    copier.count(applied.entries, applied.bytes);
    Ok(true)
}

/// Unpacks an archive, compressed or not, into a folder, which itself stays as it is.
///
/// # Errors
/// A damaged archive, one that is too large or wants out.
pub fn unpack_archive(file: File, into: &Path) -> Result<Applied> {
    apply(file, into).map_err(failed("the archive"))
}

fn failed(name: &str) -> impl FnOnce(ArchiveError) -> FilesError + use<> {
    let name = name.to_owned();
    move |source| FilesError::Archive { name, source }
}

fn apply(file: File, into: &Path) -> barge_archive::Result<Applied> {
    let special = Special { root: RootEntry::Ignored, ..Special::default() };
    let options = ApplyOptions { whiteouts: Whiteouts::Names, special, ..ApplyOptions::default() };
    extract::apply(into, Decoder::new(BufReader::new(file))?, &options)
}

/// Whether a file holds an archive: what its name says does not count.
pub(super) fn is_archive(file: impl Read) -> bool {
    let Ok(decoder) = Decoder::new(file) else {
        return false;
    };
    matches!(Reader::new(decoder).next_entry(), Ok(Some(_)))
}
