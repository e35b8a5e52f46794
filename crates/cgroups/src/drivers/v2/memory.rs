//! `memory` of version 2: memory and swap are limited apart, so there is no order to keep.

use barge_oci::runtime::LinuxMemory;

use crate::{
    directory::{Directory, pairs, value_of},
    error::{CgroupError, Result},
    resources::{v2_limit, v2_swap},
    stats::MemoryStats,
};

pub(super) fn set(group: &Directory, memory: &LinuxMemory) -> Result<()> {
    let unsupported = |what| Err(CgroupError::Unsupported { what, version: "v2" });
    if memory.disable_oom_killer == Some(true) {
        return unsupported("disabling the OOM killer");
    }
    if memory.kernel_tcp.is_some_and(|limit| limit != 0) {
        return unsupported("a limit of TCP buffers");
    }
    let asked = |value: Option<i64>| value.filter(|&value| value != 0);
    let swap = v2_swap(memory)?;
    if memory.check_before_update == Some(true)
        && let Some(limit) = asked(memory.limit)
    {
        refuse_below_usage(group, limit)?;
    }
    if let Some(swap) = swap {
        // Without swap in the kernel there is no file, and unlimited or nothing is what a group has anyway.
        if group.has("memory.swap.max") {
            group.write("memory.swap.max", &swap)?;
        } else if swap != "max" && swap != "0" {
            return Err(CgroupError::Absent { what: "a swap limit", controller: "memory.swap" });
        }
    }
    if let Some(limit) = asked(memory.limit) {
        group.write("memory.max", &v2_limit(limit))?;
    }
    if let Some(reservation) = asked(memory.reservation) {
        group.write("memory.low", &v2_limit(reservation))?;
    }
    // `memory.swappiness` is deliberately not written: v2 has none, and Docker's default specifications carry one.
    Ok(())
}

/// v1 refuses a limit below the usage, v2 kills until it fits.
fn refuse_below_usage(group: &Directory, limit: i64) -> Result<()> {
    let usage = group.read_number("memory.current")?;
    if u64::try_from(limit).is_ok_and(|limit| limit < usage) {
        return Err(CgroupError::MemoryInUse { limit, usage, path: group.file("memory.max") });
    }
    Ok(())
}

pub(super) fn stats(group: &Directory) -> Result<MemoryStats> {
    let detail = group.read_optional("memory.stat")?.unwrap_or_default();
    let events = group.read_optional("memory.events")?.unwrap_or_default();
    Ok(MemoryStats {
        usage: group.read_number_or_zero("memory.current")?,
        max_usage: group.read_number_or_zero("memory.peak")?,
        limit: group.read_number_or_zero("memory.max")?,
        failures: value_of(&events, "max").unwrap_or_default(),
        swap: group.read_number_or_zero("memory.swap.current")?,
        detail: pairs(&detail).map(|(key, value)| (key.to_owned(), value)).collect(),
    })
}
