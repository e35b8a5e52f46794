//! The Docker Engine REST API (1.24 to 1.51), field for field: one file per noun, serde and nothing else.
//!
//! Reading is lenient as Go's decoder is: unknown fields are ignored, a missing field or a `null` is
//! the field's empty value. Writing is what a dockerd prints: `omitempty` where Docker has it, `null`
//! or `[]` as Docker prints an empty list. Nothing here is checked for meaning; that is the engine's.

#![allow(
    missing_docs,
    reason = "fields carry the API's own names; its reference documents each of them"
)]
#![allow(clippy::struct_excessive_bools, reason = "the wire format has them")]

#[macro_use]
mod wire;
pub mod null;

pub mod auth;
pub mod build;
pub mod container;
pub mod edit;
pub mod error;
pub mod event;
pub mod exec;
pub mod filters;
pub mod health;
pub mod host_config;
pub mod image;
pub mod inspect;
pub mod mount;
pub mod network;
pub mod port;
pub mod registry;
pub mod stats;
pub mod system;
pub mod volume;

pub use auth::*;
pub use build::*;
pub use container::*;
pub use edit::*;
pub use error::*;
pub use event::*;
pub use exec::*;
pub use filters::*;
pub use health::*;
pub use host_config::*;
pub use image::*;
pub use inspect::*;
pub use mount::*;
pub use network::*;
pub use port::*;
pub use registry::*;
pub use stats::*;
pub use system::*;
pub use volume::*;

/// The newest API version that is spoken.
pub const API_VERSION: &str = "1.51";
/// The oldest API version that is spoken.
pub const MIN_API_VERSION: &str = "1.24";
