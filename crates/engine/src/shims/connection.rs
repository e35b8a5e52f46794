//! One connection to a shim. Requests go out in order and may overlap; each answer finds its asker by its id.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use barge_shim_api::{Decoder, Event, Failure, Request, Response, ShimFrame, encode_request};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::{EngineError, Result};

/// How long a shim may take to answer before the daemon says that it hangs. Creating a container includes its
/// mounts, so this is far above what any request needs on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long a shim may take to drain, clean up and go.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);

/// What comes from a shim without being asked.
#[derive(Debug)]
pub(crate) enum ShimEvent {
    /// Something happened.
    Event(Event),
    /// The connection ended: the shim is done, or was killed.
    Closed,
}

/// The daemon's end of a connection to a shim.
pub(crate) struct Connection {
    /// The container's id, for errors.
    id: String,
    stream: UnixStream,
    /// Held while a frame is written, so that frames do not mix.
    sending: tokio::sync::Mutex<()>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Response>>>,
    next_id: AtomicU64,
    closed: watch::Sender<bool>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Connection {
    /// Takes over a connected socket. Events go to `events` until the connection ends.
    pub(crate) fn start(
        id: String,
        socket: StdStream,
        events: mpsc::UnboundedSender<ShimEvent>,
    ) -> Result<Arc<Self>> {
        socket.set_nonblocking(true).map_err(EngineError::io("set up", "a shim's socket"))?;
        let stream =
            UnixStream::from_std(socket).map_err(EngineError::io("set up", "a shim's socket"))?;
        let connection = Arc::new(Self {
            id,
            stream,
            sending: tokio::sync::Mutex::new(()),
            waiting: Mutex::default(),
            next_id: AtomicU64::new(1),
            closed: watch::Sender::new(false),
        });
        tokio::spawn(Arc::clone(&connection).read(events));
        Ok(connection)
    }

    /// Connects to the shim that listens at `path`.
    pub(crate) async fn open(
        id: String,
        path: &Path,
        events: mpsc::UnboundedSender<ShimEvent>,
    ) -> Result<Arc<Self>> {
        let stream =
            UnixStream::connect(path).await.map_err(EngineError::io("connect to", path))?;
        let socket = stream.into_std().map_err(EngineError::io("set up", path))?;
        Self::start(id, socket, events)
    }

    /// Sends a request; the answer is awaited on what this returns, so that several can be on their way.
    pub(crate) async fn send(&self, request: &Request, descriptors: &[OwnedFd]) -> Result<Answer> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut frame = Vec::new();
        encode_request(id, request, &mut frame).map_err(|error| {
            EngineError::Invalid(format!("the request to the shim cannot be sent: {error}"))
        })?;
        let (answer, answered) = oneshot::channel();
        self.waiting().insert(id, answer);
        // The reader empties `waiting` after it marked the connection closed; whoever comes later sees the mark.
        let sent = if *self.closed.borrow() {
            false
        } else {
            self.write(&frame, descriptors).await.is_ok()
        };
        if !sent {
            self.waiting().remove(&id);
            return Err(self.gone());
        }
        Ok(Answer { id: self.id.clone(), answered })
    }

    /// Sends a request and awaits its answer.
    pub(crate) async fn ask(&self, action: &'static str, request: &Request) -> Result<Response> {
        let answer = self.send(request, &[]).await?.wait().await?;
        answer.map_err(|source| EngineError::Shim { action, source })
    }

    /// Tells the shim to take everything down and waits until it is gone; it may be gone already.
    pub(crate) async fn shut_down(&self) {
        if self.send(&Request::Shutdown, &[]).await.is_ok() {
            // A shim that hangs is killed by its owner.
            tokio::time::timeout(SHUTDOWN_DEADLINE, self.closed()).await.ok();
        }
    }

    /// Waits until the shim closed the connection.
    pub(crate) async fn closed(&self) {
        // An error means that the sender is gone, which `self` holds.
        self.closed.subscribe().wait_for(|closed| *closed).await.ok();
    }

    async fn write(&self, mut frame: &[u8], descriptors: &[OwnedFd]) -> io::Result<()> {
        let _in_order = self.sending.lock().await;
        let mut borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        while !frame.is_empty() {
            let sent = self
                .stream
                .async_io(Interest::WRITABLE, || {
                    barge_sys::fdpass::send_with_fds(self.stream.as_fd(), frame, &borrowed)
                })
                .await?;
            frame = frame.get(sent..).unwrap_or_default();
            borrowed.clear();
        }
        Ok(())
    }

    async fn read(self: Arc<Self>, events: mpsc::UnboundedSender<ShimEvent>) {
        let mut decoder = Decoder::new();
        let mut buffer = vec![0; 4096];
        while let Some(bytes) = self.receive(&mut buffer).await {
            // A shim sends no descriptors.
            if decoder.push(bytes, []).is_err() || !self.dispatch(&mut decoder, &events) {
                break;
            }
        }
        self.closed.send_replace(true);
        self.waiting().clear();
        // Nobody listens any more when the daemon ends.
        events.send(ShimEvent::Closed).ok();
    }

    async fn receive<'a>(&self, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        loop {
            self.stream.readable().await.ok()?;
            match self.stream.try_read(buffer) {
                Ok(0) => return None,
                Ok(count) => return buffer.get(..count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }

    /// Hands out what has arrived in whole; false when the bytes make no sense.
    fn dispatch(&self, decoder: &mut Decoder, events: &mpsc::UnboundedSender<ShimEvent>) -> bool {
        loop {
            match decoder.next_shim_frame() {
                Ok(Some(ShimFrame::Response { id, response })) => {
                    if let Some(asker) = self.waiting().remove(&id) {
                        // The asker may have gone away meanwhile.
                        asker.send(response).ok();
                    }
                }
                Ok(Some(ShimFrame::Event(event))) => {
                    events.send(ShimEvent::Event(event)).ok();
                }
                Ok(None) => return true,
                Err(error) => {
                    tracing::error!(container = self.id, %error, "a shim sent what is no frame");
                    return false;
                }
            }
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Response>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self) -> EngineError {
        EngineError::ShimGone { id: self.id.clone() }
    }
}

/// An answer that is on its way.
#[derive(Debug)]
pub(crate) struct Answer {
    id: String,
    answered: oneshot::Receiver<Response>,
}

impl Answer {
    /// Waits for the answer: the outer error is the connection's, the inner the shim's.
    pub(crate) async fn wait(self) -> Result<std::result::Result<Response, Failure>> {
        match tokio::time::timeout(DEADLINE, self.answered).await {
            Ok(Ok(Response::Error(failure))) => Ok(Err(failure)),
            Ok(Ok(response)) => Ok(Ok(response)),
            Ok(Err(_)) => Err(EngineError::ShimGone { id: self.id }),
            Err(_) => Err(EngineError::Deadline(format!(
                "the shim of container {} did not answer within {} s",
                self.id,
                DEADLINE.as_secs()
            ))),
        }
    }
}
