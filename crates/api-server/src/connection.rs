//! Serving: accepting connections, running HTTP on them, and stopping without cutting answers off.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::app::App;
use crate::listen::Listener;
use crate::stream::Stream;
use crate::takeover::Takeover;

/// Connections at one time, over all sockets, and half of what the process may have of files at most; more wait to be
/// accepted.
const MAX_CONNECTIONS: usize = 8192;
/// How long a client may take for the head of a request, and how long an idle connection is kept. dockerd's value.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// How much of a head is read; Go's server allows a megabyte, Docker's clients need two kilobytes.
const MAX_HEAD: usize = 64 << 10;
/// How long to wait when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts and serves until `stop` says how long answers under way may still take. Those of clients that follow something
/// are broken off at once: they would keep the daemon for ever.
pub(crate) async fn serve<S>(
    app: Arc<App<S>>,
    listeners: Vec<Listener>,
    stop: impl Future<Output = Duration>,
) where
    S: Clone + Send + Sync + 'static,
{
    let slots = Arc::new(Semaphore::new(most_connections()));
    let (stopping, stopped) = watch::channel(());
    let (alive, mut all_ended) = mpsc::channel::<Infallible>(1);
    let mut accepting = Vec::new();
    for listener in listeners {
        let shared = Shared {
            app: Arc::clone(&app),
            slots: Arc::clone(&slots),
            stopped: stopped.clone(),
            alive: alive.clone(),
        };
        accepting.push(tokio::spawn(accept(listener, shared)));
    }
    drop((stopped, alive));
    let patience = stop.await;
    // Nobody listens to the answer: a receiver that is gone has stopped already.
    stopping.send(()).ok();
    if tokio::time::timeout(patience, all_ended.recv()).await.is_err() {
        tracing::debug!("connections that do not end are cut off");
    }
    for task in accepting {
        task.abort();
        // Its end is the end of its socket's file; that it was cut off is no news.
        task.await.ok();
    }
}

/// Clients that open connections and say nothing leave at least half of the process's descriptors to what the daemon
/// does for the others.
fn most_connections() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = limit.and_then(|limit| usize::try_from(limit / 2).ok());
    half.map_or(MAX_CONNECTIONS, |half| half.clamp(1, MAX_CONNECTIONS))
}

struct Shared<S> {
    app: Arc<App<S>>,
    slots: Arc<Semaphore>,
    stopped: watch::Receiver<()>,
    /// Held by every connection; when the last is dropped, all have ended.
    alive: mpsc::Sender<Infallible>,
}

async fn accept<S: Clone + Send + Sync + 'static>(listener: Listener, mut shared: Shared<S>) {
    loop {
        let Ok(slot) = Arc::clone(&shared.slots).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shared.stopped.changed() => return,
        };
        match accepted {
            Ok(stream) => {
                let app = Arc::clone(&shared.app);
                let stopped = shared.stopped.clone();
                let alive = shared.alive.clone();
                tokio::spawn(async move {
                    connection(stream, app, stopped).await;
                    drop((slot, alive));
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!("cannot accept a connection on {}: {error}", listener.address());
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Errors of `accept` that belong to the client, which has left meanwhile.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotConnected
    )
}

async fn connection<S: Clone + Send + Sync + 'static>(
    stream: Stream,
    app: Arc<App<S>>,
    mut stopped: watch::Receiver<()>,
) {
    let stopped_for_bodies = stopped.clone();
    let peer = stream.peer();
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let app = Arc::clone(&app);
        let stopped = stopped_for_bodies.clone();
        async move { Ok::<_, Infallible>(app.respond(request).await.map(|body| body.until(stopped))) }
    });
    // half_close stays off: a client that goes away ends the streams it followed, as in Go's server.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Takeover::new(stream)), service)
        .with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!("a connection ended early: {error}");
    }
}
