//! What happens to a container's output: log drivers, and the reader that `logs` uses.
//!
//! The shim writes ([`open`], [`Copier`]), the daemon reads ([`Reader`], [`Watch`]) and checks what
//! the user asks for ([`validate`], [`attributes()`]). Neither waits for the other: what they share
//! is the file.

mod attributes;
mod copier;
mod driver;
mod drivers;
mod error;
mod escape;
mod file_names;
mod reader;
mod record;
mod tail;
mod time;
mod watch;

#[cfg(test)]
mod conformance;

pub use attributes::{LogSubject, attributes};
pub use copier::{Copier, MAX_LINE};
pub use driver::{
    Completeness, LogDriver, LogTarget, Message, Stream, is_readable, open, validate,
};
pub use drivers::{JsonFile, JsonFileConfig, Nothing};
pub use error::LogError;
pub use reader::{ReadOptions, Reader, TailLength};
pub use record::Record;
pub use time::{TimeError, format_fixed, format_rfc3339, parse_rfc3339};
pub use watch::Watch;
