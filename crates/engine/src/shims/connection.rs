//! One connection to a shim. Requests go out in order and may overlap; each answer finds its asker by its id.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use barge_shim_api::{
    ANSWER_DEADLINE, Decoder, Event, Failure, Request, Response, ShimFrame, encode_request,
};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::{EngineError, Result};

/// How long a shim may take for what it does at once. One that was stopped, or waits for a process that was, takes
/// longer; then the daemon does by itself what cannot wait.
const PATIENCE: Duration = Duration::from_secs(5);

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
    wire: Arc<Wire>,
    /// The shim's process; none when it could not be told which it is.
    process: Option<OwnedFd>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Response>>>,
    next_id: AtomicU64,
    closed: watch::Sender<bool>,
}

/// The way to a shim.
struct Wire {
    stream: UnixStream,
    /// Held while a frame is written, so that frames do not mix.
    sending: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Connection {
    /// Takes over a socket that the shim `process` was started with. Events go to `events` until the connection ends.
    pub(crate) fn start(
        id: String,
        socket: StdStream,
        process: Option<OwnedFd>,
        events: mpsc::UnboundedSender<ShimEvent>,
    ) -> Result<Arc<Self>> {
        socket.set_nonblocking(true).map_err(EngineError::io("set up", "a shim's socket"))?;
        let stream =
            UnixStream::from_std(socket).map_err(EngineError::io("set up", "a shim's socket"))?;
        let connection = Arc::new(Self {
            id,
            wire: Arc::new(Wire { stream, sending: tokio::sync::Mutex::new(()) }),
            process,
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
        let process = shim_behind(&stream, &id);
        let socket = stream.into_std().map_err(EngineError::io("set up", path))?;
        Self::start(id, socket, process, events)
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
        let sent =
            if *self.closed.borrow() { false } else { self.write(frame, descriptors).await? };
        if !sent {
            self.waiting().remove(&id);
            return Err(self.gone());
        }
        Ok(Answer { id: self.id.clone(), answered })
    }

    /// Writes a frame; false when the connection is over. What cannot be written in time is written all the same when
    /// the shim goes on: half a frame would spoil those that follow.
    async fn write(&self, frame: Vec<u8>, descriptors: &[OwnedFd]) -> Result<bool> {
        let copies: io::Result<Vec<OwnedFd>> = descriptors.iter().map(OwnedFd::try_clone).collect();
        let copies = copies.map_err(EngineError::io("duplicate", "a descriptor for a shim"))?;
        let mut writing = Box::pin(Arc::clone(&self.wire).write(frame, copies));
        match tokio::time::timeout(PATIENCE, &mut writing).await {
            Ok(written) => Ok(written.is_ok()),
            Err(_) => {
                tokio::spawn(writing);
                Err(self.silent(PATIENCE))
            }
        }
    }

    /// Sends a request and awaits its answer.
    pub(crate) async fn ask(&self, action: &'static str, request: &Request) -> Result<Response> {
        let answer = self.send(request, &[]).await?.wait().await?;
        answer.map_err(|source| EngineError::Shim { action, source })
    }

    /// The same for what a shim does at once.
    pub(crate) async fn ask_soon(
        &self,
        action: &'static str,
        request: &Request,
    ) -> Result<Response> {
        let answer = self.send(request, &[]).await?.wait_for(PATIENCE).await?;
        answer.map_err(|source| EngineError::Shim { action, source })
    }

    /// Kills the shim; the end of the connection tells when it is gone. False when it is not known which process it is.
    pub(crate) fn kill(&self) -> bool {
        let Some(process) = &self.process else {
            return false;
        };
        // It may have gone by itself.
        barge_sys::pidfd::send_signal(process, 9).ok();
        true
    }

    /// Tells the shim to take everything down and waits until it is gone; it may be gone already.
    pub(crate) async fn shut_down(&self) {
        if self.send(&Request::Shutdown, &[]).await.is_ok() {
            // A shim that hangs is killed by its owner.
            tokio::time::timeout(SHUTDOWN_DEADLINE, self.closed()).await.ok();
        }
    }

    /// Waits for the end of a shim that was killed.
    pub(crate) async fn gone_soon(&self) {
        tokio::time::timeout(PATIENCE, self.closed()).await.ok();
    }

    /// Waits until the shim closed the connection.
    pub(crate) async fn closed(&self) {
        // An error means that the sender is gone, which `self` holds.
        self.closed.subscribe().wait_for(|closed| *closed).await.ok();
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
            self.wire.stream.readable().await.ok()?;
            match self.wire.stream.try_read(buffer) {
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

    fn silent(&self, patience: Duration) -> EngineError {
        silent(&self.id, patience)
    }
}

impl Wire {
    async fn write(self: Arc<Self>, frame: Vec<u8>, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let _in_order = self.sending.lock().await;
        let mut borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            let sent = self
                .stream
                .async_io(Interest::WRITABLE, || {
                    barge_sys::fdpass::send_with_fds(self.stream.as_fd(), rest, &borrowed)
                })
                .await?;
            rest = rest.get(sent..).unwrap_or_default();
            borrowed.clear();
        }
        Ok(())
    }
}

fn silent(id: &str, patience: Duration) -> EngineError {
    EngineError::ShimSilent { id: id.to_owned(), seconds: patience.as_secs() }
}

/// The process that listens at the other end, if it is the shim of this container: its socket's name could have been
/// taken by another.
fn shim_behind(stream: &UnixStream, id: &str) -> Option<OwnedFd> {
    let pid = stream.peer_cred().ok()?.pid()?;
    let process = barge_sys::pidfd::open(pid).ok()?;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    // Still the one that was looked at: a process id may be given again.
    barge_sys::pidfd::send_signal(&process, 0).ok()?;
    (line.split(|byte| *byte == 0).nth(1) == Some(id.as_bytes())).then_some(process)
}

/// What came: the outer error is the connection's, the inner the shim's.
pub(crate) type Answered = Result<std::result::Result<Response, Failure>>;

/// An answer that is on its way.
#[derive(Debug)]
pub(crate) struct Answer {
    id: String,
    answered: oneshot::Receiver<Response>,
}

impl Answer {
    /// Waits for the answer: the outer error is the connection's, the inner the shim's.
    pub(crate) async fn wait(self) -> Answered {
        self.wait_for(ANSWER_DEADLINE).await
    }

    /// The answer if it comes so soon, and what to wait on for one that does not.
    pub(crate) async fn within(mut self, patience: Duration) -> (Option<Answered>, Self) {
        let answered = tokio::time::timeout(patience, &mut self.answered).await;
        let answer = answered.ok().map(|answered| self.read(answered));
        (answer, self)
    }

    /// Waits for as long as there is a shim.
    pub(crate) async fn whenever(mut self) -> Answered {
        let answered = (&mut self.answered).await;
        self.read(answered)
    }

    fn read(&self, answered: std::result::Result<Response, oneshot::error::RecvError>) -> Answered {
        match answered {
            Ok(Response::Error(failure)) => Ok(Err(failure)),
            Ok(response) => Ok(Ok(response)),
            Err(_) => Err(EngineError::ShimGone { id: self.id.clone() }),
        }
    }

    /// The same with another deadline.
    async fn wait_for(self, patience: Duration) -> Answered {
        match self.within(patience).await {
            (Some(answer), _) => answer,
            (None, late) => Err(silent(&late.id, patience)),
        }
    }
}
