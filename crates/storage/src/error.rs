//! What goes wrong with layers.

use std::io;
use std::path::{Path, PathBuf};

use barge_archive::ArchiveError;
use barge_types::ErrorKind;

use crate::LayerId;

/// Short for a result of this crate.
pub type Result<T> = std::result::Result<T, StorageError>;

/// What went wrong with a layer or a driver.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// No layer has this id.
    #[error("layer {0} does not exist")]
    NoSuchLayer(LayerId),
    /// The id is taken.
    #[error("layer {0} already exists")]
    LayerExists(LayerId),
    /// Other layers stand on this one.
    #[error("layer {id} has {children} children")]
    HasChildren {
        /// The layer.
        id: LayerId,
        /// How many stand on it.
        children: usize,
    },
    /// The layer is in use.
    #[error("layer {0} is mounted")]
    Mounted(LayerId),
    /// The text is no layer id.
    #[error("invalid layer id {0:?}: not 64 hexadecimal digits, optionally followed by -init")]
    InvalidLayerId(String),
    /// No driver has this name.
    #[error("unknown storage driver {name:?}: known are {known}")]
    UnknownDriver {
        /// The name asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The driver cannot work here.
    #[error("storage driver {driver} is not supported on {path} ({fs}): {reason}", path = .path.display())]
    NotSupported {
        /// The driver.
        driver: &'static str,
        /// The folder.
        path: PathBuf,
        /// Its file system.
        fs: String,
        /// What is missing.
        reason: String,
    },
    /// A container asks for a size limit.
    // Docker's words: its clients and tests match on them.
    #[error("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")]
    NoQuota,
    /// More layers than the kernel stacks.
    #[error("max depth exceeded: {depth} layers, the kernel stacks {limit}")]
    TooDeep {
        /// Layers below.
        depth: usize,
        /// What is possible.
        limit: usize,
    },
    /// Packing, comparing or extracting failed.
    #[error("cannot {action} layer {id}")]
    Archive {
        /// What was tried.
        action: &'static str,
        /// On which layer.
        id: LayerId,
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

impl StorageError {
    /// Makes a [`StorageError::Io`], for `map_err`.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source: source.into() }
    }

    /// Makes a [`StorageError::Archive`], for `map_err`.
    pub(crate) fn archive(action: &'static str, id: &LayerId) -> impl FnOnce(ArchiveError) -> Self {
        let id = id.clone();
        move |source| Self::Archive { action, id, source }
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchLayer(_) => ErrorKind::NotFound,
            Self::LayerExists(_) | Self::HasChildren { .. } | Self::Mounted(_) => {
                ErrorKind::Conflict
            }
            Self::InvalidLayerId(_)
            | Self::UnknownDriver { .. }
            | Self::NoQuota
            | Self::TooDeep { .. } => ErrorKind::InvalidParameter,
            Self::NotSupported { .. } => ErrorKind::NotImplemented,
            Self::Archive { source, .. } => source.kind(),
            Self::Io { .. } => ErrorKind::System,
        }
    }
}
