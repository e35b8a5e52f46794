//! `export`: a container's files as one archive, without what is mounted into it.

use std::io::Write as _;
use std::sync::Arc;

use barge_storage::{StorageError, remove_container_layers};
use barge_types::ErrorKind;

use super::Containers;
use super::container::{Container, Presence};
use super::state::State;
use crate::blocking;
use crate::bridge::{Download, DownloadWriter};
use crate::error::{EngineError, Result};

impl Containers {
    /// Begins to write the archive.
    pub async fn export(self: &Arc<Self>, name: &str) -> Result<Download> {
        let container = self.registry.find(name)?;
        if matches!(container.state(), State::Removing(_)) {
            return Err(EngineError::Conflict(format!(
                "You cannot export container {} which is being removed",
                container.id
            )));
        }
        let this = Arc::clone(self);
        let (mut writer, download) = DownloadWriter::new();
        tokio::spawn(blocking::paced(move || {
            let written = this
                .storage
                .diff(&container.layer, None, &mut writer)
                .map_err(EngineError::from)
                .and_then(|()| writer.flush().map_err(EngineError::io("send", "the archive")));
            match written {
                Ok(()) => this.tell(&container, "export"),
                Err(error) => writer.fail(error.message()),
            }
            this.remove_layer_left_behind(&container);
            Ok(())
        }));
        Ok(download)
    }

    /// A container that was removed meanwhile could not take its layer along: it was mounted.
    pub(super) fn remove_layer_left_behind(&self, container: &Container) {
        if container.watch().borrow().presence != Presence::Removed {
            return;
        }
        match remove_container_layers(&*self.storage, &container.layer) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // Another export: the last one removes it.
            Err(StorageError::Mounted(_)) => {}
            Err(error) => {
                tracing::warn!(container = %container.id, %error, "cannot remove a layer: it is swept at the next start");
            }
        }
    }
}
