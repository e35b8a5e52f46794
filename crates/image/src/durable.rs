//! Files that are either there as a whole or not at all: temporary name, fsync, rename, fsync of
//! the folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{ImageError, Result};
use crate::faults;

/// What temporary names begin with; [`sweep`] removes them.
const TEMPORARY: &str = ".tmp-";

/// A random name, for temporary files and cache ids.
pub(crate) fn random_hex<const N: usize>() -> io::Result<String> {
    let mut bytes = [0_u8; N];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Makes a folder and its parents.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(ImageError::io("create", path))
}

/// A new file under a temporary name in a folder.
pub(crate) fn temporary(folder: &Path) -> Result<(File, PathBuf)> {
    let name = random_hex::<8>().map_err(ImageError::io("name a file in", folder))?;
    let path = folder.join(format!("{TEMPORARY}{name}"));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(ImageError::io("create", &path))?;
    Ok((file, path))
}

/// A new file without a name: it goes when it is closed, however that happens.
pub(crate) fn nameless(folder: &Path) -> Result<File> {
    let (file, path) = temporary(folder)?;
    fs::remove_file(&path).map_err(ImageError::io("unlink", &path))?;
    Ok(file)
}

/// Gives a written temporary file its name.
pub(crate) fn publish(file: &File, temporary: &Path, path: &Path) -> Result<()> {
    file.sync_all().map_err(ImageError::io("sync", temporary))?;
    faults::point("written").map_err(ImageError::io("rename", temporary))?;
    fs::rename(temporary, path).map_err(ImageError::io("rename", temporary))?;
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    sync_folder(folder)?;
    faults::point("renamed").map_err(ImageError::io("rename", temporary))
}

/// Replaces a file's content.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let (mut file, name) = temporary(folder)?;
    let done = file
        .write_all(bytes)
        .map_err(ImageError::io("write", &name))
        .and_then(|()| publish(&file, &name, path));
    if done.is_err() && !faults::is_dead() {
        // The first error is the one to tell; what stays is swept at the next start.
        fs::remove_file(&name).ok();
    }
    done
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> Result<()> {
    faults::point("remove").map_err(ImageError::io("remove", path))?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ImageError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Makes renames in a folder survive a power cut.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(ImageError::io("sync", path))
}

/// Names in a folder, without temporary ones.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(ImageError::io("list", folder))? {
        let entry = entry.map_err(ImageError::io("list", folder))?;
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with(TEMPORARY)
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Removes the temporary files that a killed process left.
pub(crate) fn sweep(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(ImageError::io("list", folder))? {
        let entry = entry.map_err(ImageError::io("list", folder))?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}
