//! One line of output on its way to a log.

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

/// Which part of a long line a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The same for all parts of a line, and for no other line of the container.
    pub line: u64,
    /// Counted from 1.
    pub ordinal: u32,
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
    /// For a line that is not one message.
    pub part: Option<Part>,
}
