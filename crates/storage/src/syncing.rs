//! Gets a file system to the disk once for many who wait for it: layers that are unpacked side by side end together.

use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub(crate) struct Syncing {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    started: u64,
    /// The last one that went well.
    finished: u64,
    is_running: bool,
    waiting: usize,
}

impl Syncing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when everything written before the call is on the disk.
    pub(crate) fn sync(&self, file: impl AsFd) -> rustix::io::Result<()> {
        self.run(|| rustix::fs::syncfs(&file))
    }

    fn run<E>(&self, sync: impl Fn() -> Result<(), E>) -> Result<(), E> {
        let mut state = self.state();
        // One that runs already may have passed what was written last.
        let wanted = state.started + 1;
        while state.finished < wanted {
            if state.is_running {
                state.waiting += 1;
                state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.waiting -= 1;
                continue;
            }
            state.is_running = true;
            state.started += 1;
            let number = state.started;
            drop(state);
            let result = sync();
            state = self.state();
            state.is_running = false;
            if result.is_ok() {
                state.finished = number;
            }
            self.ended.notify_all();
            // Others that wait try it themselves, and get the error of their own.
            result?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn who_waits_together_shares_one_and_errors_are_everybodys_own() {
        let syncing = Syncing::default();
        let (count, gate) = (AtomicU32::new(0), Barrier::new(2));
        let run = |is_first| {
            syncing.run(|| {
                count.fetch_add(1, Ordering::SeqCst);
                if is_first {
                    gate.wait();
                    gate.wait();
                }
                Ok::<(), ()>(())
            })
        };
        std::thread::scope(|scope| {
            scope.spawn(|| run(true));
            gate.wait();
            for _ in 0..8 {
                scope.spawn(|| run(false));
            }
            while syncing.state().waiting < 8 {
                std::thread::yield_now();
            }
            gate.wait();
        });
        // The first, and one that began after the others had come.
        assert_eq!(count.load(Ordering::SeqCst), 2);
        assert_eq!(syncing.run(|| Err("no")), Err("no"));
        assert_eq!(syncing.run(|| Ok::<(), &str>(())), Ok(()));
    }
}
