//! Why something did not happen: an answer of the shim, and what can be wrong with a frame.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The class of a [`Failure`], which is what the engine decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The command is not in the container: exit code 127.
    CommandNotFound,
    /// The command is there and cannot be executed: exit code 126.
    CommandNotExecutable,
    /// The working directory is not a directory in the container.
    BadWorkingDirectory,
    /// The request says something that no state of the container would allow.
    InvalidRequest,
    /// The container is not in the state that the request needs.
    WrongState,
    /// No exec has this id.
    NoSuchExec,
    /// The kernel or the file system refused.
    System,
}

/// The shim's answer to a request that failed. What had been made for it has been taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The class.
    pub kind: FailureKind,
    /// The step that failed, in the runtime's words (`mounts`, `cgroup`, `exec` …).
    pub stage: String,
    /// What, to what and why, causes joined by `: `.
    pub message: String,
    /// The kernel's error number, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
}

impl Failure {
    /// A failure without an error number.
    pub fn new(kind: FailureKind, stage: &str, message: impl fmt::Display) -> Self {
        Self { kind, stage: stage.to_owned(), message: message.to_string(), errno: None }
    }
}

/// What is wrong with the bytes of a connection. The connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length says more than [`crate::MAX_FRAME`].
    #[error("frame of {length} bytes is longer than {limit}")]
    TooLong {
        /// What the frame's header says, or what was to be sent.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// The frame's text is not a message.
    #[error("cannot read frame")]
    Malformed {
        /// What the JSON parser said.
        source: serde_json::Error,
    },
    /// A message could not be written as JSON.
    #[error("cannot write frame")]
    Unwritable {
        /// What the JSON writer said.
        source: serde_json::Error,
    },
    /// The frame speaks of descriptors that did not arrive.
    #[error("frame needs {wanted} descriptors and {arrived} arrived")]
    MissingDescriptors {
        /// What the message names.
        wanted: usize,
        /// What is there.
        arrived: usize,
    },
    /// More descriptors arrived than any message can name.
    #[error("more than {limit} descriptors are waiting for a frame")]
    TooManyDescriptors {
        /// The limit.
        limit: usize,
    },
}
