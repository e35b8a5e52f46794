//! What a killed daemon left of steps: their shims, processes and files. Nobody waits for them any more.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::containers::Containers;
use crate::disk::{self, Durability};
use crate::error::{EngineError, Result};

/// The record's name in a step's folder.
const RECORD: &str = "step.json";
/// How long a killed shim may take to be gone.
const GONE: Duration = Duration::from_secs(10);

/// What is needed to end a step from outside. In the exec root: it does not outlive the processes that it names.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StepRecord {
    version: u32,
    /// The shim's process.
    shim: u32,
    cgroup: String,
}

impl StepRecord {
    pub(super) const fn new(shim: u32, cgroup: String) -> Self {
        Self { version: 1, shim, cgroup }
    }

    pub(super) fn save(&self, folder: &Path) -> Result<()> {
        disk::write_record(&folder.join(RECORD), self, Durability::Lazy)
    }
}

/// Ends every step below `folder`. Its network goes when the containers' networks are restored, its mounts with its
/// namespace, its root file system with the layers that no record names.
pub(super) fn sweep(folder: &Path, containers: &Containers) -> Result<()> {
    fs::create_dir_all(folder).map_err(EngineError::io("create", folder))?;
    for entry in fs::read_dir(folder).map_err(EngineError::io("read", folder))? {
        let path = entry.map_err(EngineError::io("read", folder))?.path();
        if let Err(error) = end(&path, containers) {
            tracing::warn!(step = %path.display(), error = error.message(), "cannot end a step of a build that was killed");
            continue;
        }
        fs::remove_dir_all(&path).map_err(EngineError::io("remove", &path))?;
    }
    Ok(())
}

fn end(folder: &Path, containers: &Containers) -> Result<()> {
    let id = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let record = match disk::read_record::<StepRecord>(&folder.join(RECORD)) {
        Ok(Some(record)) => record,
        // Killed before it was written: the shim saw its connection end and went by itself.
        Ok(None) => return Ok(()),
        Err(error) => return Err(error),
    };
    tracing::info!(step = id, "ending a step of a build that was killed");
    // First the shim: it would put processes into the group that is being emptied.
    kill_shim(record.shim, &id)?;
    containers.clear_group(&record.cgroup)?;
    fs::remove_file(containers.shim_folder.join(format!("{id}.sock"))).or_else(|error| {
        let is_gone = error.kind() == std::io::ErrorKind::NotFound;
        if is_gone { Ok(()) } else { Err(EngineError::io("remove", "a shim's socket")(error)) }
    })
}

/// Kills the process if it still is the shim of this step.
fn kill_shim(pid: u32, id: &str) -> Result<()> {
    let Ok(process) = barge_sys::pidfd::open(i32::try_from(pid).unwrap_or(0)) else {
        return Ok(());
    };
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if line.split(|byte| *byte == 0).nth(1) != Some(id.as_bytes()) {
        return Ok(());
    }
    // It may have ended meanwhile; then it is gone, which is what is waited for.
    barge_sys::pidfd::send_signal(&process, 9).ok();
    match barge_sys::pidfd::wait_gone(&process, Some(GONE)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(EngineError::Deadline(format!(
            "the shim of build step {id} (process {pid}) was killed and is not gone after {} s",
            GONE.as_secs()
        ))),
        Err(error) => Err(EngineError::io("wait for", "a shim")(error)),
    }
}
