//! `cpuacct` of version 1: time used, in nanoseconds.

use crate::{directory::Directory, error::Result, stats::CpuStats};

pub(super) fn stats(group: &Directory, stats: &mut CpuStats) -> Result<()> {
    stats.usage_ns = group.read_number_or_zero("cpuacct.usage")?;
    stats.user_ns = group.read_number_or_zero("cpuacct.usage_user")?;
    stats.system_ns = group.read_number_or_zero("cpuacct.usage_sys")?;
    stats.per_cpu_ns = group
        .read_optional("cpuacct.usage_percpu")?
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|text| text.parse().ok())
        .collect();
    Ok(())
}
