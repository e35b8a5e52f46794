//! What the containers' logs take on the disk.

use std::fs;
use std::io;
use std::path::Path;

use barge_api_types::{LogUsage, LogsUsage};

use super::Containers;
use super::list::ListOptions;
use crate::error::{EngineError, Result};

impl Containers {
    /// What the logs take, with the files that were rotated away.
    pub(crate) fn logs_usage(&self) -> Result<LogsUsage> {
        let mut usage = LogsUsage::default();
        for container in self.choose(&ListOptions { all: true, ..ListOptions::default() })? {
            let record = container.record();
            let driver = record.host_config.log_config.kind.clone();
            let Some(log) = self.log_file(&container) else { continue };
            let Some(size) = size_with_rotated(&log.path)? else { continue };
            usage.total_count += 1;
            usage.total_size += size;
            if container.state().running().is_some() {
                usage.active_count += 1;
            } else {
                usage.reclaimable += size;
            }
            usage.items.push(LogUsage {
                container_id: container.id.to_string(),
                names: vec![format!("/{}", record.name)],
                driver,
                size,
            });
        }
        Ok(usage)
    }
}

/// Bytes of a log and of those that it was renamed to; none when there is no log.
fn size_with_rotated(path: &Path) -> Result<Option<i64>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let entries = match fs::read_dir(folder) {
        // The container was removed meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(EngineError::io("read", folder))?,
    };
    let mut size = None;
    for entry in entries {
        let entry = entry.map_err(EngineError::io("read", folder))?;
        let is_log = entry.file_name().as_encoded_bytes().starts_with(name.as_encoded_bytes());
        if is_log && let Ok(metadata) = entry.metadata() {
            size = Some(size.unwrap_or(0) + i64::try_from(metadata.len()).unwrap_or(i64::MAX));
        }
    }
    Ok(size)
}
