//! What can go wrong with images. Texts that Docker's clients match on are kept word for word.

use std::io;
use std::path::{Path, PathBuf};

use barge_archive::ArchiveError;
use barge_storage::{LayerId, StorageError};
use barge_types::{Digest, ErrorKind, Reference, ReferenceError};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, ImageError>;

/// An image operation failed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No image has this name or id.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// A short id fits several images.
    #[error("ambiguous reference")]
    Ambiguous(String),
    /// The name is not in the grammar.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A tag cannot be given by digest.
    #[error("refusing to create a tag with a digest reference")]
    TagWithDigest,
    /// Removing a name would leave an image that a container uses without one.
    #[error(
        "conflict: unable to remove repository reference {name:?} (must force) - container {container} is using its referenced image {image}"
    )]
    ReferenceInUse {
        /// As the user wrote it.
        name: String,
        /// Short id.
        container: String,
        /// Short id.
        image: String,
    },
    /// The image cannot be deleted now.
    #[error("conflict: unable to delete {image} ({force}) - {reason}")]
    Conflict {
        /// Short id.
        image: String,
        /// Whether force would help: `must be forced` or `cannot be forced`.
        force: &'static str,
        /// Why.
        reason: String,
    },
    /// A `--change` instruction is wrong.
    #[error("{0}")]
    Change(String),
    /// An archive is not what it says it is.
    #[error("invalid archive: {0}")]
    Archive(String),
    /// An archive cannot be read to its end.
    #[error("cannot read the archive")]
    ReadArchive(#[from] ArchiveError),
    /// The bytes of a layer are not those that the configuration names.
    #[error("invalid diffID for layer {layer}: expected {expected:?}, got {got:?}", expected = .expected.to_string(), got = .got.to_string())]
    WrongDiffId {
        /// Number of the layer, from 0.
        layer: usize,
        /// In the configuration.
        expected: Digest,
        /// Of the bytes.
        got: Digest,
    },
    /// The bytes of a blob do not have the digest that names it.
    #[error("wrong digest of {what}: expected {expected}, got {got}")]
    WrongDigest {
        /// Which blob.
        what: String,
        /// Its name.
        expected: Digest,
        /// Of the bytes.
        got: Digest,
    },
    /// A layer's bytes ended before all were there; what came is kept for the next try.
    #[error("unexpected end of the layer: {got} of {expected} bytes came")]
    Incomplete {
        /// Bytes that the manifest names.
        expected: u64,
        /// Bytes that came.
        got: u64,
    },
    /// More bytes than a layer has; nothing of them is kept.
    #[error(
        "wrong length of layer {layer}: more than the {expected} bytes that the manifest names came"
    )]
    TooLong {
        /// Number of the layer, from 0.
        layer: usize,
        /// Bytes that the manifest names.
        expected: u64,
    },
    /// JSON that is not of the form it must have.
    #[error("cannot parse {what}")]
    Json {
        /// Which document.
        what: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A layer could not be unpacked.
    #[error("cannot unpack layer {layer}")]
    Unpack {
        /// Number of the layer, from 0.
        layer: usize,
        /// Why.
        source: StorageError,
    },
    /// A layer's files are not those any more that it was made an image layer with.
    #[error("layer {layer} was changed on the disk: its archive is {got}, not {expected}")]
    Changed {
        /// What the storage driver calls it.
        layer: LayerId,
        /// Digest of the plain archive when it became part of an image.
        expected: Digest,
        /// Now.
        got: Digest,
    },
    /// A record on disk names something that is gone.
    #[error("image {image} is damaged: {missing} is missing")]
    Damaged {
        /// The image.
        image: String,
        /// What it needs.
        missing: String,
    },
    /// The storage driver failed.
    #[error("cannot {action}")]
    Storage {
        /// What was tried.
        action: &'static str,
        /// Why.
        source: StorageError,
    },
    /// A file of the store could not be used.
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

impl ImageError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn json(what: impl Into<String>) -> impl FnOnce(serde_json::Error) -> Self {
        let what = what.into();
        move |source| Self::Json { what, source }
    }

    pub(crate) fn storage(action: &'static str) -> impl FnOnce(StorageError) -> Self {
        move |source| Self::Storage { action, source }
    }

    pub(crate) fn archive(text: impl Into<String>) -> Self {
        Self::Archive(text.into())
    }

    pub(crate) fn no_such(name: &str) -> Self {
        let shown = name
            .parse::<Reference>()
            .map_or_else(|_| name.to_owned(), |reference| reference.familiar());
        Self::NoSuchImage(shown)
    }

    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchImage(_) | Self::Ambiguous(_) => ErrorKind::NotFound,
            Self::Reference(_)
            | Self::TagWithDigest
            | Self::Change(_)
            | Self::Archive(_)
            | Self::WrongDiffId { .. }
            | Self::WrongDigest { .. }
            | Self::TooLong { .. }
            | Self::Json { .. } => ErrorKind::InvalidParameter,
            Self::ReferenceInUse { .. } | Self::Conflict { .. } => ErrorKind::Conflict,
            Self::ReadArchive(source) => source.kind(),
            Self::Unpack { source, .. } => source.kind(),
            Self::Incomplete { .. } => ErrorKind::Unavailable,
            Self::Changed { .. }
            | Self::Damaged { .. }
            | Self::Storage { .. }
            | Self::Io { .. } => ErrorKind::System,
        }
    }
}
