//! How a process ended, as it is told and as it is kept on disk for a daemon that was not there.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// The name of the file in a container's state folder that holds its [`ExitRecord`].
pub const EXIT_FILE: &str = "exit.json";

/// The name of the folder in a container's state folder that another runtime's things are in: it is there if and only if
/// another runtime has made the container, from its creation to its end.
pub const BUNDLE_FOLDER: &str = "bundle";

/// A moment: nanoseconds since 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(pub i64);

impl From<SystemTime> for UnixTime {
    /// Moments before 1970 or after 2262 become the nearest that can be told.
    fn from(time: SystemTime) -> Self {
        let nanos = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos)
            }
        };
        Self(nanos)
    }
}

impl From<UnixTime> for SystemTime {
    fn from(time: UnixTime) -> Self {
        let distance = Duration::from_nanos(time.0.unsigned_abs());
        if time.0 >= 0 { Self::UNIX_EPOCH + distance } else { Self::UNIX_EPOCH - distance }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit status, or 128 plus the signal's number.
    pub code: u8,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<u8>,
    /// Whether the kernel killed a process of the container for want of memory.
    pub oom_killed: bool,
    /// When the shim noticed.
    pub at: UnixTime,
}

/// What `exit.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The form of this record: 1.
    pub version: u32,
    /// The container's id.
    pub id: String,
    /// The process id that the container's first process had on the host.
    pub pid: u32,
    /// When it was started; none when it was created and died before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<UnixTime>,
    /// How it ended.
    pub exit: Exit,
}

impl ExitRecord {
    /// The form that this version writes.
    pub const VERSION: u32 = 1;
}
