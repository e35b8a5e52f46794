//! What can go wrong with volumes. `get x: no such volume` and its kin are Docker's words, which
//! clients match on.

use std::io;
use std::path::{Path, PathBuf};

use barge_types::ErrorKind;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, VolumeError>;

/// A volume operation failed.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The name is too short.
    #[error(
        "create {0}: volume name is too short, names should be at least two alphanumeric characters"
    )]
    NameTooShort(String),
    /// The name has characters that no name has.
    #[error(
        "create {0}: {0:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )]
    NameCharacters(String),
    /// No volume has this name.
    #[error("get {0}: no such volume")]
    NoSuchVolume(String),
    /// Containers use the volume.
    #[error("remove {name}: volume is in use - [{users}]", users = .users.join(", "))]
    InUse {
        /// The volume.
        name: String,
        /// Ids of the containers.
        users: Vec<String>,
    },
    /// The name belongs to a volume of another driver.
    #[error(
        "create {name}: conflict: volume name must be unique: it is a volume of driver {driver}"
    )]
    NameTaken {
        /// The volume.
        name: String,
        /// Whose it is.
        driver: String,
    },
    /// No driver has this name.
    #[error("create {name}: error looking up volume plugin {driver}: plugin {driver:?} not found")]
    NoSuchDriver {
        /// The volume.
        name: String,
        /// The driver.
        driver: String,
    },
    /// The driver does not have this option.
    #[error("create {name}: invalid option: {option:?}")]
    InvalidOption {
        /// The volume.
        name: String,
        /// The option.
        option: String,
    },
    /// An option needs another one.
    #[error("create {name}: missing required option: {option:?}")]
    MissingOption {
        /// The volume.
        name: String,
        /// The option.
        option: &'static str,
    },
    /// The file system of the volume could not be mounted.
    #[error("error while mounting volume {target:?}: failed to mount local volume: mount {device}:{target}", target = .target.display().to_string())]
    Mount {
        /// What.
        device: String,
        /// Where.
        target: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record cannot be parsed.
    #[error("cannot parse {path}", path = .path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
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

impl VolumeError {
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self + use<E> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source: source.into() }
    }

    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NameTooShort(_)
            | Self::NameCharacters(_)
            | Self::InvalidOption { .. }
            | Self::MissingOption { .. } => ErrorKind::InvalidParameter,
            Self::NoSuchVolume(_) | Self::NoSuchDriver { .. } => ErrorKind::NotFound,
            Self::InUse { .. } | Self::NameTaken { .. } => ErrorKind::Conflict,
            Self::Mount { .. } | Self::Record { .. } | Self::Io { .. } => ErrorKind::System,
        }
    }
}
