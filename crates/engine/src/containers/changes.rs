//! `diff`: what a container changed in its image's files.

use std::sync::Arc;

use barge_api_types::FilesystemChange;

use super::Containers;
use crate::blocking;
use crate::error::Result;

impl Containers {
    /// The changes, sorted by path.
    pub async fn changes(self: &Arc<Self>, name: &str) -> Result<Vec<FilesystemChange>> {
        let container = self.registry.find(name)?;
        let this = Arc::clone(self);
        blocking::run(move || {
            let parent = this.storage.parent(&container.layer)?;
            let changes = this.storage.changes(&container.layer, parent.as_ref())?;
            let view = |change: &barge_archive::changes::Change| FilesystemChange {
                path: change.path.to_string_lossy().into_owned(),
                kind: change.kind.number(),
            };
            Ok(changes.iter().map(view).collect())
        })
        .await
    }
}
