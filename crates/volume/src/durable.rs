//! Files that are either there as a whole or not at all, and names for what is not there yet.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{Result, VolumeError};

/// What temporary names begin with; no volume's name does.
const TEMPORARY: &str = ".tmp-";

/// Random digits.
pub(crate) fn random_hex<const N: usize>() -> io::Result<String> {
    let mut bytes = [0_u8; N];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A temporary name in a folder.
pub(crate) fn temporary(folder: &Path) -> Result<PathBuf> {
    let name = random_hex::<8>().map_err(VolumeError::io("name a file in", folder))?;
    Ok(folder.join(format!("{TEMPORARY}{name}")))
}

/// Whether a name is a temporary one.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

/// Replaces a file's content.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let name = temporary(folder)?;
    let done = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&name)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&name, path));
    if let Err(error) = done {
        // The first error is the one to tell; what stays is swept at the next start.
        fs::remove_file(&name).ok();
        return Err(VolumeError::io("write", path)(error));
    }
    sync_folder(folder)
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(VolumeError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Makes renames in a folder survive a power cut.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(VolumeError::io("sync", path))
}
