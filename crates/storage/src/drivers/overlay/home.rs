//! The driver's folder as a mount of its own, private, as Docker makes it.
//!
//! What is mounted in there, a root for each container, is then below this mount and not below the host's. Where the host's
//! mounts are shared (systemd makes them so), it does not appear in every other mount namespace, which could keep it busy;
//! and whatever is bound from the host's file system does not have the kernel look at the root of each container first.

use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use barge_sys::mount::{self, Change, Reach};
use rustix::fs::CWD;

use super::disk::{VIEW, is_mounted, unmount};
use crate::error::{Result, StorageError};

/// The mount, which ends with this if nothing is mounted in it.
#[derive(Debug)]
pub(super) struct Home {
    folder: PathBuf,
    /// It was taken away: the next one there is another daemon's.
    is_closed: AtomicBool,
}

impl Home {
    /// Makes the folder and its mount, or takes over that of a former daemon. None where this cannot be or need not be: without
    /// the rights to, on a disk or another folder that is mounted there, over roots that a daemon without such a mount has left (they would
    /// be out of sight).
    pub(super) fn enter(folder: &Path) -> Result<Option<Self>> {
        std::fs::create_dir_all(folder).map_err(StorageError::io("create", folder))?;
        let folder = std::fs::canonicalize(folder).map_err(StorageError::io("open", folder))?;
        if is_mounted(&folder)? {
            return Ok(shows_itself(&folder)?.then(|| Self::of(folder)));
        }
        if has_mounts(&folder)? {
            return Ok(None);
        }
        let made = mount::clone_tree(CWD, &folder, Reach::One).and_then(|tree| {
            mount::change(&tree, Reach::One, Change::PRIVATE)?;
            mount::attach_at(&tree, CWD, &folder)
        });
        Ok(made.is_ok().then(|| Self::of(folder)))
    }

    fn of(folder: PathBuf) -> Self {
        Self { folder, is_closed: AtomicBool::new(false) }
    }

    /// Takes the mount away, also under whoever has the folder open, unless a layer is mounted: then the next daemon takes it
    /// over.
    pub(super) fn close(&self) -> Result<()> {
        if self.is_closed.swap(true, Ordering::Relaxed) || has_mounts(&self.folder)? {
            return Ok(());
        }
        unmount(&self.folder)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Who wants to know whether it worked has closed it.
        self.close().ok();
    }
}

/// Whether what is mounted at a folder is the folder, and not another one or a disk, which a person has mounted there.
fn shows_itself(folder: &Path) -> Result<bool> {
    let stat = |path: &Path| std::fs::metadata(path).map_err(StorageError::io("stat", path));
    let parent = folder.parent().unwrap_or(folder);
    let (shown, above) = (stat(folder)?, stat(parent)?);
    let failed = || StorageError::io::<std::io::Error>("read", parent);
    for entry in std::fs::read_dir(parent).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        if Some(entry.file_name().as_os_str()) == folder.file_name() {
            // A listing has the number of what is covered.
            return Ok((above.dev(), entry.ino()) == (shown.dev(), shown.ino()));
        }
    }
    Ok(false)
}

/// Whether a layer is mounted in a driver's folder.
fn has_mounts(folder: &Path) -> Result<bool> {
    let failed = || StorageError::io::<std::io::Error>("read", folder);
    for entry in std::fs::read_dir(folder).map_err(failed())? {
        let layer = entry.map_err(failed())?.path();
        for part in ["merged", VIEW] {
            // What is no layer's folder has no such parts.
            if is_mounted(&layer.join(part)).unwrap_or(false) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::overlay2::Overlay2;
    use crate::testing::own_mounts;
    use crate::{LayerId, MountOptions, ReadWriteOptions, StorageDriver as _, StorageOptions};

    fn open(data_root: &Path) -> Overlay2 {
        Overlay2::open(data_root, &StorageOptions::default()).unwrap()
    }

    /// A layer on another one.
    fn make(driver: &Overlay2) -> LayerId {
        let [below, id] = [1, 2].map(|number| LayerId::from_bytes([number; 32]));
        driver.create(&below, None).unwrap();
        driver.create_read_write(&id, Some(&below), &ReadWriteOptions::default()).unwrap();
        id
    }

    /// What mountinfo says of a mount point: the mount above and the propagation.
    fn described(path: &Path) -> Option<(String, String, Vec<String>)> {
        let table = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let path = path.to_str().unwrap();
        let line = table.lines().rev().find(|line| line.split(' ').nth(4) == Some(path))?;
        let mut words = line.split(' ').map(str::to_owned);
        let (id, parent) = (words.next()?, words.next()?);
        Some((id, parent, words.skip(4).take_while(|word| word != "-").collect()))
    }

    #[test]
    fn roots_are_mounted_below_a_private_mount_that_goes_when_it_is_empty() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().canonicalize().unwrap().join("overlay2");
        let driver = open(root.path());
        let (own, _, tags) = described(&home).unwrap();
        assert!(tags.is_empty(), "{tags:?}");
        let id = make(&driver);
        let merged = driver.mount(&id, &MountOptions::default()).unwrap();
        assert_eq!(described(&merged).unwrap().1, own);
        // A daemon that ends leaves what is in use, and the next one has it.
        driver.close().unwrap();
        drop(driver);
        assert_eq!(described(&home).unwrap().0, own);
        let driver = open(root.path());
        assert_eq!(described(&home).unwrap().0, own);
        assert_eq!(driver.mount(&id, &MountOptions::default()).unwrap(), merged);
        driver.unmount(&id).unwrap();
        driver.close().unwrap();
        assert!(described(&home).is_none());
        drop(driver);
        drop(open(root.path()));
        assert!(described(&home).is_none());
    }

    #[test]
    fn a_folder_that_a_person_has_mounted_there_stays() {
        own_mounts();
        let root = tempfile::tempdir().unwrap();
        let (home, other) = (root.path().join("overlay2"), root.path().join("other"));
        for folder in [&home, &other] {
            std::fs::create_dir(folder).unwrap();
        }
        let tree = mount::clone_tree(CWD, &other, Reach::One).unwrap();
        mount::attach_at(&tree, CWD, &home).unwrap();
        let driver = open(root.path());
        make(&driver);
        driver.close().unwrap();
        drop(driver);
        assert!(is_mounted(&home).unwrap());
        assert!(other.join("l").is_dir());
        unmount(&home).unwrap();
    }

    #[test]
    fn roots_of_a_daemon_without_such_a_mount_stay_in_sight() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().canonicalize().unwrap().join("overlay2");
        let driver = open(root.path());
        driver.close().unwrap();
        let id = make(&driver);
        let merged = driver.mount(&id, &MountOptions::default()).unwrap();
        let (left, _, _) = described(&merged).unwrap();
        drop(driver);
        let driver = open(root.path());
        assert!(described(&home).is_none());
        assert_eq!(driver.mount(&id, &MountOptions::default()).unwrap(), merged);
        assert_eq!(described(&merged).unwrap().0, left);
        driver.unmount(&id).unwrap();
    }
}
