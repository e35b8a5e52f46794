//! The family of log drivers.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Instant;

use barge_shim_api::LogOrigin;

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
