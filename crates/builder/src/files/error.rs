//! What goes wrong with the files of a build, and whose fault it is.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use barge_archive::ArchiveError;
use barge_dockerfile::glob::PatternError;
use barge_dockerfile::ignore::IgnoreError;
use barge_types::ErrorKind;
use barge_types::accounts::UserError;

/// The result of everything about files.
pub(crate) type Result<T> = std::result::Result<T, FilesError>;

/// Files could not be chosen, read or copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// A source is not there.
    // `"/x": not found` is what people look for after BuildKit.
    #[error("{path:?}: not found in {tree}{hint}")]
    NotFound {
        /// As it was asked for, from the root.
        path: String,
        /// Where it was looked for.
        tree: String,
        /// What may be the reason.
        hint: String,
    },
    /// Several sources, and a destination that is no folder.
    #[error(
        "when using COPY or ADD with more than one source file, the destination must be a directory and end with a /"
    )]
    SeveralSources,
    /// A folder would replace a file.
    #[error("cannot copy to non-directory: {path}")]
    NotAFolder {
        /// The destination.
        path: String,
    },
    /// A file would replace a folder.
    #[error("cannot replace to directory {path} with file")]
    FolderInTheWay {
        /// The destination.
        path: String,
    },
    /// Whoever asked for it does not want it any more.
    #[error("cancelled")]
    Cancelled,
    /// Something else than what was found before is there: somebody is changing the files.
    #[error("{path} changed while it was read")]
    Changed {
        /// What.
        path: String,
    },
    /// A `--chmod` that is no mode.
    // BuildKit's words.
    #[error(
        "invalid chmod parameter: {text:?}: it should be octal string and between 0 and 07777, or symbolic as u=rwX,go=rX"
    )]
    Mode {
        /// What stands there.
        text: String,
    },
    /// A `--chown` that nobody has.
    #[error("cannot change the owner to {spec}")]
    Owner {
        /// What stands there.
        spec: String,
        /// Why.
        source: UserError,
    },
    /// A wildcard that cannot be read.
    #[error("cannot read a source")]
    Pattern(#[from] PatternError),
    /// An exclusion that cannot be read.
    #[error("cannot read --exclude")]
    Exclude(#[from] IgnoreError),
    /// An archive is damaged, too large or wants out.
    #[error("cannot unpack {name}")]
    Archive {
        /// Which.
        name: String,
        /// Why.
        source: ArchiveError,
    },
    /// What was sent is too large to be a Dockerfile, and is no archive.
    #[error("what was sent is no archive, and with more than {limit} bytes no Dockerfile")]
    NoContext {
        /// The most that a Dockerfile has.
        limit: u64,
    },
    /// A file operation failed.
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

impl FilesError {
    /// Makes a [`FilesError::Io`], for `map_err`.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: &[u8],
    ) -> impl FnOnce(E) -> Self + use<E> {
        let path = PathBuf::from(OsStr::from_bytes(path));
        move |source| Self::Io { action, path, source: source.into() }
    }

    /// Makes a [`FilesError::Changed`].
    pub(crate) fn changed(path: &[u8]) -> Self {
        Self::Changed { path: shown(path) }
    }

    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::SeveralSources
            | Self::NotAFolder { .. }
            | Self::FolderInTheWay { .. }
            | Self::Mode { .. }
            | Self::Owner { .. }
            | Self::Pattern(_)
            | Self::Exclude(_)
            | Self::NoContext { .. } => ErrorKind::InvalidParameter,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Archive { source, .. } => source.kind(),
            Self::Changed { .. } | Self::Io { .. } => ErrorKind::System,
        }
    }
}

/// A path inside a tree as people write it: from the root.
pub(crate) fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}
