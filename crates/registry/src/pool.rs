//! Connections that are kept for the next request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use crate::payload::Payload;
use crate::url::Scheme;

/// Unused connections are kept for so long, and so many of one kind.
const IDLE: Duration = Duration::from_secs(50);
const IDLE_CONNECTIONS: usize = 8;

/// Connections of one kind are exchangeable.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    pub(crate) scheme: Scheme,
    pub(crate) host_and_port: String,
    pub(crate) tls: u64,
    pub(crate) proxy: Option<String>,
}

struct Idle {
    sender: SendRequest<Payload>,
    since: Instant,
}

#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<HashMap<Kind, Vec<Idle>>>,
}

impl Pool {
    pub(crate) fn take(&self, kind: &Kind) -> Option<SendRequest<Payload>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        idle.retain(|_, connections| {
            connections.retain(|one| now - one.since < IDLE && !one.sender.is_closed());
            !connections.is_empty()
        });
        idle.get_mut(kind)?.pop().map(|one| one.sender)
    }

    fn put(&self, kind: Kind, sender: SendRequest<Payload>) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.entry(kind).or_default();
        if connections.len() < IDLE_CONNECTIONS {
            connections.push(Idle { sender, since: Instant::now() });
        }
    }
}

/// A connection in use. Dropped, it is closed; its body's end gives it back.
pub(crate) struct Lent {
    pub(crate) sender: SendRequest<Payload>,
    pub(crate) kind: Kind,
    pub(crate) pool: Arc<Pool>,
}

impl Lent {
    pub(crate) fn give_back(self) {
        self.pool.put(self.kind, self.sender);
    }
}
