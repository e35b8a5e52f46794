//! What tests of drivers need from the machine: file systems on loop devices, programs.
//!
//! Everything is mounted in a mount namespace of the test's thread: what a killed test leaves goes with it, loop devices
//! included.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::mount::{MountPropagationFlags, UnmountFlags};

/// A file system to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Btrfs,
    Ext4,
    /// With project quotas.
    Ext4Quota,
    Xfs,
    /// With project quotas.
    XfsQuota,
}

/// Leaves the test, with a word, when the machine lacks something. In CI programs have to be there; a kernel without a
/// file system has none there either.
#[macro_export]
macro_rules! need {
    ($($what:ident),* $(,)?) => {
        $(
            if let Err(missing) = $crate::testing::check(stringify!($what)) {
                eprintln!("skipped: {missing}");
                return;
            }
        )*
    };
}

/// Whether something is there; else what is missing.
pub(crate) fn check(what: &str) -> Result<(), String> {
    let (system, program) = match what {
        "btrfs" => ("btrfs", "mkfs.btrfs"),
        "ext4" => ("ext4", "mkfs.ext4"),
        "xfs" => ("xfs", "mkfs.xfs"),
        "fuse" => ("fuse", "fuse-overlayfs"),
        "quotas" => {
            static CAN: OnceLock<bool> = OnceLock::new();
            return check_quotas("ext4", &CAN, (Kind::Ext4Quota, 32));
        }
        "xfs_quotas" => {
            static CAN: OnceLock<bool> = OnceLock::new();
            return check_quotas("xfs", &CAN, (Kind::XfsQuota, 320));
        }
        "mapped_owners" => return check_mapped_owners(),
        _ => panic!("unknown need {what}"),
    };
    let systems = std::fs::read_to_string("/proc/filesystems").unwrap();
    if !systems.lines().any(|line| line.split_whitespace().last() == Some(system)) {
        return Err(format!("the kernel has no {system}"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    if folders.map(|folder| folder.join(program)).any(|program| program.is_file()) {
        return Ok(());
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{program} has to be there in CI"
    );
    Err(format!("there is no {program} on this machine"))
}

/// Many kernels are built without quotas: only a mount tells.
fn check_quotas(system: &str, can: &OnceLock<bool>, disk: (Kind, u64)) -> Result<(), String> {
    check(system)?;
    if *can.get_or_init(|| LoopDisk::try_new(disk.0, disk.1).is_ok()) {
        return Ok(());
    }
    Err(format!("the kernel has no project quotas on {system}"))
}

/// Whether files of temporary folders can be shown with other owners: it depends on their file system.
fn check_mapped_owners() -> Result<(), String> {
    use barge_sys::spawn::{IdMap, UserMaps};
    use barge_sys::{mount, user_namespace};
    let map = vec![IdMap { inside: 0, outside: 300_000, count: 1000 }];
    let namespace = user_namespace::make(&UserMaps { uids: map.clone(), gids: map }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tree = mount::clone_tree(rustix::fs::CWD, folder.path(), mount::Reach::One).unwrap();
    mount::map_ids(&tree, std::os::fd::AsFd::as_fd(&namespace))
        .map_err(|error| format!("owners in {} cannot be mapped: {error}", folder.path().display()))
}

/// Gives the calling thread mounts of its own, which nobody else sees.
pub(crate) fn own_mounts() {
    barge_sys::namespace::unshare(barge_sys::namespace::Kinds::MOUNT).unwrap();
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).unwrap();
}

/// A file system in a file.
pub(crate) struct LoopDisk {
    folder: tempfile::TempDir,
    path: PathBuf,
    pub(crate) kind: Kind,
}

impl LoopDisk {
    /// A file system of half a GiB, of which only what is written takes room.
    pub(crate) fn new(kind: Kind) -> Self {
        Self::try_new(kind, 512).unwrap()
    }

    /// One of so many MiB.
    pub(crate) fn try_new(kind: Kind, size: u64) -> Result<Self, String> {
        own_mounts();
        let folder = tempfile::tempdir().unwrap();
        let disk = Self { path: folder.path().join("disk"), folder, kind };
        let image = disk.folder.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(size << 20).unwrap();
        let (make, mount): (&[&str], &str) = match kind {
            Kind::Btrfs => (&["mkfs.btrfs", "-q"], "loop"),
            Kind::Ext4 => (&["mkfs.ext4", "-q", "-F"], "loop"),
            Kind::Ext4Quota => (
                &["mkfs.ext4", "-q", "-F", "-O", "quota,project", "-E", "quotatype=prjquota"],
                "loop,prjquota",
            ),
            Kind::Xfs => (&["mkfs.xfs", "-q"], "loop"),
            Kind::XfsQuota => (&["mkfs.xfs", "-q"], "loop,pquota"),
        };
        run(make.iter().map(OsStr::new).chain([image.as_os_str()]))?;
        std::fs::create_dir(disk.path()).unwrap();
        let words = ["mount", "-o", mount].map(OsStr::new);
        run(words.into_iter().chain([image.as_os_str(), disk.path().as_os_str()]))?;
        Ok(disk)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // The loop device goes with the mount: mount(8) made it so.
        rustix::mount::unmount(self.path(), UnmountFlags::DETACH).ok();
    }
}

fn run<'a>(words: impl Iterator<Item = &'a OsStr>) -> Result<(), String> {
    let words: Vec<&OsStr> = words.collect();
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let program = std::env::split_paths(&path)
        .map(|folder| folder.join(words[0]))
        .find(|program: &PathBuf| program.is_file())
        .unwrap_or_else(|| PathBuf::from(words[0]));
    let output = Command::new(program).args(&words[1..]).env("PATH", path).output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{words:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
