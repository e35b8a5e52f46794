//! What an archive says of one entry, all formats' extensions applied.

use std::collections::BTreeMap;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A file with content.
    Regular,
    /// Another name of an earlier entry.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A folder.
    Directory,
    /// A named pipe.
    Fifo,
    /// Something else: the type byte.
    Other(u8),
}

impl EntryKind {
    pub(crate) fn from_flag(flag: u8, path: &[u8]) -> Self {
        match flag {
            // Before POSIX a folder was a file with a slash at the end of its name.
            b'0' | 0 if path.last() == Some(&b'/') => Self::Directory,
            b'0' | 0 | b'7' | b'S' => Self::Regular,
            b'1' => Self::HardLink,
            b'2' => Self::Symlink,
            b'3' => Self::CharDevice,
            b'4' => Self::BlockDevice,
            b'5' => Self::Directory,
            b'6' => Self::Fifo,
            other => Self::Other(other),
        }
    }

    pub(crate) fn flag(self) -> u8 {
        match self {
            Self::Regular => b'0',
            Self::HardLink => b'1',
            Self::Symlink => b'2',
            Self::CharDevice => b'3',
            Self::BlockDevice => b'4',
            Self::Directory => b'5',
            Self::Fifo => b'6',
            Self::Other(flag) => flag,
        }
    }

    /// Whether bytes can follow the header. For the others a size is ignored, as Go and GNU tar do.
    pub(crate) fn has_data(self) -> bool {
        matches!(self, Self::Regular | Self::Other(_))
    }
}

/// A moment: seconds since 1970 and nanoseconds after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// 0 ≤ nanoseconds < 1 000 000 000.
    pub nanoseconds: u32,
}

/// The number of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The driver.
    pub major: u32,
    /// The thing.
    pub minor: u32,
}

/// What an archive says of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name as it stands in the archive (see [`crate::path::clean`]).
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky; no type bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Bytes of content; of a sparse file with its holes.
    pub size: u64,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Target of a link: text for a symbolic one, a name in the archive for a hard one.
    pub link: Vec<u8>,
    /// Number of a device.
    pub device: Device,
    /// Name of the owner, not used for extraction.
    pub user: Vec<u8>,
    /// Name of the group, not used for extraction.
    pub group: Vec<u8>,
    /// Extended attributes by full name (`user.x`).
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Header {
    /// An entry of root's, without content, mode 0644 (0755 for a folder), of 1970.
    pub fn new(path: impl Into<Vec<u8>>, kind: EntryKind) -> Self {
        Self {
            path: path.into(),
            kind,
            mode: if kind == EntryKind::Directory { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            size: 0,
            mtime: Timestamp::default(),
            link: Vec::new(),
            device: Device::default(),
            user: Vec::new(),
            group: Vec::new(),
            xattrs: BTreeMap::new(),
        }
    }
}
