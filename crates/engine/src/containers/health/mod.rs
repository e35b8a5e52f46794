//! Health checks: a command that is run in a container again and again to see whether it is well.
//!
//! No task and no thread of their own: who follows a run to its end probes it meanwhile, so that probing ends with the
//! run whatever ends it. What came of the probes is kept beside the run's other short-lived files with each probe, and
//! with the container's state when that changes.
//!
//! Unlike Docker, which shows a paused container as unhealthy, a pause changes nothing: there are no probes in it, and
//! one that runs goes on after it.

mod check;
mod monitor;
mod on_failure;
mod output;
mod probe;
mod verdict;

pub(crate) use check::{HealthCheck, add_image_check};
pub(crate) use verdict::{Health, HealthStatus};

pub(super) use monitor::HEALTH_FILE;
