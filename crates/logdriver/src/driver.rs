//! The family of log drivers, and the one place that knows its members' names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::attributes::check_attributes;
use crate::drivers::{JsonFile, JsonFileConfig, Nothing};
use crate::error::LogError;

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output, or a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// As it is written in a log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Whether a message ends its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// A line, or the last part of one.
    Complete,
    /// The line goes on in the stream's next message, or was never ended.
    Partial,
}

/// One line of output, or a part of one that is too long to wait for its end.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Where it was written to.
    pub stream: Stream,
    /// When its first byte was read: nanoseconds since 1970 in UTC. All parts of a line have the
    /// same.
    pub time: i64,
    /// Without the line feed.
    pub line: &'a [u8],
    /// Whether a line feed followed.
    pub completeness: Completeness,
}

/// A place for messages.
pub trait LogDriver: fmt::Debug {
    /// The word that users type.
    fn name(&self) -> &'static str;

    /// Takes a message; it may stay in memory until the next [`LogDriver::flush`].
    fn log(&mut self, message: &Message<'_>);

    /// Hands everything taken to the kernel, with as few system calls as possible. After an error
    /// the messages taken since the last flush are dropped and nothing of them is left half
    /// written; later ones are tried again.
    fn flush(&mut self) -> Result<(), LogError>;
}

/// Which log to open.
#[derive(Debug, Clone, Copy)]
pub struct LogTarget<'a> {
    /// The driver's name.
    pub driver: &'a str,
    /// The file, for a driver that writes one.
    pub path: &'a Path,
    /// The options as the user gave them.
    pub options: &'a BTreeMap<String, String>,
    /// What is written with every line.
    pub attributes: &'a BTreeMap<String, String>,
}

/// Opens a log for writing.
pub fn open(target: &LogTarget<'_>) -> Result<Box<dyn LogDriver>, LogError> {
    match target.driver {
        JsonFile::NAME => {
            let config = JsonFileConfig::parse(target.options)?;
            Ok(Box::new(JsonFile::open(target.path, config, target.attributes)?))
        }
        Nothing::NAME => {
            Nothing::check(target.options)?;
            Ok(Box::new(Nothing))
        }
        other => Err(LogError::UnknownDriver(other.to_owned())),
    }
}

/// Checks a driver's name and options without opening anything.
pub fn validate(driver: &str, options: &BTreeMap<String, String>) -> Result<(), LogError> {
    match driver {
        JsonFile::NAME => {
            JsonFileConfig::parse(options)?;
            check_attributes(options)
        }
        Nothing::NAME => Nothing::check(options),
        other => Err(LogError::UnknownDriver(other.to_owned())),
    }
}

/// Whether what the driver wrote can be read back with [`crate::Reader`].
pub fn is_readable(driver: &str) -> bool {
    driver == JsonFile::NAME
}
