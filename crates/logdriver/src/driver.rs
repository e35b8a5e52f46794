//! The family of log drivers.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Instant;

use crate::attributes::check_attributes;
use crate::drivers;
use crate::error::LogError;
use crate::message::Message;

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

    /// What to wait for before more messages are given, when there is anything: the container is to
    /// wait for a log that is slower. Who gives more all the same loses messages.
    fn congestion(&self) -> Option<Congestion<'_>> {
        None
    }

    /// The descriptor of a congestion has become readable.
    fn woken(&mut self) {}

    /// No more messages come. Waits, for some seconds at most, until what was taken is where it
    /// belongs.
    fn close(&mut self) {}
}

/// A log that is slower than its container.
#[derive(Debug, Clone, Copy)]
pub struct Congestion<'a> {
    /// Becomes readable when this may be over.
    pub fd: BorrowedFd<'a>,
    /// Then nobody waits any more; messages are dropped until the log goes on.
    pub until: Instant,
}

/// The container that a log belongs to, as remote drivers tell of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogOrigin {
    /// The container's whole id.
    pub id: String,
    /// Its name, without `/`.
    pub name: String,
    /// Its image's whole id, with `sha256:`.
    pub image_id: String,
    /// The name by which the image was chosen.
    pub image_name: String,
    /// Its entry point and arguments.
    pub command: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// What the option `tag` comes to, or its default.
    pub tag: String,
}

/// Which log to open.
#[derive(Debug, Clone, Copy)]
pub struct LogTarget<'a> {
    /// The driver's name.
    pub driver: &'a str,
    /// The file, for a driver that writes one, or that has a cache.
    pub path: &'a Path,
    /// The options as the user gave them.
    pub options: &'a BTreeMap<String, String>,
    /// What is written with every line.
    pub attributes: &'a BTreeMap<String, String>,
    /// Whose log it is.
    pub origin: &'a LogOrigin,
}

/// Opens a log for writing. A remote driver is connected.
pub fn open(target: &LogTarget<'_>) -> Result<Box<dyn LogDriver>, LogError> {
    drivers::open(target)
}

/// Checks a driver's name and options without opening anything.
pub fn validate(driver: &str, options: &BTreeMap<String, String>) -> Result<(), LogError> {
    drivers::check(driver, options)?;
    check_attributes(options)
}
