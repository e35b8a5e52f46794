//! Packets as datagrams: UDP, or a unix socket.

use std::io::{self, Write as _};
use std::net::UdpSocket;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use flate2::write::{GzEncoder, ZlibEncoder};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::{Address, Packets, Transport};
use crate::error::LogError;

/// So many are sent before anybody looks around.
const AT_ONCE: usize = 64;

/// How long a full socket is waited for.
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// Data in one chunk of a GELF message, and how many chunks one may have.
const GELF_CHUNK: usize = 1408;
const GELF_HEADER: usize = 12;
const GELF_CHUNKS: usize = 128;

/// How GELF messages are made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip(flate2::Compression),
    Zlib(flate2::Compression),
}

/// What a datagram is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// The packet.
    Plain,
    /// The packet, compressed, in chunks when it is large.
    Gelf(Compression),
    /// The packet, or a descriptor of a sealed file with it when it is too large.
    Journal,
}

/// Sends each packet as a datagram.
#[derive(Debug)]
pub(crate) struct Datagrams {
    address: Address,
    packing: Packing,
    socket: Option<Socket>,
    /// Of the last GELF message that was cut.
    message_id: u64,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Socket {
    fn dial(address: &Address) -> io::Result<Self> {
        match address {
            Address::Udp(to) => {
                let mut failure = io::Error::from(io::ErrorKind::NotFound);
                for address in to.resolve()? {
                    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                    let dialed = UdpSocket::bind(any)
                        .and_then(|socket| socket.connect(address).map(|()| socket));
                    match dialed {
                        Ok(socket) => return Ok(Self::Udp(socket)),
                        Err(error) => failure = error,
                    }
                }
                Err(failure)
            }
            Address::Unixgram(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_write_timeout(Some(WRITE_LIMIT))?;
                Ok(Self::Unix(socket))
            }
            Address::Tcp(_) | Address::Tls(_) | Address::Unix(_) => {
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }

    fn send(&self, packet: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(socket) => socket.send(packet).map(drop),
            Self::Udp(socket) => match socket.send(packet) {
                // Said of a datagram before: nobody listened then. This one was not sent.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    match socket.send(packet) {
                        Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => {
                            Err(error)
                        }
                        Ok(_) | Err(_) => Ok(()),
                    }
                }
                outcome => outcome.map(drop),
            },
        }
    }

    /// systemd's protocol for large entries: a memory file that nobody can change any more.
    fn send_file(&self, packet: &[u8]) -> io::Result<()> {
        let Self::Unix(socket) = self else {
            return Err(Errno::MSGSIZE.into());
        };
        let file = barge_sys::memfd::sealed("journal-entry", |file| file.write_all(packet))?;
        let fds = [file.as_fd()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut buffer = SendAncillaryBuffer::new(&mut space);
        buffer.push(SendAncillaryMessage::ScmRights(&fds));
        rustix::net::sendmsg(socket, &[], &mut buffer, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

impl Datagrams {
    pub(crate) fn new(address: Address, packing: Packing) -> Self {
        // Ids are to differ between senders; those of one differ without random numbers too.
        let seed = barge_sys::random::bytes().unwrap_or_default();
        Self { address, packing, socket: None, message_id: u64::from_ne_bytes(seed) }
    }

    fn send_one(&mut self, packet: &[u8]) -> io::Result<()> {
        let Some(socket) = &self.socket else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        match self.packing {
            Packing::Plain => unless_too_large(socket.send(packet)),
            Packing::Journal => match socket.send(packet) {
                Err(error) if is_too_large(&error) => socket.send_file(packet),
                outcome => outcome,
            },
            Packing::Gelf(compression) => {
                let small = compress(packet, compression)?;
                if small.len() <= GELF_CHUNK + GELF_HEADER {
                    return socket.send(&small);
                }
                self.message_id = self.message_id.wrapping_add(1);
                for datagram in gelf_chunks(&small, self.message_id) {
                    socket.send(&datagram)?;
                }
                Ok(())
            }
        }
    }
}

fn is_too_large(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    [Errno::MSGSIZE, Errno::NOBUFS].iter().any(|large| errno == Some(large.raw_os_error()))
}

/// It will not get smaller by being tried again.
fn unless_too_large(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if !is_too_large(&error) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn compress(packet: &[u8], compression: Compression) -> io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(packet.to_vec()),
        Compression::Gzip(level) => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(packet)?;
            encoder.finish()
        }
        Compression::Zlib(level) => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(packet)?;
            encoder.finish()
        }
    }
}

/// None for what GELF has no place for.
fn gelf_chunks(message: &[u8], id: u64) -> impl Iterator<Item = Vec<u8>> {
    let chunks = message.chunks(GELF_CHUNK);
    let count = chunks.len();
    let fits = if count <= GELF_CHUNKS { count } else { 0 };
    chunks.take(fits).zip(0_u8..).map(move |(chunk, number)| {
        let mut datagram = vec![0x1e, 0x0f];
        datagram.extend_from_slice(&id.to_be_bytes());
        datagram.extend_from_slice(&[number, u8::try_from(count).unwrap_or(0)]);
        datagram.extend_from_slice(chunk);
        datagram
    })
}

impl Transport for Datagrams {
    fn connect(&mut self) -> Result<(), LogError> {
        if self.socket.is_none() {
            let refused = |error| self.address.refused(error);
            self.socket = Some(Socket::dial(&self.address).map_err(refused)?);
        }
        Ok(())
    }

    fn send(&mut self, packets: Packets<'_>) -> Result<usize, LogError> {
        let mut count = 0;
        for packet in packets.iter().take(AT_ONCE) {
            match self.send_one(packet) {
                Ok(()) => count += 1,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock
                            | io::ErrorKind::TimedOut
                            | io::ErrorKind::Interrupted
                    ) =>
                {
                    break;
                }
                // What went out is done with; the next try tells what is wrong.
                Err(_) if count > 0 => {
                    self.socket = None;
                    break;
                }
                Err(error) => {
                    self.socket = None;
                    return Err(self.address.refused(error));
                }
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_messages_are_cut_and_too_large_ones_left_out() {
        let message: Vec<u8> = (0..3000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let chunks: Vec<_> = gelf_chunks(&message, 0x0102).collect();
        assert_eq!(chunks.len(), 3);
        assert!(chunks.iter().all(|chunk| chunk.len() <= 1420));
        assert_eq!(chunks[2][..12], [0x1e, 0x0f, 0, 0, 0, 0, 0, 0, 1, 2, 2, 3]);
        let together: Vec<u8> = chunks.iter().flat_map(|chunk| chunk[12..].to_vec()).collect();
        assert_eq!(together, message);
        assert_eq!(gelf_chunks(&vec![0; GELF_CHUNK * 128], 1).count(), 128);
        assert_eq!(gelf_chunks(&vec![0; GELF_CHUNK * 128 + 1], 1).count(), 0);
    }
}
