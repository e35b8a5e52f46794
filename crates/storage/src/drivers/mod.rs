//! The members of the family, one per file.

pub mod overlay2;
pub mod vfs;
