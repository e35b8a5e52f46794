//! Layers as whole copies: works on every file system, needs the room (blocks are shared where the file system can).

use std::path::Path;

use barge_archive::copy;
use rustix::fs::{Mode, OFlags};

use super::trees::{NewTree, Origin, Trees};
use crate::error::{Result, StorageError};
use crate::fault;
use crate::options::StorageOptions;
use crate::quota::Projects;

/// The vfs driver.
pub type Vfs = Trees<Copies>;

/// Trees that begin as copies.
#[derive(Debug)]
pub struct Copies {
    projects: Option<Projects>,
}

impl Vfs {
    /// Opens the driver's folder `vfs` below the data root; makes it if needed.
    ///
    /// # Errors
    /// `InvalidOption` for another driver's option; `NoSizes` for a size that the file system cannot enforce.
    pub fn open(data_root: &Path, options: &StorageOptions) -> Result<Self> {
        options.check_for(Copies::NAME)?;
        Self::open_with(data_root, options.size(), |root, path| {
            Ok(Copies { projects: Projects::open(root, path, &[Copies::LAYERS, "new"])? })
        })
    }
}

impl Origin for Copies {
    const NAME: &'static str = "vfs";
    const LAYERS: &'static str = "dir";
    const DELETE: fn(&Path) -> std::io::Result<()> = crate::trash::delete_tree;

    fn make(&self, new: &NewTree<'_>, parent: Option<&Path>) -> Result<()> {
        rustix::fs::mkdirat(new.folder, new.name, Mode::RWXU)
            .map_err(StorageError::io("create layer", new.path))?;
        fault::point();
        if let (Some(size), Some(projects)) = (new.size, &self.projects) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::openat(new.folder, new.name, flags, Mode::empty())
                .map_err(std::io::Error::from)
                .and_then(|tree| projects.limit(tree, size))
                .map_err(StorageError::io("limit the size of", new.path))?;
            fault::point();
        }
        match parent {
            Some(parent) => copy::tree(parent, new.path)
                .map_err(|source| StorageError::Copy { from: parent.to_owned(), source }),
            None => Ok(()),
        }
    }

    fn check_size(&self, _: u64) -> Result<()> {
        match self.projects {
            Some(_) => Ok(()),
            None => Err(StorageError::NoSizes {
                driver: Self::NAME,
                reason: "the file system does not support, or has not enabled quotas",
            }),
        }
    }

    fn forget(&self, tree: &Path) {
        if let Some(projects) = &self.projects
            && let Ok(tree) = std::fs::File::open(tree)
        {
            projects.forget(tree);
        }
    }

    /// Nothing, as in Docker.
    fn status(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Kind, LoopDisk};
    use crate::{LayerId, StorageDriver as _};

    fn blocks_are_shared(kind: Kind) {
        let disk = LoopDisk::new(kind);
        let driver = Vfs::open(disk.path(), &StorageOptions::default()).unwrap();
        let ids: Vec<LayerId> = (1..12).map(|n| LayerId::from_bytes([n; 32])).collect();
        let free = || {
            rustix::fs::syncfs(std::fs::File::open(disk.path()).unwrap()).unwrap();
            let room = rustix::fs::statvfs(disk.path()).unwrap();
            (room.f_bavail * room.f_frsize) >> 20
        };
        driver
            .create_filled(&ids[0], None, &mut |path| {
                let file = path.join("big");
                std::fs::write(&file, vec![7; 32 << 20]).map_err(StorageError::io("write", &file))
            })
            .unwrap();
        let before = free();
        for pair in ids.windows(2) {
            driver.create(&pair[1], Some(&pair[0])).unwrap();
        }
        let used = before - free();
        assert!(used < 32, "ten copies of 32 MiB took {used} MiB");
        let copy = driver.mount(&ids[10], &crate::MountOptions::default()).unwrap();
        assert_eq!(std::fs::read(copy.join("big")).unwrap(), vec![7; 32 << 20]);
    }

    #[test]
    fn copies_share_their_blocks_on_btrfs() {
        crate::need!(btrfs);
        blocks_are_shared(Kind::Btrfs);
    }

    #[test]
    fn copies_share_their_blocks_on_xfs() {
        crate::need!(xfs);
        blocks_are_shared(Kind::Xfs);
    }
}
