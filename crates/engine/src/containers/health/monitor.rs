//! When a container is probed, and what is done with what comes of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::check::{HealthCheck, OnFailure};
use super::verdict::{Health, HealthStatus, Probe};
use crate::containers::Containers;
use crate::containers::container::{Container, Inner};
use crate::containers::exits::Run;
use crate::containers::state::{Freeze, Running};
use crate::disk::{self, Durability};

/// The file in a container's run folder that says how well it is.
pub(in crate::containers) const HEALTH_FILE: &str = "health.json";

/// How long the end of a run may take to be known after the end of its processes: the kernel kills a container's
/// other processes before its first one is reaped, and that is no verdict on its health.
const DOUBT: Duration = Duration::from_millis(500);

impl Containers {
    /// Probes a run for as long as this is awaited.
    pub(in crate::containers) async fn watch_health(
        self: &Arc<Self>,
        container: &Arc<Container>,
        run: &Run,
    ) -> Infallible {
        let Some(check) = container.settings().health.clone() else {
            return std::future::pending().await;
        };
        let since = run.started;
        if run.child.is_none() {
            // Not of this daemon's start.
            self.kill_lost_probes(container, &run.shim).await;
        }
        let mut wait = first_wait(container, &check, since);
        loop {
            tokio::time::sleep(wait).await;
            if !is_frozen(&container.inner())
                && let Some(ran) = self.probe(container, &check).await
            {
                if ran.is_doubtful {
                    tokio::time::sleep(DOUBT).await;
                }
                self.heed(container, &check, (since, ran.probe));
                self.forget_probe(container, &ran.exec).await;
            }
            wait = interval(container, &check, since);
        }
    }

    /// Records what came of a probe and tells of a change.
    fn heed(
        self: &Arc<Self>,
        container: &Arc<Container>,
        check: &HealthCheck,
        (since, probe): (SystemTime, Probe),
    ) {
        let has_failed = probe.code != 0;
        let (before, now) = {
            let mut inner = container.inner();
            if inner.state.running().is_none_or(|running| running.since != since) {
                return;
            }
            let health = inner.health.get_or_insert_with(|| Health::starting(None));
            let before = health.status;
            health.add(probe, check, since);
            let path = container.run_folder.join(HEALTH_FILE);
            if let Err(error) = disk::write_record(&path, health, Durability::Lazy) {
                tracing::warn!(container = %container.id, error = error.message(), "what came of a health check could not be recorded");
            }
            (before, health.status)
        };
        if before != now {
            self.tell(container, &format!("health_status: {}", now.word()));
        }
        if has_failed && now == HealthStatus::Unhealthy && check.on_failure != OnFailure::Nothing {
            tokio::spawn(Arc::clone(self).act(Arc::clone(container), since, check.on_failure));
        }
    }
}

/// Whether its processes stand still.
pub(super) fn is_frozen(inner: &Inner) -> bool {
    matches!(inner.state.running(), Some(Running { freeze: Freeze::Frozen, .. }))
}

/// As Docker: more often while it starts.
fn interval(container: &Container, check: &HealthCheck, since: SystemTime) -> Duration {
    let starts = container
        .inner()
        .health
        .as_ref()
        .is_none_or(|health| health.status == HealthStatus::Starting);
    let age = SystemTime::now().duration_since(since).unwrap_or_default();
    if starts && age < check.start_period { check.start_interval } else { check.interval }
}

/// A daemon that comes back goes on with the rhythm of the one before.
fn first_wait(container: &Container, check: &HealthCheck, since: SystemTime) -> Duration {
    let interval = interval(container, check, since);
    let last = {
        let inner = container.inner();
        inner.health.as_ref().and_then(|health| health.log.back()).map(|probe| probe.end)
    };
    // What an earlier run left says nothing of this one.
    match last.filter(|end| *end >= since) {
        Some(end) => {
            interval.saturating_sub(SystemTime::now().duration_since(end).unwrap_or_default())
        }
        None => interval,
    }
}
