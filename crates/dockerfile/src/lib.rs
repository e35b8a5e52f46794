//! The Dockerfile language: text in, types out.
//!
//! It refuses to touch anything: no file is read, no image resolved, no variable of the process looked up. Variables are
//! expanded by whoever plans a build, with [`expand`], since their values depend on images and arguments.

pub mod ast;
mod error;
pub mod excerpt;
pub mod expand;
pub mod glob;
pub mod ignore;
pub mod lint;
mod parse;
mod suggest;

pub use error::ParseError;
pub use parse::{MountError, expand_mount, parse, parse_mount, parse_trigger};
pub use suggest::suggest;
