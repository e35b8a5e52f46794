//! The one crossing from async to sync: everything that waits for a disk or the kernel goes through here.

use tokio::sync::Semaphore;

use crate::error::Result;

/// Runs work that blocks on tokio's pool for such work.
///
/// Not cancelled when the caller goes away: a verb that began its effect ends it.
pub(crate) async fn run<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await?
}

/// So many threads of the pool (which has 512) may wait for clients; the rest is for work that ends by itself.
static PACED: Semaphore = Semaphore::const_new(128);

/// Runs work that goes as fast as a client sends or takes: an upload, an archive.
pub(crate) async fn paced<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    // Never closed.
    let _permit = PACED.acquire().await.ok();
    run(work).await
}
