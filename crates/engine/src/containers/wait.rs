//! `wait`: the answer comes when the container has ended, or is gone.

use barge_api_types::{ContainerWaitResponse, WaitExitError};
use tokio::sync::watch;

use super::Containers;
use super::container::{Presence, Progress};
use super::state::State;
use crate::error::{EngineError, Result};

/// What is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// That nothing runs, which may be so already.
    #[default]
    NotRunning,
    /// The next end, also of a container that does not run yet.
    NextExit,
    /// The removal.
    Removed,
}

impl std::str::FromStr for WaitCondition {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "not-running" => Ok(Self::NotRunning),
            "next-exit" => Ok(Self::NextExit),
            "removed" => Ok(Self::Removed),
            _ => Err(EngineError::Invalid(format!("invalid condition: \"{text}\""))),
        }
    }
}

/// Waits; made before the container is started, so that no end is missed.
#[derive(Debug)]
pub struct Waiter {
    progress: watch::Receiver<Progress>,
    condition: WaitCondition,
    /// How often it had ended when the wait began.
    exits: u64,
    /// The exit code, when there is nothing to wait for.
    known: Option<i32>,
}

impl Containers {
    /// Begins to wait.
    pub async fn wait(&self, name: &str, condition: WaitCondition) -> Result<Waiter> {
        let container = self.registry.find(name)?;
        let progress = container.watch();
        let exits = progress.borrow().exits;
        let state = container.state();
        let is_at_rest = match &state {
            State::Created(_) | State::Exited(_) | State::Removing(_) => true,
            State::Running(_) | State::Restarting(_) => false,
        };
        let is_over = is_at_rest && condition == WaitCondition::NotRunning;
        // Of the state itself: who waits on the progress is told a moment later.
        let known = is_over.then(|| state.exit_code());
        Ok(Waiter { progress, condition, exits, known })
    }
}

impl Waiter {
    /// The exit code, when it is there.
    pub async fn result(mut self) -> ContainerWaitResponse {
        let (condition, exits) = (self.condition, self.exits);
        let is_met = move |progress: &Progress| match condition {
            WaitCondition::NotRunning | WaitCondition::NextExit => {
                progress.exits > exits || progress.presence == Presence::Removed
            }
            WaitCondition::Removed => progress.presence != Presence::Present,
        };
        let code = if let Some(code) = self.known {
            code
        } else {
            // The sender is dropped with the container, which is then removed.
            let last = self.progress.wait_for(is_met).await.map(|progress| progress.code);
            last.unwrap_or_else(|_| self.progress.borrow().code)
        };
        let is_stuck = condition == WaitCondition::Removed
            && self.progress.borrow().presence == Presence::Stuck;
        let error = is_stuck.then(|| WaitExitError {
            message: "the container could not be removed after its end".to_owned(),
        });
        ContainerWaitResponse { status_code: i64::from(code), error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::container::Rest;

    fn waiter(condition: WaitCondition) -> (watch::Sender<Progress>, Waiter) {
        let sender = watch::Sender::new(Progress {
            exits: 1,
            code: 3,
            rest: Rest::InUse,
            presence: Presence::Present,
        });
        let waiter = Waiter { progress: sender.subscribe(), condition, exits: 1, known: None };
        (sender, waiter)
    }

    #[tokio::test]
    async fn a_removal_that_failed_ends_the_wait_for_it_with_an_error() {
        let (progress, waiter) = waiter(WaitCondition::Removed);
        progress.send_modify(|progress| progress.exits += 1);
        progress.send_modify(|progress| progress.presence = Presence::Stuck);
        let answer = waiter.result().await;
        assert_eq!(answer.status_code, 3);
        assert!(answer.error.is_some());
    }

    #[tokio::test]
    async fn only_an_end_after_the_wait_began_ends_it() {
        let (progress, waiter) = waiter(WaitCondition::NextExit);
        let mut result = looks_at(waiter);
        assert!(result().is_none(), "the end of before does not count");
        progress.send_modify(|progress| (progress.exits, progress.code) = (2, 7));
        assert_eq!(result().map(|answer| answer.status_code), Some(7));
    }

    /// Looks at a wait from time to time.
    fn looks_at(waiter: Waiter) -> impl FnMut() -> Option<ContainerWaitResponse> {
        let mut result = Box::pin(waiter.result());
        move || {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            match result.as_mut().poll(&mut context) {
                std::task::Poll::Ready(answer) => Some(answer),
                std::task::Poll::Pending => None,
            }
        }
    }
}
