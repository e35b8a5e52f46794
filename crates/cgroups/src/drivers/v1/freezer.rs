//! `freezer` of version 1. The kernel only finds out that everyone stands still when the state is read.

use std::time::Duration;

use crate::{directory::Directory, error::Result, wait::Deadline};

/// A task in an uninterruptible call, on a dead NFS server for instance, does not freeze.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn freeze(group: &Directory) -> Result<()> {
    let deadline = Deadline::after(PATIENCE);
    loop {
        // A process that was forked while the state went from task to task is missed: writing again reaches it.
        group.write("freezer.state", "FROZEN")?;
        if group.read("freezer.state")?.trim() == "FROZEN" {
            return Ok(());
        }
        if deadline.has_passed() {
            thaw(group)?;
            return Err(deadline.error("frozen", &group.file("freezer.state")));
        }
        deadline.look_again();
    }
}

pub(super) fn thaw(group: &Directory) -> Result<()> {
    group.write("freezer.state", "THAWED")
}

pub(super) fn is_frozen(group: &Directory) -> Result<bool> {
    let state = group.read_optional("freezer.state")?;
    Ok(state.is_some_and(|state| state.trim() != "THAWED"))
}
