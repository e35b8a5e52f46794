//! The image specification (1.1) with Docker's extensions: configuration, manifest, index, layout.
//!
//! Unknown fields are kept in `extra` and written back: a digest is over bytes, and a field that a
//! newer tool wrote must not get lost when an image is derived. Digests are text here; a reader
//! parses them before it trusts them.

mod config;
mod manifest;
pub mod media_type;

pub use config::{ContainerConfig, Empty, Healthcheck, History, ImageConfig, RootFs};
pub use manifest::{Descriptor, ImageLayout, Index, Manifest, Platform};

#[cfg(test)]
mod tests;
