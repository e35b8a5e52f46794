//! What came of a container's probes: pure, and kept with its state.

use std::collections::VecDeque;
use std::time::SystemTime;

use barge_api_types::{Health as HealthView, HealthcheckResult};
use serde::{Deserialize, Serialize};

use super::check::HealthCheck;
use crate::time;

/// How many probes are kept, as many as Docker keeps.
const KEPT: usize = 5;

/// How well a container is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Health {
    pub(crate) status: HealthStatus,
    /// So many probes in a row failed.
    pub(crate) failing_streak: u32,
    /// The last probes, the youngest last; those of earlier runs too.
    pub(crate) log: VecDeque<Probe>,
}

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HealthStatus {
    /// No probe has decided yet.
    Starting,
    Healthy,
    /// Too many probes in a row failed; or it does not run.
    Unhealthy,
}

/// One probe that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probe {
    pub(crate) start: SystemTime,
    pub(crate) end: SystemTime,
    /// -1 for one that could not be run or did not end in time.
    pub(crate) code: i64,
    pub(crate) output: String,
}

impl HealthStatus {
    /// The API's word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl Health {
    /// That of a new run: what is known of earlier probes stays in the log.
    pub(crate) fn starting(before: Option<Self>) -> Self {
        let log = before.map(|health| health.log).unwrap_or_default();
        Self { status: HealthStatus::Starting, failing_streak: 0, log }
    }

    /// Adds what came of a probe of a run that began at `since`.
    pub(super) fn add(&mut self, probe: Probe, check: &HealthCheck, since: SystemTime) {
        if probe.code == 0 {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else if !self.is_excused(&probe, check, since) {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= check.retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
        while self.log.len() >= KEPT {
            self.log.pop_front();
        }
        self.log.push_back(probe);
    }

    /// Whether a failure does not count: it came in the start period, and no probe succeeded before.
    fn is_excused(&self, probe: &Probe, check: &HealthCheck, since: SystemTime) -> bool {
        self.status == HealthStatus::Starting
            && probe.start.duration_since(since).unwrap_or_default() < check.start_period
    }

    pub(crate) fn view(&self) -> HealthView {
        HealthView {
            status: self.status.word().to_owned(),
            failing_streak: i64::from(self.failing_streak),
            log: self.log.iter().map(Probe::view).collect(),
        }
    }
}

impl Probe {
    fn view(&self) -> HealthcheckResult {
        HealthcheckResult {
            start: time::rfc3339(self.start),
            end: time::rfc3339(self.end),
            exit_code: self.code,
            output: self.output.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::containers::health::check::OnFailure;

    const SINCE: SystemTime = SystemTime::UNIX_EPOCH;

    fn check(retries: u32, start_period: u64) -> HealthCheck {
        HealthCheck {
            command: vec!["x".to_owned()],
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            start_period: Duration::from_secs(start_period),
            start_interval: Duration::from_secs(1),
            retries,
            on_failure: OnFailure::Nothing,
        }
    }

    fn probe(second: u64, code: i64) -> Probe {
        let start = SINCE + Duration::from_secs(second);
        Probe { start, end: start, code, output: second.to_string() }
    }

    /// The statuses after each of the probes, which come every second.
    fn course(check: &HealthCheck, codes: &[i64]) -> Vec<&'static str> {
        let mut health = Health::starting(None);
        let mut after = |(second, code): (u64, &i64)| {
            health.add(probe(second, *code), check, SINCE);
            health.status.word()
        };
        (0..).zip(codes).map(&mut after).collect()
    }

    #[test]
    fn so_many_failures_in_a_row_make_it_unhealthy_and_one_success_heals_it() {
        assert_eq!(
            course(&check(2, 0), &[0, 1, 0, 1, 2, 1, 0]),
            ["healthy", "healthy", "healthy", "healthy", "unhealthy", "unhealthy", "healthy"]
        );
        assert_eq!(course(&check(2, 0), &[1, -1]), ["starting", "unhealthy"]);
    }

    #[test]
    fn failures_in_the_start_period_count_once_a_probe_succeeded() {
        assert_eq!(course(&check(1, 2), &[1, 1, 1]), ["starting", "starting", "unhealthy"]);
        assert_eq!(course(&check(1, 9), &[1, 0, 1]), ["starting", "healthy", "unhealthy"]);
    }

    #[test]
    fn the_last_five_are_kept_over_a_restart() {
        let mut health = Health::starting(None);
        for second in 0..7 {
            health.add(probe(second, 3), &check(1, 0), SINCE);
        }
        assert_eq!(health.failing_streak, 7);
        let next = Health::starting(Some(health));
        assert_eq!((next.status, next.failing_streak), (HealthStatus::Starting, 0));
        let kept: Vec<&str> = next.log.iter().map(|probe| probe.output.as_str()).collect();
        assert_eq!(kept, ["2", "3", "4", "5", "6"]);
        let view = next.view();
        assert_eq!((view.status.as_str(), view.log[0].exit_code), ("starting", 3));
        assert_eq!(view.log[0].start, "1970-01-01T00:00:02Z");
    }
}
