//! What each thread of the daemon does, for its log: SIGUSR1 asks for it, as of Docker's daemon.
//!
//! There are no stacks in it: where the kernel holds a thread is what tells of a daemon that hangs.

use std::fs;
use std::io;

/// Logs every thread with its name, its state and where in the kernel it waits.
pub(crate) fn log() {
    match lines() {
        Ok(lines) => {
            tracing::info!("{} threads:", lines.len());
            lines.iter().for_each(|line| tracing::info!("{line}"));
        }
        Err(error) => tracing::warn!("cannot look at the threads: {error}"),
    }
}

fn lines() -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        let thread = thread?;
        // One that ends meanwhile has nothing to tell.
        let read = |file| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        let status = read("status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        let id = thread.file_name();
        let (name, state, place) = (field("Name:"), field("State:"), read("wchan"));
        lines.push(format!("thread {} {name}: {state} {place}", id.display()));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_is_told_of_by_its_name() {
        let named = std::thread::Builder::new().name("somebody".to_owned());
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let (begun, is_named) = std::sync::mpsc::channel();
        let thread = named.spawn(move || begun.send(()).is_ok() && wait.recv().is_err()).unwrap();
        is_named.recv().unwrap();
        let told = lines().unwrap();
        drop(end);
        assert!(thread.join().unwrap());
        assert!(told.iter().any(|line| line.contains(" somebody: ")), "{told:?}");
    }
}
