//! Files that are in memory only: a file system of their own, gone with the step.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use barge_sys::mount::{self, Filesystem};
use rustix::mount::MountAttrFlags;

use crate::error::{BuildError, Result};

/// A mounted tmpfs.
#[derive(Debug)]
pub(crate) struct Memory {
    path: PathBuf,
}

impl Memory {
    /// Mounts one below a folder.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(BuildError::io("create", folder))?;
        let path = barge_sys::durable::temporary_name(folder)
            .map_err(BuildError::io("name a folder in", folder))?;
        fs::create_dir(&path).map_err(BuildError::io("create", &path))?;
        let mounted = mount_at(&path).map_err(BuildError::io("mount a tmpfs on", &path));
        let memory = Self { path };
        mounted.map(|()| memory)
    }

    /// A new file.
    pub(crate) fn write(&self, bytes: &[u8], owner: (u32, u32), mode: u32) -> Result<PathBuf> {
        let path = barge_sys::durable::temporary_name(&self.path)
            .map_err(BuildError::io("name a file in", &self.path))?;
        let failed = || BuildError::io("write", &path);
        let mut options = File::options();
        let mut file =
            options.write(true).create_new(true).mode(0o600).open(&path).map_err(failed())?;
        file.write_all(bytes).map_err(failed())?;
        std::os::unix::fs::fchown(&file, Some(owner.0), Some(owner.1)).map_err(failed())?;
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed())?;
        Ok(path)
    }

    /// A new socket that is listened on.
    pub(crate) fn listen(&self, owner: (u32, u32), mode: u32) -> Result<(UnixListener, PathBuf)> {
        let path = barge_sys::durable::temporary_name(&self.path)
            .map_err(BuildError::io("name a socket in", &self.path))?;
        let failed = || BuildError::io("make the socket", &path);
        // A socket's name may be short only: not every folder is.
        let folder = barge_sys::openat2::open_root(&self.path).map_err(failed())?;
        let name = path.file_name().unwrap_or_default();
        let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        let listener = UnixListener::bind(short).map_err(failed())?;
        // Nobody else gets into the folder.
        std::os::unix::fs::chown(&path, Some(owner.0), Some(owner.1)).map_err(failed())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(failed())?;
        Ok((listener, path))
    }

    /// Unmounts it.
    pub(crate) fn remove(self) -> Result<()> {
        mount::detach(&self.path).map_err(BuildError::io("unmount", &self.path))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Unmounted already, unless an error came between.
        mount::detach(&self.path).ok();
        fs::remove_dir(&self.path).ok();
    }
}

fn mount_at(path: &Path) -> std::io::Result<()> {
    let filesystem = Filesystem::open("tmpfs")?;
    filesystem.set("mode", "0700")?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let tree = filesystem.create(flags)?;
    let target = barge_sys::openat2::open_root(path)?;
    mount::attach(tree, target)
}

/// Unmounts and removes what a killed process left.
pub(crate) fn sweep(folder: &Path) -> Result<()> {
    let Ok(builds) = fs::read_dir(folder) else { return Ok(()) };
    for build in builds.flatten() {
        for step in fs::read_dir(build.path()).into_iter().flatten().flatten() {
            // Not mounted, perhaps; what is mounted still keeps the folder from being removed below.
            mount::detach(&step.path()).ok();
        }
        let path = build.path();
        fs::remove_dir_all(&path).map_err(BuildError::io("remove", &path))?;
    }
    Ok(())
}
