//! `save`: images as an archive.

use std::io::Write as _;
use std::sync::Arc;

use super::Images;
use crate::blocking;
use crate::bridge::{Download, DownloadWriter};
use crate::error::{EngineError, Result};

/// The archive on its way.
pub type SaveStream = Download;

impl Images {
    /// Looks the images up and begins to write them.
    pub async fn save(self: &Arc<Self>, names: Vec<String>) -> Result<SaveStream> {
        let this = Arc::clone(self);
        let wanted = names.clone();
        // Before the answer begins: a name that means nothing is an error of the request.
        blocking::run(move || {
            let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
            Ok(this.store.save(&names).map(|_| ())?)
        })
        .await?;
        let this = Arc::clone(self);
        let (mut writer, download) = DownloadWriter::new();
        tokio::spawn(blocking::paced(move || {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let written = this
                .store
                .save(&names)
                .and_then(|save| {
                    save.ids().for_each(|id| this.tell("save", id, &id.to_string()));
                    save.write(&mut writer)
                })
                .map_err(EngineError::from);
            let written = written
                .and_then(|()| writer.flush().map_err(EngineError::io("send", "the archive")));
            if let Err(error) = written {
                writer.fail(error.message());
            }
            Ok(())
        }));
        Ok(download)
    }
}
