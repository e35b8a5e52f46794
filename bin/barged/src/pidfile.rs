//! The pid file: one daemon per exec root, and something for scripts to read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

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
        let io = |source| PidfileError::Io { path: path.to_owned(), source };
        if let Some(pid) = read(path)
            && pid != std::process::id()
            && is_daemon(pid)
        {
            return Err(PidfileError::Running { path: path.to_owned(), pid });
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        fs::write(path, std::process::id().to_string()).map_err(io)?;
        Ok(Self { path: path.to_owned() })
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

/// Whether `pid` runs the same program as we do and goes on doing so. A killed daemon's number may long be another
/// program's; one that was killed a moment ago, as by a supervisor that starts the next at once, is given time to go.
fn is_daemon(pid: u32) -> bool {
    let name = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    name(pid).is_some_and(|theirs| Some(theirs) == name(std::process::id())) && !ends_soon(pid)
}

/// How long a daemon that is ending is waited for.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Whether the process ends while we watch. A dead one that nobody has reaped counts as ended (pidfd_open(2)).
fn ends_soon(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return true };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
    let mut fds = [PollFd::new(&process, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&PATIENCE)), Ok(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_holds_our_pid_and_goes_with_us() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/x.pid");
        let pidfile = Pidfile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), std::process::id().to_string());
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
