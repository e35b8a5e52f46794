//! What the daemon does to a container by itself when its shim does not answer: stopped by a signal, or waiting for a
//! process that is. Nothing of a container may depend on one process of ours that can hang.

use std::sync::Arc;

use barge_shim_api::SignalTarget;
use barge_types::Signal;

use super::Containers;
use super::container::Container;
use crate::blocking;
use crate::error::{EngineError, Result};
use crate::shims::Connection;

impl Containers {
    /// Sends a signal to the first process or to all; a killed container loses its silent shim too, for nobody else
    /// would tell its end.
    pub(super) async fn signal_without_shim(
        &self,
        container: &Container,
        shim: &Arc<Connection>,
        (signal, target): (Signal, SignalTarget),
    ) -> Result<()> {
        tracing::warn!(container = %container.id, %signal, "the shim does not answer: the daemon sends the signal itself");
        let cgroup = self.cgroup(container)?;
        if signal == Signal::KILL {
            blocking::run(move || {
                cgroup.kill_all()?;
                // On v1 a frozen process takes its SIGKILL only when it is thawed.
                if cgroup.is_frozen()? {
                    cgroup.thaw()?;
                }
                Ok(())
            })
            .await?;
            if !shim.kill() {
                tracing::warn!(container = %container.id, "it is not known which process the silent shim is");
            }
            return Ok(());
        }
        let Some(running) = container.state().running() else {
            return Ok(());
        };
        let number = signal.number();
        blocking::run(move || {
            let pids = cgroup.pids()?;
            let wanted: Vec<u32> = match target {
                SignalTarget::Init | SignalTarget::Exec(_) => vec![running.pid],
                SignalTarget::All => pids.clone(),
            };
            // Looked up after it was opened: a process of the group is one of the container.
            for pid in wanted.into_iter().filter(|pid| pids.contains(pid)) {
                if let Ok(process) = barge_sys::pidfd::open(i32::try_from(pid).unwrap_or(0))
                    && cgroup.pids()?.contains(&pid)
                {
                    // It may have ended meanwhile.
                    barge_sys::pidfd::send_signal(&process, number).ok();
                }
            }
            Ok(())
        })
        .await
    }

    /// Lets every process of a paused container go on.
    pub(super) async fn thaw_without_shim(&self, container: &Container) -> Result<()> {
        let cgroup = self.cgroup(container)?;
        blocking::run(move || cgroup.thaw().map_err(EngineError::from)).await
    }
}
