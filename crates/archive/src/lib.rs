//! Layers as tar: read, write, compare, extract without escape.
//!
//! Everything here is synchronous and streams: memory is bounded by the number of names in a layer, never by the size of
//! its files or by what a header claims. Input is hostile: a bad archive gives an [`ArchiveError`] that says where and
//! what, never a panic, and an extraction never leaves its destination.

pub mod changes;
pub mod compression;
pub mod copy;
mod digester;
mod error;
pub mod extract;
mod holes;
pub mod owners;
pub mod pack;
pub mod path;
mod read_ahead;
pub mod remove;
pub mod resource;
pub mod tar;
mod tree;

pub use digester::{DigestReader, DigestWriter, Digester};
pub use error::{ArchiveError, Clashing, Result};
pub use read_ahead::ReadAhead;
pub use tree::Marks;
