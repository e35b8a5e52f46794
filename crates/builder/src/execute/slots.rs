//! Where stages put what they came to, and wait for each other.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::state::StageState;
use crate::error::{BuildError, Result};
use crate::runner::Cancel;

/// How often somebody who waits looks whether the build was cancelled.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Empty,
    Done(Box<StageState>),
    Failed,
}

/// One place for each stage.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Mutex<Vec<Slot>>,
    changed: Condvar,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        let slots = (0..count).map(|_| Slot::Empty).collect();
        Self { slots: Mutex::new(slots), changed: Condvar::new() }
    }

    /// A stage ended.
    pub(crate) fn put(&self, stage: usize, result: Option<StageState>) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots[stage] = result.map_or(Slot::Failed, |state| Slot::Done(Box::new(state)));
        drop(slots);
        self.changed.notify_all();
    }

    /// What a stage came to, once it ended.
    pub(crate) fn wait(&self, stage: usize, cancel: &Cancel) -> Result<StageState> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &slots[stage] {
                Slot::Done(state) => return Ok((**state).clone()),
                Slot::Failed => return Err(BuildError::Elsewhere),
                Slot::Empty if cancel.is_cancelled() => return Err(BuildError::Cancelled),
                Slot::Empty => {}
            }
            let woken = self.changed.wait_timeout(slots, LOOK);
            slots = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
