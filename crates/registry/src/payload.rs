//! What goes out with a request: nothing, some bytes, or a blob that is read while it is sent.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// How far a body has gone.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    bytes: AtomicU64,
    /// Why the local side could not go on.
    failure: Mutex<Option<io::Error>>,
}

impl Sent {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The local side's error, once.
    pub(crate) fn take_failure(&self) -> Option<io::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fail(&self, error: io::Error) -> io::Error {
        let again = io::Error::new(error.kind(), error.to_string());
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        again
    }
}

/// Is called with the number of bytes that have just gone out.
pub(crate) type OnSent = Arc<dyn Fn(u64) + Send + Sync>;

/// A blob on its way out: exactly `size` bytes.
pub(crate) struct Upload {
    pub(crate) chunks: mpsc::Receiver<io::Result<Bytes>>,
    pub(crate) size: u64,
    pub(crate) sent: Arc<Sent>,
    pub(crate) on_sent: OnSent,
}

/// The body of a request.
pub(crate) enum Payload {
    Bytes(Bytes),
    Upload(Upload),
}

impl Payload {
    pub(crate) const fn empty() -> Self {
        Self::Bytes(Bytes::new())
    }

    /// The same once more, where that is possible.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Bytes(bytes) => Some(Self::Bytes(bytes.clone())),
            Self::Upload(_) => None,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Upload(upload) => upload.size,
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Upload(upload) => upload.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Upload(upload) => upload.sent.bytes() >= upload.size,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upload(upload) => {
                SizeHint::with_exact(upload.size.saturating_sub(upload.sent.bytes()))
            }
        }
    }
}

impl Upload {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let left = self.size.saturating_sub(self.sent.bytes());
        if left == 0 {
            return Poll::Ready(None);
        }
        let chunk = match ready!(self.chunks.poll_recv(context)) {
            Some(Ok(chunk)) => chunk,
            Some(Err(error)) => return Poll::Ready(Some(Err(self.sent.fail(error)))),
            None => {
                let text = format!("the blob is {left} bytes shorter than its size");
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, text);
                return Poll::Ready(Some(Err(self.sent.fail(error))));
            }
        };
        let length = chunk.len() as u64;
        if length > left {
            let error =
                io::Error::new(io::ErrorKind::InvalidData, "the blob is longer than its size");
            return Poll::Ready(Some(Err(self.sent.fail(error))));
        }
        self.sent.bytes.fetch_add(length, Ordering::Relaxed);
        (self.on_sent)(length);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}
