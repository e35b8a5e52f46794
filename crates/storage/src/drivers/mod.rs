//! The members of the family, one per file; what two of them share is a folder of its own.

pub mod btrfs;
pub mod fuse_overlayfs;
mod overlay;
pub mod overlay2;
mod trees;
pub mod vfs;

pub use overlay::Overlay;
pub use trees::Trees;
