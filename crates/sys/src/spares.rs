//! What takes the kernel long to make, made ahead by a thread of its own.
//!
//! Taking one does not wake the thread: making the next one at once would compete for the processor with the very start
//! it was taken for.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

/// Things that are ready.
#[derive(Debug)]
pub struct Spares<T> {
    shared: Arc<Shared<T>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared<T> {
    target: usize,
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    ready: Vec<T>,
    wanted: bool,
    ended: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one after the other until there are enough, whenever some are wanted, until the end.
    fn work(&self, mut make: impl FnMut() -> Option<T>) {
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
                Some(spare) => state.ready.push(spare),
                None => state.wanted = false,
            }
        }
    }
}

impl<T: Send + 'static> Spares<T> {
    /// Starts the thread, which makes the first ones when it is asked to. With a target of 0 there is none. Where `make`
    /// fails, whoever needs one makes it, and reports why.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(
        name: &str,
        target: usize,
        make: impl FnMut() -> Option<T> + Send + 'static,
    ) -> io::Result<Self> {
        let state = State { ready: Vec::new(), wanted: false, ended: false };
        let shared = Arc::new(Shared { target, state: Mutex::new(state), changed: Condvar::new() });
        let thread = if target == 0 {
            None
        } else {
            let worker = Arc::clone(&shared);
            let builder = Builder::new().name(name.to_owned()).stack_size(256 * 1024);
            Some(builder.spawn(move || worker.work(make))?)
        };
        Ok(Self { shared, thread: Mutex::new(thread) })
    }
}

impl<T> Spares<T> {
    /// One that is ready.
    pub fn take(&self) -> Option<T> {
        self.shared.lock().ready.pop()
    }

    /// Now is a good time to make some.
    pub fn refill(&self) {
        self.shared.lock().wanted = true;
        self.shared.changed.notify_one();
    }

    /// The same when few are left.
    pub fn refill_low(&self) {
        let mut state = self.shared.lock();
        if state.ready.len() < self.shared.target.div_ceil(2) {
            state.wanted = true;
            self.shared.changed.notify_one();
        }
    }

    /// Ends the thread and drops what is ready; from now on there is none.
    pub fn close(&self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the thread was reported when it happened.
            thread.join().ok();
        }
        let ready = std::mem::take(&mut self.shared.lock().ready);
        drop(ready);
    }
}

impl<T> Drop for Spares<T> {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    /// Spares that are numbers, and what tells of each that was asked for.
    fn counted(target: usize, most: u32) -> (Spares<u32>, Receiver<u32>) {
        let (send, told) = channel();
        let mut made = 0;
        let spares = Spares::start("test", target, move || {
            made += 1;
            send.send(made).ok();
            (made <= most).then_some(made)
        });
        (spares.unwrap(), told)
    }

    fn wait(told: &Receiver<u32>, wanted: u32) {
        while told.recv_timeout(Duration::from_secs(60)).expect("one more is made") != wanted {}
    }

    #[test]
    fn they_are_made_when_asked_for_and_when_few_are_left() {
        let (spares, told) = counted(4, u32::MAX);
        assert_eq!(spares.take(), None, "there is one that nobody asked for");
        spares.refill();
        wait(&told, 4);
        while spares.take().is_some() {}
        spares.refill_low();
        // The fourth may come too late to be taken.
        wait(&told, 7);
    }

    #[test]
    fn one_that_cannot_be_made_is_tried_again_when_asked_for() {
        let (spares, told) = counted(4, 0);
        spares.refill();
        wait(&told, 1);
        // It may be asked for while the first try ends.
        let again = (0..6000).any(|_| {
            assert_eq!(spares.take(), None);
            spares.refill_low();
            told.recv_timeout(Duration::from_millis(10)).is_ok()
        });
        assert!(again);
    }

    #[test]
    fn the_end_drops_what_is_ready() {
        let one = Arc::new(());
        let (send, told) = channel();
        let copy = Arc::downgrade(&one);
        let spares = Spares::start("test", 2, move || {
            send.send(()).ok();
            copy.upgrade()
        });
        let spares = spares.unwrap();
        spares.refill();
        for _ in 0..2 {
            told.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        spares.close();
        assert_eq!(Arc::strong_count(&one), 1);
        assert_eq!(spares.take(), None);
    }
}
