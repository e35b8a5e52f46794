//! What the drivers have in common that send messages elsewhere.
//!
//! The shim has one loop, which nothing may stop; so a thread per log sends, and a queue is between
//! the two. Messages are put into the remote's form in the loop, one behind the other in one
//! buffer, without memory of their own. When the queue is full, the container waits in mode
//! `blocking`, but no longer than [`PATIENCE`] for a remote that takes nothing at all; otherwise
//! messages are dropped, and how many is told in the log itself once it goes on.
//!
//! | file | what |
//! |---|---|
//! | `queue` | what waits, and who is woken |
//! | `sender` | the thread; when it tries again |
//! | `address` | `tcp://host:port` and its like |
//! | `stream`, `tls`, `datagram` | how packets go out |

mod address;
mod datagram;
mod queue;
mod sender;
mod stream;
mod tls;

use std::fmt::Debug;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::driver::{Congestion, LogDriver};
use crate::error::LogError;
use crate::message::{Completeness, Message, Stream};
use crate::options::Mode;

pub(crate) use address::{Address, HostPort};
pub(crate) use datagram::{Compression, Datagrams, Packing};
pub(crate) use queue::Batch;
use queue::Queue;
pub(crate) use sender::Retry;
pub(crate) use stream::{Acknowledgements, StreamOptions, Streamed};
pub(crate) use tls::{TlsConfig, Verification};

/// How long a container waits for a remote that takes nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the last messages may take after the container's end.
const LINGER: Duration = Duration::from_secs(5);

/// How much may wait in mode `blocking`.
const BLOCKING_LIMIT: usize = 256 * 1024;

/// How a message is put for a remote.
pub(crate) trait Encode: Debug {
    /// Appends the packet; nothing when the remote takes no such message.
    fn encode(&mut self, message: &Message<'_>, out: &mut Vec<u8>);
}

/// How packets go out. Used by one thread, which may wait in it for some seconds.
pub(crate) trait Transport: Debug + Send {
    /// Connects, unless it is connected.
    fn connect(&mut self) -> Result<(), LogError>;

    /// Sends some of the first packets; how many are done with. None of them when it takes long,
    /// which is no failure.
    fn send(&mut self, packets: Packets<'_>) -> Result<usize, LogError>;
}

/// Packets that lie one behind the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packets<'a> {
    bytes: &'a [u8],
    /// Where they end.
    ends: &'a [usize],
    /// Where the first begins.
    start: usize,
}

impl<'a> Packets<'a> {
    pub(crate) fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let starts = std::iter::once(self.start).chain(self.ends.iter().copied());
        starts.zip(self.ends).map(move |(start, &end)| &self.bytes[start..end])
    }

    /// All of them as one.
    fn joined(self) -> &'a [u8] {
        &self.bytes[self.start..*self.ends.last().unwrap_or(&self.start)]
    }
}

/// What a remote driver is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) name: &'static str,
    pub(crate) encoder: Box<dyn Encode>,
    pub(crate) transport: Box<dyn Transport>,
    pub(crate) mode: Mode,
    pub(crate) retry: Retry,
}

/// A driver that sends messages elsewhere.
#[derive(Debug)]
pub(crate) struct Remote {
    name: &'static str,
    encoder: Box<dyn Encode>,
    mode: Mode,
    limit: usize,
    /// What was taken since the last flush.
    batch: Batch,
    queue: Arc<Queue>,
    /// Messages that nobody was told of.
    dropped: u64,
    /// Of the last message.
    time: i64,
}

impl Remote {
    /// Begins to send. A transport that is not connected is connected by its thread.
    pub(crate) fn start(parts: Parts) -> Result<Self, LogError> {
        let Parts { name, encoder, transport, mode, retry } = parts;
        let failed = |source| LogError::unreachable(format!("start {name}"), source);
        let queue = Arc::new(Queue::new().map_err(failed)?);
        sender::start(Arc::clone(&queue), transport, retry).map_err(failed)?;
        let limit = match mode {
            Mode::Blocking => BLOCKING_LIMIT,
            Mode::NonBlocking { buffer } => usize::try_from(buffer).unwrap_or(usize::MAX),
        };
        let batch = Batch::default();
        Ok(Self { name, encoder, mode, limit, batch, queue, dropped: 0, time: 0 })
    }

    /// Tells of what was dropped, in front of what comes now.
    fn tell_dropped(&mut self) {
        let count = std::mem::take(&mut self.dropped);
        let text = format!("barge: {count} messages were dropped: the log was too slow");
        self.encoder.encode(
            &Message {
                stream: Stream::Stderr,
                time: self.time,
                line: text.as_bytes(),
                completeness: Completeness::Complete,
                part: None,
            },
            self.batch.room(),
        );
        self.batch.end_packet();
    }

    /// Whether messages beyond the limit are dropped now.
    fn drops(&self) -> bool {
        match self.mode {
            Mode::NonBlocking { .. } => true,
            Mode::Blocking => {
                self.queue.full_since(self.limit).is_some_and(|since| since.elapsed() >= PATIENCE)
            }
        }
    }
}

impl LogDriver for Remote {
    fn name(&self) -> &'static str {
        self.name
    }

    fn log(&mut self, message: &Message<'_>) {
        self.time = message.time;
        if self.batch.is_empty() {
            self.dropped += self.queue.take_lost();
            // Once it goes on, and before what comes now.
            if self.dropped > 0 && self.queue.unsent() <= self.limit / 2 {
                self.tell_dropped();
            }
        }
        self.encoder.encode(message, self.batch.room());
        self.batch.end_packet();
    }

    fn flush(&mut self) -> Result<(), LogError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let limit = if self.drops() { self.limit } else { usize::MAX };
        self.dropped += self.queue.push(&mut self.batch, limit);
        Ok(())
    }

    fn congestion(&self) -> Option<Congestion<'_>> {
        if self.mode != Mode::Blocking {
            return None;
        }
        let until = self.queue.full_since(self.limit)? + PATIENCE;
        (Instant::now() < until).then(|| Congestion { fd: self.queue.wake().as_fd(), until })
    }

    fn woken(&mut self) {
        self.queue.take_wake();
    }

    fn close(&mut self) {
        self.dropped += self.queue.take_lost();
        if self.dropped > 0 {
            self.tell_dropped();
            // Beyond the limit: there is nothing after it.
            self.queue.push(&mut self.batch, usize::MAX);
        }
        self.queue.finish(LINGER);
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

#[cfg(test)]
mod tests;
