//! The tar format: ustar, pax and GNU, as GNU tar, Python, Go and libarchive write them.
//!
//! [`Reader`] streams over any `Read` with a fixed buffer; what a header claims never decides an allocation beyond
//! [`MAX_EXTENSION`]. [`Writer`] writes the same bytes for the same entries.

mod block;
mod decode;
mod entry;
mod header;
mod number;
mod pax;
mod reader;
mod sparse;
mod writer;

pub use entry::Entry;
pub use header::{Device, EntryKind, Header, Timestamp};
pub use reader::Reader;
pub use sparse::Segment;
pub use writer::{Content, Writer};

/// Every tar block, and what every length is rounded up to.
pub const BLOCK: usize = 512;

/// Longest extension header (pax records, GNU long name, sparse map) that is read: Go's limit, 1 MiB.
pub const MAX_EXTENSION: u64 = 1024 * 1024;

#[cfg(test)]
mod tests;
