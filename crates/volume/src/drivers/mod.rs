//! The members of the family.

mod local;

pub use local::Local;
