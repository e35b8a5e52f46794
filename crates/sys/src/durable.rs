//! Files that are there as a whole or not at all: written under a temporary name in the same folder, then renamed.
//!
//! It does not read, and knows nothing of what is in a file. Temporary names are random, so that two who write the same
//! file at once do not write into each other's; what a killed process leaves of them is removed by [`sweep`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::random;

/// What temporary names begin with.
const TEMPORARY: &str = ".tmp-";

/// Whether a crash of the machine may lose what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On the disk when the call returns: fsync of the file, rename, fsync of the folder.
    Durable,
    /// On the disk when the kernel comes to it. For what a crash of the machine would not miss, or what can be worked
    /// out again after one; a crash of the process loses nothing.
    Lazy,
}

/// A temporary name in a folder, of which nothing is there yet.
pub fn temporary_name(folder: &Path) -> io::Result<PathBuf> {
    Ok(folder.join(format!("{TEMPORARY}{}", random::hex::<8>()?)))
}

/// Whether a file's name is a temporary one.
#[must_use]
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

/// A new file under a temporary name in a folder.
pub fn create_temporary(folder: &Path) -> io::Result<(File, PathBuf)> {
    let path = temporary_name(folder)?;
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    Ok((file, path))
}

/// Gives what has a temporary name its own; what was there before is replaced.
pub fn rename(temporary: &Path, path: &Path, durability: Durability) -> io::Result<()> {
    fs::rename(temporary, path)?;
    match durability {
        Durability::Durable => sync_folder(folder_of(path)),
        Durability::Lazy => Ok(()),
    }
}

/// Replaces a file's content.
pub fn write(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    write_with(path, bytes, durability, |_file| Ok(()))
}

/// The same for a file that is to have a mode or an owner: `prepare` gives it them before it has the name.
pub fn write_with(
    path: &Path,
    bytes: &[u8],
    durability: Durability,
    prepare: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let (mut file, temporary) = create_temporary(folder_of(path))?;
    let done = prepare(&file)
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| match durability {
            Durability::Durable => file.sync_all(),
            Durability::Lazy => Ok(()),
        })
        .and_then(|()| rename(&temporary, path, durability));
    if done.is_err() {
        // The first error is the one to tell; what stays is swept.
        fs::remove_file(&temporary).ok();
    }
    done
}

/// Gives a file that cannot be read another name in its folder (`<name>.damaged`, numbered when there is one), so that it
/// is in nobody's way and a person can look at it; tells which.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = (1..).map(|number: u32| match number {
        1 => path.with_file_name(format!("{name}.damaged")),
        number => path.with_file_name(format!("{name}.damaged-{number}")),
    });
    for aside in beside {
        match fs::hard_link(path, &aside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                made?;
                fs::remove_file(path)?;
                return Ok(aside);
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A record that could not be read and was set aside.
#[derive(Debug)]
pub struct Damaged {
    /// Where it is now.
    pub kept: PathBuf,
    /// What was wrong with it, with the path it had.
    pub cause: String,
}

/// Removes a file that may be gone already.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes renames in a folder survive a power cut.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes the temporary files of killed processes. Only for who alone writes into the folder.
pub fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_temporary) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_is_kept_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        for (text, name) in [("1", "a.json.damaged"), ("2", "a.json.damaged-2")] {
            fs::write(&path, text).unwrap();
            let aside = set_aside(&path).unwrap();
            assert_eq!(aside, folder.path().join(name));
            assert_eq!(fs::read_to_string(aside).unwrap(), text);
            assert!(!path.exists());
        }
    }

    #[test]
    fn content_is_replaced_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for (text, durability) in [("one", Durability::Durable), ("two", Durability::Lazy)] {
            write(&path, text.as_bytes(), durability).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_renamed_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, b"", Durability::Lazy).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_the_rest_is_not() {
        let folder = tempfile::tempdir().unwrap();
        create_temporary(folder.path()).unwrap();
        fs::write(folder.path().join("kept"), "").unwrap();
        sweep(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        remove(&folder.path().join("kept")).unwrap();
        remove(&folder.path().join("kept")).unwrap();
    }
}
