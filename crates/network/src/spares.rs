//! Sandboxes made ahead, by a thread of their own: bare ones, and for each bridge some with a pair of interfaces.
//!
//! Taking one wakes the thread only when few are left, or when a container ended: making the next one at once would
//! compete for the processor with the very start it was taken for.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::{NetworkError, Result};
use crate::sandbox::Sandbox;

/// The sandboxes that are ready.
#[derive(Debug)]
pub(crate) struct Spares {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: Vec<Sandbox>,
    wanted: bool,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one sandbox after the other until there are enough, whenever some are wanted, until the end.
    fn work(&self, mut make: impl FnMut() -> Result<Sandbox>) {
        loop {
            let mut state = self.lock();
            while !state.wanted && !state.ended {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.ended {
                return;
            }
            if state.ready.len() >= self.target {
                state.wanted = false;
                continue;
            }
            drop(state);
            let made = make();
            let mut state = self.lock();
            match made {
                Ok(sandbox) => state.ready.push(sandbox),
                // Whoever needs one makes it, and reports why that fails.
                Err(_) => state.wanted = false,
            }
        }
    }
}

impl Spares {
    /// Starts the thread, which makes the first ones when it is asked to. With a target of 0 there is none.
    pub(crate) fn start(
        target: usize,
        make: impl FnMut() -> Result<Sandbox> + Send + 'static,
    ) -> Result<Self> {
        let state = Mutex::default();
        let shared = Arc::new(Shared { target, state, changed: Condvar::new() });
        let thread = if target == 0 {
            None
        } else {
            let worker = Arc::clone(&shared);
            let builder =
                std::thread::Builder::new().name("sandboxes".to_owned()).stack_size(256 * 1024);
            let started = builder.spawn(move || worker.work(make));
            Some(started.map_err(NetworkError::io("start the thread", "sandboxes".as_ref()))?)
        };
        Ok(Self { shared, thread })
    }

    /// A sandbox that is ready.
    pub(crate) fn take(&self) -> Option<Sandbox> {
        let mut state = self.shared.lock();
        let sandbox = state.ready.pop();
        if state.ready.len() < self.shared.target.div_ceil(2) {
            state.wanted = true;
            self.shared.changed.notify_one();
        }
        sandbox
    }

    /// Now is a good time to make some.
    pub(crate) fn refill(&self) {
        self.shared.lock().wanted = true;
        self.shared.changed.notify_one();
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            thread.join().ok();
        }
    }
}
