//! `cpu` of version 2: weight, quota, and all the time counters.

use barge_oci::runtime::LinuxCpu;

use crate::{
    directory::{Directory, value_of},
    error::{CgroupError, Result},
    resources::weight_from_shares,
    stats::{CpuStats, Throttling},
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
    let realtime = [
        limits.realtime_runtime.is_some_and(|time| time != 0),
        limits.realtime_period.is_some_and(|time| time != 0),
    ];
    if realtime.contains(&true) {
        return Err(CgroupError::Unsupported { what: "real-time CPU limits", version: "v2" });
    }
    if let Some(idle) = limits.idle {
        group.write("cpu.idle", &idle.to_string())?;
    }
    // An idle group has no weight to set: the kernel refuses it.
    if let Some(shares) = limits.shares.filter(|&shares| shares != 0)
        && limits.idle != Some(1)
    {
        group.write("cpu.weight", &weight_from_shares(shares).to_string())?;
    }
    let max = max_text(limits, || group.read("cpu.max"))?;
    let burst = limits.burst.map(|burst| burst.to_string());
    // A burst must fit the quota: raised together, the quota goes first; lowered together, the burst.
    let early = burst.as_ref().is_some_and(|text| group.write("cpu.max.burst", text).is_ok());
    if let Some(text) = max {
        group.write("cpu.max", &text)?;
    }
    match burst {
        Some(text) if !early => group.write("cpu.max.burst", &text),
        _ => Ok(()),
    }
}

/// `QUOTA PERIOD`. The part that is not given is kept: the kernel keeps the period by itself, the quota it does not.
fn max_text(limits: &LinuxCpu, present: impl FnOnce() -> Result<String>) -> Result<Option<String>> {
    let quota = limits.quota.filter(|&quota| quota != 0);
    let period = limits.period.filter(|&period| period != 0);
    Ok(match (quota, period) {
        (None, None) => None,
        (Some(quota), None) if quota < 0 => Some("max".to_owned()),
        (Some(quota), None) => Some(quota.to_string()),
        (Some(quota), Some(period)) if quota < 0 => Some(format!("max {period}")),
        (Some(quota), Some(period)) => Some(format!("{quota} {period}")),
        (None, Some(period)) => {
            let text = present()?;
            let quota = text.split(' ').next().unwrap_or("max");
            Some(format!("{} {period}", quota.trim()))
        }
    })
}

pub(super) fn stats(group: &Directory) -> Result<CpuStats> {
    let text = group.read("cpu.stat")?;
    let value = |key| value_of(&text, key).unwrap_or_default();
    let nanoseconds = |key| value(key).saturating_mul(1000);
    Ok(CpuStats {
        usage_ns: nanoseconds("usage_usec"),
        user_ns: nanoseconds("user_usec"),
        system_ns: nanoseconds("system_usec"),
        per_cpu_ns: Vec::new(),
        throttling: Throttling {
            periods: value("nr_periods"),
            throttled_periods: value("nr_throttled"),
            throttled_ns: nanoseconds("throttled_usec"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(quota: Option<i64>, period: Option<u64>) -> Option<String> {
        let limits = LinuxCpu { quota, period, ..LinuxCpu::default() };
        max_text(&limits, || Ok("5000 100000\n".to_owned())).unwrap()
    }

    #[test]
    fn quota_and_period_are_one_line() {
        assert_eq!(text(Some(10_000), Some(100_000)).unwrap(), "10000 100000");
        assert_eq!(text(Some(-1), None).unwrap(), "max");
        assert_eq!(text(Some(-1), Some(50_000)).unwrap(), "max 50000");
        assert_eq!(text(Some(0), None), None);
    }

    #[test]
    fn a_period_alone_keeps_the_quota() {
        assert_eq!(text(None, Some(50_000)).unwrap(), "5000 50000");
    }
}
