//! Layers whose files have other owners for who uses them than they have on the disk.
//!
//! The driver's folder is mounted a second time, with its ids mapped by the kernel (idmapped mounts, Linux 5.12; below an
//! overlay 5.19), and a layer is found there under the same name. Nothing is copied or changed: what a container writes
//! through such a mount has the container's own ids on the disk, so that everything else about a layer is as ever.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use barge_sys::mount::{self, Reach};
use barge_sys::user_namespace;
use rustix::fs::CWD;

use crate::error::{Result, StorageError};

/// How owners are mapped, and where the driver may show its folder with them.
#[derive(Clone, Copy, Debug)]
pub struct MappedOptions<'a> {
    /// The user namespace whose maps are meant.
    pub user_namespace: BorrowedFd<'a>,
    /// User and group that its root is for us.
    pub root: (u32, u32),
    /// A folder to mount on; it is made when it is missing, and its mount is the caller's to take away in the end.
    pub place: &'a Path,
}

/// The second mount of a driver's folder, once there is one.
#[derive(Debug, Default)]
pub(crate) struct Mapped(OnceLock<Shown>);

/// What detaching says where nothing is mounted.
fn nothing_there(error: std::io::Error) -> std::io::Result<()> {
    let is_none = error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error());
    if is_none { Ok(()) } else { Err(error) }
}

#[derive(Debug)]
struct Shown {
    folder: PathBuf,
    place: PathBuf,
    root: (u32, u32),
}

impl Mapped {
    /// Shows `folder` at the place.
    pub(crate) fn show(&self, folder: &Path, options: &MappedOptions<'_>) -> Result<()> {
        let place = options.place;
        std::fs::create_dir_all(place).map_err(StorageError::io("create", place))?;
        // One of a former daemon: what uses it keeps what it needs of it.
        mount::detach(place).or_else(nothing_there).map_err(StorageError::io("unmount", place))?;
        let failed = || StorageError::io::<std::io::Error>("map the owners of", folder);
        let tree = mount::clone_tree(CWD, folder, Reach::One).map_err(failed())?;
        mount::map_ids(&tree, options.user_namespace).map_err(failed())?;
        mount::attach_at(&tree, CWD, place).map_err(StorageError::io("mount at", place))?;
        let (folder, place) = (folder.to_owned(), place.to_owned());
        // Asked for once, when the daemon starts.
        self.0.set(Shown { folder, place, root: options.root }).ok();
        Ok(())
    }

    fn shown(&self) -> Result<&Shown> {
        self.0.get().ok_or(StorageError::NotMapped)
    }

    /// The same path where owners are mapped.
    pub(crate) fn path(&self, path: &Path) -> Result<PathBuf> {
        let shown = self.shown()?;
        // A driver's layers are all in its folder.
        let inside = path.strip_prefix(&shown.folder).unwrap_or(path);
        Ok(shown.place.join(inside))
    }

    /// Does what makes files there, which must belong to someone who has an id on the disk: the mapped root.
    pub(crate) fn as_root<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let shown = self.shown()?;
        let failed = StorageError::io("act for the mapped root in", &shown.place);
        user_namespace::as_owner(shown.root, work).map_err(failed)?
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::{MetadataExt as _, chown};

    use super::*;
    use crate::drivers::overlay2::Overlay2;
    use crate::drivers::vfs::Vfs;
    use crate::need;
    use crate::testing::own_mounts;
    use crate::{LayerId, MountOptions, Owners, ReadWriteOptions, StorageDriver, StorageOptions};
    use barge_sys::spawn::{IdMap, UserMaps};

    const ROOT: u32 = 300_000;
    const MAPPED: MountOptions =
        MountOptions { durability: crate::Durability::Durable, owners: Owners::Mapped };

    /// A driver whose layer 1 has `file` of 5:6, and layer 2 on it to be written to, with owners mapped.
    fn with_layers(driver: &dyn StorageDriver, place: &Path) -> [LayerId; 2] {
        let map = vec![IdMap { inside: 0, outside: ROOT, count: 1000 }];
        let maps = UserMaps { uids: map.clone(), gids: map };
        let namespace = user_namespace::make(&maps).unwrap();
        let user_namespace = namespace.as_fd();
        driver.map_owners(&MappedOptions { user_namespace, root: (ROOT, ROOT), place }).unwrap();
        let ids = [1, 2].map(|number| LayerId::from_bytes([number; 32]));
        let mut fill = |path: &Path| {
            let file = path.join("file");
            std::fs::write(&file, "x").and_then(|()| chown(&file, Some(5), Some(6))).unwrap();
            Ok(())
        };
        driver.create_filled(&ids[0], None, &mut fill).unwrap();
        driver.create_read_write(&ids[1], Some(&ids[0]), &ReadWriteOptions::default()).unwrap();
        ids
    }

    fn owner(path: &Path) -> (u32, u32) {
        let stat = std::fs::metadata(path).unwrap();
        (stat.uid(), stat.gid())
    }

    fn owners_are_others_where_they_are_mapped(driver: &dyn StorageDriver, place: &Path) {
        let ids = with_layers(driver, place);
        let path = driver.mount(&ids[1], &MAPPED).unwrap();
        let before = owner(&path.join("file"));
        // Copied up by the kernel, changed and made by one of the mapped.
        user_namespace::as_owner((ROOT, ROOT), || {
            std::fs::write(path.join("file"), "changed").unwrap();
            std::fs::write(path.join("new"), "new").unwrap();
        })
        .unwrap();
        let made = owner(&path.join("new"));
        let refused = std::fs::write(path.join("ours"), "").unwrap_err();
        driver.unmount(&ids[1]).unwrap();
        let path = driver.mount(&ids[1], &MountOptions::default()).unwrap();
        let stored = ["file", "new"].map(|name| owner(&path.join(name)));
        driver.unmount(&ids[1]).unwrap();
        let changes = driver.changes(&ids[1], Some(&ids[0])).unwrap();
        mount::detach(place).unwrap();
        assert_eq!((before, made), ((ROOT + 5, ROOT + 6), (ROOT, ROOT)));
        assert_eq!(refused.raw_os_error(), Some(rustix::io::Errno::OVERFLOW.raw_os_error()));
        assert_eq!(stored, [(5, 6), (0, 0)]);
        let changes: Vec<_> =
            changes.iter().map(|change| (change.kind.letter(), change.path.as_path())).collect();
        assert_eq!(changes, [('C', Path::new("/file")), ('A', Path::new("/new"))]);
    }

    #[test]
    fn overlay2_maps_owners() {
        need!(mapped_owners);
        own_mounts();
        let folder = tempfile::tempdir().unwrap();
        let driver = Overlay2::open(folder.path(), &StorageOptions::default()).unwrap();
        owners_are_others_where_they_are_mapped(&driver, &folder.path().join("place"));
    }

    #[test]
    fn vfs_maps_owners() {
        need!(mapped_owners);
        own_mounts();
        let folder = tempfile::tempdir().unwrap();
        let driver = Vfs::open(folder.path(), &StorageOptions::default()).unwrap();
        owners_are_others_where_they_are_mapped(&driver, &folder.path().join("place"));
    }

    #[test]
    fn owners_are_mapped_only_after_somebody_said_how() {
        let folder = tempfile::tempdir().unwrap();
        let driver = Overlay2::open(folder.path(), &StorageOptions::default()).unwrap();
        let ids = [1, 2].map(|number| LayerId::from_bytes([number; 32]));
        driver.create(&ids[0], None).unwrap();
        driver.create_read_write(&ids[1], Some(&ids[0]), &ReadWriteOptions::default()).unwrap();
        let error = driver.mount(&ids[1], &MAPPED).unwrap_err();
        assert!(matches!(error, StorageError::NotMapped), "{error}");
    }
}
