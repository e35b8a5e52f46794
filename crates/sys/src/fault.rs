//! Places where `kill -9` is tried out: between any two steps that change what is on disk.
//!
//! Only in debug builds, and only in a process with `BARGE_FAULT_FILE` in its environment. When that file exists and
//! holds a number N, the N-th place from then on (the first is 1) kills the process, and the file then holds the place's
//! name. A process that this one starts is killed at its own places by the file that `BARGE_CHILD_FAULT_FILE` names
//! ([`for_child`]). In release builds all of this is nothing.

use std::ffi::OsString;

/// A place between two steps.
#[inline]
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    armed::point(name);
}

/// Nothing.
#[inline]
#[cfg(not(debug_assertions))]
pub fn point(_name: &str) {}

/// What is put into the environment of a process that is to have places of its own.
#[must_use]
#[cfg(debug_assertions)]
pub fn for_child() -> Option<(&'static str, OsString)> {
    Some((armed::VARIABLE, std::env::var_os("BARGE_CHILD_FAULT_FILE")?))
}

/// Nothing.
#[must_use]
#[cfg(not(debug_assertions))]
pub fn for_child() -> Option<(&'static str, OsString)> {
    None
}

#[cfg(debug_assertions)]
mod armed {
    use std::fs::OpenOptions;
    use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
    use std::path::{Path, PathBuf};
    use std::sync::LazyLock;

    use rustix::fs::{FlockOperation, flock};
    use rustix::process::{Signal, getpid, kill_process};

    pub(super) const VARIABLE: &str = "BARGE_FAULT_FILE";

    static FILE: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os(VARIABLE).map(PathBuf::from));

    pub(super) fn point(name: &str) {
        if let Some(file) = FILE.as_deref() {
            // A test that cannot write its own file fails by itself.
            pass(file, name).ok();
        }
    }

    /// Counts under the file's lock: of the threads that pass one after the other, and never beside whoever disarms it.
    fn pass(path: &Path, name: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let Ok(left) = text.trim().parse::<u32>() else { return Ok(()) };
        let text = if left > 1 { (left - 1).to_string() } else { name.to_owned() };
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())?;
        if left <= 1 {
            // As from outside: nothing is flushed, nobody cleans up.
            kill_process(getpid(), Signal::KILL).ok();
        }
        Ok(())
    }
}
