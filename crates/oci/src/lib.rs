//! The OCI runtime and image specifications as types, so that every crate reads and writes the same
//! JSON.
//!
//! Field names are the specifications' own. Absent lists, maps and `null` read as empty, empty ones
//! are not written, as Go's `omitempty` does: what this crate writes, runc and containerd read, and
//! the other way round. Nothing here validates: a program that acts on a field checks it.

pub mod image;
pub mod runtime;
mod serde_go;
