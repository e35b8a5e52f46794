//! Why rules could not be written.

/// The result of a backend's verbs.
pub type Result<T> = std::result::Result<T, FirewallError>;

/// A backend could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FirewallError {
    /// The kernel refused a batch of rules; nothing of it was applied.
    #[error("cannot {action} in table {table}")]
    Batch {
        /// Verb and object.
        action: &'static str,
        /// The table that is ours.
        table: String,
        /// What the kernel said.
        source: barge_netlink::NetlinkError,
    },
    /// No way to the kernel's packet filter.
    #[error("cannot reach the kernel's packet filter")]
    Unreachable {
        /// Why.
        source: barge_netlink::NetlinkError,
    },
}

impl FirewallError {
    /// Whether the table, or what should be in it, is not there.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Batch { source, .. } | Self::Unreachable { source } => source.is_absent(),
        }
    }
}
