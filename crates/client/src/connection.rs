//! Connections to one daemon: opened when needed, kept for the next request, never more than are in
//! use at once.

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::body::RequestBody;
use crate::error::{ClientError, Result};
use crate::version::{Agreed, ApiVersion};
use crate::{Builds, Containers, Execs, Host, Images, Networks, Registry, System, Volumes};

/// The daemon at one host.
#[derive(Debug)]
pub struct Client {
    host: Host,
    idle: Mutex<Vec<SendRequest<RequestBody>>>,
    pub(crate) agreed: Agreed,
}

/// A connected socket.
#[derive(Debug)]
pub enum Transport {
    /// To a path.
    Unix(UnixStream),
    /// To a port.
    Tcp(TcpStream),
}

/// An answer whose body is still to be read, with the connection it comes over.
pub(crate) struct Lent {
    pub(crate) response: Response<Incoming>,
    pub(crate) sender: SendRequest<RequestBody>,
    /// Whose answer it is.
    pub(crate) host: Host,
}

impl Client {
    /// A client of the daemon at `host`; connects with the first call.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self { host, idle: Mutex::default(), agreed: Agreed::assumed() }
    }

    /// The same, speaking `version` whatever the daemon can do.
    #[must_use]
    pub fn speaking(self, version: ApiVersion) -> Self {
        Self { agreed: Agreed::fixed(version), ..self }
    }

    /// Where the daemon is.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Calls on builds.
    #[must_use]
    pub fn builds(&self) -> Builds<'_> {
        Builds { client: self }
    }

    /// Calls on containers.
    #[must_use]
    pub fn containers(&self) -> Containers<'_> {
        Containers { client: self }
    }

    /// Calls on processes started in running containers.
    #[must_use]
    pub fn execs(&self) -> Execs<'_> {
        Execs { client: self }
    }

    /// Calls on images.
    #[must_use]
    pub fn images(&self) -> Images<'_> {
        Images { client: self }
    }

    /// Calls on networks.
    #[must_use]
    pub fn networks(&self) -> Networks<'_> {
        Networks { client: self }
    }

    /// Calls that the daemon passes on to registries.
    #[must_use]
    pub fn registry(&self) -> Registry<'_> {
        Registry { client: self }
    }

    /// Calls on volumes.
    #[must_use]
    pub fn volumes(&self) -> Volumes<'_> {
        Volumes { client: self }
    }

    /// Calls on the daemon itself.
    #[must_use]
    pub fn system(&self) -> System<'_> {
        System { client: self }
    }

    /// Opens a connection, so that a daemon that is not there is noticed before anything is asked.
    pub async fn connect(&self) -> Result<()> {
        let sender = self.open().await?;
        self.give_back(sender);
        Ok(())
    }

    pub(crate) async fn send(&self, request: Request<RequestBody>) -> Result<Lent> {
        let mut sender = self.take().await?;
        let answered = sender.send_request(request).await;
        let response = answered.map_err(ClientError::unanswered(&self.host))?;
        Ok(Lent { response, sender, host: self.host.clone() })
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(crate) fn give_back(&self, sender: SendRequest<RequestBody>) {
        if !sender.is_closed() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(sender);
        }
    }

    async fn take(&self) -> Result<SendRequest<RequestBody>> {
        loop {
            let kept = {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.pop()
            };
            let Some(mut sender) = kept else {
                return self.open().await;
            };
            // The daemon may have closed it meanwhile: then the next one, or a new one.
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
    }

    async fn open(&self) -> Result<SendRequest<RequestBody>> {
        let transport = match &self.host {
            Host::Unix(path) => UnixStream::connect(path).await.map(Transport::Unix),
            Host::Tcp { name, port } => tcp(name, *port).await.map(Transport::Tcp),
        }
        .map_err(|source| self.unreachable(source))?;
        let (sender, connection) = http1::handshake(TokioIo::new(transport))
            .await
            .map_err(ClientError::unanswered(&self.host))?;
        // Its error reaches whoever waits for the answer; the task itself has nobody to tell.
        tokio::spawn(async move { connection.with_upgrades().await.ok() });
        Ok(sender)
    }

    fn unreachable(&self, source: io::Error) -> ClientError {
        let host = self.host.clone();
        if source.kind() == io::ErrorKind::PermissionDenied {
            ClientError::Permission { host, source }
        } else {
            ClientError::Unreachable { host, source }
        }
    }
}

async fn tcp(name: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((name, port)).await?;
    // Keystrokes go out one by one.
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl AsyncRead for Transport {
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

impl AsyncWrite for Transport {
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
}
