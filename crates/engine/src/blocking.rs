//! The one crossing from async to sync: everything that waits for a disk or the kernel goes through here.

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
