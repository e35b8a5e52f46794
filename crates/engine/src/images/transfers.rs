//! Work that several clients want at once: done once, told to all, ended when the last of them has gone.
//!
//! The work runs in a task of its own. It is not broken off while threads still write for it: who asks for the same
//! again meanwhile waits for their end and begins anew.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use super::progress::Progress;
use crate::error::{EngineError, Result};

/// Kept by every thread that works for a transfer, for as long as it does.
pub(super) type Alive = mpsc::Sender<Infallible>;

/// What the work gets.
#[derive(Clone, Debug)]
pub(super) struct Work {
    /// What is told.
    pub(super) progress: Arc<Progress>,
    /// To be cloned for every thread.
    pub(super) alive: Alive,
}

type Outcome<T> = Option<std::result::Result<T, Arc<EngineError>>>;

#[derive(Debug)]
struct Transfer<T> {
    progress: Arc<Progress>,
    outcome: watch::Sender<Outcome<T>>,
    /// Those who wait; at zero the work is broken off.
    clients: watch::Sender<usize>,
}

impl<T> Transfer<T> {
    /// Counts one more client, unless the last one has gone already.
    fn enter(&self) -> bool {
        self.clients.send_if_modified(|clients| {
            let is_wanted = *clients > 0;
            *clients += usize::from(is_wanted);
            is_wanted
        })
    }
}

/// The work under way, by what it is about.
#[derive(Debug)]
pub(crate) struct Transfers<K, T> {
    running: Arc<Mutex<HashMap<K, Arc<Transfer<T>>>>>,
}

impl<K, T> Default for Transfers<K, T> {
    fn default() -> Self {
        Self { running: Arc::default() }
    }
}

impl<K, T> Transfers<K, T>
where
    K: Clone + Debug + Eq + Hash + Send + 'static,
    T: Clone + Debug + Send + Sync + 'static,
{
    /// Takes part in the work on `key`, which `start` begins if nobody does it yet.
    pub(super) async fn join<F, Fut>(&self, key: K, start: F) -> Client<T>
    where
        F: FnOnce(Work) -> Fut,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        loop {
            let ending = {
                let mut running = lock(&self.running);
                match running.get(&key) {
                    None => {
                        let transfer = self.begin(key.clone(), start);
                        running.insert(key, Arc::clone(&transfer));
                        return Client { transfer };
                    }
                    Some(transfer) if transfer.enter() => {
                        return Client { transfer: Arc::clone(transfer) };
                    }
                    Some(transfer) => Arc::clone(transfer),
                }
            };
            // An error would mean that the sender is gone, which is held here.
            drop(ending.outcome.subscribe().wait_for(Option::is_some).await);
        }
    }

    fn begin<F, Fut>(&self, key: K, start: F) -> Arc<Transfer<T>>
    where
        F: FnOnce(Work) -> Fut,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        let transfer = Arc::new(Transfer {
            progress: Progress::new(),
            outcome: watch::Sender::new(None),
            clients: watch::Sender::new(1),
        });
        let (alive, mut ended) = mpsc::channel(1);
        let work = start(Work { progress: Arc::clone(&transfer.progress), alive });
        let (this, running) = (Arc::clone(&transfer), Arc::clone(&self.running));
        tokio::spawn(async move {
            let mut clients = this.clients.subscribe();
            let outcome = tokio::select! {
                biased;
                // A task of its own, so that a panic is an error and not a transfer without end.
                outcome = Spawned::run(work) => outcome,
                _ = clients.wait_for(|clients| *clients == 0) => Err(EngineError::Cancelled),
            };
            // Threads whose source has just been closed come to their end.
            ended.recv().await;
            {
                let mut running = lock(&running);
                // Nobody joins what has an outcome.
                running.remove(&key);
                this.outcome.send_replace(Some(outcome.map_err(Arc::new)));
            }
            this.progress.done();
        });
        transfer
    }
}

/// A task that ends with its handle.
struct Spawned<T>(tokio::task::JoinHandle<Result<T>>);

impl<T: Send + 'static> Spawned<T> {
    async fn run(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let mut this = Self(tokio::spawn(work));
        (&mut this.0).await?
    }
}

impl<T> Drop for Spawned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One who takes part. Dropping the last one breaks the work off.
#[derive(Debug)]
pub(super) struct Client<T> {
    transfer: Arc<Transfer<T>>,
}

impl<T: Clone> Client<T> {
    /// What is told, from the beginning on.
    pub(super) fn progress(&self) -> &Arc<Progress> {
        &self.transfer.progress
    }

    /// What became of it.
    pub(super) async fn outcome(&self) -> Result<T> {
        let mut receiver = self.transfer.outcome.subscribe();
        let Ok(outcome) = receiver.wait_for(Option::is_some).await else {
            return Err(EngineError::Cancelled);
        };
        match outcome.as_ref() {
            Some(Ok(value)) => Ok(value.clone()),
            Some(Err(error)) => Err(EngineError::Shared(Arc::clone(error))),
            None => Err(EngineError::Cancelled),
        }
    }
}

impl<T> Drop for Client<T> {
    fn drop(&mut self) {
        self.transfer.clients.send_modify(|clients| *clients -= 1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn two_who_want_the_same_share_it_and_a_third_later_does_not() {
        let transfers = Transfers::<u8, u8>::default();
        let (go, gone) = oneshot::channel::<()>();
        let first = transfers
            .join(1, |work| async move {
                work.progress.layer("a", "Waiting");
                gone.await.ok();
                Ok(7)
            })
            .await;
        let second = transfers.join(1, |_| async { Ok(8) }).await;
        go.send(()).unwrap();
        assert_eq!(first.outcome().await.unwrap(), 7);
        assert_eq!(second.outcome().await.unwrap(), 7);
        assert_eq!(second.progress().watch().next().await.unwrap().status, "Waiting");
        let third = transfers.join(1, |_| async { Ok(9) }).await;
        assert_eq!(third.outcome().await.unwrap(), 9);
    }

    #[tokio::test]
    async fn work_ends_with_its_last_client_and_the_next_waits_for_its_threads() {
        let transfers = Transfers::<u8, u8>::default();
        let (hold, held) = oneshot::channel::<Alive>();
        let (hang, hung) = oneshot::channel::<()>();
        let work = |work: Work| async move {
            hold.send(work.alive).unwrap();
            let _hang = hang;
            std::future::pending().await
        };
        let first = transfers.join(1, work).await;
        let second = transfers.join(1, |_| async { Ok(8) }).await;
        let alive = held.await.unwrap();
        drop(first);
        assert_eq!(*second.transfer.clients.borrow(), 1);
        drop(second);
        hung.await.unwrap_err();
        let mut third = Box::pin(transfers.join(1, |_| async { Ok(9) }));
        tokio::select! {
            biased;
            _ = &mut third => panic!("a thread still works"),
            () = tokio::task::yield_now() => {}
        }
        drop(alive);
        assert_eq!(third.await.outcome().await.unwrap(), 9);
    }

    #[tokio::test]
    async fn every_client_has_the_error_with_its_class() {
        let transfers = Transfers::<u8, u8>::default();
        let work = |_| async { Err(EngineError::NotFound("no such thing".to_owned())) };
        let client = transfers.join(1, work).await;
        let error = client.outcome().await.unwrap_err();
        assert_eq!(error.message(), "no such thing");
        assert_eq!(error.kind(), barge_types::ErrorKind::NotFound);
    }
}
