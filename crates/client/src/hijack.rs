//! A connection that the daemon has switched to a stream: raw bytes in, raw bytes or stdcopy frames
//! out.
//!
//! Handed over as a blocking socket: the copying threads of a client write to pipes and terminals
//! that may block, which an async task must not.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use bytes::Bytes;

use crate::connection::Transport;

/// What the daemon calls a stream with frames.
const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

/// A hijacked connection.
#[derive(Debug)]
pub struct Hijacked {
    transport: Transport,
    early: Bytes,
    content_type: String,
}

/// The socket of a hijacked connection, blocking; [`Read`] starts with what came along with the
/// headers.
#[derive(Debug)]
pub struct HijackedReader {
    early: Bytes,
    socket: Socket,
}

/// The way to the process.
#[derive(Debug)]
pub struct HijackedWriter {
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixStream),
    Tcp(std::net::TcpStream),
}

impl Hijacked {
    pub(crate) fn new(transport: Transport, early: Bytes, content_type: String) -> Self {
        Self { transport, early, content_type }
    }

    /// Whether the daemon says that output comes in stdcopy frames.
    #[must_use]
    pub fn is_multiplexed(&self) -> bool {
        self.content_type == MULTIPLEXED
    }

    /// Both directions, for a thread each.
    pub fn into_blocking(self) -> io::Result<(HijackedReader, HijackedWriter)> {
        let socket = Socket::from_async(self.transport)?;
        let writer = HijackedWriter { socket: socket.try_clone()? };
        let reader = HijackedReader { early: self.early, socket };
        Ok((reader, writer))
    }
}

impl Socket {
    fn from_async(transport: Transport) -> io::Result<Self> {
        Ok(match transport {
            Transport::Unix(stream) => {
                let stream = stream.into_std()?;
                stream.set_nonblocking(false)?;
                Self::Unix(stream)
            }
            Transport::Tcp(stream) => {
                let stream = stream.into_std()?;
                stream.set_nonblocking(false)?;
                Self::Tcp(stream)
            }
        })
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
        })
    }
}

impl Read for HijackedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.early.is_empty() {
            let count = self.early.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.early.split_to(count));
            return Ok(count);
        }
        match &mut self.socket {
            Socket::Unix(stream) => stream.read(buffer),
            Socket::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl HijackedWriter {
    /// Says that no more input comes; output goes on.
    pub fn close(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl Write for HijackedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.socket {
            Socket::Unix(stream) => stream.write(bytes),
            Socket::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
