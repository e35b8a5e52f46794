//! `cpu` of version 1: shares, quota, and the counters of its throttling.

use barge_oci::runtime::LinuxCpu;

use crate::{
    directory::{Directory, value_of},
    error::{CgroupError, Result},
    resources::v1_limit,
    stats::Throttling,
};

/// Whether anything but a set of CPUs is asked for.
pub(super) fn is_asked(limits: &LinuxCpu) -> bool {
    limits.shares.is_some_and(|shares| shares != 0)
        || limits.quota.is_some_and(|quota| quota != 0)
        || limits.period.is_some_and(|period| period != 0)
        || limits.burst.is_some()
        || limits.realtime_runtime.is_some_and(|time| time != 0)
        || limits.realtime_period.is_some_and(|time| time != 0)
        || limits.idle.is_some()
}

pub(super) fn set(group: &Directory, limits: &LinuxCpu) -> Result<()> {
    let number = |value: Option<u64>| value.filter(|&value| value != 0).map(|v| v.to_string());
    let write = |name, value: Option<String>| match value {
        Some(value) => group.write(name, &value),
        None => Ok(()),
    };
    write("cpu.shares", number(limits.shares))?;
    write("cpu.idle", limits.idle.map(|idle| idle.to_string()))?;
    write("cpu.rt_period_us", number(limits.realtime_period))?;
    let runtime = limits.realtime_runtime.filter(|&time| time != 0);
    write("cpu.rt_runtime_us", runtime.map(|time| time.to_string()))?;

    // The kernel checks each write against the other value and the parent's: what does not fit now may fit when the
    // other one is in place. Quota, period and burst are therefore tried in turn until none of them changes anything.
    let mut waiting: Vec<(&str, String)> = Vec::new();
    waiting.extend(number(limits.period).map(|text| ("cpu.cfs_period_us", text)));
    let quota = limits.quota.filter(|&quota| quota != 0).map(v1_limit);
    waiting.extend(quota.map(|text| ("cpu.cfs_quota_us", text)));
    waiting.extend(limits.burst.map(|burst| ("cpu.cfs_burst_us", burst.to_string())));
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut refused: Option<CgroupError> = None;
        waiting.retain(|(name, text)| match group.write(name, text) {
            Ok(()) => false,
            Err(error) => {
                refused.get_or_insert(error);
                true
            }
        });
        if let (true, Some(error)) = (waiting.len() == before, refused) {
            return Err(error);
        }
    }
    Ok(())
}

pub(super) fn throttling(group: &Directory) -> Result<Throttling> {
    let text = group.read_optional("cpu.stat")?.unwrap_or_default();
    let value = |key| value_of(&text, key).unwrap_or_default();
    Ok(Throttling {
        periods: value("nr_periods"),
        throttled_periods: value("nr_throttled"),
        throttled_ns: value("throttled_time"),
    })
}
