//! `pids` of version 2: how many tasks there may be.

use barge_oci::runtime::LinuxPids;

use crate::{directory::Directory, error::Result, resources::pids_limit, stats::PidsStats};

pub(super) fn set(group: &Directory, limits: LinuxPids) -> Result<()> {
    group.write("pids.max", &pids_limit(limits.limit))
}

pub(super) fn stats(group: &Directory) -> Result<PidsStats> {
    let limit = match group.read_optional("pids.max")? {
        Some(_) => Some(group.read_number("pids.max")?).filter(|&limit| limit != u64::MAX),
        None => None,
    };
    Ok(PidsStats { current: group.read_number_or_zero("pids.current")?, limit })
}
