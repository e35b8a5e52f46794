//! An update of a running container that was begun: limits and ports are in force before the record says so, and a daemon
//! that is killed in between leaves a note of it. The next one does it again, so that what `inspect` says is in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use barge_api_types::ContainerUpdateRequest;
use barge_sys::fault;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Containers;
use super::container::Container;
use super::record::ContainerRecord;
use crate::disk::{Durability, read_record, write_record};
use crate::error::{EngineError, Result};

const NOTE: &str = "update.json";

/// What the note says.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    request: ContainerUpdateRequest,
    /// The container's record as it is to be.
    record: Value,
}

/// The note of an update that is under way.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// Notes an update in the container's folder. No disk is waited for: a crash of the machine ends the container.
    pub(super) fn begin(
        folder: &Path,
        (request, record): (&ContainerUpdateRequest, &ContainerRecord),
    ) -> Result<Self> {
        let path = folder.join(NOTE);
        let note = Note { request: request.clone(), record: as_value(record, &path)? };
        write_record(&path, &note, Durability::Lazy)?;
        fault::point("update: noted");
        Ok(Self { path })
    }

    /// It is done, or taken back.
    pub(super) fn end(self) {
        remove(&self.path);
    }
}

/// There may be none.
fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(file = %path.display(), %error, "the note of an update cannot be removed");
    }
}

fn as_value(record: &ContainerRecord, path: &Path) -> Result<Value> {
    serde_json::to_value(record)
        .map_err(|source| EngineError::Record { path: path.display().to_string(), source })
}

impl Containers {
    /// Does again what a killed daemon had begun with a container that goes on.
    pub(super) fn finish_update(self: &Arc<Self>, container: &Arc<Container>) {
        let path = container.folder.join(NOTE);
        if !path.exists() {
            return;
        }
        let (this, container) = (Arc::clone(self), Arc::clone(container));
        tokio::spawn(async move {
            // Nobody else changes it before: a request that waits for this lock comes later.
            let _verb = container.verb.lock().await;
            if let Err(error) = this.finish_now(&container, &path).await {
                tracing::warn!(container = %container.id, error = error.message(), "an update that a killed daemon began cannot be finished");
            }
            remove(&path);
        });
    }

    async fn finish_now(self: &Arc<Self>, container: &Arc<Container>, path: &Path) -> Result<()> {
        let Some(note) = read_record::<Note>(path)? else { return Ok(()) };
        if note.record == as_value(&container.record(), path)? {
            return Ok(());
        }
        tracing::info!(container = %container.id, "finishes an update that a killed daemon began");
        self.update_locked(container, &note.request).await.map(drop)
    }

    /// What was begun with a run is over with it.
    pub(super) fn forget_update(container: &Container) {
        remove(&container.folder.join(NOTE));
    }
}
