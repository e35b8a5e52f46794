//! The backends, one file or folder each.

pub(crate) mod nftables;
pub(crate) mod none;
