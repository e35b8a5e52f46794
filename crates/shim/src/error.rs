//! What keeps a shim from doing its work.

use std::io;
use std::path::{Path, PathBuf};

/// What keeps a shim from doing its work. Failures of single requests are answers, not errors.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// The process could not be made ready.
    #[error("cannot {action}")]
    Setup {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The file system refused.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The exit status could not be written as JSON.
    #[error("cannot write exit status")]
    Record {
        /// Why not.
        source: serde_json::Error,
    },
}

impl ShimError {
    pub(crate) fn setup(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Setup { action, source }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
