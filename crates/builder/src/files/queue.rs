//! Work that makes more work, done by as many threads as there are processors.

use std::num::NonZero;
use std::sync::{Condvar, Mutex, PoisonError};

/// Threads for work that waits for the kernel more than for a processor.
const MOST_THREADS: usize = 8;

struct Queue<T, E> {
    left: Vec<T>,
    /// Tasks that a thread is at.
    running: usize,
    failed: Option<E>,
    /// A thread panicked: what it was at is never done, and nobody may wait for it.
    is_broken: bool,
}

/// Tells the others when a thread does not come back from a task.
struct Watch<'a, T, E> {
    queue: &'a Mutex<Queue<T, E>>,
    changed: &'a Condvar,
}

impl<T, E> Drop for Watch<'_, T, E> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_broken = true;
            self.changed.notify_all();
        }
    }
}

/// Does `first` and whatever `work` adds to the list that it is given. Ends with the first error.
pub(super) fn run<T: Send, E: Send>(
    first: Vec<T>,
    work: &(impl Fn(T, &mut Vec<T>) -> Result<(), E> + Sync),
) -> Result<(), E> {
    let queue = Mutex::new(Queue { left: first, running: 0, failed: None, is_broken: false });
    let changed = Condvar::new();
    let lock = || queue.lock().unwrap_or_else(PoisonError::into_inner);
    let serve = |most: usize| {
        let mut done = 0;
        let mut more = Vec::new();
        let _watch = Watch { queue: &queue, changed: &changed };
        let mut queue = lock();
        while done < most && queue.failed.is_none() && !queue.is_broken {
            let Some(task) = queue.left.pop() else {
                if queue.running == 0 {
                    break;
                }
                queue = changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            queue.running += 1;
            drop(queue);
            let result = work(task, &mut more);
            queue = lock();
            queue.running -= 1;
            queue.left.append(&mut more);
            if let Err(error) = result {
                queue.failed.get_or_insert(error);
            }
            if queue.running == 0 || queue.left.len() > 1 || queue.failed.is_some() {
                changed.notify_all();
            }
            done += 1;
        }
    };
    // What is one task stays on this thread.
    serve(1);
    if lock().left.len() <= 1 {
        serve(1);
    }
    let others = lock().left.len().min(threads()).saturating_sub(1);
    std::thread::scope(|scope| {
        for _ in 0..others {
            scope.spawn(|| serve(usize::MAX));
        }
        serve(usize::MAX);
    });
    let failed = lock().failed.take();
    failed.map_or(Ok(()), Err)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, NonZero::get).min(MOST_THREADS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn everything_is_done_once() {
        let sum = AtomicU64::new(0);
        let work = |depth: u64, more: &mut Vec<u64>| -> Result<(), ()> {
            sum.fetch_add(1, Ordering::Relaxed);
            more.extend((0..depth).map(|_| depth - 1));
            Ok(())
        };
        run(vec![6], &work).unwrap();
        // 1 + 6 + 6·5 + … + 6!·2
        assert_eq!(sum.load(Ordering::Relaxed), 1957);
        run(Vec::new(), &work).unwrap();
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_ends_it() {
        let here = std::thread::current().id();
        let work = |n: u32, more: &mut Vec<u32>| -> Result<(), ()> {
            more.extend([n + 1, n + 1]);
            assert!(n < 3 || std::thread::current().id() == here, "on a thread of the queue");
            Ok(())
        };
        // Whatever the others do, one of them gets a task in the end.
        while run(vec![0], &|n, more| if n < 12 { work(n, more) } else { Ok(()) }).is_ok() {}
    }

    #[test]
    fn an_error_ends_it() {
        let work = |n: u32, more: &mut Vec<u32>| {
            more.extend([n + 1, n + 1]);
            if n == 9 { Err(n) } else { Ok(()) }
        };
        assert_eq!(run(vec![0], &work), Err(9));
    }
}
