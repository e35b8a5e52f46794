//! Where this crate's files are written: [`barge_sys::durable`] with this crate's errors, and with the points at which
//! its tests make the process die.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use barge_sys::durable::{self, Durability};

use crate::error::{ImageError, Result};
use crate::faults;

/// Makes a folder and its parents.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(ImageError::io("create", path))
}

/// A new file under a temporary name in a folder.
pub(crate) fn temporary(folder: &Path) -> Result<(File, PathBuf)> {
    durable::create_temporary(folder).map_err(ImageError::io("create a file in", folder))
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
    faults::point("written")
        .and_then(|()| durable::rename(temporary, path, Durability::Durable))
        .and_then(|()| faults::point("renamed"))
        .map_err(ImageError::io("rename", temporary))
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

/// Files that get their names after one wait for the disk, in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct Batch(Vec<(PathBuf, PathBuf)>);

impl Batch {
    /// Writes a file under a temporary name.
    pub(crate) fn add(&mut self, path: PathBuf, bytes: &[u8]) -> Result<()> {
        let folder = path.parent().unwrap_or_else(|| Path::new("/"));
        let (mut file, name) = temporary(folder)?;
        self.0.push((name.clone(), path));
        file.write_all(bytes).map_err(ImageError::io("write", &name))
    }

    /// Gets the files to the disk, and by `sync` what they tell of; then gives them their names.
    pub(crate) fn publish(mut self, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        let Some((name, _)) = self.0.first() else { return Ok(()) };
        File::open(name)
            .and_then(|file| Ok(rustix::fs::syncfs(file)?))
            .map_err(ImageError::io("sync", name))?;
        sync()?;
        let mut folders: Vec<PathBuf> = Vec::new();
        for (name, path) in &self.0 {
            faults::point("written")
                .and_then(|()| durable::rename(name, path, Durability::Lazy))
                .map_err(ImageError::io("rename", name))?;
            folders.extend(path.parent().map(Path::to_owned));
        }
        self.0.clear();
        folders.dedup();
        for folder in &folders {
            durable::sync_folder(folder).map_err(ImageError::io("sync", folder))?;
        }
        faults::point("renamed").map_err(ImageError::io("rename files in", Path::new("a batch")))
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if !faults::is_dead() {
            for (name, _) in &self.0 {
                // What has its name already, or cannot be removed, is swept.
                fs::remove_file(name).ok();
            }
        }
    }
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> Result<()> {
    faults::point("remove").map_err(ImageError::io("remove", path))?;
    durable::remove(path).map_err(ImageError::io("remove", path))
}

/// Names in a folder, without temporary ones.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(ImageError::io("list", folder))? {
        let entry = entry.map_err(ImageError::io("list", folder))?;
        if let Ok(name) = entry.file_name().into_string()
            && !durable::is_temporary(&name)
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Removes the temporary files that a killed process left.
pub(crate) fn sweep(folder: &Path) -> Result<()> {
    durable::sweep(folder).map_err(ImageError::io("sweep", folder))
}
