//! Layers as subvolumes, each a snapshot of its parent: nothing is copied, and sizes are btrfs' own quotas.
//!
//! `btrfs/subvolumes/ID` as Docker lays it out. A size counts what the layer refers to, with its parents' content, as in
//! Docker. No program of btrfs is needed.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use barge_sys::btrfs;
use rustix::fs::{Mode, OFlags};

use super::trees::{NewTree, Origin, Trees};
use crate::error::{Result, StorageError};
use crate::fault;
use crate::options::StorageOptions;

/// The btrfs driver.
pub type Btrfs = Trees<Snapshots>;

/// Room is short when less than one part in so many is free.
const SHORT: u64 = 10;

/// Trees that begin as snapshots.
#[derive(Debug)]
pub struct Snapshots {
    min_space: u64,
}

impl Btrfs {
    /// Opens the driver's folder `btrfs` below the data root; makes it if needed.
    ///
    /// # Errors
    /// `NotSupported` on another file system; `InvalidOption` for another driver's option.
    pub fn open(data_root: &Path, options: &StorageOptions) -> Result<Self> {
        options.check_for(Snapshots::NAME)?;
        std::fs::create_dir_all(data_root).map_err(StorageError::io("create", data_root))?;
        // Before anything is made in it.
        if crate::detect::file_system(data_root) != "btrfs" {
            return Err(StorageError::NotSupported {
                driver: Snapshots::NAME,
                path: data_root.to_owned(),
                fs: crate::detect::file_system(data_root),
                reason: "it stores layers as subvolumes of btrfs".to_owned(),
            });
        }
        let min_space = options.min_space();
        Self::open_with(data_root, options.size(), |_, _| Ok(Snapshots { min_space }))
    }
}

impl Origin for Snapshots {
    const NAME: &'static str = "btrfs";
    const LAYERS: &'static str = "subvolumes";
    const DELETE: fn(&Path) -> std::io::Result<()> = delete;

    fn make(&self, new: &NewTree<'_>, parent: Option<&Path>) -> Result<()> {
        let name = OsStr::new(new.name);
        match parent {
            Some(parent) => {
                File::open(parent).and_then(|parent| btrfs::snapshot(parent, new.folder, name))
            }
            None => btrfs::create_subvolume(new.folder, name),
        }
        .map_err(StorageError::io("create subvolume", new.path))?;
        fault::point();
        if let Some(size) = new.size {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::openat(new.folder, new.name, flags, Mode::empty())
                .map_err(std::io::Error::from)
                .and_then(|subvolume| {
                    btrfs::enable_quotas(new.folder)?;
                    btrfs::limit(subvolume, size)
                })
                .map_err(StorageError::io("limit the size of", new.path))?;
            fault::point();
        }
        Ok(())
    }

    fn check_size(&self, size: u64) -> Result<()> {
        if size < self.min_space {
            return Err(StorageError::TooSmall { size, least: self.min_space });
        }
        Ok(())
    }

    /// Its quota group goes with the subvolume.
    fn forget(&self, _: &Path) {}

    fn status(&self) -> Vec<(&'static str, String)> {
        vec![("Btrfs", String::new())]
    }
}

/// Deletes a subvolume with those inside it, or a folder that is none.
fn delete(path: &Path) -> std::io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(std::io::ErrorKind::InvalidInput.into());
    };
    if btrfs::is_subvolume(File::open(path)?)? {
        let folder = File::open(folder)?;
        btrfs::delete_subvolume(&folder, name)?;
        // Syncing costs everybody: only where the room may be wanted soon.
        let room = rustix::fs::fstatvfs(&folder)?;
        if room.f_bavail < room.f_blocks / SHORT { btrfs::sync(folder) } else { Ok(()) }
    } else {
        crate::trash::delete_tree(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Kind, LoopDisk};
    use crate::{LayerId, ReadWriteOptions, StorageDriver as _};

    #[test]
    fn subvolumes_that_a_container_made_go_with_its_layer() {
        crate::need!(btrfs);
        let disk = LoopDisk::new(Kind::Btrfs);
        let driver = Btrfs::open(disk.path(), &StorageOptions::default()).unwrap();
        let id = LayerId::from_bytes([1; 32]);
        driver.create_read_write(&id, None, &ReadWriteOptions::default()).unwrap();
        let path = driver.mount(&id, &crate::MountOptions::default()).unwrap();
        std::fs::create_dir_all(path.join("a/b")).unwrap();
        for (folder, name) in [("a/b", "one"), ("a/b/one", "two"), ("", "three")] {
            let folder = path.join(folder);
            btrfs::create_subvolume(File::open(&folder).unwrap(), OsStr::new(name)).unwrap();
            std::fs::write(folder.join(name).join("file"), "x").unwrap();
        }
        btrfs::snapshot(
            File::open(path.join("three")).unwrap(),
            File::open(path.join("a/b/one/two")).unwrap(),
            OsStr::new("copy"),
        )
        .unwrap();
        assert!(path.join("a/b/one/two/copy/file").exists());
        driver.unmount(&id).unwrap();
        driver.remove(&id).unwrap();
        driver.flush();
        for folder in ["subvolumes", "trash", "new"] {
            let folder = disk.path().join("btrfs").join(folder);
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "{}", folder.display());
        }
    }

    #[test]
    fn sizes_below_the_least_are_refused() {
        crate::need!(btrfs);
        let disk = LoopDisk::new(Kind::Btrfs);
        let options = StorageOptions::parse(&["btrfs.min_space=10M"]).unwrap();
        let driver = Btrfs::open(disk.path(), &options).unwrap();
        let size = |size| ReadWriteOptions { size: Some(size) };
        let id = LayerId::from_bytes([1; 32]);
        let error = driver.create_read_write(&id, None, &size(5 << 20)).unwrap_err();
        assert!(matches!(error, StorageError::TooSmall { .. }), "{error}");
        driver.create_read_write(&id, None, &size(10 << 20)).unwrap();
    }
}
