//! What can be wrong with a log.

use std::io;
use std::path::{Path, PathBuf};

/// What can be wrong with a log or with what was asked of it. The texts about options are Docker's,
/// word for word.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No driver has this name.
    #[error("logger: no log driver named '{0}' is registered")]
    UnknownDriver(String),
    /// The driver has no such option.
    #[error("{text}")]
    UnknownOption {
        /// Which driver, and which option.
        text: String,
    },
    /// The option exists and the value is not one.
    #[error("{reason}")]
    BadOption {
        /// What is wrong with it.
        reason: String,
    },
    /// A remote log cannot be reached.
    #[error("{action}")]
    Unreachable {
        /// What was tried, and where.
        action: String,
        /// Why not.
        source: io::Error,
    },
    /// There is no journal to write to.
    #[error("journald is not enabled on this host")]
    NoJournal,
    /// The file system refused.
    #[error("cannot {action} log {path}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl LogError {
    /// For `map_err`.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn unreachable(action: impl Into<String>, source: io::Error) -> Self {
        Self::Unreachable { action: action.into(), source }
    }

    pub(crate) fn bad_option(reason: impl Into<String>) -> Self {
        Self::BadOption { reason: reason.into() }
    }
}
