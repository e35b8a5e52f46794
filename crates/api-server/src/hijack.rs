//! Attach and exec: the HTTP connection becomes the container's stdio.
//!
//! The engine's stream already carries what a Docker client reads (raw for a terminal, frames otherwise), so this
//! only copies, both ways at once. A client that closes its sending side ends the container's stdin and still
//! gets the rest of the output; a container that ends closes the connection.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _};
use http::{HeaderValue, StatusCode, header};
use hyper::ext::ReasonPhrase;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::call::Call;
use crate::detach_keys::{DetachKeys, Found, Scanner};
use crate::reply::{self, Reply};
use crate::status::ApiError;
use crate::stream::{ClientInput, Stream};
use crate::takeover::{self, Takeover};
use crate::version::ApiVersion;

/// Bytes copied at a time in one direction.
const CHUNK: usize = 32 << 10;

/// How long a client may take to read the answer before output follows it, and how often that is looked at.
const ANSWER_READ_WITHIN: u32 = 100;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(1);

/// Since then a stream of frames has a content type of its own.
const MULTIPLEXED_SINCE: ApiVersion = ApiVersion::new(1, 42);

/// A request whose connection is about to be taken over.
#[derive(Debug)]
pub(crate) struct Hijack {
    upgrade: OnUpgrade,
    form: Form,
    version: ApiVersion,
}

/// How the client asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `Upgrade: tcp`, answered with `101 UPGRADED`.
    Upgrade,
    /// As before API 1.20, answered with `200 OK`.
    Takeover,
}

/// What the connection is joined to.
pub(crate) struct Session {
    /// What was logged before, sent first.
    pub(crate) replay: Option<BoxStream<'static, io::Result<Bytes>>>,
    /// Output to read, input to write; none when only the replay was asked for.
    pub(crate) container: Option<UnixStream>,
    /// Between the last output and the end of the client's stream: what the client asks for next is known.
    pub(crate) end: Option<BoxFuture<'static, ()>>,
    /// What the output looks like.
    pub(crate) output: Output,
    /// Keys that end the session, for a terminal.
    pub(crate) detach: Option<DetachKeys>,
    /// What is done when they were typed.
    pub(crate) leaving: Option<Box<dyn FnOnce() + Send>>,
}

/// The two forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// A terminal's bytes.
    Raw,
    /// stdout and stderr in frames.
    Multiplexed,
}

impl Output {
    /// The content type that says so to a client of this version.
    pub(crate) fn content_type(self, version: ApiVersion) -> &'static str {
        match self {
            Self::Multiplexed if version >= MULTIPLEXED_SINCE => {
                "application/vnd.docker.multiplexed-stream"
            }
            Self::Multiplexed | Self::Raw => "application/vnd.docker.raw-stream",
        }
    }
}

impl Hijack {
    /// Takes the connection out of `call`, or says why that cannot be.
    pub(crate) fn prepare<S>(call: &mut Call<S>) -> Result<Self, ApiError> {
        let form = match call.headers().get(header::UPGRADE) {
            None => return Err(ApiError::invalid("cannot take over an HTTP/1.0 connection")),
            Some(protocol) if protocol == takeover::PROTOCOL => Form::Takeover,
            Some(_) => Form::Upgrade,
        };
        Ok(Self { upgrade: call.upgrade(), form, version: call.version })
    }

    /// The answer, after which `session` runs on the connection.
    pub(crate) fn start(self, session: Session) -> Reply {
        let mut reply = reply::empty(StatusCode::SWITCHING_PROTOCOLS);
        let headers = reply.headers_mut();
        let content_type = match self.form {
            Form::Upgrade => session.output.content_type(self.version),
            Form::Takeover => Output::Raw.content_type(self.version),
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if self.form == Form::Upgrade {
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
            reply.extensions_mut().insert(ReasonPhrase::from_static(b"UPGRADED"));
        }
        tokio::spawn(run(self.upgrade, session));
        reply
    }
}

/// Waits until the answer is sent, then joins the two streams until one of them ends.
async fn run(upgrade: OnUpgrade, session: Session) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        // The client left before it had its answer; dropping the session detaches it.
        Err(error) => return tracing::debug!("cannot take over a connection: {error}"),
    };
    let Some(client) = Client::open(upgraded) else {
        return tracing::error!("a hijacked connection is of an unknown type");
    };
    if let Err(error) = client.join(session).await {
        tracing::debug!("a hijacked connection broke: {error}");
    }
}

/// The client's side of a hijacked connection.
struct Client {
    stream: Stream,
    /// What the client sent right behind its request.
    early: Vec<u8>,
    /// What of the answer is not written yet.
    late: Vec<u8>,
}

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The container's output ended, or its client went away.
    Over,
    /// The client typed the detach keys.
    Detached,
}

/// How the client's input ended.
#[derive(Debug, PartialEq, Eq)]
enum Input {
    /// It closed its sending side and goes on reading.
    HalfClosed,
    /// It closed the connection.
    Gone,
    /// It typed the detach keys.
    Detached,
}

impl Client {
    fn open(upgraded: Upgraded) -> Option<Self> {
        let parts = upgraded.downcast::<TokioIo<Takeover<Stream>>>().ok()?;
        let (stream, head, late) = parts.io.into_inner().into_parts();
        Some(Self { stream, early: [&parts.read_buf[..], &head].concat(), late })
    }

    async fn join(mut self, mut session: Session) -> io::Result<()> {
        self.stream.write_all(&self.late).await?;
        let mut answer = match &self.stream {
            Stream::Unix(stream) => stream.as_fd().try_clone_to_owned().ok(),
            Stream::Tcp(_) => None,
        };
        if let Some(mut replay) = session.replay.take() {
            until_read(answer.take()).await;
            while let Some(chunk) = replay.next().await {
                self.stream.write_all(&chunk?).await?;
            }
        }
        let Some(container) = session.container else {
            return self.stream.shutdown().await;
        };
        let scanner = session.detach.as_ref().map(DetachKeys::scanner);
        let end = match &mut self.stream {
            Stream::Unix(stream) => {
                let (input, output) = stream.split();
                join((input, self.early), (output, answer), (container, session.end), scanner).await
            }
            Stream::Tcp(stream) => {
                let (input, output) = stream.split();
                join((input, self.early), (output, answer), (container, session.end), scanner).await
            }
        };
        if let (Ok(End::Detached), Some(leaving)) = (&end, session.leaving) {
            leaving();
        }
        end.map(drop)
    }
}

/// Copies both ways until the container's output ends, the client is gone or it detaches.
async fn join(
    (client_input, early): (impl ClientInput, Vec<u8>),
    (mut client_output, answer): (impl AsyncWrite + Unpin + Send, Option<OwnedFd>),
    (mut container, end): (UnixStream, Option<BoxFuture<'static, ()>>),
    scanner: Option<Scanner>,
) -> io::Result<End> {
    let (from_container, to_container) = container.split();
    {
        let output = copy_output(from_container, &mut client_output, answer);
        let input = copy_input(client_input, early, to_container, scanner);
        tokio::pin!(output);
        tokio::select! {
            ended = &mut output => ended?,
            end = input => match end {
                Ok(Input::Detached) => return Ok(End::Detached),
                Ok(Input::Gone) => return Ok(End::Over),
                // A container that takes no more input may still have output.
                Ok(Input::HalfClosed) | Err(_) => output.await?,
            },
        }
    }
    if let Some(end) = end {
        end.await;
    }
    client_output.shutdown().await?;
    Ok(End::Over)
}

async fn copy_output(
    mut from: impl AsyncRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
    mut answer: Option<OwnedFd>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = from.read(&mut buffer).await?;
        until_read(answer.take()).await;
        match count {
            0 => return Ok(()),
            count => to.write_all(&buffer[..count]).await?,
        }
    }
}

/// Waits until the client has read the answer, or had time enough to: the Python package reads it through a buffer and
/// loses what of the output comes with it. With Docker that takes no care, since no process of its starts as fast.
async fn until_read(answer: Option<OwnedFd>) {
    let Some(answer) = answer else { return };
    for _ in 0..ANSWER_READ_WITHIN {
        match barge_sys::socket::unread(answer.as_fd()) {
            Ok(0) | Err(_) => return,
            Ok(_) => tokio::time::sleep(LOOK_AGAIN_AFTER).await,
        }
    }
}

async fn copy_input(
    mut from: impl ClientInput,
    early: Vec<u8>,
    mut to: impl AsyncWrite + Unpin,
    mut scanner: Option<Scanner>,
) -> io::Result<Input> {
    let mut buffer = early;
    let mut filled = buffer.len();
    let mut passed = Vec::new();
    loop {
        if let Some(scanner) = &mut scanner {
            passed.clear();
            let found = scanner.scan(&buffer[..filled], &mut passed);
            to.write_all(&passed).await?;
            if found == Found::Detach {
                return Ok(Input::Detached);
            }
        } else {
            to.write_all(&buffer[..filled]).await?;
        }
        buffer.resize(CHUNK, 0);
        filled = from.read(&mut buffer).await?;
        if filled == 0 {
            break;
        }
    }
    if let Some(scanner) = &scanner {
        to.write_all(scanner.rest()).await?;
    }
    to.shutdown().await?;
    Ok(if from.is_gone().await { Input::Gone } else { Input::HalfClosed })
}
