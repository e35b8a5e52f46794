//! Waiting for what has no event to wait for, never without a deadline.

use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};

/// How long anything may take. Far more than it does: it is here to end what hangs, not to measure.
/// A machine with one core and other work to do is slow, not wrong.
pub const DEADLINE: Duration = Duration::from_secs(180);

const STEP: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// Looks again and again until `condition` holds; fails with `what` when that takes too long.
///
/// # Panics
/// At the deadline.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "not after {} s: {what}", DEADLINE.as_secs());
        pause();
    }
}

/// The step between two looks at something that nobody tells the end of.
pub fn pause() {
    // Nothing to poll, so this returns at the end of the step or with a signal; both are fine.
    poll(&mut [], Some(&STEP)).ok();
}

/// Lets something else get so far, for tests that interrupt it at different moments; nothing may depend on how far.
pub fn let_pass(milliseconds: u32) {
    let time = Timespec { tv_sec: 0, tv_nsec: (milliseconds % 1000 * 1_000_000).into() };
    poll(&mut [], Some(&time)).ok();
}
