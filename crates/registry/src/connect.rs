//! Makes connections: name lookup, TCP, the way through a proxy (RFC 9110, section 9.3.6), TLS.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::error::Failure;
use crate::proxy::Proxy;
use crate::tls::{self, TlsClient};
use crate::url::{Scheme, Url};

/// A proxy's answer to `CONNECT` is not longer.
const PROXY_ANSWER: usize = 16 << 10;

/// Either side of TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Where a connection leads and how.
pub(crate) struct Route<'a> {
    pub(crate) url: &'a Url,
    pub(crate) proxy: Option<&'a Proxy>,
    pub(crate) tls: &'a TlsClient,
    /// For a proxy with TLS: what is believed of a registry does not go for it.
    pub(crate) proxy_tls: &'a TlsClient,
}

/// Connects within `limit`.
pub(crate) async fn connect(route: Route<'_>, limit: Duration) -> Result<Box<dyn Stream>, Failure> {
    let first = route.proxy.map_or(route.url, |proxy| &proxy.url);
    let address = first.host_and_port();
    let whole = connect_all(&route, Instant::now() + limit);
    match tokio::time::timeout(limit, whole).await {
        Ok(result) => result,
        Err(_) => Err(Failure::dial(address, &io::ErrorKind::TimedOut.into())),
    }
}

async fn connect_all(route: &Route<'_>, end: Instant) -> Result<Box<dyn Stream>, Failure> {
    let Some(proxy) = route.proxy else {
        let stream = dial(route.url, end).await?;
        return secured(Box::new(stream), route.url, route.tls).await;
    };
    let stream = dial(&proxy.url, end).await?;
    let mut stream = secured(Box::new(stream), &proxy.url, route.proxy_tls).await?;
    match route.url.scheme() {
        Scheme::Http => Ok(stream),
        Scheme::Https => {
            tunnel(&mut stream, proxy, route.url).await?;
            secured(stream, route.url, route.tls).await
        }
    }
}

async fn secured(
    stream: Box<dyn Stream>,
    url: &Url,
    tls: &TlsClient,
) -> Result<Box<dyn Stream>, Failure> {
    match url.scheme() {
        Scheme::Http => Ok(stream),
        Scheme::Https => {
            let host = url.host_and_port();
            let name = ServerName::try_from(url.host().to_owned()).map_err(|error| {
                Failure::Tls { host: host.clone(), source: io::Error::other(error) }
            })?;
            let connector = TlsConnector::from(std::sync::Arc::clone(&tls.config));
            let stream = connector
                .connect(name, stream)
                .await
                .map_err(|error| tls::handshake_failure(error, &host))?;
            Ok(Box::new(stream))
        }
    }
}

/// All addresses of a host.
pub(crate) async fn lookup(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let found = tokio::net::lookup_host((host, port)).await.map(Iterator::collect::<Vec<_>>);
    match found {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => Err(Failure::Lookup {
            host: host.to_owned(),
            source: io::Error::new(io::ErrorKind::NotFound, "no address"),
        }),
        Err(source) => Err(Failure::Lookup { host: host.to_owned(), source }),
    }
}

/// One address after the other, each with its share of the time, so that a dead one does not take all of it.
async fn dial(url: &Url, end: Instant) -> Result<TcpStream, Failure> {
    let addresses = lookup(url.host(), url.port()).await?;
    let mut last = Failure::dial(url.host_and_port(), &io::ErrorKind::TimedOut.into());
    for (index, address) in addresses.iter().enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let error = match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY");
                }
                return Ok(stream);
            }
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        last = Failure::dial(address.to_string(), &error);
    }
    Err(last)
}

async fn tunnel(stream: &mut Box<dyn Stream>, proxy: &Proxy, url: &Url) -> Result<(), Failure> {
    let host = url.host_and_port();
    let refused = |reason: String| Failure::Proxy {
        proxy: proxy.url.to_string(),
        host: host.clone(),
        reason,
    };
    let authorization = proxy
        .authorization
        .as_ref()
        .map(|value| format!("Proxy-Authorization: {value}\r\n"))
        .unwrap_or_default();
    let request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| refused(error.to_string()))?;
    // Byte by byte: what follows the head belongs to TLS.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= PROXY_ANSWER {
            return Err(refused("its answer has no end".into()));
        }
        let byte = stream.read_u8().await.map_err(|error| refused(error.to_string()))?;
        answer.push(byte);
    }
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    let mut words = line.splitn(3, ' ');
    match (words.next(), words.next()) {
        (Some(version), Some(status))
            if version.starts_with("HTTP/1.") && status.starts_with('2') =>
        {
            Ok(())
        }
        _ => Err(refused(line)),
    }
}
