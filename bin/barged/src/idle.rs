//! What the daemon does when it has nothing to do: it gives back the memory that the work before has needed.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How often it is looked whether there was work.
const TURN: Duration = Duration::from_secs(5);
/// Less than this of a processor in a turn is no work.
const REST: Duration = Duration::from_millis(20);

/// Watches for ever.
pub(crate) async fn watch() {
    let mut turns = tokio::time::interval(TURN);
    let (mut before, mut given_back) = (used(), Duration::ZERO);
    loop {
        turns.tick().await;
        let now = used();
        if now.saturating_sub(before) < REST && now.saturating_sub(given_back) >= REST {
            barge_sys::program::release_freed_memory();
            given_back = used();
        }
        before = now;
    }
}

/// Processor time of the process so far.
fn used() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
