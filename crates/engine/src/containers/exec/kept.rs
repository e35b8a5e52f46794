//! The execs that are known: those of containers that run, and for a while those that have ended.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use barge_shim_api::ExecState;
use tokio::sync::watch;

use super::{Exec, KEPT_FOR, Phase};
use crate::containers::Containers;
use crate::containers::container::Container;
use crate::error::{EngineError, Result};

/// How many execs of a container are kept before those that ended are looked at.
const KEPT: usize = 64;
/// The exit code of what SIGKILL ended.
const KILLED: i64 = 137;

impl Containers {
    pub(super) fn find_exec(&self, id: &str) -> Result<(Arc<Container>, Arc<Exec>)> {
        let missing = || EngineError::NoSuchExec(id.to_owned());
        let container = self.execs().get(id).and_then(Weak::upgrade).ok_or_else(missing)?;
        let exec = container.inner().execs.get(id).cloned().ok_or_else(missing)?;
        Ok((container, exec))
    }

    pub(super) fn execs(&self) -> MutexGuard<'_, HashMap<String, Weak<Container>>> {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Knows again what the shim kept for a daemon that comes back.
    pub(in crate::containers) fn resume_execs(
        &self,
        container: &Arc<Container>,
        states: Vec<ExecState>,
    ) {
        for state in states {
            // One of a shim that kept nothing is still known by its id.
            let request = serde_json::from_str(&state.note).unwrap_or_default();
            let phase = match state.exit {
                None => Phase::Running { pid: state.pid },
                Some(exit) => {
                    Phase::Ended { pid: state.pid, code: i64::from(exit.code), at: Instant::now() }
                }
            };
            let id = state.exec_id;
            let exec = Exec { id: id.clone(), request, phase: watch::Sender::new(phase) };
            container.inner().execs.insert(id.clone(), Arc::new(exec));
            self.execs().insert(id, Arc::downgrade(container));
        }
    }

    /// Ends the execs of a container that has ended. Clients ask for their exit codes right after that, as of any other's.
    pub(in crate::containers) fn end_execs(self: &Arc<Self>, container: &Arc<Container>) {
        let is_any_kept = {
            let mut inner = container.inner();
            let mut all = self.execs();
            inner.execs.retain(|id, exec| {
                match exec.phase() {
                    // It cannot run any more.
                    Phase::Created => drop(all.remove(id)),
                    // Killed with the container, and its shim could not tell.
                    Phase::Running { .. } => exec.end_with(KILLED),
                    Phase::Ended { .. } => {}
                }
                exec.phase() != Phase::Created
            });
            !inner.execs.is_empty()
        };
        if is_any_kept {
            let (this, container) = (Arc::downgrade(self), Arc::downgrade(container));
            tokio::spawn(async move {
                tokio::time::sleep(KEPT_FOR).await;
                if let (Some(this), Some(container)) = (this.upgrade(), container.upgrade()) {
                    this.retain_young_execs(&container);
                }
            });
        }
    }

    /// Forgets the execs of a container that goes.
    pub(in crate::containers) fn forget_execs(&self, container: &Container) {
        let forgotten = std::mem::take(&mut container.inner().execs);
        let mut all = self.execs();
        for id in forgotten.keys() {
            all.remove(id);
        }
    }

    /// Forgets one that nobody asks for any more.
    pub(in crate::containers) fn drop_exec(&self, container: &Container, exec: &Exec) {
        container.inner().execs.remove(&exec.id);
        self.execs().remove(&exec.id);
    }

    /// Forgets execs that ended a while ago: clients ask for the exit code right after the end.
    pub(super) fn forget_old_execs(&self, container: &Container) {
        if container.inner().execs.len() >= KEPT {
            self.retain_young_execs(container);
        }
    }

    fn retain_young_execs(&self, container: &Container) {
        let mut inner = container.inner();
        let mut all = self.execs();
        inner.execs.retain(|id, exec| {
            let is_old = exec.is_old();
            if is_old {
                all.remove(id);
            }
            !is_old
        });
    }
}
