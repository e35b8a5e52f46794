//! The pid file: one daemon per exec root, and something for scripts to read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A written pid file; dropping it removes it, unless another daemon has written its own.
#[derive(Debug)]
pub(crate) struct Pidfile {
    path: PathBuf,
}

/// Why it could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PidfileError {
    /// The daemon that wrote it runs.
    #[error("ensure barged is not running or delete {path}: process with PID {pid} is still running", path = .path.display())]
    Running {
        /// The file.
        path: PathBuf,
        /// Who wrote it.
        pid: u32,
    },
    /// The file system refused.
    #[error("cannot write {path}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Pidfile {
    /// Writes our process id, unless the file names a daemon that still runs.
    pub(crate) fn write(path: &Path) -> Result<Self, PidfileError> {
        let io = |source| PidfileError::Io {
            path: path.to_owned(),
            source,
        };
        if let Some(pid) = read(path)
            && pid != std::process::id()
            && is_daemon(pid)
        {
            return Err(PidfileError::Running {
                path: path.to_owned(),
                pid,
            });
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        fs::write(path, std::process::id().to_string()).map_err(io)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        if read(&self.path) == Some(std::process::id()) {
            // A file that stays names a dead process, which the next start sees.
            fs::remove_file(&self.path).ok();
        }
    }
}

fn read(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Whether `pid` runs the same program as we do. A killed daemon's number may long be another program's.
fn is_daemon(pid: u32) -> bool {
    let name = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    name(pid).is_some_and(|theirs| Some(theirs) == name(std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_holds_our_pid_and_goes_with_us() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/x.pid");
        let pidfile = Pidfile::write(&path).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            std::process::id().to_string()
        );
        drop(pidfile);
        assert!(!path.exists());
    }

    #[test]
    fn leftovers_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pid");
        // Process 1 is no barged; the others are no process ids.
        for leftover in ["1", "", "x", "4194999"] {
            fs::write(&path, leftover).unwrap();
            drop(Pidfile::write(&path).unwrap());
        }
    }

    #[test]
    fn file_of_another_daemon_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pid");
        let pidfile = Pidfile::write(&path).unwrap();
        fs::write(&path, "1").unwrap();
        drop(pidfile);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1");
    }
}
