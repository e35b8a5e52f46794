//! Attach over a websocket: each piece of output is a message, what the client sends is the container's input.
//!
//! As in dockerd, stdout and stderr are one stream here and Docker's frames around them are taken off: who wants to
//! tell them apart attaches twice.

use bytes::Bytes;
use futures_util::sink::{Sink, SinkExt as _};
use futures_util::stream::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::unix::OwnedReadHalf;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::call::Call;
use crate::detach_keys::{DetachKeys, Found, Scanner};
use crate::hijack::{End, Output, Session};
use crate::reply::{self, Reply};
use crate::status::ApiError;
use crate::version::ApiVersion;

/// Bytes of output in one message.
const CHUNK: usize = 32 << 10;
/// A message of input is held in memory until all of it is there.
const LARGEST_INPUT: usize = 4 << 20;
/// Since then messages are binary; they were text before.
const BINARY_SINCE: ApiVersion = ApiVersion::new(1, 28);

/// A request whose connection is about to become a websocket.
#[derive(Debug)]
pub(crate) struct WebSocket {
    upgrade: OnUpgrade,
    accept: HeaderValue,
    kind: Data,
}

impl WebSocket {
    /// Takes the connection out of `call`, or says why that cannot be (RFC 6455, 4.2.1).
    pub(crate) fn prepare<S>(call: &mut Call<S>) -> Result<Self, ApiError> {
        let accept = accept(call.headers())?;
        let kind = if call.version >= BINARY_SINCE { Data::Binary } else { Data::Text };
        Ok(Self { upgrade: call.upgrade(), accept, kind })
    }

    /// The answer, after which `session` runs on the connection.
    pub(crate) fn start(self, session: Session) -> Reply {
        let mut reply = reply::empty(StatusCode::SWITCHING_PROTOCOLS);
        let headers = reply.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        tokio::spawn(run(self.upgrade, self.kind, session));
        reply
    }
}

fn accept(headers: &HeaderMap) -> Result<HeaderValue, ApiError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let upgrades =
        text(header::CONNECTION).split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    if !upgrades || !text(header::UPGRADE).eq_ignore_ascii_case("websocket") {
        return Err(ApiError::invalid("not websocket protocol"));
    }
    if text(header::SEC_WEBSOCKET_VERSION) != "13" {
        return Err(ApiError::invalid("missing or bad WebSocket Version"));
    }
    let key = text(header::SEC_WEBSOCKET_KEY);
    if key.is_empty() {
        return Err(ApiError::invalid("mismatch challenge/response"));
    }
    HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|_| ApiError::invalid("mismatch challenge/response"))
}

async fn run(upgrade: OnUpgrade, kind: Data, session: Session) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => TokioIo::new(upgraded),
        // The client left before it had its answer; dropping the session detaches it.
        Err(error) => return tracing::debug!("cannot take over a connection: {error}"),
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(LARGEST_INPUT))
        .max_frame_size(Some(LARGEST_INPUT));
    let socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await;
    if let Err(error) = join(socket, kind, session).await {
        tracing::debug!("a websocket broke: {error}");
    }
}

/// Copies both ways until the container's output ends, the client is gone or it detaches.
async fn join(
    socket: WebSocketStream<TokioIo<Upgraded>>,
    kind: Data,
    mut session: Session,
) -> Result<(), Error> {
    let (mut to_client, from_client) = socket.split();
    let mut payload = Payload::of(session.output);
    if let Some(mut replay) = session.replay.take() {
        while let Some(chunk) = replay.next().await {
            tell(&mut to_client, kind, payload.take(&chunk?)).await?;
        }
    }
    if let Some(container) = session.container {
        let (from_container, to_container) = container.into_split();
        let scanner = session.detach.as_ref().map(DetachKeys::scanner);
        let output = copy_output(from_container, (&mut to_client, kind), payload);
        let end = tokio::select! {
            ended = output => ended.map(|()| End::Over)?,
            ended = copy_input(from_client, to_container, scanner) => ended?,
        };
        match (end, session.end, session.leaving) {
            (End::Over, Some(recorded), _) => recorded.await,
            (End::Detached, _, Some(leaving)) => leaving(),
            (End::Over | End::Detached, _, _) => {}
        }
    }
    let reason = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    match to_client.send(Message::Close(Some(reason))).await {
        // The client said so first.
        Ok(()) | Err(Error::ConnectionClosed | Error::Protocol(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn copy_output(
    mut from: OwnedReadHalf,
    (to, kind): (&mut (impl Sink<Message, Error = Error> + Unpin), Data),
    mut payload: Payload,
) -> Result<(), Error> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer).await? {
            0 => return Ok(()),
            count => tell(to, kind, payload.take(&buffer[..count])).await?,
        }
    }
}

/// Sends output as one message, unless there is none.
async fn tell(
    to: &mut (impl Sink<Message, Error = Error> + Unpin),
    kind: Data,
    output: Vec<u8>,
) -> Result<(), Error> {
    if output.is_empty() {
        return Ok(());
    }
    // A frame as it is: what a container writes need not be the text that old clients are told it is.
    let frame = Frame::message(Bytes::from(output), OpCode::Data(kind), true);
    to.send(Message::Frame(frame)).await
}

/// Passes on what the client sends until it closes or types its keys.
async fn copy_input(
    mut from: impl Stream<Item = Result<Message, Error>> + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut scanner: Option<Scanner>,
) -> Result<End, Error> {
    let mut passed = Vec::new();
    while let Some(message) = from.next().await {
        let input = match message? {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => text.into(),
            Message::Close(_) => break,
            // A ping is answered by the library.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        let Some(scanner) = &mut scanner else {
            pass(&mut to, &input).await;
            continue;
        };
        passed.clear();
        let found = scanner.scan(&input, &mut passed);
        pass(&mut to, &passed).await;
        if found == Found::Detach {
            return Ok(End::Detached);
        }
    }
    if let Some(scanner) = &scanner {
        pass(&mut to, scanner.rest()).await;
    }
    Ok(End::Over)
}

/// A container that takes no more input may still have output.
async fn pass(to: &mut (impl AsyncWrite + Unpin), input: &[u8]) {
    if let Err(error) = to.write_all(input).await {
        tracing::debug!("a container does not take input: {error}");
    }
}

/// What is in Docker's frames, whatever pieces they come in.
#[derive(Debug)]
enum Payload {
    /// There are no frames.
    Raw,
    /// So much of a header was seen, and so many bytes of the frame are to come.
    Framed { header: Vec<u8>, left: usize },
}

impl Payload {
    fn of(output: Output) -> Self {
        match output {
            Output::Raw => Self::Raw,
            Output::Multiplexed => Self::Framed { header: Vec::new(), left: 0 },
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let Self::Framed { header, left } = self else {
            return bytes.to_vec();
        };
        let mut taken = Vec::with_capacity(bytes.len());
        while !bytes.is_empty() {
            if *left == 0 {
                let (head, rest) = bytes.split_at((8 - header.len()).min(bytes.len()));
                header.extend_from_slice(head);
                bytes = rest;
                if let [_, _, _, _, length @ ..] = header.as_slice()
                    && let Ok(length) = <[u8; 4]>::try_from(length)
                {
                    *left = u32::from_be_bytes(length) as usize;
                    header.clear();
                }
            } else {
                let (part, rest) = bytes.split_at((*left).min(bytes.len()));
                taken.extend_from_slice(part);
                *left -= part.len();
                bytes = rest;
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_off_in_whatever_pieces_they_come() {
        let framed = b"\x01\0\0\0\0\0\0\x03out\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x03err";
        for size in 1..framed.len() {
            let mut payload = Payload::of(Output::Multiplexed);
            let taken: Vec<u8> =
                framed.chunks(size).flat_map(|chunk| payload.take(chunk)).collect();
            assert_eq!(taken, b"outerr", "{size}");
        }
        assert_eq!(Payload::of(Output::Raw).take(framed), framed);
    }

    #[test]
    fn what_is_no_websocket_is_refused() {
        let mut headers = HeaderMap::new();
        assert!(accept(&headers).is_err());
        for (name, value) in [
            (header::CONNECTION, "keep-alive, Upgrade"),
            (header::UPGRADE, "WebSocket"),
            (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        assert!(accept(&headers).is_err());
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        // The example of RFC 6455, 1.3.
        assert_eq!(accept(&headers).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
