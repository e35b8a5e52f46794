//! What can go wrong between a client and its daemon.
//!
//! The texts for an unreachable daemon and for the daemon's own errors are Docker's, with our name
//! in them: scripts match on both.

use std::io;

use http::StatusCode;

use crate::Host;

/// The result of a call.
pub type Result<T> = std::result::Result<T, ClientError>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing listens at the host.
    #[error("Cannot connect to the barge daemon at {host}. Is the daemon running?")]
    Unreachable {
        /// Where the daemon was looked for.
        host: Host,
        /// What the system said.
        source: io::Error,
    },
    /// The socket is there, but not for this user.
    #[error("permission denied while trying to connect to the barge daemon socket at {host}")]
    Permission {
        /// Where the daemon was looked for.
        host: Host,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon answered with an error.
    #[error("Error response from daemon: {message}")]
    Daemon {
        /// Its HTTP status.
        status: StatusCode,
        /// The `message` of the body.
        message: String,
    },
    /// The connection broke, or what came over it was no HTTP.
    #[error("cannot {action} the daemon")]
    Transport {
        /// "ask", "read from", …
        action: &'static str,
        /// The cause.
        source: hyper::Error,
    },
    /// The stream broke.
    #[error("cannot {action} the daemon")]
    Stream {
        /// "read from" or "write to".
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A name cannot stand in a request.
    #[error("cannot make a request for {path:?}")]
    Request {
        /// The path asked for.
        path: String,
        /// The cause.
        source: http::Error,
    },
    /// The answer was not the JSON that it should be.
    #[error("cannot understand the daemon's {what}")]
    Decode {
        /// What was expected.
        what: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
    /// The daemon answered an attach with something that is no stream.
    #[error("the daemon did not switch to a stream (status {status})")]
    NotHijacked {
        /// What it answered.
        status: StatusCode,
    },
}

impl ClientError {
    /// The status when the daemon itself said no.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Daemon { status, .. } => Some(*status),
            Self::Unreachable { .. }
            | Self::Permission { .. }
            | Self::Transport { .. }
            | Self::Stream { .. }
            | Self::Request { .. }
            | Self::Decode { .. }
            | Self::NotHijacked { .. } => None,
        }
    }

    /// Whether the daemon said that there is no such object.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Whether no daemon could be reached at all.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    pub(crate) fn transport(action: &'static str) -> impl FnOnce(hyper::Error) -> Self {
        move |source| Self::Transport { action, source }
    }

    pub(crate) fn decode(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Decode { what, source }
    }
}
