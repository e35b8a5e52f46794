//! What a request carries: nothing, a document, or a stream that is fed from elsewhere.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// How many chunks may wait for the daemon.
const CHUNKS_IN_FLIGHT: usize = 8;

/// A request's body.
#[derive(Debug)]
pub(crate) enum RequestBody {
    Empty,
    Whole(Bytes),
    Stream(Upload),
}

/// A body that another thread or task feeds: an archive to import.
#[derive(Debug)]
pub struct Upload {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
}

impl Upload {
    /// The body, and the end to feed it by; it is complete when that end is dropped.
    #[must_use]
    pub fn channel() -> (mpsc::Sender<io::Result<Bytes>>, Self) {
        let (sender, chunks) = mpsc::channel(CHUNKS_IN_FLIGHT);
        (sender, Self { chunks })
    }
}

impl RequestBody {
    /// The same once more; none for what can be sent only once.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Whole(bytes) => Some(Self::Whole(bytes.clone())),
            Self::Stream(_) => None,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream(upload) => upload
                .chunks
                .poll_recv(context)
                .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
