//! What the kernel, or the way to it, said.

use std::io;

/// The result of a netlink request.
pub type Result<T> = std::result::Result<T, NetlinkError>;

/// A netlink request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetlinkError {
    /// The socket itself failed.
    #[error("cannot {action} a netlink socket")]
    Socket {
        /// "open", "send to" or "receive from".
        action: &'static str,
        /// What the system call said.
        source: rustix::io::Errno,
    },
    /// The kernel refused a request.
    #[error("kernel refused to {request}{}", explain(.text.as_deref()))]
    Refused {
        /// What was asked for: "create link veth1a2b3c4".
        request: String,
        /// The kernel's own sentence (extended acknowledgement), where it has one.
        text: Option<String>,
        /// The error number.
        source: rustix::io::Errno,
    },
    /// The kernel's answer is not what the protocol says.
    #[error("malformed netlink answer to {request}: {reason}")]
    Malformed {
        /// What was asked for.
        request: String,
        /// What is wrong with the answer.
        reason: &'static str,
    },
    /// A dump changed under the reader every time it was tried.
    #[error("the kernel's answer to {request} kept changing")]
    Interrupted {
        /// What was asked for.
        request: String,
    },
    /// A value that is too long for its field.
    #[error("{what} is too long for a netlink message")]
    TooLong {
        /// Which value.
        what: &'static str,
    },
}

fn explain(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!(" ({text})"))
}

impl NetlinkError {
    /// The error number, when the kernel gave one.
    #[must_use]
    pub const fn errno(&self) -> Option<rustix::io::Errno> {
        match self {
            Self::Socket { source, .. } | Self::Refused { source, .. } => Some(*source),
            Self::Malformed { .. } | Self::Interrupted { .. } | Self::TooLong { .. } => None,
        }
    }

    /// Whether what was asked to be made is there already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(rustix::io::Errno::EXIST)
    }

    /// Whether what was asked for is not there: no such device, address, route, table or element.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        use rustix::io::Errno;
        matches!(
            self.errno(),
            Some(Errno::NODEV | Errno::NOENT | Errno::SRCH | Errno::ADDRNOTAVAIL)
        )
    }
}

impl From<NetlinkError> for io::Error {
    fn from(error: NetlinkError) -> Self {
        let kind = error.errno().map_or(io::ErrorKind::Other, |errno| Self::from(errno).kind());
        Self::new(kind, error)
    }
}
