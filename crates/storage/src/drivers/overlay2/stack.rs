//! Mounts layers on top of each other.
//!
//! With the new mount calls every layer is an option of its own (`lowerdir+`, Linux 6.8), so their number is bound by
//! the kernel's stack only. Older kernels get one option string of at most a page: when the short names do not fit, open
//! descriptors are named instead (`/proc/self/fd/N`).

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, fsconfig_create,
    fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
};

use super::disk;
use crate::driver::Durability;
use crate::error::{Result, StorageError};

/// Longest value of `fsconfig` (with its NUL 256).
const LONGEST_VALUE: usize = 255;
/// Longest option string of `mount` (with its NUL a page).
const LONGEST_OPTIONS: usize = 4095;

/// What to mount.
#[derive(Debug, Default)]
pub(super) struct Stack {
    /// Nearest first.
    pub(super) lowers: Vec<PathBuf>,
    /// The folder for changes and the kernel's own beside it; without, the mount is read-only.
    pub(super) upper: Option<(PathBuf, PathBuf)>,
    pub(super) durability: Durability,
}

/// Mounts stacks in the way that the kernel knows.
#[derive(Debug, Default)]
pub(super) struct Mounter {
    /// The kernel lacks `lowerdir+`: found out once.
    is_classic: AtomicBool,
}

impl Mounter {
    /// Mounts a stack at `target`.
    pub(super) fn mount(&self, stack: &Stack, target: &Path) -> Result<()> {
        match self.detached(stack)? {
            Some(fd) => move_mount(&fd, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                .map_err(StorageError::io("mount overlay at", target)),
            None => classic(stack, target),
        }
    }

    /// Mounts a stack without a place; `None` where the kernel cannot.
    pub(super) fn detached(&self, stack: &Stack) -> Result<Option<OwnedFd>> {
        if self.is_classic.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let context = match fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) {
            Ok(context) => context,
            Err(Errno::NOSYS) => return self.classic_from_now_on(),
            Err(error) => {
                return Err(StorageError::io("open file system", Path::new("overlay"))(error));
            }
        };
        match add_lowers(&context, stack) {
            Ok(()) => {}
            // "Unknown parameter": every path was given by us and is short enough.
            Err((_, Errno::INVAL)) => return self.classic_from_now_on(),
            Err((path, error)) => return Err(StorageError::io("stack layer", &path)(error)),
        }
        configure(&context, stack)
            .and_then(|()| {
                fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
            })
            .map(Some)
            .map_err(|error| StorageError::Io {
                action: "mount overlay on",
                path: stack.upper.as_ref().map(|(upper, _)| upper.clone()).unwrap_or_default(),
                source: with_log(&context, error),
            })
    }

    /// Calls `fill` with a mounted stack, which is gone afterwards. `target` serves where it needs a place.
    pub(super) fn with_mounted(
        &self,
        stack: &Stack,
        target: &Path,
        fill: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<()> {
        if let Some(fd) = self.detached(stack)? {
            return fill(&PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())));
        }
        classic(stack, target)?;
        let filled = fill(target);
        disk::unmount(target)?;
        filled
    }

    fn classic_from_now_on(&self) -> Result<Option<OwnedFd>> {
        self.is_classic.store(true, Ordering::Relaxed);
        Ok(None)
    }
}

/// Adds the layers below, each an option of its own.
fn add_lowers(context: &OwnedFd, stack: &Stack) -> std::result::Result<(), (PathBuf, Errno)> {
    for lower in &stack.lowers {
        let result = if is_plain(lower) {
            fsconfig_set_string(context, "lowerdir+", lower.as_path())
        } else {
            open_path(lower).and_then(|fd| fsconfig_set_fd(context, "lowerdir+", &fd))
        };
        result.map_err(|error| (lower.clone(), error))?;
    }
    Ok(())
}

fn configure(context: &OwnedFd, stack: &Stack) -> rustix::io::Result<()> {
    if let Some((upper, work)) = &stack.upper {
        for (key, path) in [("upperdir", upper), ("workdir", work)] {
            if is_plain(path) {
                fsconfig_set_string(context, key, path.as_path())?;
            } else {
                fsconfig_set_fd(context, key, &open_path(path)?)?;
            }
        }
        if stack.durability == Durability::Volatile {
            fsconfig_set_flag(context, "volatile")?;
        }
    }
    for key in ["index", "redirect_dir", "metacopy"] {
        fsconfig_set_string(context, key, "off")?;
    }
    fsconfig_create(context)
}

/// Whether a path can be given as a value: short, and nothing in it that some options unescape and others do not. The
/// others are given as descriptors (Linux 6.13).
fn is_plain(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes.len() <= LONGEST_VALUE && !bytes.contains(&b'\\')
}

fn open_path(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The error with what the kernel wrote about it.
fn with_log(context: impl AsFd, error: Errno) -> std::io::Error {
    let mut messages = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(length) = rustix::io::read(&context, &mut buffer)
        && length > 0
    {
        let text =
            String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).trim().to_owned();
        // "e " for errors, "w " and "i " for the rest.
        if let Some(text) = text.strip_prefix("e ") {
            messages.push(text.to_owned());
        }
    }
    let source = std::io::Error::from(error);
    if messages.is_empty() {
        return source;
    }
    std::io::Error::new(source.kind(), format!("{source}: {}", messages.join("; ")))
}

/// The way of kernels before 6.8.
fn classic(stack: &Stack, target: &Path) -> Result<()> {
    let failed = || StorageError::io::<std::io::Error>("mount overlay at", target);
    let mut options = options(stack, &stack.lowers);
    let mut open = Vec::new();
    if options.len() > LONGEST_OPTIONS {
        for lower in &stack.lowers {
            open.push(open_path(lower).map_err(StorageError::io("open", lower))?);
        }
        let names: Vec<PathBuf> = open
            .iter()
            .map(|fd| PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())))
            .collect();
        options = self::options(stack, &names);
    }
    if options.len() > LONGEST_OPTIONS {
        return Err(StorageError::TooDeep {
            depth: stack.lowers.len(),
            limit: LONGEST_OPTIONS / "/proc/self/fd/100:".len(),
        });
    }
    let options = CString::new(options).map_err(|error| failed()(error.into()))?;
    rustix::mount::mount(
        "overlay",
        target,
        "overlay",
        MountFlags::empty(),
        Some(options.as_c_str()),
    )
    .map_err(|error| failed()(error.into()))
}

fn options(stack: &Stack, lowers: &[PathBuf]) -> Vec<u8> {
    let mut options = b"index=off,redirect_dir=off,metacopy=off,lowerdir=".to_vec();
    for (at, lower) in lowers.iter().enumerate() {
        if at > 0 {
            options.push(b':');
        }
        escape(&mut options, lower);
    }
    if let Some((upper, work)) = &stack.upper {
        options.extend_from_slice(b",upperdir=");
        escape(&mut options, upper);
        options.extend_from_slice(b",workdir=");
        escape(&mut options, work);
        if stack.durability == Durability::Volatile {
            options.extend_from_slice(b",volatile");
        }
    }
    options
}

/// Paths in an option string: separators get a backslash.
fn escape(options: &mut Vec<u8>, path: &Path) {
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'\\' | b':' | b',') {
            options.push(b'\\');
        }
        options.push(*byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(root: &Path, lowers: usize) -> Stack {
        let make = |name: &str| {
            let path = root.join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        Stack {
            lowers: (0..lowers)
                .map(|n| {
                    let lower = make(&format!("l/{n:026}"));
                    std::fs::write(lower.join(format!("file-{n}")), "x").unwrap();
                    lower
                })
                .collect(),
            upper: Some((make("diff"), make("work"))),
            durability: Durability::Durable,
        }
    }

    fn count(path: &Path) -> usize {
        std::fs::read_dir(path).unwrap().count()
    }

    #[test]
    fn classic_mounts_take_more_layers_than_names_fit() {
        let folder = tempfile::tempdir().unwrap();
        let stack = folders(folder.path(), 120);
        let target = folder.path().join("merged");
        std::fs::create_dir(&target).unwrap();
        assert!(options(&stack, &stack.lowers).len() > LONGEST_OPTIONS);
        classic(&stack, &target).unwrap();
        let seen = count(&target);
        disk::unmount(&target).unwrap();
        assert_eq!(seen, 120);
    }

    #[test]
    fn odd_characters_and_long_roots_can_be_mounted() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a:b,c\\d".to_owned(), "x".repeat(250)] {
            let root = folder.path().join(name);
            let stack = folders(&root, 3);
            let fd = Mounter::default().detached(&stack).unwrap().unwrap();
            assert_eq!(count(Path::new(&format!("/proc/self/fd/{}", fd.as_raw_fd()))), 3);
        }
    }

    #[test]
    fn the_kernels_reason_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut stack = folders(folder.path(), 1);
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        stack.upper = Some((file, folder.path().join("work")));
        let error = Mounter::default().detached(&stack).unwrap_err();
        let StorageError::Io { source, .. } = error else { panic!("{error}") };
        assert!(source.to_string().contains("not a directory"), "{source}");
    }
}
