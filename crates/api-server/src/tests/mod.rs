//! The server as a client sees it: real sockets, dummy handlers, no engine.

mod corpus;
mod hijacking;
mod http;
mod listening;
mod tables;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use crate::app::App;
use crate::connection;
use crate::listen::{Endpoint, Listener};
use crate::router::Router;

/// No test waits longer for anything.
const DEADLINE: Duration = Duration::from_secs(120);

/// A server on a socket of its own; it stops when dropped.
struct Server {
    folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<tokio::task::JoinHandle<()>>,
}

impl Server {
    async fn start(router: Router<()>) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("api.sock");
        let listener = Listener::open(&Endpoint::Unix(path), None).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let app = Arc::new(App::new((), router));
        let ended = tokio::spawn(connection::serve(app, vec![listener], async move {
            stopped.await.ok();
            DEADLINE
        }));
        Self { folder, stop: Some(stop), ended: Some(ended) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("api.sock")
    }

    async fn connect(&self) -> Client {
        Client { stream: UnixStream::connect(self.path()).await.unwrap(), seen: Vec::new() }
    }

    /// Sends one request on a connection of its own and reads the whole answer.
    async fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect().await;
        client.send(request.as_bytes()).await;
        client.answer().await
    }

    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        within(self.ended.take().unwrap()).await.unwrap();
    }
}

/// Fails instead of hanging.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("nothing happened in time")
}

/// A connection of a client that reads HTTP by hand.
struct Client {
    stream: UnixStream,
    seen: Vec<u8>,
}

#[derive(Debug)]
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn status(&self) -> &str {
        self.head.lines().next().unwrap().strip_prefix("HTTP/1.1 ").unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads more; false at the end.
    async fn fill(&mut self) -> bool {
        within(self.stream.read_buf(&mut self.seen)).await.unwrap() > 0
    }

    /// Reads up to and with `mark`.
    async fn until(&mut self, mark: &str) -> String {
        loop {
            if let Some(at) = find(&self.seen, mark.as_bytes()) {
                let rest = self.seen.split_off(at + mark.len());
                return String::from_utf8(std::mem::replace(&mut self.seen, rest)).unwrap();
            }
            assert!(self.fill().await, "ended: {:?}", String::from_utf8_lossy(&self.seen));
        }
    }

    async fn head(&mut self) -> Answer {
        Answer { head: self.until("\r\n\r\n").await, body: Vec::new() }
    }

    /// Reads an answer whose length is given.
    async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        let length = answer.header("content-length").map_or(0, |text| text.parse().unwrap());
        while self.seen.len() < length {
            assert!(self.fill().await);
        }
        let rest = self.seen.split_off(length);
        answer.body = std::mem::replace(&mut self.seen, rest);
        answer
    }

    /// Reads what comes until the end.
    async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.seen)
    }
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}
