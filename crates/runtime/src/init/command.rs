//! Finding the user's command, as the user and in the container.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use barge_oci::runtime::Process;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::identity::c_string;
use crate::error::{Stage, StartError};

/// What is executed in the end.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) program: Program,
    pub(super) arguments: Vec<CString>,
    pub(super) environment: Vec<CString>,
    /// For messages.
    pub(super) shown: String,
}

/// Where the program is.
#[derive(Debug)]
pub(super) enum Program {
    /// In the container.
    Path(CString),
    /// This program once more, as the small init.
    Reaper(OwnedFd),
}

/// This program, by its file; it is on a read-only mount that nobody else has.
pub(super) fn own_program() -> Result<OwnedFd, StartError> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, "/proc/self/exe", flags, Mode::empty())
        .map_err(|error| StartError::system(Stage::Command, "open /proc/self/exe", &error.into()))
}

/// Finds the command. With `reaper` it becomes the reaper's child.
pub(super) fn find(
    process: &Process,
    environment: Vec<CString>,
    reaper: Option<OwnedFd>,
) -> Result<Command, StartError> {
    let name = process.args.first().map(String::as_str).unwrap_or_default();
    let path = search(name, &process.env)?;
    let own = process.args.iter().map(|argument| c_string(argument));
    let (program, arguments) = match reaper {
        None => (Program::Path(c_string(&path)?), own.collect::<Result<_, _>>()?),
        Some(fd) => {
            // Found here, so that a missing command is reported as such.
            let before = ["/sbin/docker-init", "--"].map(c_string);
            let arguments = before.into_iter().chain(own).collect::<Result<_, _>>()?;
            (Program::Reaper(fd), arguments)
        }
    };
    Ok(Command { program, arguments, environment, shown: path })
}

/// Looks a name up in the `PATH` of the process's environment, unless it is a path itself.
pub(crate) fn search(name: &str, environment: &[String]) -> Result<String, StartError> {
    let failed = |errno: Errno, why: &str| StartError {
        stage: Stage::Command,
        errno: Some(errno.raw_os_error()),
        message: format!("exec: {name:?}: {why}"),
    };
    if name.contains('/') {
        return match check(name) {
            Ok(()) => Ok(name.to_owned()),
            Err(Errno::NOENT) => {
                Err(failed(Errno::NOENT, &format!("stat {name}: no such file or directory")))
            }
            Err(errno) => {
                Err(failed(errno, &crate::error::cause_text(&std::io::Error::from(errno))))
            }
        };
    }
    let path = environment.iter().rev().find_map(|variable| variable.strip_prefix("PATH="));
    let mut found = Errno::NOENT;
    for folder in path.unwrap_or_default().split(':').filter(|_| !name.is_empty()) {
        // An empty entry is the working directory, as in a shell.
        let folder = if folder.is_empty() { "." } else { folder };
        let candidate = format!("{}/{name}", folder.trim_end_matches('/'));
        match check(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::ACCESS) => found = Errno::ACCESS,
            Err(_) => {}
        }
    }
    match found {
        Errno::ACCESS => Err(failed(found, "permission denied")),
        _ => Err(failed(found, "executable file not found in $PATH")),
    }
}

/// Whether it is a file that this user may execute.
fn check(path: &str) -> Result<(), Errno> {
    let stat = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode).is_dir() {
        return Err(Errno::ISDIR);
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}
