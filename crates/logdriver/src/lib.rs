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
mod files;
mod format;
mod message;
mod options;
mod packed;
mod reader;
mod record;
mod remote;
mod rotating;
mod tag;
mod tail;
mod time;
mod watch;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod testing;

pub use attributes::{LogSubject, attributes};
pub use copier::{Copier, MAX_LINE};
pub use driver::{Congestion, LogDriver, LogTarget, open, validate};
pub use drivers::{JsonFile, Local, Nothing, driver_names, is_cache_option};
pub use error::LogError;
pub use file_names::LogFile;
pub use format::Format;
pub use message::{Completeness, Message, Part, Stream};
pub use options::RotationConfig;
pub use reader::{ReadOptions, Reader, TailLength};
pub use record::Record;
pub use tag::tag;
pub use time::{TimeError, format_fixed, format_rfc3339, parse_rfc3339};
pub use watch::Watch;
