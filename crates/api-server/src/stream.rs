//! A client's connection, unix or tcp, as one type.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::call::Peer;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

/// A connected client.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Over a unix socket.
    Unix(UnixStream),
    /// Over tcp, not encrypted.
    Tcp(TcpStream),
}

impl Stream {
    /// The process at the other end of a unix socket.
    pub(crate) fn peer(&self) -> Option<Peer> {
        match self {
            Self::Unix(stream) => Some(Peer(stream.peer_cred().ok()?.pid()?)),
            Self::Tcp(_) => None,
        }
    }
}

/// The reading half of a client's connection.
pub(crate) trait ClientInput: AsyncRead + Unpin + Send {
    /// Whether a client whose input has ended has gone altogether. A half-closed one still reads; of a tcp client the
    /// kernel cannot tell until something is written.
    fn is_gone(&self) -> impl Future<Output = bool> + Send;
}

impl ClientInput for unix::ReadHalf<'_> {
    async fn is_gone(&self) -> bool {
        let stream: &UnixStream = self.as_ref();
        stream.ready(Interest::WRITABLE).await.map_or(true, |ready| ready.is_write_closed())
    }
}

impl ClientInput for tcp::ReadHalf<'_> {
    async fn is_gone(&self) -> bool {
        let stream: &TcpStream = self.as_ref();
        stream.ready(Interest::WRITABLE).await.map_or(true, |ready| ready.is_write_closed())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
