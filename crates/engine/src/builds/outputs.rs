//! What builds made for their clients to fetch: kept until it was fetched, or for a minute after the build.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use barge_builder::ResultFile;

use super::Builds;
use crate::blocking;
use crate::bridge::{Download, DownloadWriter};
use crate::error::{EngineError, Result};

/// An output on its way to the client.
pub type OutputStream = Download;

/// How long an output waits after its build has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// By the build's own name.
#[derive(Debug, Default)]
pub(super) struct Outputs(Mutex<HashMap<String, Vec<ResultFile>>>);

impl Outputs {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<ResultFile>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, build: &str, number: u32) -> Option<ResultFile> {
        let mut all = self.lock();
        let files = all.get_mut(build)?;
        let at = files.iter().position(|file| file.output == number)?;
        let file = files.swap_remove(at);
        if files.is_empty() {
            all.remove(build);
        }
        Some(file)
    }
}

impl Builds {
    /// Keeps results for their client.
    pub(super) fn keep_results(&self, build: &str, results: Vec<ResultFile>) {
        if !results.is_empty() {
            self.outputs.lock().insert(build.to_owned(), results);
        }
    }

    /// Forgets, after a while, results that nobody fetched.
    pub(super) async fn forget_results(self: Arc<Self>, build: String) {
        tokio::time::sleep(PATIENCE).await;
        let left = self.outputs.lock().remove(&build);
        // Files are removed when they are dropped.
        let dropped = blocking::run(move || {
            drop(left);
            Ok(())
        });
        dropped.await.ok();
    }

    /// Fetches an output, once.
    pub fn output(&self, build: &str, number: u32) -> Result<OutputStream> {
        let file = self.outputs.take(build, number).ok_or_else(|| {
            EngineError::NotFound(format!(
                "no output {number} of build {build} waits to be fetched"
            ))
        })?;
        let (mut writer, download) = DownloadWriter::new();
        tokio::spawn(blocking::paced(move || {
            let copied = file.open().map_err(io::Error::other).and_then(|mut open| {
                io::copy(&mut open, &mut writer)?;
                io::Write::flush(&mut writer)
            });
            if let Err(error) = copied {
                writer.fail(error.to_string());
            }
            Ok(())
        }));
        Ok(download)
    }
}
