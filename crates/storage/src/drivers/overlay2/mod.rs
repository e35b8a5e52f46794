//! Layers stacked by the kernel's overlayfs: the first choice.
//!
//! Where the attributes of the host's root cannot be set (in a user namespace), overlayfs keeps its marks in those of
//! users (`userxattr`, Linux 5.11).

mod kernel;

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use barge_archive::Marks;
use barge_archive::extract::Whiteouts;
use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::overlay::{Mounter, Overlay, Stack, Trial, unmount};
use crate::detect::file_system;
use crate::error::{Result, StorageError};
use crate::options::StorageOptions;
use kernel::Kernel;

/// The overlay2 driver.
pub type Overlay2 = Overlay<Overlayfs>;

/// Mounts by overlayfs.
#[derive(Debug)]
pub struct Overlayfs {
    kernel: Kernel,
    /// Whether a layer's own folder tells all that it changes.
    is_native: bool,
}

impl Overlay2 {
    /// Opens the driver's folder `overlay2` below the data root; makes it if needed.
    ///
    /// # Errors
    /// `NotSupported` where overlayfs cannot have its upper folders; `InvalidOption` for another driver's option;
    /// `NoQuota` for a size that the file system cannot enforce.
    pub fn open(data_root: &Path, options: &StorageOptions) -> Result<Self> {
        options.check_for(Overlayfs::NAME)?;
        Self::open_with(data_root, options.size(), |trial| match trial {
            Some(trial) => Overlayfs::try_out(trial, marks_possible(trial)?),
            None => Overlayfs::as_before(&data_root.join(Overlayfs::NAME)),
        })
    }

    /// With `userxattr`, as in a user namespace.
    #[cfg(test)]
    pub(crate) fn open_with_user_marks(data_root: &Path) -> Result<Self> {
        Self::open_with(data_root, None, |trial| match trial {
            Some(trial) => Overlayfs::try_out(trial, Marks::User),
            None => Overlayfs::as_before(&data_root.join(Overlayfs::NAME)),
        })
    }
}

impl Overlayfs {
    /// Mounts, and changes what a kernel could redirect or leave below.
    fn try_out(trial: &Trial<'_>, marks: Marks) -> Result<Self> {
        check_names(trial)?;
        let failed = || StorageError::io::<std::io::Error>("try a mount in", trial.path);
        let lower = trial.path.join("lower");
        std::fs::create_dir(lower.join("folder"))
            .and_then(|()| std::fs::write(lower.join("file"), "x"))
            .map_err(failed())?;
        let target = trial.target();
        let home = trial.path.parent().unwrap_or(trial.path);
        let mut kernel = Kernel::for_folder(marks, home);
        kernel.try_at(&trial.stack(), &target)?;
        // With a redirect the rename works, without it does not: either is fine.
        std::fs::rename(target.join("folder"), target.join("renamed")).ok();
        let mode = std::fs::Permissions::from_mode(0o600);
        let changed = std::fs::set_permissions(target.join("file"), mode);
        unmount(&target)?;
        changed.map_err(failed())?;
        let diff = trial.path.join("diff");
        let is_native = !has_mark(&diff.join("renamed"), "redirect")?
            && !has_mark(&diff.join("file"), "metacopy")?;
        Ok(Self { kernel, is_native })
    }

    /// What holds for layers that are there. Differences are looked for by comparing, which is always right.
    fn as_before(path: &Path) -> Result<Self> {
        // Who may not set an attribute may not remove one either, also one that is not there.
        let marks = match rustix::fs::lremovexattr(path, "trusted.overlay.opaque") {
            Ok(()) | Err(Errno::NODATA) => Marks::Trusted,
            Err(Errno::PERM | Errno::OPNOTSUPP) => Marks::User,
            Err(error) => return Err(StorageError::io("read attributes of", path)(error)),
        };
        Ok(Self { kernel: Kernel::new(marks), is_native: false })
    }
}

/// Which marks can be set in the folder.
fn marks_possible(trial: &Trial<'_>) -> Result<Marks> {
    let path = trial.path.join("lower");
    let set = |name| rustix::fs::lsetxattr(&path, name, b"n", XattrFlags::empty());
    match set("trusted.overlay.opaque") {
        Ok(()) => Ok(Marks::Trusted),
        Err(Errno::PERM | Errno::OPNOTSUPP) => match set("user.overlay.opaque") {
            Ok(()) => Ok(Marks::User),
            Err(error) => Err(StorageError::io("set attributes in", trial.path)(error)),
        },
        Err(error) => Err(StorageError::io("set attributes in", trial.path)(error)),
    }
}

/// overlayfs needs the kinds of names from the file system (xfs without `ftype=1` does not have them).
fn check_names(trial: &Trial<'_>) -> Result<()> {
    let failed = || StorageError::io::<Errno>("read", trial.path);
    let folder = super::overlay::open_folder(trial.path)?;
    for entry in rustix::fs::Dir::read_from(&folder).map_err(failed())? {
        if entry.map_err(failed())?.file_type() == rustix::fs::FileType::Unknown {
            return Err(StorageError::NotSupported {
                driver: Overlayfs::NAME,
                path: trial.path.to_owned(),
                fs: file_system(trial.path),
                reason:
                    "the file system is formatted without d_type support; reformat it with ftype=1"
                        .into(),
            });
        }
    }
    Ok(())
}

fn has_mark(path: &Path, mark: &str) -> Result<bool> {
    for prefix in ["trusted.overlay.", "user.overlay."] {
        let mut value = [0; 256];
        match rustix::fs::lgetxattr(path, format!("{prefix}{mark}"), &mut value[..]) {
            Ok(_) | Err(Errno::RANGE) => return Ok(true),
            Err(Errno::NODATA | Errno::NOENT | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(StorageError::io("read attributes of", path)(error)),
        }
    }
    Ok(false)
}

impl Mounter for Overlayfs {
    const NAME: &'static str = "overlay2";

    fn mount(&self, stack: &Stack, target: &Path) -> Result<()> {
        self.kernel.mount_at(stack, target)
    }

    fn cannot_map(&self) -> Option<&'static str> {
        None
    }

    /// The kernel's own is.
    fn is_alive(&self, _: &Path) -> bool {
        true
    }

    fn detached(&self, stack: &Stack) -> Result<Option<OwnedFd>> {
        self.kernel.detached(stack)
    }

    fn whiteouts(&self) -> Whiteouts {
        Whiteouts::Overlay(self.kernel.marks)
    }

    fn native(&self) -> Option<Marks> {
        self.is_native.then_some(self.kernel.marks)
    }

    fn no_sizes(&self) -> StorageError {
        StorageError::NoQuota
    }

    fn status(&self, root: &Path) -> Vec<(&'static str, String)> {
        vec![
            ("Backing Filesystem", file_system(root)),
            ("Supports d_type", "true".to_owned()),
            ("Using metacopy", "false".to_owned()),
            ("Native Overlay Diff", self.is_native.to_string()),
            ("userxattr", (self.kernel.marks == Marks::User).to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LayerId, MountOptions, ReadWriteOptions, StorageDriver as _};

    const CHILD: &str = "drivers::overlay2::tests::in_a_user_namespace";

    #[test]
    fn users_marks_are_used_in_a_user_namespace() {
        let folder = tempfile::tempdir().unwrap();
        let output = std::process::Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount"])
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", CHILD])
            .env("BARGE_STORAGE_USER", folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }

    #[test]
    #[ignore = "runs in a user namespace, started by another test"]
    fn in_a_user_namespace() {
        let Some(folder) = std::env::var_os("BARGE_STORAGE_USER") else { return };
        let driver = Overlay2::open(Path::new(&folder), &StorageOptions::default()).unwrap();
        assert!(driver.status().contains(&("userxattr", "true".to_owned())), "{driver:?}");
        let ids = [1, 2, 3].map(|n| LayerId::from_bytes([n; 32]));
        let layer = |names: &[&str]| {
            let mut writer = barge_archive::tar::Writer::new(Vec::new());
            for name in names {
                let kind = barge_archive::tar::EntryKind::Regular;
                let header = barge_archive::tar::Header::new(*name, kind);
                writer.append_bytes(&header, b"x").unwrap();
            }
            writer.finish().unwrap()
        };
        driver.create(&ids[0], None).unwrap();
        driver.apply_diff(&ids[0], None, &mut &layer(&["a/old", "gone"])[..]).unwrap();
        driver.create(&ids[1], Some(&ids[0])).unwrap();
        let upper = layer(&["a/new", "a/.wh..wh..opq", ".wh.gone"]);
        driver.apply_diff(&ids[1], Some(&ids[0]), &mut &upper[..]).unwrap();
        driver.create_read_write(&ids[2], Some(&ids[1]), &ReadWriteOptions::default()).unwrap();
        let path = driver.mount(&ids[2], &MountOptions::default()).unwrap();
        let there = ["a/new", "a/old", "gone"].map(|name| path.join(name).exists());
        driver.unmount(&ids[2]).unwrap();
        assert_eq!(there, [true, false, false]);
    }
}
