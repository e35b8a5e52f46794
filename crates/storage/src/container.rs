//! The two layers of a container: mount points, shared by the containers of an image, and what it writes.
//!
//! Docker makes an `-init` layer per container. Its content depends on the image only: which of the mount points the
//! image lacks. Here it is made once per image, named after the image's top layer, and goes with that: a container costs
//! one layer and no mount beyond its own.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::driver::{ReadWriteOptions, StorageDriver};
use crate::error::{Result, StorageError};
use crate::layer_id::LayerId;

/// A mount point.
enum Point {
    Folder,
    File,
    Link(&'static str),
}

/// Docker's list (`initlayer.Setup`), folders before what is in them.
const POINTS: &[(&str, Point)] = &[
    ("dev", Point::Folder),
    ("dev/pts", Point::Folder),
    ("dev/shm", Point::Folder),
    ("proc", Point::Folder),
    ("sys", Point::Folder),
    ("etc", Point::Folder),
    (".dockerenv", Point::File),
    ("dev/console", Point::File),
    ("etc/hosts", Point::File),
    ("etc/hostname", Point::File),
    ("etc/resolv.conf", Point::File),
    ("etc/mtab", Point::Link("/proc/mounts")),
];

/// Makes the layers of a container on the top layer of its image: the writable one gets the id `id`. Gives the id of the
/// layer of mount points.
pub fn create_container_layers(
    driver: &dyn StorageDriver,
    id: &LayerId,
    image: Option<&LayerId>,
    options: &ReadWriteOptions,
) -> Result<LayerId> {
    let init = match image {
        Some(image) => image.init(),
        // An image without layers: all of them share one.
        None => LayerId::from_bytes([0; 32]).init(),
    };
    loop {
        if !driver.exists(&init) {
            driver.create_filled(&init, image, &mut |root| fill(root))?;
        }
        match driver.create_read_write(id, Some(&init), options) {
            // The image was being removed when its init layer was looked up, and is still there: once more.
            Err(StorageError::NoSuchLayer(missing))
                if missing == init && image.is_none_or(|id| driver.exists(id)) => {}
            result => return result.map(|()| init),
        }
    }
}

/// Removes the writable layer of a container. The layer of mount points goes with the image.
pub fn remove_container_layers(driver: &dyn StorageDriver, id: &LayerId) -> Result<()> {
    driver.remove(id)
}

fn fill(root: &Path) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd =
        rustix::fs::open(root, flags, Mode::empty()).map_err(StorageError::io("open", root))?;
    for (path, point) in POINTS {
        make(&fd, path, point).map_err(StorageError::io("create", &root.join(path)))?;
    }
    Ok(())
}

/// Makes what is missing; what the image has, whatever it is, stays.
fn make(root: &OwnedFd, path: &str, point: &Point) -> io::Result<()> {
    let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = match rustix::fs::openat2(root, folder, flags, Mode::empty(), resolve) {
        Ok(folder) => folder,
        // The image has something else there, or a link to nowhere: then there is no mount point to make.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let folder = folder.as_fd();
    let made = match point {
        Point::Folder => rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o755)),
        Point::File => {
            rustix::fs::mknodat(folder, name, FileType::RegularFile, Mode::from_raw_mode(0o755), 0)
        }
        Point::Link(target) => rustix::fs::symlinkat(*target, folder, name),
    };
    match (made, point) {
        (Err(Errno::EXIST), _) | (Ok(()), Point::Link(_)) => Ok(()),
        // The umask of the daemon is not the container's business.
        (Ok(()), Point::Folder | Point::File) => rustix::fs::chmodat(
            folder,
            name,
            Mode::from_raw_mode(0o755),
            rustix::fs::AtFlags::empty(),
        )
        .map_err(io::Error::from),
        (Err(error), _) => Err(error.into()),
    }
}
