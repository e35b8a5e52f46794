//! Packets over a connection: TCP, a unix socket, or TLS.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::tls::{TlsConfig, TlsStream};
use super::{Address, Packets, Transport};
use crate::error::LogError;

/// How long a connection may take to be made, and an answer to come.
const DIAL_LIMIT: Duration = Duration::from_secs(5);

/// How long one write may wait for a slow remote before the sender looks around.
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// A remote that takes nothing for so long gets a new connection.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// Answers are short.
const MAX_ANSWER: usize = 256;

/// Whether the remote says for each packet that it has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledgements {
    None,
    /// As Fluentd's forward protocol: a map with the packet's last 24 bytes, which are its id.
    Forward,
}

/// How packets go out.
#[derive(Debug)]
pub(crate) struct StreamOptions {
    pub(crate) address: Address,
    pub(crate) tls: TlsConfig,
    pub(crate) acknowledgements: Acknowledgements,
}

/// Sends packets one behind the other.
#[derive(Debug)]
pub(crate) struct Streamed {
    options: StreamOptions,
    connection: Option<Connection>,
    /// How much of the first packet went out.
    partial: usize,
    /// When the remote last took something.
    progress: Instant,
}

#[derive(Debug)]
enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

impl Connection {
    fn dial(options: &StreamOptions) -> io::Result<Self> {
        match &options.address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_write_timeout(Some(WRITE_LIMIT))?;
                stream.set_read_timeout(Some(DIAL_LIMIT))?;
                Ok(Self::Unix(stream))
            }
            Address::Tcp(to) => Ok(Self::Tcp(dial_tcp(&to.resolve()?)?)),
            Address::Tls(to) => {
                let stream = dial_tcp(&to.resolve()?)?;
                Ok(Self::Tls(Box::new(TlsStream::start(stream, &to.host, &options.tls)?)))
            }
            Address::Udp(_) | Address::Unixgram(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.as_fd(),
        }
    }

    /// Whether the other end is still there. Without asking, the first packets after a restart of
    /// the remote would go nowhere: the kernel takes them and learns of it later. Peeking for the
    /// end would not do: nobody reads what a remote says in front of it, as a TLS 1.3 server's
    /// tickets.
    fn is_alive(&self) -> bool {
        let ends = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut fds = [PollFd::from_borrowed_fd(self.as_fd(), ends)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut fds, Some(&now)), Ok(0))
    }

    /// As much as it takes now.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            Self::Unix(stream) => stream.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
        }
    }
}

fn dial_tcp(addresses: &[std::net::SocketAddr]) -> io::Result<TcpStream> {
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect_timeout(address, DIAL_LIMIT) {
            Ok(stream) => {
                stream.set_write_timeout(Some(WRITE_LIMIT))?;
                stream.set_read_timeout(Some(DIAL_LIMIT))?;
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

impl Streamed {
    pub(crate) fn new(options: StreamOptions) -> Self {
        Self { options, connection: None, partial: 0, progress: Instant::now() }
    }

    fn try_send(&mut self, packets: Packets<'_>) -> io::Result<usize> {
        let Some(connection) = &mut self.connection else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let bytes = match self.options.acknowledgements {
            Acknowledgements::None => packets.joined(),
            Acknowledgements::Forward => packets.iter().next().unwrap_or_default(),
        };
        match connection.write(&bytes[self.partial..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => {
                self.partial += length;
                self.progress = Instant::now();
            }
            Err(error) if is_slow(&error) && self.progress.elapsed() < STALL_LIMIT => return Ok(0),
            Err(error) => return Err(error),
        }
        let mut count = 0;
        for packet in packets.iter() {
            let Some(rest) = self.partial.checked_sub(packet.len()) else { break };
            self.partial = rest;
            count += 1;
        }
        if count > 0 && self.options.acknowledgements == Acknowledgements::Forward {
            let id = bytes.len().saturating_sub(24);
            wait_for_answer(connection, &bytes[id..])?;
        }
        Ok(count)
    }
}

fn is_slow(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

/// The answer is the map `{"ack": id}` in `MessagePack`.
fn wait_for_answer(connection: &mut Connection, id: &[u8]) -> io::Result<()> {
    let mut answer = Vec::new();
    let mut piece = [0; MAX_ANSWER];
    while answer.len() < MAX_ANSWER {
        let length = connection.read(&mut piece)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&piece[..length]);
        let text = answer.strip_prefix(b"\x81\xa3ack");
        if let Some([0xa0..=0xbf, said @ ..] | [0xd9, _, said @ ..]) = text
            && said.len() >= id.len()
        {
            let is_it = said == id;
            return if is_it { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) };
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

impl Transport for Streamed {
    fn connect(&mut self) -> Result<(), LogError> {
        if self.connection.as_ref().is_some_and(Connection::is_alive) {
            return Ok(());
        }
        self.connection = None;
        self.partial = 0;
        let refused = |error| self.options.address.refused(error);
        self.connection = Some(Connection::dial(&self.options).map_err(refused)?);
        self.progress = Instant::now();
        Ok(())
    }

    fn send(&mut self, packets: Packets<'_>) -> Result<usize, LogError> {
        self.try_send(packets).map_err(|error| {
            self.connection = None;
            self.options.address.refused(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::testing::DEADLINE;

    fn wait_for_end(connection: &Connection) {
        let mut fds = [PollFd::from_borrowed_fd(connection.as_fd(), PollFlags::RDHUP)];
        let limit = Timespec::try_from(DEADLINE).unwrap();
        assert_eq!(poll(&mut fds, Some(&limit)), Ok(1));
    }

    #[test]
    fn a_remote_that_spoke_before_it_went_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = dial_tcp(&[listener.local_addr().unwrap()]).unwrap();
        let connection = Connection::Tcp(stream);
        let (mut remote, _) = listener.accept().unwrap();
        assert!(connection.is_alive());
        remote.write_all(b"a ticket that nobody reads").unwrap();
        assert!(connection.is_alive());
        drop(remote);
        wait_for_end(&connection);
        assert!(!connection.is_alive());
    }

    #[test]
    fn the_same_over_a_unix_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let listener = UnixListener::bind(&path).unwrap();
        let connection = Connection::Unix(UnixStream::connect(&path).unwrap());
        let (mut remote, _) = listener.accept().unwrap();
        remote.write_all(b"hi").unwrap();
        assert!(connection.is_alive());
        drop(remote);
        wait_for_end(&connection);
        assert!(!connection.is_alive());
    }
}
