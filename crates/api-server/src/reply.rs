//! Answers, in the form that dockerd gives them.

use barge_api_types::ErrorResponse;
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::body::Body;
use crate::status::ApiError;

/// An answer.
pub(crate) type Reply = Response<Body>;

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Body::Whole(Bytes::new()));
    *reply.status_mut() = status;
    reply
}

/// `200 OK` without a body.
pub(crate) fn ok() -> Reply {
    empty(StatusCode::OK)
}

/// `204 No Content`.
pub(crate) fn no_content() -> Reply {
    empty(StatusCode::NO_CONTENT)
}

/// JSON with Go's line feed at the end.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Result<Reply, ApiError> {
    let mut bytes = serde_json::to_vec(value).map_err(|error| {
        ApiError::new(barge_types::ErrorKind::System, format!("cannot write answer: {error}"))
    })?;
    bytes.push(b'\n');
    let mut reply = typed("application/json", Body::Whole(bytes.into()));
    *reply.status_mut() = status;
    Ok(reply)
}

/// `200 OK` with text.
pub(crate) fn text(text: &'static str) -> Reply {
    typed("text/plain; charset=utf-8", Body::Whole(Bytes::from_static(text.as_bytes())))
}

/// `200 OK` with a body that is sent as it comes.
pub(crate) fn stream<S>(content_type: &'static str, stream: S) -> Reply
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
{
    typed(content_type, Body::Stream(Box::pin(stream)))
}

/// The same of something that may never end; it is broken off when the daemon stops.
pub(crate) fn follow<S>(content_type: &'static str, stream: S) -> Reply
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
{
    typed(content_type, Body::Follow(Box::pin(stream)))
}

fn typed(content_type: &'static str, body: Body) -> Reply {
    let mut reply = Response::new(body);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// How an error is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorForm {
    /// `{"message": …}`.
    Json,
    /// What clients of before API 1.24 read.
    Text,
}

/// An error's answer.
pub(crate) fn error(error: &ApiError, form: ErrorForm) -> Reply {
    let status = error.status();
    if status == StatusCode::NOT_MODIFIED {
        return empty(status);
    }
    let (kind, mut bytes) = match form {
        ErrorForm::Json => (
            "application/json",
            serde_json::to_vec(&ErrorResponse::new(error.message())).unwrap_or_default(),
        ),
        ErrorForm::Text => ("text/plain; charset=utf-8", error.message().as_bytes().to_vec()),
    };
    bytes.push(b'\n');
    let mut reply = typed(kind, Body::Whole(bytes.into()));
    *reply.status_mut() = status;
    if form == ErrorForm::Text {
        reply
            .headers_mut()
            .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    reply
}

/// What every unknown path gets.
pub(crate) fn page_not_found() -> Reply {
    error(&ApiError::new(barge_types::ErrorKind::NotFound, "page not found"), ErrorForm::Json)
}
