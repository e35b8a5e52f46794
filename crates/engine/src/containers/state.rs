//! Where a container is in its life. A state carries what is true only then; the API's booleans are computed.

use std::time::SystemTime;

use barge_shim_api::Exit;
use serde::{Deserialize, Serialize};

/// Where a container is in its life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Never started, or its last start failed (`error` says why).
    Created(Option<FailedStart>),
    /// Its command runs.
    Running(Running),
    /// It ended and will be started again.
    Restarting(Ended),
    /// It ended.
    Exited(Ended),
    /// It is being taken away, or could not be.
    Removing(Removal),
}

/// A start that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailedStart {
    /// The exit code that Docker shows for it: 127, 126 or 128.
    pub(crate) code: i32,
    /// Why.
    pub(crate) error: String,
    /// How the run before it ended, if there was one.
    #[serde(default)]
    pub(crate) before: Option<Ended>,
}

/// A removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Removal {
    /// How the container had ended, if it was started.
    pub(crate) ended: Option<Ended>,
    pub(crate) progress: RemovalProgress,
}

/// How far a removal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RemovalProgress {
    UnderWay,
    /// It can be tried again; a new daemon knows the container as it was before.
    Failed,
}

/// A command that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// The first process's id on the host.
    pub(crate) pid: u32,
    /// Since when.
    pub(crate) since: SystemTime,
    /// Whether it is frozen.
    pub(crate) freeze: Freeze,
}

/// Whether a running container's processes are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Freeze {
    /// They run.
    Thawed,
    /// They are paused.
    Frozen,
}

/// How a container's command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// When it had been started.
    pub(crate) started: SystemTime,
    /// When it ended.
    pub(crate) finished: SystemTime,
    /// The exit code, 128 and the signal's number when one ended it.
    pub(crate) code: i32,
    /// Whether the kernel killed a process of it for want of memory.
    pub(crate) oom: Oom,
}

/// Whether the kernel killed a process for want of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Oom {
    /// It did not.
    Spared,
    /// It did.
    Killed,
}

impl Ended {
    /// What a shim tells of an exit.
    pub(crate) fn from_exit(started: SystemTime, exit: &Exit) -> Self {
        Self {
            started,
            finished: exit.at.into(),
            code: i32::from(exit.code),
            oom: if exit.oom_killed { Oom::Killed } else { Oom::Spared },
        }
    }
}

impl State {
    /// The word that the API's `Status` and the filter `status` use.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            // As Docker, what has run once is not new any more.
            Self::Created(Some(FailedStart { before: Some(_), .. })) => "exited",
            Self::Created(_) => "created",
            Self::Running(Running { freeze: Freeze::Frozen, .. }) => "paused",
            Self::Running(_) => "running",
            Self::Restarting(_) => "restarting",
            Self::Exited(_) => "exited",
            Self::Removing(Removal { progress: RemovalProgress::Failed, .. }) => "dead",
            Self::Removing(_) => "removing",
        }
    }

    /// What runs, if something does.
    pub(crate) const fn running(&self) -> Option<Running> {
        match self {
            Self::Running(running) => Some(*running),
            Self::Created(_) | Self::Restarting(_) | Self::Exited(_) | Self::Removing(_) => None,
        }
    }

    /// How it ended last, if it did.
    pub(crate) const fn ended(&self) -> Option<Ended> {
        match self {
            Self::Exited(ended) | Self::Restarting(ended) => Some(*ended),
            Self::Removing(removal) => removal.ended,
            Self::Created(Some(failed)) => failed.before,
            Self::Created(None) | Self::Running(_) => None,
        }
    }

    /// Whether it has run or runs.
    pub(crate) const fn was_started(&self) -> bool {
        !matches!(self, Self::Created(None | Some(FailedStart { before: None, .. })))
    }

    /// The exit code that `inspect` shows and `wait` gives when nothing runs.
    pub(crate) fn exit_code(&self) -> i32 {
        match self {
            Self::Created(failed) => failed.as_ref().map_or(0, |failed| failed.code),
            Self::Running(_) => 0,
            Self::Restarting(_) | Self::Exited(_) | Self::Removing(_) => {
                self.ended().map_or(0, |ended| ended.code)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDED: Ended = Ended {
        started: SystemTime::UNIX_EPOCH,
        finished: SystemTime::UNIX_EPOCH,
        code: 3,
        oom: Oom::Spared,
    };

    #[test]
    fn a_frozen_container_is_paused_and_still_runs() {
        let state = State::Running(Running {
            pid: 1,
            since: SystemTime::UNIX_EPOCH,
            freeze: Freeze::Frozen,
        });
        assert_eq!(state.word(), "paused");
        assert!(state.running().is_some());
    }

    #[test]
    fn a_failed_start_shows_its_code() {
        let failed = FailedStart { code: 127, error: String::new(), before: None };
        let state = State::Created(Some(failed.clone()));
        assert_eq!(state.exit_code(), 127);
        assert_eq!((state.word(), state.was_started()), ("created", false));
        let state = State::Created(Some(FailedStart { before: Some(ENDED), ..failed }));
        assert_eq!(state.exit_code(), 127);
        assert_eq!((state.word(), state.was_started()), ("exited", true));
    }

    #[test]
    fn what_could_not_be_removed_is_dead() {
        let removing = |progress| State::Removing(Removal { ended: Some(ENDED), progress });
        assert_eq!(removing(RemovalProgress::UnderWay).word(), "removing");
        assert_eq!(removing(RemovalProgress::Failed).word(), "dead");
        assert_eq!(removing(RemovalProgress::Failed).exit_code(), 3);
    }
}
