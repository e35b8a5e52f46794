//! Bodies: JSON of a request, and what an answer's body is made of.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::{HeaderMap, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::request_body::RequestBody;
use crate::status::ApiError;

/// The largest JSON body that is read. A create request is 2 KiB; this leaves room for a large environment.
const JSON_LIMIT: usize = 8 << 20;

/// An answer's body.
pub(crate) enum Body {
    /// All of it, or nothing.
    Whole(Bytes),
    /// As it is produced; each item is flushed.
    Stream(BoxStream<'static, std::io::Result<Bytes>>),
    /// The same of something that may never end: a log, events, a wait.
    Follow(BoxStream<'static, std::io::Result<Bytes>>),
}

impl Body {
    /// Ends what may never end when the daemon stops. The connection breaks then: a clean end would say that there is
    /// nothing more.
    pub(crate) fn until(self, stopped: watch::Receiver<()>) -> Self {
        let Self::Follow(stream) = self else {
            return self;
        };
        let until = stream::unfold((stream, stopped), |(mut stream, mut stopped)| async move {
            let item = tokio::select! {
                biased;
                item = stream.next() => item?,
                _ = stopped.changed() => Err(std::io::Error::other("the daemon stops")),
            };
            Some((item, (stream, stopped)))
        });
        Self::Stream(Box::pin(until))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.has_remaining() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
            Self::Whole(_) => Poll::Ready(None),
            Self::Stream(stream) | Self::Follow(stream) => {
                stream.as_mut().poll_next(context).map_ok(Frame::data)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) | Self::Follow(_) => SizeHint::default(),
        }
    }
}

/// What of a JSON body there was.
pub(crate) enum Json<T> {
    /// No body at all, which most handlers take for the default.
    Missing,
    /// A value.
    Value(T),
}

impl<T: Default> Json<T> {
    /// The value, or the default for a missing one.
    pub(crate) fn or_default(self) -> T {
        match self {
            Self::Missing => T::default(),
            Self::Value(value) => value,
        }
    }
}

/// Reads a JSON body of at most eight MiB.
pub(crate) async fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: &mut RequestBody,
) -> Result<Json<T>, ApiError> {
    check_content_type(headers, body)?;
    let bytes = read(body).await?;
    if bytes.is_empty() {
        return Ok(Json::Missing);
    }
    parse(&bytes)
}

/// No type is fine as long as there is no body; otherwise it must be JSON's. A browser's form therefore cannot reach
/// an endpoint that changes something by its body.
fn check_content_type(headers: &HeaderMap, body: &RequestBody) -> Result<(), ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return if body.is_at_end() { Ok(()) } else { Err(wrong_type("")) };
    };
    let value = value.to_str().unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") { Ok(()) } else { Err(wrong_type(value)) }
}

fn wrong_type(found: &str) -> ApiError {
    if found.is_empty() {
        return ApiError::invalid("malformed Content-Type header (): mime: no media type");
    }
    ApiError::invalid(format!(
        "unsupported Content-Type header ({found}): must be 'application/json'"
    ))
}

async fn read(body: &mut RequestBody) -> Result<Bytes, ApiError> {
    let mut all = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece
            .map_err(|error| ApiError::invalid(format!("cannot read request body: {error}")))?;
        if all.len() + piece.len() > JSON_LIMIT {
            return Err(ApiError::invalid(format!(
                "request body too large: JSON is limited to {JSON_LIMIT} bytes"
            )));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Json<T>, ApiError> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<T>();
    match values.next() {
        None => Err(ApiError::invalid("invalid JSON: got EOF while reading request body")),
        Some(Err(error)) => Err(ApiError::invalid(format!("invalid JSON: {error}"))),
        Some(Ok(value)) => {
            let rest = &bytes[values.byte_offset()..];
            if rest.iter().all(u8::is_ascii_whitespace) {
                Ok(Json::Value(value))
            } else {
                Err(ApiError::invalid("unexpected content after JSON"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        match parse::<serde_json::Value>(text.as_bytes()) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{text} was accepted"),
        }
    }

    #[test]
    fn malformed_json_is_refused_with_dockers_words() {
        assert!(error("{").starts_with("invalid JSON: "));
        assert_eq!(error(" "), "invalid JSON: got EOF while reading request body");
        assert_eq!(error("{} x"), "unexpected content after JSON");
        assert_eq!(error("{}{}"), "unexpected content after JSON");
    }

    #[test]
    fn white_space_around_json_is_fine() {
        assert!(matches!(parse::<serde_json::Value>(b" {} \r\n"), Ok(Json::Value(_))));
    }
}
