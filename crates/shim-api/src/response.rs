//! What a shim answers.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::Failure;
use crate::exit::{Exit, UnixTime};

/// One answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// The container is made; its first process waits for `Start`.
    Created {
        /// Its process id on the host.
        pid: u32,
    },
    /// The container's command runs.
    Started {
        /// Since when.
        at: UnixTime,
    },
    /// The stream is attached: it gets what is written after this moment, the log has what was written before.
    Attached {
        /// By the clock that stamps the log.
        at: UnixTime,
    },
    /// The exec's command runs.
    ExecStarted {
        /// Its process id on the host.
        pid: u32,
    },
    /// How the container is.
    State(State),
    /// What it uses: the JSON of `barge_cgroups::Stats`.
    Stats(Box<RawValue>),
    /// The ids on the host of the processes in it.
    Pids(Vec<u32>),
    /// Done.
    Ok,
    /// Not done.
    Error(Failure),
}

/// How the container is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The container's id; empty before `Create`.
    pub id: String,
    /// Where it is in its life.
    pub status: Status,
    /// The execs whose process runs, and the last of those that have ended.
    pub execs: Vec<ExecState>,
}

/// Where the container is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// There was no `Create` yet, or it failed.
    Empty,
    /// Its first process waits for `Start`.
    Created {
        /// That process.
        pid: u32,
    },
    /// Its command runs.
    Running {
        /// Its first process.
        pid: u32,
        /// Since when.
        started_at: UnixTime,
        /// Whether it is frozen by `Pause`.
        paused: bool,
    },
    /// Its first process is gone.
    Exited {
        /// The process id that it had.
        pid: u32,
        /// When its command was started; none when it never was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started_at: Option<UnixTime>,
        /// How it ended.
        exit: Exit,
    },
}

/// An exec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecState {
    /// Its id.
    pub exec_id: String,
    /// Its process on the host, or the id that it had.
    pub pid: u32,
    /// What was to be kept of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// How it ended; none while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Whether it ended while nobody listened who could have told of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_untold: bool,
}
