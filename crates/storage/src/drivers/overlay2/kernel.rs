//! Mounts layers on top of each other.
//!
//! With the new mount calls every layer is an option of its own (`lowerdir+`, Linux 6.8), so their number is bound by
//! the kernel's stack only. Older kernels get one option string of at most a page: when the names do not fit, the layers
//! are opened and named by their numbers, relative to `/proc/self/fd` as the working folder of a thread of its own.
//!
//! Directory renames across layers are not redirected and metadata is not copied up alone
//! (`redirect_dir=off,metacopy=off`), whatever the kernel was built or loaded with, so that a layer's folder holds all of
//! the difference. With `userxattr` both are off by the kernel's own rule.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use barge_archive::Marks;
use barge_sys::mount::{Change, Reach};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, fsconfig_create,
    fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
};

use super::super::overlay::Stack;
use crate::driver::Durability;
use crate::error::{Result, StorageError};

/// Longest value of `fsconfig` (with its NUL 256).
const LONGEST_VALUE: usize = 255;
/// Longest option string of `mount` (with its NUL a page).
const LONGEST_OPTIONS: usize = 4095;

/// Mounts stacks in the way that the kernel knows.
#[derive(Debug)]
pub(super) struct Kernel {
    /// Which attributes overlayfs is to use.
    pub(super) marks: Marks,
    /// The kernel lacks `lowerdir+`.
    is_classic: bool,
    bare: Option<Bare>,
}

/// A mount of the driver's folder that is nowhere, and so has no mounts below.
///
/// overlayfs makes itself a copy of the mount that each layer is in, and looks at every mount below for that: beside 500
/// containers this costs 0.2 ms for each layer of the next one.
#[derive(Debug)]
struct Bare {
    folder: PathBuf,
    mount: OwnedFd,
}

impl Kernel {
    pub(super) fn new(marks: Marks) -> Self {
        Self { marks, is_classic: !takes_single_layers(), bare: None }
    }

    /// The same for layers in this folder, which must not be mount points: `try_at` finds out whether the kernel takes
    /// layers of a mount that is nowhere.
    pub(super) fn for_folder(marks: Marks, folder: &Path) -> Self {
        let kernel = Self::new(marks);
        let bare = barge_sys::mount::clone_tree(CWD, folder, Reach::One).and_then(|mount| {
            barge_sys::mount::change(&mount, Reach::One, Change::PRIVATE)?;
            Ok(Bare { folder: folder.to_owned(), mount })
        });
        Self { bare: bare.ok().filter(|_| !kernel.is_classic), ..kernel }
    }

    /// Mounts for the first time. The kernels before Linux 6.15 take no layers of a mount that is nowhere: then this
    /// stack and all others are mounted without.
    pub(super) fn try_at(&mut self, stack: &Stack, target: &Path) -> Result<()> {
        if self.bare.is_some() && self.mount_at(stack, target).is_ok() {
            return Ok(());
        }
        self.bare = None;
        self.mount_at(stack, target)
    }

    /// Opens a layer by the mount that has no others, if it is in there.
    fn open_bare(&self, layer: &Path) -> Option<rustix::io::Result<OwnedFd>> {
        let bare = self.bare.as_ref()?;
        let name = layer.strip_prefix(&bare.folder).ok()?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Some(rustix::fs::openat(&bare.mount, name, flags, Mode::empty()))
    }

    /// Mounts a stack at `target`.
    pub(super) fn mount_at(&self, stack: &Stack, target: &Path) -> Result<()> {
        match self.detached(stack)? {
            Some(fd) => move_mount(&fd, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                .map_err(StorageError::io("mount overlay at", target)),
            None => self.classic(stack, target),
        }
    }

    /// Mounts a stack without a place; `None` where the kernel cannot.
    pub(super) fn detached(&self, stack: &Stack) -> Result<Option<OwnedFd>> {
        if self.is_classic {
            return Ok(None);
        }
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
            .map_err(StorageError::io("open file system", Path::new("overlay")))?;
        self.add_lowers(&context, stack)
            .map_err(|(path, error)| StorageError::io("stack layer", &path)(error))?;
        self.configure(&context, stack)
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

    /// Adds the layers below, each an option of its own.
    fn add_lowers(
        &self,
        context: &OwnedFd,
        stack: &Stack,
    ) -> std::result::Result<(), (PathBuf, Errno)> {
        for lower in &stack.lowers {
            self.set_folder(context, "lowerdir+", lower).map_err(|error| (lower.clone(), error))?;
        }
        Ok(())
    }

    /// Gives a folder by what names it best.
    fn set_folder(&self, context: &OwnedFd, key: &str, path: &Path) -> rustix::io::Result<()> {
        match self.open_bare(path) {
            Some(opened) => fsconfig_set_fd(context, key, &opened?),
            None if is_plain(path) => fsconfig_set_string(context, key, path),
            None => fsconfig_set_fd(context, key, &open_path(path)?),
        }
    }

    fn configure(&self, context: &OwnedFd, stack: &Stack) -> rustix::io::Result<()> {
        if let Some((upper, work)) = &stack.upper {
            for (key, path) in [("upperdir", upper), ("workdir", work)] {
                self.set_folder(context, key, path)?;
            }
            if stack.durability == Durability::Volatile {
                fsconfig_set_flag(context, "volatile")?;
            }
        }
        for (key, value) in fixed_options(self.marks) {
            match value {
                Some(value) => fsconfig_set_string(context, *key, *value)?,
                None => fsconfig_set_flag(context, *key)?,
            }
        }
        fsconfig_create(context)
    }

    /// The way of kernels before 6.8.
    fn classic(&self, stack: &Stack, target: &Path) -> Result<()> {
        let failed = || StorageError::io::<std::io::Error>("mount overlay at", target);
        let options = options(stack, self.marks);
        if options.len() <= LONGEST_OPTIONS {
            return mount(target, options).map_err(failed());
        }
        let open = |path: &PathBuf| open_path(path).map_err(StorageError::io("open", path));
        let lowers = stack.lowers.iter().map(open).collect::<Result<Vec<_>>>()?;
        let uppers = stack.upper.iter().flat_map(|(upper, work)| [upper, work]);
        let uppers = uppers.map(open).collect::<Result<Vec<_>>>()?;
        let number = |fd: &OwnedFd| PathBuf::from(fd.as_raw_fd().to_string());
        let numbers = Stack {
            lowers: lowers.iter().map(number).collect(),
            upper: match uppers.as_slice() {
                [upper, work] => Some((number(upper), number(work))),
                _ => None,
            },
            durability: stack.durability,
        };
        // Also absolute, the target is not looked up in that folder.
        let folder = open_path(Path::new("/proc/self/fd"))
            .map_err(StorageError::io("open", Path::new("/proc/self/fd")))?;
        let options = self::options(&numbers, self.marks);
        barge_sys::namespace::in_folder(folder, || mount(target, options))
            .and_then(|result| result)
            .map_err(failed())
    }
}

/// Whether overlayfs takes layers one by one. Before Linux 6.5 it was not converted to the new mount calls: then any
/// option is taken, to be refused when the mount is made.
fn takes_single_layers() -> bool {
    let Ok(context) = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) else {
        return false;
    };
    fsconfig_set_string(&context, "lowerdir+", "/").is_ok()
        && fsconfig_set_flag(&context, "no-such-option").is_err()
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

/// The option string of a stack.
fn options(stack: &Stack, marks: Marks) -> Vec<u8> {
    let mut options = Vec::new();
    for (key, value) in fixed_options(marks) {
        options.extend_from_slice(key.as_bytes());
        if let Some(value) = value {
            options.push(b'=');
            options.extend_from_slice(value.as_bytes());
        }
        options.push(b',');
    }
    options.extend_from_slice(b"lowerdir=");
    for (at, lower) in stack.lowers.iter().enumerate() {
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

/// What every mount gets.
fn fixed_options(marks: Marks) -> &'static [(&'static str, Option<&'static str>)] {
    match marks {
        Marks::Trusted => {
            &[("index", Some("off")), ("redirect_dir", Some("off")), ("metacopy", Some("off"))]
        }
        // "off" still follows redirects where the kernel always does, which `userxattr` forbids.
        Marks::User => &[("userxattr", None), ("index", Some("off"))],
    }
}

fn mount(target: &Path, options: Vec<u8>) -> std::io::Result<()> {
    let options = CString::new(options)?;
    let flags = MountFlags::empty();
    rustix::mount::mount("overlay", target, "overlay", flags, Some(options.as_c_str()))?;
    Ok(())
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
    use super::super::super::overlay::unmount;
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
        for (layers, marks) in [(120, Marks::Trusted), (400, Marks::Trusted), (300, Marks::User)] {
            let folder = tempfile::tempdir().unwrap();
            let stack = folders(folder.path(), layers);
            let target = folder.path().join("merged");
            std::fs::create_dir(&target).unwrap();
            assert!(options(&stack, marks).len() > LONGEST_OPTIONS);
            Kernel::new(marks).classic(&stack, &target).unwrap();
            let seen = count(&target);
            std::fs::write(target.join("new"), "x").unwrap();
            unmount(&target).unwrap();
            assert_eq!(seen, layers);
            assert!(folder.path().join("diff/new").exists());
        }
    }

    #[test]
    fn layers_of_the_drivers_folder_are_opened_where_nothing_is_mounted_below() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("a,b:c\\d");
        let stack = folders(&home, 3);
        let target = home.join("merged");
        std::fs::create_dir(&target).unwrap();
        let mut kernel = Kernel::for_folder(Marks::Trusted, &home);
        kernel.try_at(&stack, &target).unwrap();
        unmount(&target).unwrap();
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().ok());
        let version = numbers.next().flatten().zip(numbers.next().flatten());
        assert_eq!(kernel.bare.is_some(), version >= Some((6, 15)), "{release}");
        // One in there, and one elsewhere.
        let lowers = [stack.lowers[1].clone(), folders(folder.path(), 1).lowers.remove(0)];
        let stack = Stack { lowers: lowers.into(), ..stack };
        kernel.mount_at(&stack, &target).unwrap();
        let seen = ["file-0", "file-1", "file-2"].map(|name| target.join(name).exists());
        std::fs::write(target.join("new"), "x").unwrap();
        unmount(&target).unwrap();
        assert_eq!(seen, [true, true, false]);
        assert!(home.join("diff/new").exists());
        // What is not there is named as it is without.
        let stack = Stack { lowers: vec![home.join("l/none")], ..stack };
        let error = kernel.mount_at(&stack, &target).unwrap_err();
        // The old call takes all of them at once.
        assert!(kernel.is_classic || error.to_string().contains("l/none"), "{error}");
    }

    #[test]
    fn odd_characters_and_long_roots_can_be_mounted() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("merged");
        std::fs::create_dir(&target).unwrap();
        for name in ["a:b,c\\d".to_owned(), "x".repeat(250)] {
            let root = folder.path().join(name);
            let stack = folders(&root, 3);
            Kernel::new(Marks::Trusted).mount_at(&stack, &target).unwrap();
            let seen = count(&target);
            unmount(&target).unwrap();
            assert_eq!(seen, 3);
        }
    }

    #[test]
    fn the_kernels_reason_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut stack = folders(folder.path(), 1);
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        stack.upper = Some((file, folder.path().join("work")));
        let kernel = Kernel::new(Marks::Trusted);
        let error = kernel.mount_at(&stack, folder.path()).unwrap_err();
        let StorageError::Io { source, .. } = error else { panic!("{error}") };
        // The old call has nothing but a number.
        assert!(kernel.is_classic || source.to_string().contains("not a directory"), "{source}");
    }
}
