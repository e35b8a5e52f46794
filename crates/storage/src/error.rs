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
    /// A container asks for a size limit, another driver than overlay2.
    #[error("--storage-opt size is not supported by storage driver {driver}: {reason}")]
    NoSizes {
        /// The driver.
        driver: &'static str,
        /// What is missing.
        reason: &'static str,
    },
    /// A container asks for less than the daemon allows.
    #[error("requested storage size {size} is smaller than btrfs.min_space {least}")]
    TooSmall {
        /// Bytes asked for.
        size: u64,
        /// Bytes at least.
        least: u64,
    },
    /// Other owners are asked for, and nobody said which.
    #[error("the owners of layers are not mapped")]
    NotMapped,
    /// A `--storage-opt` is none.
    #[error("invalid storage option {option:?}: {reason}")]
    InvalidOption {
        /// As it was given.
        option: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A driver that Docker has or had and barge has not.
    #[error("storage driver {name} is not supported: {reason}")]
    RefusedDriver {
        /// The driver.
        name: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// The data root holds layers of another driver, which would be out of sight.
    #[error(
        "{path} holds layers of storage driver {found}, not of {wanted}: start with --storage-driver={found} to keep \
         them, or move {path} away to begin anew without its images and containers",
        path = .path.display()
    )]
    OtherData {
        /// The other driver's folder.
        path: PathBuf,
        /// The driver that made it.
        found: String,
        /// The driver that was to be opened.
        wanted: String,
    },
    /// The data root holds layers of a driver that barge has not.
    #[error(
        "{path} holds layers of storage driver {found}, which is not supported: save its images with the engine that made \
         them, or move {path} away to begin anew without them",
        path = .path.display()
    )]
    ForeignData {
        /// The other driver's folder.
        path: PathBuf,
        /// The driver that made it.
        found: &'static str,
    },
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
    /// The parent of a layer could not be copied.
    #[error("cannot copy {from}", from = .from.display())]
    Copy {
        /// The parent's files.
        from: PathBuf,
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

    /// Whether there was no room for it.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
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
            | Self::NoSizes { .. }
            | Self::TooSmall { .. }
            | Self::InvalidOption { .. }
            | Self::NotMapped
            | Self::TooDeep { .. } => ErrorKind::InvalidParameter,
            Self::NotSupported { .. } | Self::RefusedDriver { .. } => ErrorKind::NotImplemented,
            Self::OtherData { .. } | Self::ForeignData { .. } => ErrorKind::Conflict,
            Self::Archive { source, .. } | Self::Copy { source, .. } => source.kind(),
            Self::Io { .. } => ErrorKind::System,
        }
    }
}
