//! The thread that sends, and when it tries again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Transport;
use super::queue::{Batch, Queue};

/// TLS needs the most; pages that are not touched cost nothing.
const STACK: usize = 512 * 1024;

/// When and how often a packet is tried again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Retry {
    /// Before the second try.
    pub(crate) first: Duration,
    /// How much longer each pause is than the one before.
    pub(crate) growth: f64,
    /// No pause is longer.
    pub(crate) longest: Duration,
    /// So many times after the first; then the packet is given up. None: until it is sent.
    pub(crate) times: Option<u32>,
}

impl Retry {
    /// After the same pause, for ever.
    pub(crate) const STEADY: Self = Self {
        first: Duration::from_secs(1),
        growth: 1.0,
        longest: Duration::from_secs(1),
        times: None,
    };

    /// The pause after so many failures; none when it is enough.
    fn pause(&self, failures: u32) -> Option<Duration> {
        if self.times.is_some_and(|times| failures > times) {
            return None;
        }
        let steps = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.first.as_secs_f64() * self.growth.powi(steps);
        Some(
            Duration::try_from_secs_f64(seconds)
                .map_or(self.longest, |pause| pause.min(self.longest)),
        )
    }
}

pub(crate) fn start(
    queue: Arc<Queue>,
    mut transport: Box<dyn Transport>,
    retry: Retry,
) -> io::Result<()> {
    let work = move || {
        let mut batch = Batch::default();
        while queue.next(&mut batch) && send_all(&queue, &mut *transport, (&batch, retry)) {
            batch.clear();
        }
        // What is still open is closed before anybody hears of the end.
        drop(transport);
        queue.done();
    };
    std::thread::Builder::new().name("log-send".to_owned()).stack_size(STACK).spawn(work)?;
    Ok(())
}

/// False when there is no time left.
fn send_all(queue: &Queue, transport: &mut dyn Transport, (batch, retry): (&Batch, Retry)) -> bool {
    let (mut first, mut failures) = (0, 0);
    while first < batch.len() {
        let packets = batch.packets(first);
        match transport.connect().and_then(|()| transport.send(packets)) {
            Ok(0) => {
                // It takes long. Nobody waits here: the transport did.
                if !queue.pause(Duration::ZERO) {
                    return false;
                }
            }
            Ok(count) => {
                queue.sent(packets.iter().take(count).map(<[u8]>::len).sum());
                first += count;
                failures = 0;
            }
            Err(_) => {
                failures += 1;
                let goes_on = match retry.pause(failures) {
                    Some(pause) => queue.pause(pause),
                    None => {
                        queue.lost(packets.iter().next().map_or(0, <[u8]>::len));
                        first += 1;
                        failures = 0;
                        queue.pause(Duration::ZERO)
                    }
                };
                if !goes_on {
                    return false;
                }
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_end() {
        let seconds = Duration::from_secs;
        let retry = Retry { first: seconds(2), growth: 1.5, longest: seconds(5), times: Some(4) };
        let pauses: Vec<_> = (1..=5).map(|failures| retry.pause(failures)).collect();
        let expected =
            [Some(seconds(2)), Some(seconds(3)), Some(seconds(9) / 2), Some(seconds(5)), None];
        assert_eq!(pauses, expected);
        assert_eq!(Retry::STEADY.pause(u32::MAX), Some(seconds(1)));
    }
}
