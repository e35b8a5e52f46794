//! `cgroup.freeze`: part of every group, and it tells when everyone stands still.

use std::time::Duration;

use crate::{
    directory::Directory,
    error::Result,
    wait::{self, Deadline},
};

/// A task in an uninterruptible call, on a dead NFS server for instance, does not freeze.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn freeze(group: &Directory) -> Result<()> {
    group.write("cgroup.freeze", "1")?;
    let frozen = wait::for_event(group, ("frozen", 1, "frozen"), Deadline::after(PATIENCE));
    if frozen.is_err() {
        thaw(group)?;
    }
    frozen
}

pub(super) fn thaw(group: &Directory) -> Result<()> {
    group.write("cgroup.freeze", "0")
}

pub(super) fn is_frozen(group: &Directory) -> Result<bool> {
    let text = group.read_optional("cgroup.freeze")?;
    Ok(text.is_some_and(|text| text.trim() == "1"))
}
