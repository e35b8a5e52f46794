//! One attached stream: a socket whose other end is a client, or the daemon on a client's behalf.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Instant;

use barge_logdriver::Stream;
use barge_shim_api::AttachStreams;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketType};

/// A buffer that is empty and larger than this is given back.
const KEEP: usize = 1024;

/// How much of what a client sent in vain is read away when its stream ends.
const LAST_INPUT: usize = 1024 * 1024;

/// One attached stream.
#[derive(Debug)]
pub(crate) struct Attached {
    number: u32,
    socket: OwnedFd,
    what: AttachStreams,
    /// Output that the socket has not taken yet.
    pending: Vec<u8>,
    /// Whether stdin may still come.
    reads: bool,
    role: Role,
    /// Since when the socket takes nothing of what is pending.
    stalled: Option<Instant>,
    /// Whether the other end is gone; what it sent before may still be in the socket.
    is_hung_up: bool,
}

/// Whose stream it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Of who started the process: a part of a pipeline, which is as fast as its slowest part and loses nothing.
    Starter,
    /// Of who came later to look on: what does not read at all must not stop the process.
    Observer,
}

/// What a stream brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    Nothing,
    /// So many bytes of stdin.
    Bytes(usize),
    /// The end of stdin.
    End,
}

impl Attached {
    /// Takes a stream socket; anything else is an error, because only a socket can be half closed.
    pub(crate) fn new(
        number: u32,
        socket: OwnedFd,
        (what, role): (AttachStreams, Role),
    ) -> io::Result<Self> {
        if rustix::net::sockopt::socket_type(&socket)? != SocketType::STREAM {
            return Err(Errno::PROTOTYPE.into());
        }
        let mut stream = Self {
            number,
            socket,
            what,
            pending: Vec::new(),
            reads: true,
            role,
            stalled: None,
            is_hung_up: false,
        };
        if !what.stdin {
            stream.refuse_input();
        }
        Ok(stream)
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn wants(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.what.stdout,
            Stream::Stderr => self.what.stderr,
        }
    }

    /// How many bytes wait for the socket.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Since when it holds the process up without a right to do so.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.stalled.filter(|_| self.role == Role::Observer)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.is_hung_up && !self.reads
    }

    /// None while nothing can be done: a client that is gone left stdin that the process does not
    /// take yet.
    pub(crate) fn interest(&self, takes_input: bool) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.reads && takes_input);
        flags.set(PollFlags::OUT, !self.pending.is_empty());
        (!self.is_hung_up || !flags.is_empty()).then(|| (self.socket.as_fd(), flags))
    }

    /// Moves what can be moved: pending output out, stdin into `scratch`.
    pub(crate) fn ready(
        &mut self,
        flags: PollFlags,
        takes_input: bool,
        scratch: &mut [u8],
    ) -> Received {
        if flags.intersects(PollFlags::HUP | PollFlags::ERR) {
            self.hang_up();
        } else if flags.contains(PollFlags::OUT) {
            self.write_pending();
        }
        if self.reads && takes_input { self.receive(scratch) } else { Received::Nothing }
    }

    fn receive(&mut self, scratch: &mut [u8]) -> Received {
        match rustix::net::recv(&self.socket, &mut *scratch, RecvFlags::DONTWAIT) {
            Ok((length, _)) if length > 0 => Received::Bytes(length),
            Err(Errno::AGAIN | Errno::INTR) => Received::Nothing,
            Ok(_) => {
                self.reads = false;
                Received::End
            }
            Err(_) => {
                self.reads = false;
                self.hang_up();
                Received::End
            }
        }
    }

    fn hang_up(&mut self) {
        self.is_hung_up = true;
        self.pending = Vec::new();
        self.stalled = None;
        self.what.stdout = false;
        self.what.stderr = false;
    }

    /// Makes the client's writes fail: nobody reads them.
    pub(crate) fn refuse_input(&mut self) {
        if self.reads {
            self.reads = false;
            // A socket that is not connected any more needs no shutting down.
            rustix::net::shutdown(&self.socket, Shutdown::Read).ok();
        }
    }

    /// Sends output, framed unless it is a terminal's. What the socket does not take is kept.
    pub(crate) fn send(&mut self, framing: Option<Stream>, bytes: &[u8]) {
        let header = framing.map(|stream| header(stream, bytes.len()));
        let header = header.as_ref().map_or(&[][..], |header| &header[..]);
        let sent = if self.pending.is_empty() {
            match self.try_send(&[IoSlice::new(header), IoSlice::new(bytes)]) {
                Some(sent) => sent,
                None => return,
            }
        } else {
            0
        };
        self.pending.extend_from_slice(&header[sent.min(header.len())..]);
        self.pending.extend_from_slice(&bytes[sent.saturating_sub(header.len())..]);
        if !self.pending.is_empty() && self.stalled.is_none() {
            self.stalled = Some(Instant::now());
        }
    }

    /// Hands over the last output even when the client does not read now: it waits in the client's
    /// socket, and nobody has to wait here for a pager that somebody reads.
    pub(crate) fn make_room(&mut self, bytes: usize) {
        if !self.pending.is_empty() {
            // Beyond the system's limit, and only for what is sent: without the right to do so it
            // goes on slowly.
            rustix::net::sockopt::set_socket_send_buffer_size_force(&self.socket, bytes).ok();
            self.write_pending();
        }
    }

    fn write_pending(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if let Some(sent) = self.try_send(&[IoSlice::new(&pending)]) {
            self.pending = pending;
            self.pending.drain(..sent);
            if self.pending.is_empty() {
                self.pending.shrink_to(KEEP);
                self.stalled = None;
            } else if sent > 0 {
                self.stalled = Some(Instant::now());
            }
        }
    }

    /// How much the socket took; none when the other end is gone.
    fn try_send(&mut self, parts: &[IoSlice<'_>]) -> Option<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let mut nothing = SendAncillaryBuffer::default();
        match rustix::net::sendmsg(&self.socket, parts, &mut nothing, flags) {
            Ok(sent) => Some(sent),
            Err(Errno::AGAIN | Errno::INTR) => Some(0),
            Err(_) => {
                self.hang_up();
                None
            }
        }
    }
}

impl Drop for Attached {
    /// Says end of file to the client. A unix socket that is closed with unread bytes in it gives
    /// the other end ECONNRESET instead, so these are read first.
    fn drop(&mut self) {
        // Without a connection there is nobody to tell.
        rustix::net::shutdown(&self.socket, Shutdown::Both).ok();
        let mut rest = [0; 4096];
        let mut seen = 0;
        while seen < LAST_INPUT {
            match rustix::net::recv(&self.socket, &mut rest, RecvFlags::DONTWAIT) {
                Ok((length, _)) if length > 0 => seen += length,
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// The header of Docker's multiplexed streams.
fn header(stream: Stream, length: usize) -> [u8; 8] {
    let number = match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    };
    // A read is far shorter than 4 GiB.
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [number, 0, 0, 0, a, b, c, d]
}
