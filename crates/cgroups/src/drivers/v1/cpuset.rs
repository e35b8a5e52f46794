//! `cpuset` of version 1: a new group has no CPU and no memory node, and nobody can enter it until it has both.

use barge_oci::runtime::LinuxCpu;

use crate::{directory::Directory, error::Result};

const FILES: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// Copies the parent's sets into a new group, from the uppermost empty one down.
pub(super) fn inherit(group: &Directory) -> Result<()> {
    for file in FILES {
        fill(group, file)?;
    }
    Ok(())
}

/// Returns the set of `group`, after taking it from the parent when it has none.
fn fill(group: &Directory, file: &str) -> Result<String> {
    let own = group.read(file)?.trim().to_owned();
    if !own.is_empty() {
        return Ok(own);
    }
    let Some(parent) = group.path().parent().map(Directory::new) else {
        return Ok(own);
    };
    // The mount itself always has a set; above it there is no such file, and its error names the place.
    let above = fill(&parent, file)?;
    group.write(file, &above)?;
    Ok(above)
}

pub(super) fn set(group: &Directory, limits: &LinuxCpu) -> Result<()> {
    for (file, value) in FILES.into_iter().zip([&limits.cpus, &limits.mems]) {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            group.write(file, value)?;
        }
    }
    Ok(())
}
