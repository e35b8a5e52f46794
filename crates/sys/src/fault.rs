//! Places where `kill -9` is tried out: between any two steps that change what is on disk.
//!
//! Only in debug builds, and only in a process with `BARGE_FAULT_FILE` in its environment. When that file exists and
//! holds a number N, the N-th place from then on (the first is 1) kills the process, and the file then holds the place's
//! name. In release builds this is nothing.

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

#[cfg(debug_assertions)]
mod armed {
    use std::path::PathBuf;
    use std::sync::{LazyLock, Mutex, PoisonError};

    use rustix::process::{Signal, getpid, kill_process};

    static FILE: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("BARGE_FAULT_FILE").map(PathBuf::from));

    /// Of the threads that pass, one at a time counts.
    static TURN: Mutex<()> = Mutex::new(());

    pub(super) fn point(name: &str) {
        let Some(file) = FILE.as_deref() else { return };
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let left =
            std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<u32>().ok());
        match left {
            None => {}
            Some(left) if left > 1 => {
                // A test that cannot write its own file fails by itself.
                std::fs::write(file, (left - 1).to_string()).ok();
            }
            Some(_) => {
                std::fs::write(file, name).ok();
                // As from outside: nothing is flushed, nobody cleans up.
                kill_process(getpid(), Signal::KILL).ok();
            }
        }
    }
}
