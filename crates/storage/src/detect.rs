//! Picks the driver for a data root.

use std::path::Path;
use std::sync::Arc;

use crate::driver::StorageDriver;
use crate::drivers::btrfs::Btrfs;
use crate::drivers::fuse_overlayfs::FuseOverlayfs;
use crate::drivers::overlay2::Overlay2;
use crate::drivers::vfs::Vfs;
use crate::error::{Result, StorageError};
use crate::options::StorageOptions;

/// The names users may type.
pub const KNOWN_DRIVERS: &[&str] = &["overlay2", "fuse-overlayfs", "btrfs", "vfs"];

/// Drivers that Docker has or had: the name, the folder that it kept its layers in, why there is none.
const REFUSED: &[(&str, &str, &str)] = &[
    ("aufs", "aufs/diff", "the kernel has no aufs; overlay2 is its successor"),
    (
        "devicemapper",
        "devicemapper/devicemapper",
        "it was removed from Docker in version 25; overlay2 is its successor",
    ),
    ("overlay", "overlay", "it was removed from Docker in version 24; overlay2 is its successor"),
    (
        "zfs",
        "zfs/graph",
        "the kernel has no zfs of its own; use overlay2 (OpenZFS 2.2 and later can hold its layers) or vfs",
    ),
];

/// Opens the driver asked for, or the one that the data root was used with before, or the best that works.
///
/// # Errors
/// As [`open_with`].
pub fn open(root: &Path, choice: Option<&str>) -> Result<Arc<dyn StorageDriver>> {
    open_with(root, choice, &StorageOptions::default())
}

/// The same with the daemon's `--storage-opt`.
///
/// # Errors
/// `UnknownDriver`, `RefusedDriver`; `NotSupported` when the driver does not work there; `OtherData` when the data root
/// holds layers of another one; `InvalidOption` for an option that is not the driver's; `NoQuota`, `NoSizes`.
pub fn open_with(
    root: &Path,
    choice: Option<&str>,
    options: &StorageOptions,
) -> Result<Arc<dyn StorageDriver>> {
    std::fs::create_dir_all(root).map_err(StorageError::io("create", root))?;
    let used = used(root);
    match (choice, used.as_slice()) {
        (Some(name), _) => {
            known(name)?;
            match used.first() {
                // What is there would be out of sight.
                Some(found) if used.iter().all(|used| used.name != name) => {
                    Err(other_data(root, found, name))
                }
                _ => open_named(root, name, options),
            }
        }
        (None, []) => match options.driver() {
            Some(name) => open_named(root, name, options),
            None => first_that_works(root, options),
        },
        (None, [only]) => match known(only.name) {
            Ok(()) => open_named(root, only.name, options),
            Err(_) => Err(other_data(root, only, "overlay2")),
        },
        (None, [first, second, ..]) => Err(other_data(root, second, first.name)),
    }
}

fn open_named(root: &Path, name: &str, options: &StorageOptions) -> Result<Arc<dyn StorageDriver>> {
    Ok(match name {
        "overlay2" => Arc::new(Overlay2::open(root, options)?),
        "fuse-overlayfs" => Arc::new(FuseOverlayfs::open(root, options)?),
        "btrfs" => Arc::new(Btrfs::open(root, options)?),
        "vfs" => Arc::new(Vfs::open(root, options)?),
        _ => return Err(unknown(name)),
    })
}

/// btrfs where it is at home, then overlayfs, by the kernel or by a program; copies work everywhere.
fn first_that_works(root: &Path, options: &StorageOptions) -> Result<Arc<dyn StorageDriver>> {
    for name in ["btrfs", "overlay2", "fuse-overlayfs"] {
        match open_named(root, name, options) {
            Err(StorageError::NotSupported { .. }) => {}
            result => return result,
        }
    }
    open_named(root, "vfs", options)
}

/// Whether there is a driver of this name.
///
/// # Errors
/// `UnknownDriver`, `RefusedDriver`.
pub fn known(name: &str) -> Result<()> {
    if KNOWN_DRIVERS.contains(&name) {
        return Ok(());
    }
    match REFUSED.iter().find(|(refused, ..)| *refused == name) {
        Some((name, _, reason)) => Err(StorageError::RefusedDriver { name, reason }),
        None => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> StorageError {
    StorageError::UnknownDriver { name: name.to_owned(), known: KNOWN_DRIVERS.join(", ") }
}

/// A driver whose layers a data root has.
struct Used {
    name: &'static str,
    folder: &'static str,
}

/// The drivers whose layers a data root has, the better first.
fn used(root: &Path) -> Vec<Used> {
    let ours = [
        Used { name: "overlay2", folder: "overlay2/l" },
        Used { name: "fuse-overlayfs", folder: "fuse-overlayfs/l" },
        Used { name: "btrfs", folder: "btrfs/subvolumes" },
        Used { name: "vfs", folder: "vfs/dir" },
    ];
    let refused = REFUSED.iter().map(|(name, folder, _)| Used { name, folder });
    let has_layers = |used: &Used| {
        std::fs::read_dir(root.join(used.folder)).is_ok_and(|mut names| names.next().is_some())
    };
    ours.into_iter().chain(refused).filter(has_layers).collect()
}

fn other_data(root: &Path, found: &Used, wanted: &str) -> StorageError {
    let path = root.join(found.name);
    match known(found.name) {
        Ok(()) => StorageError::OtherData {
            path,
            found: found.name.to_owned(),
            wanted: wanted.to_owned(),
        },
        Err(_) => StorageError::ForeignData { path, found: found.name },
    }
}

/// The error of a driver that does not work on the file system of its folder.
pub(crate) fn not_supported(
    driver: &'static str,
    path: &Path,
    error: StorageError,
) -> StorageError {
    if matches!(error, StorageError::NotSupported { .. }) {
        return error;
    }
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(&error);
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
    use crate::testing::{Kind, LoopDisk};

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

    fn id() -> LayerId {
        LayerId::from_bytes([1; 32])
    }

    #[test]
    fn overlay2_is_the_first_choice() {
        let folder = tempfile::tempdir().unwrap();
        let driver = open(folder.path(), None).unwrap();
        assert_eq!(driver.name(), "overlay2");
        let status = driver.status();
        assert!(status.contains(&("Native Overlay Diff", "true".to_owned())), "{status:?}");
    }

    #[test]
    fn overlay2_on_an_overlay_says_so_and_the_automatic_choice_is_another() {
        let place = OnOverlay::new();
        let error = open(&place.root(), Some("overlay2")).unwrap_err();
        assert!(
            matches!(&error, StorageError::NotSupported { fs, .. } if fs == "overlayfs"),
            "{error}"
        );
        let driver = open(&place.root(), None).unwrap();
        assert!(["fuse-overlayfs", "vfs"].contains(&driver.name()), "{driver:?}");
        driver.create(&id(), None).unwrap();
    }

    #[test]
    fn btrfs_is_the_first_choice_where_it_is_at_home() {
        crate::need!(btrfs);
        let disk = LoopDisk::new(Kind::Btrfs);
        let driver = open(disk.path(), None).unwrap();
        assert_eq!(driver.name(), "btrfs");
        let driver = open(disk.path(), Some("overlay2")).unwrap();
        assert_eq!(driver.status().first().unwrap().1, "btrfs");
        let error = open(&std::env::temp_dir(), Some("btrfs")).unwrap_err().to_string();
        assert!(error.ends_with("it stores layers as subvolumes of btrfs"), "{error}");
    }

    #[test]
    fn the_driver_used_before_is_chosen_again_and_no_other() {
        for name in ["vfs", "overlay2"] {
            let folder = tempfile::tempdir().unwrap();
            open(folder.path(), Some(name)).unwrap().create(&id(), None).unwrap();
            assert_eq!(open(folder.path(), None).unwrap().name(), name);
            assert_eq!(open(folder.path(), Some(name)).unwrap().name(), name);
            let other = if name == "vfs" { "overlay2" } else { "vfs" };
            let error = open(folder.path(), Some(other)).unwrap_err();
            let path = folder.path().join(name);
            let text = error.to_string();
            assert!(text.starts_with(path.to_str().unwrap()), "{text}");
            assert!(
                text.contains(&format!("start with --storage-driver={name} to keep")),
                "{text}"
            );
            assert!(text.contains(&format!("or move {} away", path.display())), "{text}");
            assert_eq!(error.kind(), barge_types::ErrorKind::Conflict);
        }
    }

    #[test]
    fn data_of_two_drivers_needs_a_choice() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), Some("vfs")).unwrap().create(&id(), None).unwrap();
        Overlay2::open(folder.path(), &StorageOptions::default())
            .unwrap()
            .create(&id(), None)
            .unwrap();
        let error = open(folder.path(), None).unwrap_err();
        assert!(matches!(error, StorageError::OtherData { .. }), "{error}");
        for name in ["vfs", "overlay2"] {
            assert_eq!(open(folder.path(), Some(name)).unwrap().name(), name);
        }
    }

    #[test]
    fn dockers_older_drivers_are_refused_with_the_reason() {
        for (name, part) in [
            ("aufs", "the kernel has no aufs; overlay2 is its successor"),
            ("devicemapper", "overlay2 is its successor"),
            ("overlay", "overlay2 is its successor"),
            ("zfs", "no zfs of its own"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let error = open(folder.path(), Some(name)).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("storage driver {name} is not supported: ")),
                "{error}"
            );
            assert!(error.contains(part), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("aufs/diff/layer")).unwrap();
        let error = open(folder.path(), None).unwrap_err().to_string();
        assert!(
            error.contains("layers of storage driver aufs") && error.contains("move"),
            "{error}"
        );
    }

    #[test]
    fn options_choose_and_belong_to_their_driver() {
        let folder = tempfile::tempdir().unwrap();
        let options = StorageOptions::parse(&["overlay2.override_kernel_check=true"]).unwrap();
        assert_eq!(open_with(folder.path(), None, &options).unwrap().name(), "overlay2");
        let error = open_with(folder.path(), Some("vfs"), &options).unwrap_err();
        assert!(matches!(error, StorageError::InvalidOption { .. }), "{error}");
    }

    #[test]
    fn unknown_names_are_refused_with_the_known_ones() {
        let folder = tempfile::tempdir().unwrap();
        let error = open(folder.path(), Some("floppy")).unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown storage driver \"floppy\": known are overlay2, fuse-overlayfs, btrfs, vfs"
        );
    }
}
