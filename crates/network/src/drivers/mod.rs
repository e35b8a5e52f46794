//! The kinds of networks, one file or folder each.

pub(crate) mod bridge;
pub(crate) mod host;
pub(crate) mod null;
