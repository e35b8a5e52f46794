//! Layers stacked by the program fuse-overlayfs: for kernels that let only the host's root mount overlays.
//!
//! Each mount is served by a process of that program, which outlives the daemon and ends with the mount. Names that
//! remove stay names in a layer (`.wh.x`), which the program reads and which everybody may make; what a layer changes is
//! told by comparing mounts.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use barge_archive::Marks;
use barge_archive::extract::Whiteouts;

use super::overlay::{Mounter, Overlay, Stack, unmount};
use crate::detect::file_system;
use crate::error::{Result, StorageError};
use crate::options::StorageOptions;

/// The fuse-overlayfs driver.
pub type FuseOverlayfs = Overlay<Program>;

/// The program is ready when its first process ends: long before this.
const DEADLINE: Duration = Duration::from_secs(60);

/// Mounts by the program.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
}

impl FuseOverlayfs {
    /// Opens the driver's folder `fuse-overlayfs` below the data root; makes it if needed.
    ///
    /// # Errors
    /// `NotSupported` when the program is missing or cannot mount; `InvalidOption` for another driver's option.
    pub fn open(data_root: &Path, options: &StorageOptions) -> Result<Self> {
        options.check_for(Program::NAME)?;
        let path = find(std::env::var_os("PATH").unwrap_or_default().as_os_str());
        let program = match path {
            Some(path) => Program { path },
            None => {
                return Err(not_supported(
                    data_root,
                    "there is no program fuse-overlayfs in PATH (install the package fuse-overlayfs)",
                ));
            }
        };
        if options.size().is_some() {
            return Err(program.no_sizes());
        }
        Self::open_with(data_root, None, |trial| {
            let Some(trial) = trial else { return Ok(program.clone()) };
            if !is_plain(trial.path) {
                return Err(not_supported(
                    trial.path,
                    "the name has a comma, a colon or a backslash in it",
                ));
            }
            program.mount(&trial.stack(), &trial.target())?;
            unmount(&trial.target())?;
            Ok(program.clone())
        })
    }
}

fn not_supported(path: &Path, reason: &str) -> StorageError {
    StorageError::NotSupported {
        driver: Program::NAME,
        path: path.to_owned(),
        fs: file_system(path),
        reason: reason.to_owned(),
    }
}

fn find(folders: &std::ffi::OsStr) -> Option<PathBuf> {
    let programs = std::env::split_paths(folders).map(|folder| folder.join(Program::NAME));
    programs.into_iter().find(|program| {
        rustix::fs::access(program, rustix::fs::Access::EXEC_OK).is_ok() && program.is_file()
    })
}

/// Whether the program's options can hold a path: what separates them has no escape that all of its versions know.
fn is_plain(path: &Path) -> bool {
    !path.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b',' | b':' | b'\\'))
}

impl Mounter for Program {
    const NAME: &'static str = "fuse-overlayfs";

    fn mount(&self, stack: &Stack, target: &Path) -> Result<()> {
        let failed = || StorageError::io::<std::io::Error>("mount fuse-overlayfs at", target);
        // Not a pipe: the process that stays keeps it open.
        let words = barge_sys::memfd::with_content("fuse-overlayfs", b"").map_err(failed())?;
        let copy = words.try_clone().map_err(failed())?;
        let child = Command::new(&self.path)
            .arg("-o")
            .arg(options(stack))
            .arg(target)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(copy)
            .spawn()
            .map_err(StorageError::io("run", &self.path))?;
        let pid = i32::try_from(child.id()).map_err(std::io::Error::other).map_err(failed())?;
        let process = barge_sys::pidfd::open(pid).map_err(failed())?;
        if !barge_sys::pidfd::wait_gone(&process, Some(DEADLINE)).map_err(failed())? {
            barge_sys::pidfd::send_signal(&process, 9).map_err(failed())?;
            barge_sys::pidfd::wait(&process).map_err(failed())?;
            return Err(failed()(std::io::ErrorKind::TimedOut.into()));
        }
        match barge_sys::pidfd::wait(&process).map_err(failed())? {
            barge_sys::pidfd::Exit::Code(0) => Ok(()),
            barge_sys::pidfd::Exit::Code(_) | barge_sys::pidfd::Exit::Signal(_) => {
                let mut said = vec![0; 4096];
                let length = rustix::io::pread(&words, &mut said, 0).unwrap_or_default();
                said.truncate(length);
                let said = String::from_utf8_lossy(&said).trim().replace('\n', "; ");
                Err(failed()(std::io::Error::other(said)))
            }
        }
    }

    /// It makes files as the host's root and gives them away afterwards.
    fn cannot_map(&self) -> Option<&'static str> {
        Some("it cannot write to folders whose owners the kernel maps")
    }

    fn is_alive(&self, target: &Path) -> bool {
        !matches!(rustix::fs::stat(target), Err(rustix::io::Errno::NOTCONN))
    }

    /// A mount is served at its place.
    fn detached(&self, _: &Stack) -> Result<Option<OwnedFd>> {
        Ok(None)
    }

    fn whiteouts(&self) -> Whiteouts {
        Whiteouts::Names
    }

    /// Which marks the program leaves depends on its rights and version.
    fn native(&self) -> Option<Marks> {
        None
    }

    fn no_sizes(&self) -> StorageError {
        StorageError::NoSizes { driver: Self::NAME, reason: "it has no quotas" }
    }

    /// Nothing, as in Docker.
    fn status(&self, _: &Path) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

fn options(stack: &Stack) -> std::ffi::OsString {
    let mut options = std::ffi::OsString::from("lowerdir=");
    for (at, lower) in stack.lowers.iter().enumerate() {
        if at > 0 {
            options.push(":");
        }
        options.push(lower);
    }
    if let Some((upper, work)) = &stack.upper {
        options.push(",upperdir=");
        options.push(upper);
        options.push(",workdir=");
        options.push(work);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LayerId, MountOptions, ReadWriteOptions, StorageDriver as _};

    #[test]
    fn a_missing_program_is_named() {
        assert_eq!(find("/nowhere:/proc".as_ref()), None);
        let error = not_supported(Path::new("/"), "there is no program fuse-overlayfs in PATH");
        assert!(
            error.to_string().starts_with("storage driver fuse-overlayfs is not supported on /")
        );
    }

    #[test]
    fn a_mount_whose_process_died_is_made_again() {
        crate::need!(fuse);
        crate::testing::own_mounts();
        let folder = tempfile::tempdir().unwrap();
        let driver = FuseOverlayfs::open(folder.path(), &StorageOptions::default()).unwrap();
        let ids = [1, 2].map(|n| LayerId::from_bytes([n; 32]));
        driver.create(&ids[0], None).unwrap();
        driver.create_read_write(&ids[1], Some(&ids[0]), &ReadWriteOptions::default()).unwrap();
        let path = driver.mount(&ids[1], &MountOptions::default()).unwrap();
        std::fs::write(path.join("x"), "x").unwrap();
        let pid = serving(&path);
        let process = barge_sys::pidfd::open(pid).unwrap();
        barge_sys::pidfd::send_signal(&process, 9).unwrap();
        assert!(barge_sys::pidfd::wait_gone(&process, Some(DEADLINE)).unwrap());
        // What a daemon that starts again does.
        drop(driver);
        let driver = FuseOverlayfs::open(folder.path(), &StorageOptions::default()).unwrap();
        assert_eq!(driver.mount(&ids[1], &MountOptions::default()).unwrap(), path);
        assert_eq!(std::fs::read_to_string(path.join("x")).unwrap(), "x");
        let process = barge_sys::pidfd::open(serving(&path)).unwrap();
        driver.unmount(&ids[1]).unwrap();
        // The process goes with the mount.
        assert!(barge_sys::pidfd::wait_gone(&process, Some(DEADLINE)).unwrap());
    }

    /// The process that serves a mount: the one with its place as its last word.
    fn serving(target: &Path) -> i32 {
        let is_it = |pid: &i32| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words
                .strip_suffix(b"\0")
                .is_some_and(|words| words.ends_with(target.as_os_str().as_bytes()))
        };
        let folders = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok());
        folders.into_iter().find(is_it).unwrap()
    }

    #[test]
    fn what_the_program_says_is_told() {
        crate::need!(fuse);
        let folder = tempfile::tempdir().unwrap();
        let program = Program { path: find(&std::env::var_os("PATH").unwrap()).unwrap() };
        let stack = Stack { lowers: vec![folder.path().join("missing")], ..Stack::default() };
        let error = program.mount(&stack, folder.path()).unwrap_err();
        let StorageError::Io { source, .. } = error else { panic!("{error}") };
        assert!(source.to_string().contains("missing"), "{source}");
    }
}
