//! One client that watches a pull or a push: its messages, its errors, its going away.

use std::sync::{Arc, Mutex, PoisonError};

use barge_api_types::ProgressMessage;
use tokio::sync::{mpsc, oneshot};

use super::progress::Progress;
use crate::error::{EngineError, Result};

/// What is told of a transfer while it goes on; an error is its last message.
pub type ProgressStream = mpsc::Receiver<ProgressMessage>;

/// Messages that wait for a client to read them.
const WAITING: usize = 16;

/// Where a transfer's messages go.
#[derive(Clone, Debug)]
pub(super) struct Out {
    messages: mpsc::Sender<ProgressMessage>,
    /// Told when the first message comes: from then on the answer is a stream.
    spoken: Arc<Mutex<Option<oneshot::Sender<Result<()>>>>>,
}

impl Out {
    fn begin(&self, outcome: Result<()>) -> Option<Result<()>> {
        let first = self.spoken.lock().unwrap_or_else(PoisonError::into_inner).take();
        match first {
            // Nobody waits any more: the whole will be broken off.
            Some(first) => first.send(outcome).err(),
            None => Some(outcome),
        }
    }

    /// Sends a message.
    pub(super) async fn say(&self, message: ProgressMessage) {
        drop(self.begin(Ok(())));
        // A client that has gone ends the work, see `begin`.
        self.messages.send(message).await.ok();
    }

    /// Sends a line.
    pub(super) async fn status(&self, text: impl Into<String>) {
        self.say(ProgressMessage::status(text)).await;
    }

    /// Passes on all that is told of a transfer, to its end.
    pub(super) async fn follow(&self, progress: &Arc<Progress>) {
        let mut watcher = progress.watch();
        while let Some(message) = watcher.next().await {
            self.say(message).await;
        }
    }
}

/// Does `work` for a client, for as long as it listens. An error before the first message is the answer's own.
pub(super) async fn begin<F, Fut>(work: F) -> Result<ProgressStream>
where
    F: FnOnce(Out) -> Fut,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    let (messages, stream) = mpsc::channel(WAITING);
    let (spoken, first) = oneshot::channel();
    let out = Out { messages: messages.clone(), spoken: Arc::new(Mutex::new(Some(spoken))) };
    let work = work(out.clone());
    tokio::spawn(async move {
        let outcome = tokio::select! {
            biased;
            outcome = work => outcome,
            () = messages.closed() => return,
        };
        if let Some(Err(error)) = out.begin(outcome) {
            messages.send(ProgressMessage::error(error.message())).await.ok();
        }
    });
    first.await.unwrap_or(Err(EngineError::Cancelled))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_is_the_answers_until_something_was_said() {
        let error = || EngineError::NotFound("none".to_owned());
        let early = begin(|_| async move { Err(error()) }).await;
        assert_eq!(early.unwrap_err().kind(), barge_types::ErrorKind::NotFound);
        let work = |out: Out| async move {
            out.status("Pulling").await;
            Err(error())
        };
        let mut late = begin(work).await.unwrap();
        assert_eq!(late.recv().await.unwrap().status, "Pulling");
        assert_eq!(late.recv().await.unwrap().error, "none");
        assert!(late.recv().await.is_none());
    }

    #[tokio::test]
    async fn work_that_says_nothing_is_an_empty_stream() {
        let mut stream = begin(|_| async { Ok(()) }).await.unwrap();
        assert!(stream.recv().await.is_none());
    }

    #[tokio::test]
    async fn work_ends_with_its_client() {
        let (kept, gone) = oneshot::channel::<()>();
        let work = |out: Out| async move {
            let _kept = kept;
            out.status("Pulling").await;
            std::future::pending().await
        };
        drop(begin(work).await.unwrap());
        gone.await.unwrap_err();
    }
}
