//! A request's body, which is read to its end even when nobody wants it.
//!
//! A connection that is closed with unread bytes in it is reset, and the client never sees the answer that says why its
//! upload was refused. Go's server drains for the same reason; here the answer goes out while the rest is being dropped.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};

/// The body of a request.
#[derive(Debug)]
pub(crate) struct RequestBody(Option<Incoming>);

impl RequestBody {
    pub(crate) fn new(body: Incoming) -> Self {
        Self(Some(body))
    }

    /// Whether there is nothing (more) to read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.0.as_ref().is_none_or(Incoming::is_end_stream)
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        let body = self.0.as_mut()?;
        std::future::poll_fn(|context| poll_piece(body, context)).await
    }
}

fn poll_piece(
    body: &mut Incoming,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, hyper::Error>>> {
    loop {
        match ready!(Pin::new(&mut *body).poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            // What is no data are trailers, which Docker's API does not have.
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    return Poll::Ready(Some(Ok(piece)));
                }
            }
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(mut body) = self.0.take().filter(|body| !body.is_end_stream()) else { return };
        // Without a runtime the daemon is ending, and with it the connection.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            while let Some(Ok(_)) =
                std::future::poll_fn(|context| poll_piece(&mut body, context)).await
            {}
        });
    }
}
