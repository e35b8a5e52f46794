//! How fast something goes: over the last seconds, not since the beginning, so that a stall and a
//! resumed download show as what they are.

use std::collections::VecDeque;
use std::time::Duration;

/// How far back a rate looks.
const WINDOW: Duration = Duration::from_secs(4);

/// Two looks are at least so far apart, which bounds how many are kept.
const STEP: Duration = Duration::from_millis(100);

/// A rate over less than this is no rate.
const LEAST: Duration = Duration::from_millis(250);

/// What was reached when.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    looks: VecDeque<(Duration, u64)>,
}

impl Meter {
    /// Notes that so many bytes were reached at `now`.
    pub(super) fn note(&mut self, now: Duration, bytes: u64) {
        if let Some(&(last, reached)) = self.looks.back() {
            if bytes < reached {
                // It began anew.
                self.looks.clear();
            } else if now < last + STEP {
                return;
            }
        }
        self.looks.push_back((now, bytes));
        while self.looks.get(1).is_some_and(|&(then, _)| then + WINDOW <= now) {
            self.looks.pop_front();
        }
    }

    /// Bytes per second up to `now`, at which `bytes` are reached; none while too little is known.
    pub(super) fn rate(&self, now: Duration, bytes: u64) -> Option<u64> {
        let (then, reached) = *self.looks.front()?;
        let passed = now.checked_sub(then).filter(|passed| *passed >= LEAST)?;
        let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        Some(bytes.saturating_sub(reached).saturating_mul(1000) / millis.max(1))
    }
}

/// How long so many bytes will take; none when nothing moves.
pub(super) fn time_left(bytes: u64, rate: u64) -> Option<String> {
    let seconds = bytes.checked_div(rate)?;
    Some(match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours @ 1..=99, minutes, _) => format!("{hours}h{minutes:02}m"),
        // Nobody waits for that: it stalls.
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut meter = Meter::default();
        for second in 0..20 {
            meter.note(at(second * 1000), second * 1000);
        }
        // It stalls: after a while, nothing is left of the rate.
        assert_eq!(meter.rate(at(19_000), 19_000), Some(1000));
        meter.note(at(23_000), 19_000);
        meter.note(at(24_000), 19_000);
        assert_eq!(meter.rate(at(24_000), 19_000), Some(0));
        assert!(meter.looks.len() < 10);
    }

    #[test]
    fn what_was_there_before_does_not_count() {
        let mut meter = Meter::default();
        meter.note(at(0), 5_000_000);
        meter.note(at(1000), 5_002_000);
        assert_eq!(meter.rate(at(1000), 5_002_000), Some(2000));
        // Anew from the beginning.
        meter.note(at(2000), 0);
        assert_eq!(meter.rate(at(3000), 100), Some(100));
        assert_eq!(meter.rate(at(2100), 100), None);
    }

    #[test]
    fn time_left_is_short() {
        assert_eq!(time_left(100, 10).unwrap(), "10s");
        assert_eq!(time_left(1000, 10).unwrap(), "1m40s");
        assert_eq!(time_left(100_000, 10).unwrap(), "2h46m");
        assert_eq!(time_left(1, 0), None);
        assert_eq!(time_left(u64::MAX, 1), None);
    }
}
