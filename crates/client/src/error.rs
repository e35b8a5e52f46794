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
    /// The daemon ended before its answer was complete: it was stopped, killed or started again.
    #[error("the barge daemon at {host} went away {when}")]
    Gone {
        /// Where it was.
        host: Host,
        /// "before it answered", "in the middle of its answer".
        when: &'static str,
        /// What the transport said.
        source: hyper::Error,
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
            | Self::Gone { .. }
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

    /// Whether something is not as it would have to be for that.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(StatusCode::CONFLICT)
    }

    /// Whether no daemon could be reached at all.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether the daemon was there and is so no more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }

    /// For `map_err`: a question that got no answer.
    pub(crate) fn unanswered(host: &Host) -> impl FnOnce(hyper::Error) -> Self {
        move |source| {
            if is_lost(&source) {
                return Self::Gone { host: host.clone(), when: "before it answered", source };
            }
            Self::Transport { action: "ask", source }
        }
    }

    /// For `map_err`: an answer that came in part.
    pub(crate) fn unfinished(host: &Host) -> impl FnOnce(hyper::Error) -> Self {
        move |source| {
            if is_lost(&source) {
                let when = "in the middle of its answer";
                return Self::Gone { host: host.clone(), when, source };
            }
            Self::Transport { action: "read from", source }
        }
    }

    pub(crate) fn transport(action: &'static str) -> impl FnOnce(hyper::Error) -> Self {
        move |source| Self::Transport { action, source }
    }

    pub(crate) fn decode(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Decode { what, source }
    }
}

/// Whether the other end has closed the connection, whatever the words for it are.
fn is_lost(error: &hyper::Error) -> bool {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return true;
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::NotConnected
            );
        }
        cause = error.source();
    }
    false
}
