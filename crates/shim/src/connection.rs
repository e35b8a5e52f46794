//! One connection to a daemon.
//!
//! The other end is not trusted to be fast or sane: what it does not read is bounded, and a frame
//! that is none ends the connection, never the shim.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use barge_shim_api::{DaemonFrame, Decoder, Event, FrameError, Response, ShimFrame, encode};
use barge_sys::fdpass;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::SendFlags;

/// How many bytes of answers and events may wait for a peer.
const MAX_PENDING: usize = 4 * 1024 * 1024;

/// A buffer that is empty and larger than this is given back.
const KEEP: usize = 1024;

/// Which connection; numbers are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionId(pub(crate) u32);

/// Where an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplyTo {
    pub(crate) connection: ConnectionId,
    pub(crate) request: u64,
}

/// One connection to a daemon.
#[derive(Debug)]
pub(crate) struct Connection {
    id: ConnectionId,
    socket: OwnedFd,
    decoder: Decoder,
    pending: Vec<u8>,
    is_subscribed: bool,
    is_dead: bool,
}

impl Connection {
    pub(crate) fn new(id: ConnectionId, socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self {
            id,
            socket,
            decoder: Decoder::new(),
            pending: Vec::new(),
            is_subscribed: false,
            is_dead: false,
        })
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// Whether whoever is told hears it.
    pub(crate) fn is_listening(&self) -> bool {
        self.is_subscribed && !self.is_dead
    }

    pub(crate) fn subscribe(&mut self) {
        self.is_subscribed = true;
    }

    pub(crate) fn interest(&self) -> (BorrowedFd<'_>, PollFlags) {
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, !self.pending.is_empty());
        (self.socket.as_fd(), flags)
    }

    /// Moves what can be moved. Requests are then there to be taken by
    /// [`Connection::next_request`].
    pub(crate) fn ready(&mut self, flags: PollFlags, scratch: &mut [u8]) {
        if flags.contains(PollFlags::OUT) {
            self.write();
        }
        if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.read(scratch);
        }
    }

    fn read(&mut self, scratch: &mut [u8]) {
        let mut descriptors = Vec::new();
        match fdpass::recv_with_fds(&self.socket, scratch, &mut descriptors) {
            Ok(0) => self.is_dead = true,
            Ok(length) => {
                if self.decoder.push(&scratch[..length], descriptors).is_err() {
                    self.is_dead = true;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.is_dead = true,
        }
    }

    /// The next request, with its descriptors.
    pub(crate) fn next_request(&mut self) -> Option<(DaemonFrame, Vec<OwnedFd>)> {
        match self.decoder.next_request() {
            Ok(request) => request,
            Err(
                FrameError::TooLong { .. }
                | FrameError::Malformed { .. }
                | FrameError::Unwritable { .. }
                | FrameError::MissingDescriptors { .. }
                | FrameError::TooManyDescriptors { .. },
            ) => {
                self.is_dead = true;
                None
            }
        }
    }

    pub(crate) fn answer(&mut self, request: u64, response: Response) {
        self.send(&ShimFrame::Response { id: request, response });
    }

    pub(crate) fn tell(&mut self, event: &Event) {
        if self.is_subscribed {
            self.send(&ShimFrame::Event(event.clone()));
        }
    }

    fn send(&mut self, frame: &ShimFrame) {
        if encode(frame, &mut self.pending).is_err() || self.pending.len() > MAX_PENDING {
            self.is_dead = true;
            return;
        }
        self.write();
    }

    fn write(&mut self) {
        while !self.pending.is_empty() && !self.is_dead {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(&self.socket, &self.pending, flags) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.is_dead = true,
            }
        }
        self.pending.shrink_to(KEEP);
    }

    /// Whether everything said has been handed over.
    pub(crate) fn is_flushed(&self) -> bool {
        self.pending.is_empty()
    }
}
