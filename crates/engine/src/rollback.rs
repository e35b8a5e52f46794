//! Takes back what a verb did when a later step fails.

/// The undo steps of a verb, run last first when it is dropped without `commit`.
#[derive(Default)]
pub(crate) struct Rollback {
    steps: Vec<Box<dyn FnOnce() + Send>>,
}

impl Rollback {
    /// Adds a step. It reports its own failure: tear-down does not stop at the first error.
    pub(crate) fn push(&mut self, step: impl FnOnce() + Send + 'static) {
        self.steps.push(Box::new(step));
    }

    /// Nothing is to be taken back any more.
    pub(crate) fn commit(mut self) {
        self.steps.clear();
    }
}

impl std::fmt::Debug for Rollback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rollback({} steps)", self.steps.len())
    }
}

impl Drop for Rollback {
    fn drop(&mut self) {
        while let Some(step) = self.steps.pop() {
            step();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn steps_run_last_first_and_not_after_commit() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let push = |undo: &mut Rollback, n: i32| {
            let seen = Arc::clone(&seen);
            undo.push(move || seen.lock().unwrap().push(n));
        };
        let mut undo = Rollback::default();
        push(&mut undo, 1);
        push(&mut undo, 2);
        drop(undo);
        let mut undo = Rollback::default();
        push(&mut undo, 3);
        undo.commit();
        assert_eq!(*seen.lock().unwrap(), [2, 1]);
    }
}
