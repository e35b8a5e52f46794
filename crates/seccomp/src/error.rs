//! What can be wrong with a profile.

use std::io;

use barge_types::ErrorKind;

/// Result of this crate.
pub type Result<T, E = SeccompError> = std::result::Result<T, E>;

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// Not JSON, or not a profile.
    #[error("cannot read the seccomp profile")]
    Json(#[source] serde_json::Error),
    /// Both forms are given; Docker refuses that too.
    #[error("use either 'archMap' or 'architectures' in a seccomp profile, not both")]
    ArchitecturesTwice,
    /// Both forms are given; Docker refuses that too.
    #[error("use either 'name' or 'names' in a seccomp rule, not both: {0}")]
    NamesTwice(String),
    /// Not `4.8`.
    #[error("invalid kernel version {0:?}")]
    KernelVersion(String),
    /// The running kernel's version is not to be had.
    #[error("cannot read the kernel's release")]
    KernelRelease(#[source] io::Error),
    /// Arguments are counted from 0 to 5.
    #[error("seccomp rule for {name}: there is no argument {index}")]
    Argument {
        /// System call.
        name: String,
        /// Which argument.
        index: u32,
    },
    /// The kernel takes errnos up to 4095.
    #[error("seccomp action with errno {0}: the largest is 4095")]
    Errno(u32),
    /// A flag that this crate does not know.
    #[error("unknown seccomp flag {0}")]
    Flag(String),
    /// `SCMP_ACT_NOTIFY` needs a listener, which barge does not have yet.
    #[error("the seccomp action SCMP_ACT_NOTIFY is not supported")]
    Notify,
    /// The kernel takes 4096 instructions.
    #[error("the seccomp filter has {0} instructions, more than the kernel takes")]
    TooLong(usize),
}

impl SeccompError {
    /// The class of the failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Json(_)
            | Self::ArchitecturesTwice
            | Self::NamesTwice(_)
            | Self::KernelVersion(_)
            | Self::Argument { .. }
            | Self::Errno(_)
            | Self::Flag(_)
            | Self::TooLong(_) => ErrorKind::InvalidParameter,
            Self::Notify => ErrorKind::NotImplemented,
            Self::KernelRelease(_) => ErrorKind::System,
        }
    }
}
