//! Errors of the API: the one place that knows HTTP status codes.

use barge_engine::EngineError;
use barge_types::ErrorKind;
use http::StatusCode;

/// An error on its way to the client.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    kind: ErrorKind,
    message: String,
}

impl ApiError {
    /// An error of any class.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The request is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidParameter, message)
    }

    /// Barge does not have it.
    pub(crate) fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotImplemented, message)
    }

    /// The class.
    pub(crate) fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The text for the client.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The status code that says the same.
    pub(crate) fn status(&self) -> StatusCode {
        status(self.kind)
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        Self { kind: error.kind(), message: error.message() }
    }
}

/// The table, which is moby's `httpstatus.FromError`.
fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::InvalidParameter => StatusCode::BAD_REQUEST,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::NotModified => StatusCode::NOT_MODIFIED,
        ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::System | ErrorKind::Cancelled | ErrorKind::Deadline => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
