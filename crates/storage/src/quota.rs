//! Sizes of layers by project quotas: a number for each layer that has a limit.
//!
//! The driver's own folder may be given a project by the administrator: numbers above it are used then, so that they do
//! not meet those of others (as in Docker). A number is not used twice while the daemon runs.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use barge_sys::quota::{Quotas, project, set_project};
use rustix::fs::{FileType, Mode};

use crate::error::{Result, StorageError};

/// What overlayfs needs of a full layer to mount it: without, the mount is read-only.
const ROOM: u64 = 1024 * 1024;

/// The node of the file system's device, for kernels without `quotactl_fd`; Docker's name for it.
const DEVICE: &str = "backingFsBlockDev";

#[derive(Debug)]
pub(crate) struct Projects {
    quotas: Quotas<OwnedFd>,
    /// The last number in use.
    last: AtomicU32,
}

impl Projects {
    /// The projects of the file system that the driver's folder is on; `None` where limits do not hold. `layers` are the
    /// folders that may have one.
    pub(crate) fn open(root: &OwnedFd, path: &Path, layers: &[&str]) -> Result<Option<Self>> {
        let failed = |action| StorageError::io::<std::io::Error>(action, path);
        let copy = || {
            rustix::io::fcntl_dupfd_cloexec(root, 0).map_err(|error| failed("open")(error.into()))
        };
        let mut quotas = Quotas::new(copy()?, None).map_err(failed("open quotas of"))?;
        let mut are_enforced = quotas.are_enforced();
        if matches!(&are_enforced, Err(error) if error.kind() == std::io::ErrorKind::Unsupported) {
            let device =
                rustix::fs::fstat(root).map_err(|error| failed("stat")(error.into()))?.st_dev;
            rustix::fs::unlinkat(root, DEVICE, rustix::fs::AtFlags::empty()).ok();
            if rustix::fs::mknodat(root, DEVICE, FileType::BlockDevice, Mode::RUSR, device).is_err()
            {
                return Ok(None);
            }
            quotas =
                Quotas::new(copy()?, Some(&path.join(DEVICE))).map_err(failed("open quotas of"))?;
            are_enforced = quotas.are_enforced();
        }
        if !are_enforced.unwrap_or_default() {
            return Ok(None);
        }
        let mut last = project(root).unwrap_or_default();
        for folder in layers {
            last = last.max(highest(&path.join(folder))?);
        }
        Ok(Some(Self { quotas, last: AtomicU32::new(last) }))
    }

    /// Gives an empty folder an upper bound of bytes.
    pub(crate) fn limit(&self, folder: impl AsFd, size: u64) -> std::io::Result<()> {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        // The limit first: a folder with a project has one.
        self.quotas.set_limit(number, size)?;
        set_project(folder, number)
    }

    /// Does something that needs a little room in a folder that may be full, and must not fail for that.
    pub(crate) fn with_room<T>(
        &self,
        folder: impl AsFd,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let usage = project(folder).ok().filter(|number| *number != 0).and_then(|number| {
            let usage = self.quotas.usage(number).ok()?;
            (usage.limit > 0 && usage.used + ROOM > usage.limit).then_some((number, usage.limit))
        });
        // When it cannot be raised the work tells what it lacks; when it cannot be set back there is a little more room.
        if let Some((number, limit)) = usage {
            self.quotas.set_limit(number, limit + ROOM).ok();
        }
        let result = work();
        if let Some((number, limit)) = usage {
            self.quotas.set_limit(number, limit).ok();
        }
        result
    }

    /// Forgets the limit of a folder that is going to be deleted.
    pub(crate) fn forget(&self, folder: impl AsFd) {
        // A limit that stays is nobody's: its number is not used again before the file system is mounted anew.
        match project(folder) {
            Ok(0) | Err(_) => {}
            Ok(number) => self.quotas.set_limit(number, 0).ok().unwrap_or_default(),
        }
    }
}

/// The highest project of the folders in a folder.
fn highest(folder: &Path) -> Result<u32> {
    let mut last = 0;
    for entry in std::fs::read_dir(folder).map_err(StorageError::io("read", folder))? {
        let entry = entry.map_err(StorageError::io("read", folder))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(file) = std::fs::File::open(entry.path())
        {
            last = last.max(project(file).unwrap_or_default());
        }
    }
    Ok(last)
}
