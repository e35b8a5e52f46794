//! What can go wrong with a build.

use std::io;
use std::path::{Path, PathBuf};

use barge_archive::ArchiveError;
use barge_dockerfile::MountError;
use barge_image::ImageError;
use barge_storage::StorageError;
use barge_types::ErrorKind;

use crate::files::FilesError;
use crate::runner::RunError;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, BuildError>;

/// A build or something of its cache failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// What follows happened at a place of the Dockerfile.
    #[error("failed to build at {file}:{line}")]
    At {
        /// The Dockerfile's name.
        file: String,
        /// The first line.
        line: u32,
        /// The lines around, for a person.
        excerpt: String,
        /// What happened.
        source: Box<Self>,
    },
    /// A step's process did not end with 0.
    // BuildKit's words.
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    Process {
        /// Its command line.
        command: String,
        /// Its exit code.
        code: i32,
    },
    /// The Dockerfile or a flag says what cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The Dockerfile is not one; the text has the lines in it.
    #[error("{message}")]
    Dockerfile {
        /// What is wrong.
        message: String,
        /// The lines around, for a person.
        excerpt: String,
    },
    /// A flag that barge does not have yet.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// Something that is named is not there.
    #[error("{0}")]
    NotFound(String),
    /// There is no Dockerfile.
    // BuildKit's words.
    #[error("failed to read dockerfile: open {name}: no such file or directory")]
    NoDockerfile {
        /// The path in the context.
        name: String,
    },
    /// The client went away, or asked for it.
    #[error("build cancelled")]
    Cancelled,
    /// The other one of a pair of steps of which each needs the other failed already.
    #[error("another step of the build failed")]
    Elsewhere,
    /// A process could not be started.
    #[error("cannot run {command:?}")]
    Run {
        /// Its command line.
        command: String,
        /// Why.
        source: RunError,
    },
    /// An image, a file or a repository could not be had.
    #[error("cannot get {what}")]
    Source {
        /// What.
        what: String,
        /// Why.
        source: RunError,
    },
    /// A cache could not be kept elsewhere.
    #[error("cannot put the cache into {what}")]
    Cache {
        /// Where.
        what: String,
        /// Why.
        source: RunError,
    },
    /// Reading or copying files.
    #[error("cannot {action}")]
    Storage {
        /// What was tried.
        action: &'static str,
        /// Why.
        source: Box<StorageError>,
    },
    /// Files could not be chosen, read or copied.
    #[error(transparent)]
    Files(FilesError),
    /// The image store.
    #[error("cannot {action}")]
    Image {
        /// What was tried.
        action: &'static str,
        /// Why.
        source: Box<ImageError>,
    },
    /// An archive or a tree.
    #[error("cannot {action}")]
    Archive {
        /// What was tried.
        action: &'static str,
        /// Why.
        source: ArchiveError,
    },
    /// A system call failed.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl From<MountError> for BuildError {
    fn from(error: MountError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<FilesError> for BuildError {
    fn from(error: FilesError) -> Self {
        if matches!(error, FilesError::Cancelled) { Self::Cancelled } else { Self::Files(error) }
    }
}

impl BuildError {
    /// Makes a [`BuildError::Io`], for `map_err`.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source: source.into() }
    }

    /// Makes a [`BuildError::Storage`], for `map_err`.
    pub(crate) fn storage(action: &'static str) -> impl FnOnce(StorageError) -> Self {
        move |source| Self::Storage { action, source: Box::new(source) }
    }

    /// Makes a [`BuildError::Archive`], for `map_err`.
    pub(crate) fn archive(action: &'static str) -> impl FnOnce(ArchiveError) -> Self {
        move |source| Self::Archive { action, source }
    }

    /// Makes a [`BuildError::Image`], for `map_err`.
    pub(crate) fn image(action: &'static str) -> impl FnOnce(ImageError) -> Self {
        move |source| Self::Image { action, source: Box::new(source) }
    }

    /// What happened, without where.
    #[must_use]
    pub fn cause(&self) -> &Self {
        if let Self::At { source, .. } = self { source.cause() } else { self }
    }

    /// The exit code of the process that failed, if that is what happened.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        if let Self::Process { code, .. } = self.cause() { Some(*code) } else { None }
    }

    /// The lines of the Dockerfile around; empty when it is not about a line.
    #[must_use]
    pub fn excerpt(&self) -> &str {
        if let Self::At { excerpt, .. } | Self::Dockerfile { excerpt, .. } = self {
            excerpt
        } else {
            ""
        }
    }

    /// The whole chain of causes in one line, as shown to a person.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.cause().to_string();
        let mut next = std::error::Error::source(self.cause());
        while let Some(error) = next {
            text.push_str(": ");
            text.push_str(&error.to_string());
            next = error.source();
        }
        text
    }

    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::At { source, .. } => source.kind(),
            Self::Process { .. } | Self::Run { .. } | Self::Io { .. } | Self::Elsewhere => {
                ErrorKind::System
            }
            Self::Source { .. } | Self::Cache { .. } => ErrorKind::System,
            Self::Invalid(_) | Self::Dockerfile { .. } => ErrorKind::InvalidParameter,
            Self::Unsupported(_) => ErrorKind::NotImplemented,
            Self::NotFound(_) | Self::NoDockerfile { .. } => ErrorKind::NotFound,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Archive { source, .. } => source.kind(),
            Self::Files(source) => source.kind(),
            Self::Storage { source, .. } => source.kind(),
            Self::Image { source, .. } => source.kind(),
        }
    }
}
