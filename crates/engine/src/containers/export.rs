//! `export`: a container's files as one archive, without what is mounted into it.

use std::io::Write as _;
use std::sync::Arc;

use super::Containers;
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
            this.remove_layer_left_behind(&container, &container.layer);
            Ok(())
        }));
        Ok(download)
    }
}
