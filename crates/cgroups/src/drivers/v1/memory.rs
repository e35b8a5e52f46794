//! `memory` of version 1: two limits that must always be in order, memory not above memory and swap together.

use barge_oci::runtime::LinuxMemory;

use crate::{
    directory::{Directory, pairs, value_of},
    error::{CgroupError, Result},
    resources::{v1_limit, v1_memory_and_swap},
    stats::MemoryStats,
};

const LIMIT: &str = "memory.limit_in_bytes";
const SUM: &str = "memory.memsw.limit_in_bytes";

pub(super) fn set(group: &Directory, memory: &LinuxMemory) -> Result<()> {
    let asked = |value: Option<i64>| value.filter(|&value| value != 0);
    if memory.check_before_update == Some(true)
        && let Some(limit) = asked(memory.limit)
    {
        let usage = group.read_number("memory.usage_in_bytes")?;
        if u64::try_from(limit).is_ok_and(|limit| limit < usage) {
            return Err(CgroupError::MemoryInUse { limit, usage, path: group.file(LIMIT) });
        }
    }
    match (asked(memory.limit), v1_memory_and_swap(memory)) {
        (Some(limit), Some(sum)) => set_both(group, limit, sum)?,
        (Some(limit), None) => write_limit(group, limit)?,
        (None, Some(sum)) => group.write(SUM, &v1_limit(sum))?,
        (None, None) => {}
    }
    if let Some(reservation) = asked(memory.reservation) {
        group.write("memory.soft_limit_in_bytes", &v1_limit(reservation))?;
    }
    if let Some(limit) = asked(memory.kernel_tcp) {
        group.write("memory.kmem.tcp.limit_in_bytes", &v1_limit(limit))?;
    }
    // `memory.kernel` is deliberately not written: the kernel ignores it since 5.16 and runc since 1.0.
    if memory.disable_oom_killer == Some(true) {
        group.write("memory.oom_control", "1")?;
    }
    if let Some(swappiness) = memory.swappiness {
        group.write("memory.swappiness", &swappiness.to_string())?;
    }
    Ok(())
}

/// Raising goes by the sum first, lowering by the memory first: at no moment is memory above the sum.
fn set_both(group: &Directory, limit: i64, sum: i64) -> Result<()> {
    // Without swap accounting there is no file for the sum; unlimited is what it has anyway.
    if sum == -1 && !group.has(SUM) {
        return write_limit(group, limit);
    }
    let present = group.read_number(LIMIT)?;
    if sum == -1 || u64::try_from(sum).is_ok_and(|sum| present < sum) {
        group.write(SUM, &v1_limit(sum))?;
        write_limit(group, limit)
    } else {
        write_limit(group, limit)?;
        group.write(SUM, &v1_limit(sum))
    }
}

fn write_limit(group: &Directory, limit: i64) -> Result<()> {
    match group.write(LIMIT, &v1_limit(limit)) {
        // The kernel tried to reclaim and could not get below.
        Err(CgroupError::Write { path, source, .. })
            if source.kind() == std::io::ErrorKind::ResourceBusy =>
        {
            let usage = group.read_number("memory.usage_in_bytes")?;
            Err(CgroupError::MemoryInUse { limit, usage, path })
        }
        result => result,
    }
}

pub(super) fn oom_kills(group: &Directory) -> Result<u64> {
    let text = group.read_optional("memory.oom_control")?;
    Ok(text.and_then(|text| value_of(&text, "oom_kill")).unwrap_or_default())
}

pub(super) fn stats(group: &Directory) -> Result<MemoryStats> {
    let usage = group.read_number_or_zero("memory.usage_in_bytes")?;
    let sum = group.read_number_or_zero("memory.memsw.usage_in_bytes")?;
    let detail = group.read_optional("memory.stat")?.unwrap_or_default();
    Ok(MemoryStats {
        usage,
        max_usage: group.read_number_or_zero("memory.max_usage_in_bytes")?,
        limit: group.read_number_or_zero(LIMIT)?,
        failures: group.read_number_or_zero("memory.failcnt")?,
        swap: sum.saturating_sub(usage),
        detail: pairs(&detail).map(|(key, value)| (key.to_owned(), value)).collect(),
    })
}
