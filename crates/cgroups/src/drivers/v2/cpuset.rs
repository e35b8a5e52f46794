//! `cpuset` of version 2: an empty set means the parent's, so a new group needs nothing.

use barge_oci::runtime::LinuxCpu;

use crate::{directory::Directory, error::Result};

pub(super) fn set(group: &Directory, limits: &LinuxCpu) -> Result<()> {
    for (file, value) in [("cpuset.cpus", &limits.cpus), ("cpuset.mems", &limits.mems)] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            group.write(file, value)?;
        }
    }
    Ok(())
}
