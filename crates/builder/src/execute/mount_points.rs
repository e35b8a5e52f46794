//! Mount points that a step needs and that were not there before: made, and taken away afterwards.
//!
//! Both ends are in a layer that the step's process writes to. Nothing is looked up by a path of the host: the kernel
//! resolves below the layer's root, and what is removed is found again without following any link and only when it is
//! still empty (CVE-2024-23652, CVE-2024-23653).

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};

use barge_sys::openat2;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::users::Users;
use crate::error::{BuildError, Result};

/// What a runtime mounts on in every container: made by it where it is missing.
const STANDARD: &[(&str, Shape)] = &[
    ("/dev", Shape::Folder),
    ("/proc", Shape::Folder),
    ("/sys", Shape::Folder),
    ("/etc/hostname", Shape::File),
    ("/etc/hosts", Shape::File),
    ("/etc/resolv.conf", Shape::File),
];

/// Where a runtime puts file systems of its own: nothing below reaches the layer.
const NOT_OURS: &[&str] = &["/dev", "/proc", "/sys"];

/// What something is mounted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A folder.
    Folder,
    /// A file.
    File,
}

/// What has to go after a step.
#[derive(Debug)]
pub(crate) struct MountPoints {
    root: OwnedFd,
    users: Users,
    shown: PathBuf,
    /// Made, in the order in which it was.
    made: Vec<(PathBuf, Shape)>,
}

impl Shape {
    /// Makes it, with the folders above it, below a root.
    pub(crate) fn make(self, root: &OwnedFd, path: &Path) -> std::io::Result<()> {
        match self {
            Self::Folder => openat2::create_folders(root, path, Mode::from_raw_mode(0o755)),
            Self::File => openat2::create_file(root, path),
        }
        .map(drop)
    }
}

impl MountPoints {
    /// Takes note of what the runtime will make.
    pub(crate) fn new(root: &Path, users: &Users) -> Result<Self> {
        let fd = openat2::open_root(root).map_err(BuildError::io("open", root))?;
        let mut points =
            Self { root: fd, users: users.clone(), shown: root.to_owned(), made: Vec::new() };
        for (path, shape) in STANDARD {
            points.note(Path::new(path), *shape)?;
        }
        Ok(points)
    }

    /// Notes those of a path's parts that are not there; returns whether there are any.
    fn note(&mut self, path: &Path, shape: Shape) -> Result<bool> {
        let mut so_far = PathBuf::from("/");
        let mut is_missing = false;
        let parts: Vec<Component<'_>> = path.components().collect();
        for (number, part) in parts.iter().enumerate() {
            let Component::Normal(name) = part else { continue };
            so_far.push(name);
            is_missing = is_missing || !self.is_there(&so_far)?;
            let is_noted = self.made.iter().any(|(noted, _)| *noted == so_far);
            if is_missing && !is_noted {
                let is_last = number + 1 == parts.len();
                self.made.push((so_far.clone(), if is_last { shape } else { Shape::Folder }));
            }
        }
        Ok(is_missing)
    }

    fn is_there(&self, path: &Path) -> Result<bool> {
        match openat2::open(&self.root, path, OFlags::PATH) {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => Ok(false),
            Err(error) => Err(BuildError::io("look for", &self.shown.join(relative(path)))(error)),
        }
    }

    /// Makes what is to be mounted on.
    pub(crate) fn make(&mut self, target: &str, shape: Shape) -> Result<()> {
        let path = Path::new(target);
        if NOT_OURS.iter().any(|other| path.starts_with(other)) || !self.note(path, shape)? {
            return Ok(());
        }
        self.users
            .make(|| shape.make(&self.root, path))
            .map_err(BuildError::io("make the mount point", &self.shown.join(relative(path))))
    }

    /// Removes what was made, unless the step put something there.
    pub(crate) fn remove(self) -> Result<()> {
        for (path, shape) in self.made.iter().rev() {
            match self.remove_one(path, *shape) {
                Ok(())
                | Err(
                    Errno::NOENT | Errno::NOTEMPTY | Errno::NOTDIR | Errno::ISDIR | Errno::LOOP,
                ) => {}
                Err(error) => {
                    let shown = self.shown.join(relative(path));
                    return Err(BuildError::io("remove the mount point", &shown)(error));
                }
            }
        }
        Ok(())
    }

    fn remove_one(&self, path: &Path, shape: Shape) -> std::result::Result<(), Errno> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let folder = openat2::open_without_links(&self.root, parent, flags)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        match shape {
            Shape::Folder => rustix::fs::unlinkat(folder.as_fd(), name, AtFlags::REMOVEDIR),
            Shape::File => {
                let stat = rustix::fs::statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)?;
                let is_file = FileType::from_raw_mode(stat.st_mode).is_file();
                if !is_file || stat.st_size != 0 {
                    return Ok(());
                }
                rustix::fs::unlinkat(folder.as_fd(), name, AtFlags::empty())
            }
        }
    }
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_made_goes_and_what_was_there_stays() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let mut points = MountPoints::new(root.path(), &Users::default()).unwrap();
        points.make("/run/secrets/one", Shape::File).unwrap();
        points.make("/etc/two", Shape::Folder).unwrap();
        points.make("/dev/pipes", Shape::Folder).unwrap();
        // As the runtime.
        for name in ["dev", "proc", "sys"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        std::fs::write(root.path().join("etc/hosts"), "").unwrap();
        assert!(root.path().join("run/secrets/one").is_file());
        points.remove().unwrap();
        assert_eq!(names(root.path()), ["etc"]);
        assert!(names(&root.path().join("etc")).is_empty());
    }

    #[test]
    fn what_the_step_put_there_stays() {
        let root = tempfile::tempdir().unwrap();
        let mut points = MountPoints::new(root.path(), &Users::default()).unwrap();
        points.make("/cache/a", Shape::Folder).unwrap();
        points.make("/file", Shape::File).unwrap();
        std::fs::write(root.path().join("cache/kept"), "x").unwrap();
        std::fs::write(root.path().join("file"), "x").unwrap();
        points.remove().unwrap();
        assert_eq!(names(root.path()), ["cache", "file"]);
        assert_eq!(names(&root.path().join("cache")), ["kept"]);
    }

    #[test]
    fn links_that_the_step_made_are_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::create_dir(outside.path().join("secrets")).unwrap();
        std::fs::write(outside.path().join("secrets/one"), "").unwrap();
        let root = tempfile::tempdir().unwrap();
        let mut points = MountPoints::new(root.path(), &Users::default()).unwrap();
        points.make("/run/secrets/one", Shape::File).unwrap();
        std::fs::remove_dir_all(root.path().join("run")).unwrap();
        symlink(outside.path(), root.path().join("run")).unwrap();
        points.remove().unwrap();
        assert!(outside.path().join("secrets/one").exists());
    }

    #[test]
    fn targets_behind_links_stay_inside() {
        let root = tempfile::tempdir().unwrap();
        symlink("/../../..", root.path().join("up")).unwrap();
        let mut points = MountPoints::new(root.path(), &Users::default()).unwrap();
        points.make("/up/barge-mount-point", Shape::Folder).unwrap();
        assert!(root.path().join("barge-mount-point").is_dir());
    }
}
