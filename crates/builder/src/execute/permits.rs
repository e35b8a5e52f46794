//! How many steps work at the same time, over all builds.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{BuildError, Result};
use crate::runner::Cancel;

/// How often somebody who waits looks whether the build was cancelled.
const LOOK: Duration = Duration::from_millis(50);

/// A number of places.
#[derive(Debug)]
pub(crate) struct Permits {
    free: Mutex<usize>,
    changed: Condvar,
}

/// A place; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit<'a>(&'a Permits);

impl Permits {
    /// Twice as many as there are processors: steps wait for disks and networks, too.
    pub(crate) fn of_the_machine() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { free: Mutex::new(processors * 2), changed: Condvar::new() }
    }

    /// Waits for a place.
    pub(crate) fn take(&self, cancel: &Cancel) -> Result<Permit<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if cancel.is_cancelled() {
                return Err(BuildError::Cancelled);
            }
            if *free > 0 {
                *free -= 1;
                return Ok(Permit(self));
            }
            free = self.changed.wait_timeout(free, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.changed.notify_one();
    }
}
