//! A server of HTTP/1.1 that does what a test says, also what no server should: closes, stalls, lies.
//!
//! It is written by hand because well-behaved libraries refuse to misbehave. Requests are answered by a function of the
//! test; everything that came is remembered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The first byte of a TLS client.
const TLS_HANDSHAKE: u8 = 0x16;

/// A request's head.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// As it stood in the request line.
    pub(crate) target: String,
    /// Lower-case names.
    pub(crate) headers: BTreeMap<String, String>,
    /// How many requests of this method and path came before.
    pub(crate) before: usize,
}

impl Head {
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte of `Range: bytes=5-`; 0 without it.
    pub(crate) fn range_start(&self) -> usize {
        let range = self.header("range").and_then(|range| range.strip_prefix("bytes="));
        range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap())
    }
}

type Then = Box<dyn FnOnce(Vec<u8>) -> Act + Send>;

/// What happens next.
pub(crate) enum Act {
    /// The request's body is read; then this is sent, and the connection stays.
    Send(Vec<u8>),
    /// This is sent, then the connection is closed.
    SendAndClose(Vec<u8>),
    /// This is sent, and then nothing more until the client goes.
    SendAndStall(Vec<u8>),
    /// The body is read and handed over.
    WithBody(Then),
    /// So many bytes of the body are read and handed over, then the connection is closed.
    TakeAndClose(usize, Box<dyn FnOnce(Vec<u8>) + Send>),
    /// So many bytes of the body are read, and then no more, although the connection stays.
    TakeAndStall(usize),
    /// The answer is 200, and then bytes go both ways to and from this address (CONNECT).
    Tunnel(SocketAddr),
}

/// An answer, `Content-Length` added.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Act {
    Act::Send(raw(status, headers, body))
}

pub(crate) fn raw(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len().to_string();
    let mut bytes = head(status, &[headers, &[("content-length", &length)]].concat());
    bytes.extend_from_slice(body);
    bytes
}

/// Only the head, with no header but these.
pub(crate) fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Whatever\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// An error of the distribution specification.
pub(crate) fn refuse(status: u16, code: &str, message: &str) -> Act {
    answer(status, &[], format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#))
}

type Script = Arc<dyn Fn(&Head) -> Act + Send + Sync>;

/// The running server; it ends with its value.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Head>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// Without TLS.
    pub(crate) async fn start(script: impl Fn(&Head) -> Act + Send + Sync + 'static) -> Self {
        Self::listen(None, Arc::new(script)).await
    }

    pub(crate) async fn start_tls(
        config: ServerConfig,
        script: impl Fn(&Head) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(TlsAcceptor::from(Arc::new(config))), Arc::new(script)).await
    }

    async fn listen(tls: Option<TlsAcceptor>, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Head>>> = Arc::default();
        let connections = Arc::new(AtomicUsize::new(0));
        let (all, count) = (Arc::clone(&seen), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let place = Place { seen: Arc::clone(&all), script: Arc::clone(&script) };
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => place.serve(stream).await,
                        // A client that does not like the certificate goes; that is its test's matter.
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => place.serve(stream).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { address, seen, connections, task }
    }

    /// `127.0.0.1:port`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Head> {
        self.seen.lock().unwrap().clone()
    }

    /// Those of a method.
    pub(crate) fn seen_of(&self, method: &str) -> Vec<Head> {
        self.seen().into_iter().filter(|head| head.method == method).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// One connection.
struct Place {
    seen: Arc<Mutex<Vec<Head>>>,
    script: Script,
}

impl Place {
    /// Until either side has had enough.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send>(&self, mut stream: S) -> Option<()> {
        let mut buffer = Vec::new();
        loop {
            if buffer.is_empty() {
                stream.read_buf(&mut buffer).await.ok().filter(|read| *read > 0)?;
            }
            if buffer[0] == TLS_HANDSHAKE {
                // Go's words for a client that wants TLS where there is none.
                let text = b"HTTP/1.0 400 Bad Request\r\n\r\nthis is no TLS\n";
                stream.write_all(text).await.ok()?;
                return stream.shutdown().await.ok();
            }
            let head = self.read_head(&mut stream, &mut buffer).await?;
            let mut act = (self.script)(&head);
            if let Act::WithBody(then) = act {
                act = then(read_body(&mut stream, &mut buffer, &head).await?);
            } else if !matches!(act, Act::TakeAndClose(..) | Act::TakeAndStall(_)) {
                read_body(&mut stream, &mut buffer, &head).await?;
            }
            match act {
                Act::Send(bytes) => stream.write_all(&bytes).await.ok()?,
                Act::SendAndClose(bytes) => {
                    stream.write_all(&bytes).await.ok()?;
                    return stream.shutdown().await.ok();
                }
                Act::SendAndStall(bytes) => {
                    stream.write_all(&bytes).await.ok()?;
                    stream.flush().await.ok()?;
                    let mut rest = [0; 1024];
                    while stream.read(&mut rest).await.ok()? > 0 {}
                    return None;
                }
                Act::TakeAndClose(count, then) => {
                    while buffer.len() < count {
                        stream.read_buf(&mut buffer).await.ok().filter(|read| *read > 0)?;
                    }
                    buffer.truncate(count);
                    then(buffer);
                    return None;
                }
                Act::TakeAndStall(count) => {
                    while buffer.len() < count {
                        stream.read_buf(&mut buffer).await.ok().filter(|read| *read > 0)?;
                    }
                    return std::future::pending().await;
                }
                Act::Tunnel(address) => {
                    let mut other = TcpStream::connect(address).await.unwrap();
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
                    tokio::io::copy_bidirectional(&mut stream, &mut other).await.ok()?;
                    return None;
                }
                Act::WithBody(_) => panic!("the body was read already"),
            }
            stream.flush().await.ok()?;
        }
    }

    async fn read_head<S: AsyncRead + Unpin>(
        &self,
        stream: &mut S,
        buffer: &mut Vec<u8>,
    ) -> Option<Head> {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            stream.read_buf(buffer).await.ok().filter(|read| *read > 0)?;
        };
        let text = String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
        let mut lines = text.trim_end().split("\r\n");
        let mut words = lines.next().unwrap().split(' ');
        let method = words.next().unwrap().to_owned();
        let target = words.next().unwrap_or_default().to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut head = Head { method, target, headers, before: 0 };
        let mut seen = self.seen.lock().unwrap();
        let is_same = |other: &&Head| other.method == head.method && other.path() == head.path();
        head.before = seen.iter().filter(is_same).count();
        seen.push(head.clone());
        Some(head)
    }
}

async fn read_body<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    head: &Head,
) -> Option<Vec<u8>> {
    assert_ne!(head.header("transfer-encoding"), Some("chunked"), "the client knows its lengths");
    let length = head.header("content-length").map_or(0, |length| length.parse().unwrap());
    while buffer.len() < length {
        stream.read_buf(buffer).await.ok().filter(|read| *read > 0)?;
    }
    Some(buffer.drain(..length).collect())
}
