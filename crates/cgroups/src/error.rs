//! What can go wrong with a group. Every variant names the file: a read-only or absent controller is the host's
//! set-up, and only the path tells its owner what to mend.

use std::{io, path::PathBuf, time::Duration};

use barge_types::ErrorKind;

/// Result of this crate.
pub type Result<T, E = CgroupError> = std::result::Result<T, E>;

/// Failure of an operation on a group.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A file or directory of the cgroup file system refused.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// What was tried: `read`, `create` …
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A limit was refused.
    #[error("cannot write {value:?} to {path}", path = .path.display())]
    Write {
        /// The text.
        value: String,
        /// The limit's file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A memory limit below what the group uses already.
    #[error("cannot limit memory to {limit} bytes: {usage} are in use ({path})", path = .path.display())]
    MemoryInUse {
        /// Wanted.
        limit: i64,
        /// In use now.
        usage: u64,
        /// The limit's file.
        path: PathBuf,
    },
    /// A limit was asked for that needs a controller this host does not have.
    #[error("cannot set {what}: the {controller} cgroup controller is not available")]
    Absent {
        /// The limit asked for.
        what: &'static str,
        /// The missing controller.
        controller: &'static str,
    },
    /// A limit that this version of cgroups does not have.
    #[error("cannot set {what} on cgroup {version}")]
    Unsupported {
        /// The limit asked for.
        what: &'static str,
        /// `v1` or `v2`.
        version: &'static str,
    },
    /// Values that contradict each other or mean nothing.
    #[error("invalid {what}: {reason}")]
    Invalid {
        /// The limit.
        what: &'static str,
        /// Why it is refused.
        reason: String,
    },
    /// A path that leaves the hierarchy or is empty.
    #[error("invalid cgroup path {0:?}")]
    BadPath(String),
    /// No cgroup file system is mounted.
    #[error("no cgroup file system is mounted at {}", .0.display())]
    NoCgroups(PathBuf),
    /// The kernel wrote what this crate does not understand.
    #[error("cannot make sense of {path}: {text:?}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Its content.
        text: String,
    },
    /// Processes are in a group that must be empty.
    #[error("cgroup {path} is in use by processes {pids:?}", path = .path.display())]
    InUse {
        /// The group's directory.
        path: PathBuf,
        /// Its processes.
        pids: Vec<u32>,
    },
    /// A wait reached its deadline.
    #[error("{path} is not {what} after {waited:?}", path = .path.display())]
    Deadline {
        /// What was waited for: `frozen`, `empty`.
        what: &'static str,
        /// The file that was watched.
        path: PathBuf,
        /// How long.
        waited: Duration,
    },
    /// The device program of v2 was refused.
    #[error("cannot {action} the device program of {path}", path = .path.display())]
    DeviceProgram {
        /// `load`, `attach` …
        action: &'static str,
        /// The group's directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A process could not be waited for or killed.
    #[error("cannot {action} process {pid}")]
    Process {
        /// `kill` or `watch`.
        action: &'static str,
        /// The process.
        pid: u32,
        /// Why not.
        source: io::Error,
    },
    /// Several parts of a tear-down failed; the first is the source.
    #[error("cannot remove cgroup {path} ({count} failures)", path = .path.display())]
    Destroy {
        /// The group, below the mounts.
        path: PathBuf,
        /// How many directories are left.
        count: usize,
        /// The first failure.
        source: Box<CgroupError>,
    },
}

impl CgroupError {
    /// The class of the failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } | Self::BadPath(_) | Self::MemoryInUse { .. } => {
                ErrorKind::InvalidParameter
            }
            Self::Absent { .. } | Self::Unsupported { .. } | Self::NoCgroups(_) => {
                ErrorKind::NotImplemented
            }
            Self::InUse { .. } => ErrorKind::Conflict,
            Self::Deadline { .. } => ErrorKind::Deadline,
            Self::Io { .. }
            | Self::Write { .. }
            | Self::Unreadable { .. }
            | Self::DeviceProgram { .. }
            | Self::Process { .. }
            | Self::Destroy { .. } => ErrorKind::System,
        }
    }
}
