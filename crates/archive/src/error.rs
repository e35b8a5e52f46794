//! What goes wrong with archives, and whose fault it is.
//!
//! The texts `archive/tar: invalid tar header` and `unexpected EOF` are what Docker's clients see and match on.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use barge_types::ErrorKind;

/// Short for a result of this crate.
pub type Result<T> = std::result::Result<T, ArchiveError>;

/// What went wrong with an archive or a tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The source of the archive could not be read.
    #[error("cannot read archive at byte {offset}")]
    Read {
        /// Bytes read before.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The archive ends too early.
    #[error("unexpected EOF: archive ends at byte {offset} inside {expected}")]
    Truncated {
        /// Length of what is there.
        offset: u64,
        /// What was being read.
        expected: &'static str,
    },
    /// A header makes no sense.
    #[error("archive/tar: invalid tar header: {reason} at byte {offset}")]
    InvalidHeader {
        /// Where the header starts.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A header claims more than is reasonable.
    #[error("archive/tar: header field too long: {what} of {size} bytes at byte {offset}")]
    TooLong {
        /// Where the header starts.
        offset: u64,
        /// What is too long.
        what: &'static str,
        /// How long it says it is.
        size: u64,
    },
    /// An entry wants to leave the destination.
    #[error("{name:?} is outside of the archive's root: {reason}")]
    Breakout {
        /// The entry.
        name: String,
        /// How.
        reason: &'static str,
    },
    /// An entry cannot be made as it says.
    #[error("invalid entry {name:?}: {reason}")]
    InvalidEntry {
        /// The entry.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder is in the way of something else, or the other way round.
    #[error("cannot overwrite {} {path:?} with {} {place:?}", .old.word(), .old.other().word())]
    Clash {
        /// What is there; the archive has the other.
        old: Clashing,
        /// Where.
        path: Box<str>,
        /// Where the archive is extracted to.
        place: Box<str>,
    },
    /// The archive is larger than whoever extracts it allows.
    #[error("archive holds more than {limit} {what}")]
    TooLarge {
        /// Of what there is too much.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// The compressed stream is damaged or of an unknown kind.
    #[error("cannot decompress {format}")]
    Compression {
        /// The format.
        format: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file operation failed.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what, relative to the tree's root.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The archive could not be written.
    #[error("cannot write archive")]
    Write {
        /// Why.
        source: io::Error,
    },
}

/// What does not replace the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clashing {
    /// A folder.
    Folder,
    /// Anything else.
    Other,
}

impl Clashing {
    fn word(self) -> &'static str {
        match self {
            Self::Folder => "directory",
            Self::Other => "non-directory",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Folder => Self::Other,
            Self::Other => Self::Folder,
        }
    }
}

impl ArchiveError {
    /// Makes an [`ArchiveError::Io`], for `map_err`.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: &[u8],
    ) -> impl FnOnce(E) -> Self {
        let path = PathBuf::from(OsStr::from_bytes(path));
        move |source| Self::Io { action, path, source: source.into() }
    }

    /// Whether something that was there when its folder was read is not (any more): a running container may do that.
    pub(crate) fn is_absence(&self) -> bool {
        use rustix::io::Errno;
        let Self::Io { source, .. } = self else { return false };
        let is = |errno: Errno| source.raw_os_error() == Some(errno.raw_os_error());
        is(Errno::NOENT) || is(Errno::NOTDIR) || is(Errno::LOOP)
    }

    /// Makes an [`ArchiveError::InvalidHeader`].
    pub(crate) fn header(offset: u64, reason: impl Into<String>) -> Self {
        Self::InvalidHeader { offset, reason: reason.into() }
    }

    /// Makes an [`ArchiveError::InvalidEntry`].
    pub(crate) fn entry(name: &[u8], reason: impl Into<String>) -> Self {
        Self::InvalidEntry {
            name: String::from_utf8_lossy(name).into_owned(),
            reason: reason.into(),
        }
    }

    /// Makes an [`ArchiveError::Breakout`].
    pub(crate) fn breakout(name: &[u8], reason: &'static str) -> Self {
        Self::Breakout { name: String::from_utf8_lossy(name).into_owned(), reason }
    }

    /// The class of the error: bad archives are the sender's fault, the rest is the system's.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Truncated { .. }
            | Self::InvalidHeader { .. }
            | Self::TooLong { .. }
            | Self::Breakout { .. }
            | Self::InvalidEntry { .. }
            | Self::Clash { .. }
            | Self::TooLarge { .. }
            | Self::Compression { .. } => ErrorKind::InvalidParameter,
            // What was read cannot be decompressed, or becomes too large.
            Self::Read { source, .. } if source.kind() == io::ErrorKind::InvalidData => {
                ErrorKind::InvalidParameter
            }
            Self::Read { .. } | Self::Io { .. } | Self::Write { .. } => ErrorKind::System,
        }
    }
}
