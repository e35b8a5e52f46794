//! Picks the driver for a data root.

use std::path::Path;
use std::sync::Arc;

use crate::driver::StorageDriver;
use crate::drivers::overlay2::Overlay2;
use crate::drivers::vfs::Vfs;
use crate::error::{Result, StorageError};

/// The names users may type.
pub const KNOWN_DRIVERS: &[&str] = &["overlay2", "vfs"];

/// Opens the driver asked for, or the one that the data root was used with before, or the best that works.
///
/// # Errors
/// `UnknownDriver`; `NotSupported` when the driver asked for does not work there.
pub fn open(root: &Path, choice: Option<&str>) -> Result<Arc<dyn StorageDriver>> {
    match choice {
        Some("overlay2" | "overlay") => Ok(Arc::new(Overlay2::open(root)?)),
        Some("vfs") => Ok(Arc::new(Vfs::open(root)?)),
        Some(name) => Err(StorageError::UnknownDriver {
            name: name.to_owned(),
            known: KNOWN_DRIVERS.join(", "),
        }),
        // What is there would be out of sight with another driver.
        None if !Overlay2::is_used(root) && Vfs::is_used(root) => Ok(Arc::new(Vfs::open(root)?)),
        None => match Overlay2::open(root) {
            Ok(driver) => Ok(Arc::new(driver)),
            Err(StorageError::NotSupported { .. }) if !Overlay2::is_used(root) => {
                Ok(Arc::new(Vfs::open(root)?))
            }
            Err(error) => Err(error),
        },
    }
}

/// The error of a driver that does not work on the file system of its folder.
pub(crate) fn not_supported(
    driver: &'static str,
    path: &Path,
    error: &StorageError,
) -> StorageError {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        reason = format!("{reason}: {error}");
        cause = error.source();
    }
    StorageError::NotSupported { driver, path: path.to_owned(), fs: file_system(path), reason }
}

/// The name of the file system of a path.
pub(crate) fn file_system(path: &Path) -> String {
    // linux/magic.h
    let name = match rustix::fs::statfs(path).map(|fs| fs.f_type) {
        Ok(0xef53) => "extfs",
        Ok(0x5846_5342) => "xfs",
        Ok(0x9123_683e) => "btrfs",
        Ok(0x0102_1994) => "tmpfs",
        Ok(0x794c_7630) => "overlayfs",
        Ok(0x2fc1_2fc1) => "zfs",
        Ok(0x6969) => "nfs",
        Ok(0x6573_5546) => "fuse",
        Ok(0xf2f5_2010) => "f2fs",
        Ok(other) => return format!("{other:#x}"),
        Err(_) => "unknown",
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rustix::mount::{MountFlags, UnmountFlags};

    use super::*;
    use crate::LayerId;

    /// A folder that overlayfs cannot have its upper folders in: an overlay.
    struct OnOverlay(tempfile::TempDir);

    impl OnOverlay {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for part in ["lower", "upper", "work", "root"] {
                std::fs::create_dir(folder.path().join(part)).unwrap();
            }
            let path = folder.path().display();
            let options =
                format!("lowerdir={path}/lower,upperdir={path}/upper,workdir={path}/work");
            let options = std::ffi::CString::new(options).unwrap();
            let target = folder.path().join("root");
            rustix::mount::mount(
                "overlay",
                &target,
                "overlay",
                MountFlags::empty(),
                Some(options.as_c_str()),
            )
            .unwrap();
            Self(folder)
        }

        fn root(&self) -> PathBuf {
            self.0.path().join("root")
        }
    }

    impl Drop for OnOverlay {
        fn drop(&mut self) {
            rustix::mount::unmount(self.root(), UnmountFlags::DETACH).unwrap();
        }
    }

    #[test]
    fn overlay2_is_the_first_choice() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(open(folder.path(), None).unwrap().name(), "overlay2");
    }

    #[test]
    fn overlay2_on_an_overlay_says_so_and_the_automatic_choice_is_vfs() {
        let place = OnOverlay::new();
        let error = open(&place.root(), Some("overlay2")).unwrap_err();
        assert!(
            matches!(&error, StorageError::NotSupported { fs, .. } if fs == "overlayfs"),
            "{error}"
        );
        let driver = open(&place.root(), None).unwrap();
        assert_eq!(driver.name(), "vfs");
        driver.create(&LayerId::from_bytes([1; 32]), None).unwrap();
    }

    #[test]
    fn the_driver_used_before_is_chosen_again() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), Some("vfs"))
            .unwrap()
            .create(&LayerId::from_bytes([1; 32]), None)
            .unwrap();
        assert_eq!(open(folder.path(), None).unwrap().name(), "vfs");
    }

    #[test]
    fn unknown_names_are_refused_with_the_known_ones() {
        let folder = tempfile::tempdir().unwrap();
        let error = open(folder.path(), Some("zfs")).unwrap_err().to_string();
        assert_eq!(error, "unknown storage driver \"zfs\": known are overlay2, vfs");
    }
}
