//! Sees to it that interfaces of ended containers disappear, off everybody's path.
//!
//! An interface dies with its namespace, which the kernel does in batches of its own; deleting one takes 20 ms. So the
//! reaper waits, and deletes only what is still there after a while: the namespace lives on when another container
//! shares it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use barge_netlink::link::{self, Watch};
use barge_netlink::{Family, Socket};

use crate::error::{NetworkError, Result};

/// How long a namespace may take to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way to the reaper's thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Reaper {
    names: Sender<String>,
}

impl Reaper {
    pub(crate) fn start() -> Result<Self> {
        let (names, received) = channel();
        std::thread::Builder::new()
            .name("links".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || work(&received))
            .map_err(NetworkError::io("start the thread", "links".as_ref()))?;
        Ok(Self { names })
    }

    /// The container of the interface has ended.
    pub(crate) fn expect_end_of(&self, name: &str) {
        // Without a receiver the thread has panicked, which was reported: the sweep of the next start is left.
        self.names.send(name.to_owned()).ok();
    }
}

fn work(received: &Receiver<String>) {
    while let Ok(first) = received.recv() {
        let names: Vec<String> = std::iter::once(first).chain(received.try_iter()).collect();
        // What fails here is found by the sweep of the next start.
        reap(names).ok();
    }
}

fn reap(mut names: Vec<String>) -> barge_netlink::Result<()> {
    let mut watch = Watch::open()?;
    let mut socket = Socket::open(Family::Route)?;
    let present = link::list(&mut socket)?;
    names.retain(|name| present.iter().any(|link| link.name == *name));
    let deadline = Instant::now() + PATIENCE;
    while !names.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let gone = watch.gone(left)?;
        if gone.is_empty() {
            break;
        }
        names.retain(|name| !gone.contains(name));
    }
    let requests: Vec<_> = names.iter().map(|name| link::delete_by_name(name)).collect();
    match socket.send(&requests) {
        Err(error) if !error.is_absent() => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
