//! Limits: the API's numbers, checked as Docker checks them, as the runtime specification's.

use barge_api_types::{Resources, ThrottleDevice};
use barge_cgroups::Feature;
use barge_oci::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxMemory, LinuxPids, LinuxResources,
    LinuxThrottleDevice, Rlimit,
};

use super::{Host, invalid};
use crate::error::Result;

/// The least memory that a container can be given.
const MINIMUM_MEMORY: i64 = 6 << 20;

/// Checks and converts what a request says of limits.
pub(crate) fn parse(resources: &Resources, host: &Host) -> Result<LinuxResources> {
    check_memory(resources)?;
    check_cpu(resources, host)?;
    if resources.blkio_weight != 0 && !(10..=1000).contains(&resources.blkio_weight) {
        return Err(invalid("Range of blkio weight is from 10 to 1000"));
    }
    if resources.io_maximum_iops != 0 || resources.io_maximum_bandwidth != 0 {
        return Err(invalid(
            "Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps",
        ));
    }
    if !resources.cgroup_parent.is_empty()
        && resources.cgroup_parent.split('/').any(|part| part == "..")
    {
        return Err(invalid(format!("invalid cgroup parent: {:?}", resources.cgroup_parent)));
    }
    Ok(LinuxResources { devices: device_rules(resources)?, ..without_devices(resources) })
}

/// What is not zero, as limits that a running container gets at once.
pub(crate) fn to_limits(resources: &Resources) -> Result<LinuxResources> {
    Ok(LinuxResources { block_io: block_io(resources)?, ..without_devices(resources) })
}

/// All limits that need no look at the host's devices: these come and go, and change their numbers.
fn without_devices(resources: &Resources) -> LinuxResources {
    let memory = LinuxMemory {
        limit: nonzero(resources.memory),
        reservation: nonzero(resources.memory_reservation),
        swap: swap(resources),
        kernel_tcp: nonzero(resources.kernel_memory_tcp),
        swappiness: resources.memory_swappiness.and_then(|value| u64::try_from(value).ok()),
        disable_oom_killer: resources.oom_kill_disable.filter(|disable| *disable),
        ..LinuxMemory::default()
    };
    let quota = match resources.nano_cpus {
        0 => (nonzero(resources.cpu_quota), unsigned(resources.cpu_period)),
        nano => (
            Some(barge_cgroups::resources::quota_from_nano_cpus(nano)),
            Some(barge_cgroups::resources::CPU_PERIOD),
        ),
    };
    let cpu = LinuxCpu {
        shares: unsigned(resources.cpu_shares),
        quota: quota.0,
        period: quota.1,
        cpus: text(&resources.cpuset_cpus),
        mems: text(&resources.cpuset_mems),
        realtime_period: unsigned(resources.cpu_realtime_period),
        realtime_runtime: nonzero(resources.cpu_realtime_runtime),
        ..LinuxCpu::default()
    };
    LinuxResources {
        memory: some(memory),
        cpu: some(cpu),
        pids: resources
            .pids_limit
            .filter(|limit| *limit != 0)
            .map(|limit| LinuxPids { limit: limit.max(-1) }),
        ..LinuxResources::default()
    }
}

/// The whole section is left out when it says nothing.
fn some<T: Default + PartialEq>(section: T) -> Option<T> {
    (section != T::default()).then_some(section)
}

fn nonzero(value: i64) -> Option<i64> {
    (value != 0).then_some(value)
}

fn unsigned(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|value| *value != 0)
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

/// Docker's rule: memory without swap gets as much swap again.
fn swap(resources: &Resources) -> Option<i64> {
    match (resources.memory, resources.memory_swap) {
        (0, 0) => None,
        (memory, 0) => memory.checked_mul(2),
        (_, swap) => Some(swap),
    }
}

fn check_memory(resources: &Resources) -> Result<()> {
    let Resources { memory, memory_swap, memory_reservation, .. } = *resources;
    if memory != 0 && memory < MINIMUM_MEMORY {
        return Err(invalid("Minimum memory limit allowed is 6MB"));
    }
    if memory > 0 && memory_swap > 0 && memory_swap < memory {
        return Err(invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ));
    }
    if memory == 0 && memory_swap > 0 {
        return Err(invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    if let Some(swappiness) = resources.memory_swappiness
        && !(-1..=100).contains(&swappiness)
    {
        return Err(invalid(format!(
            "Invalid value: {swappiness}, valid memory swappiness range is 0-100"
        )));
    }
    if memory_reservation != 0 && memory_reservation < MINIMUM_MEMORY {
        return Err(invalid("Minimum memory reservation allowed is 6MB"));
    }
    if memory > 0 && memory_reservation > memory {
        return Err(invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ));
    }
    Ok(())
}

fn check_cpu(resources: &Resources, host: &Host) -> Result<()> {
    let Resources { nano_cpus, cpu_period, cpu_quota, cpu_shares, .. } = *resources;
    if nano_cpus != 0 && cpu_period != 0 {
        return Err(invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set"));
    }
    if nano_cpus != 0 && cpu_quota != 0 {
        return Err(invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set"));
    }
    // A hundredth of a processor is a quota of 1 ms, the least that the kernel takes.
    if nano_cpus != 0 && !(10_000_000..=i64::from(host.cpus) * 1_000_000_000).contains(&nano_cpus) {
        let cpus = host.cpus;
        return Err(invalid(format!(
            "Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )));
    }
    if cpu_period != 0 && !(1000..=1_000_000).contains(&cpu_period) {
        return Err(invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ));
    }
    if cpu_quota > 0 && cpu_quota < 1000 {
        return Err(invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)"));
    }
    if cpu_shares < 0 {
        return Err(invalid(format!(
            "invalid CPU shares ({cpu_shares}): value must be a positive integer"
        )));
    }
    check_realtime(resources, host)?;
    check_cpuset(&resources.cpuset_cpus, ("cpus", "CPUs"), host.cpus)?;
    check_cpuset(&resources.cpuset_mems, ("mems", "memory nodes"), host.nodes)
}

fn check_realtime(resources: &Resources, host: &Host) -> Result<()> {
    let Resources { cpu_realtime_period: period, cpu_realtime_runtime: runtime, .. } = *resources;
    if period == 0 && runtime == 0 {
        return Ok(());
    }
    if !host.features.contains(&Feature::CpuRealtime) {
        return Err(invalid("kernel does not support CPU real-time scheduler"));
    }
    if period != 0 && runtime > period {
        return Err(invalid("cpu real-time runtime cannot be higher than cpu real-time period"));
    }
    Ok(())
}

fn check_cpuset(list: &str, (key, what): (&str, &str), count: u32) -> Result<()> {
    let highest = check_list(list)
        .ok_or_else(|| invalid(format!("Invalid value {list} for cpuset {key}")))?;
    let available = if count == 1 { "0".to_owned() } else { format!("0-{}", count - 1) };
    match highest {
        Some(highest) if highest >= count => Err(invalid(format!(
            "Requested {what} are not available - requested {list}, available: {available}"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// The highest number of a list like `0-2,7`; `None` outside for what is no list, inside for an empty one.
fn check_list(list: &str) -> Option<Option<u32>> {
    if list.is_empty() {
        return Some(None);
    }
    let mut highest = 0;
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if last < first {
            return None;
        }
        highest = highest.max(last);
    }
    Some(Some(highest))
}

/// Limits of block devices, by the numbers that these have now.
pub(crate) fn block_io(resources: &Resources) -> Result<Option<LinuxBlockIo>> {
    let devices = |list: &[ThrottleDevice]| list.iter().map(throttle).collect::<Result<Vec<_>>>();
    let weights = resources.blkio_weight_device.iter().map(|device| {
        let (major, minor) = device_numbers(&device.path)?;
        Ok(barge_oci::runtime::LinuxWeightDevice {
            major,
            minor,
            weight: Some(device.weight),
            leaf_weight: None,
        })
    });
    Ok(some(LinuxBlockIo {
        weight: (resources.blkio_weight != 0).then_some(resources.blkio_weight),
        weight_device: weights.collect::<Result<_>>()?,
        throttle_read_bps_device: devices(&resources.blkio_device_read_bps)?,
        throttle_write_bps_device: devices(&resources.blkio_device_write_bps)?,
        throttle_read_iops_device: devices(&resources.blkio_device_read_iops)?,
        throttle_write_iops_device: devices(&resources.blkio_device_write_iops)?,
        ..LinuxBlockIo::default()
    }))
}

fn throttle(device: &ThrottleDevice) -> Result<LinuxThrottleDevice> {
    let (major, minor) = device_numbers(&device.path)?;
    Ok(LinuxThrottleDevice { major, minor, rate: device.rate })
}

fn device_numbers(path: &str) -> Result<(i64, i64)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(path)
        .map_err(|error| invalid(format!("cannot look at the device \"{path}\": {error}")))?;
    let (major, minor) = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
    Ok((i64::from(major), i64::from(minor)))
}

/// `--device-cgroup-rule`.
fn device_rules(resources: &Resources) -> Result<Vec<LinuxDeviceCgroup>> {
    resources.device_cgroup_rules.iter().map(|rule| device_rule(rule)).collect()
}

/// `TYPE MAJOR:MINOR ACCESS`, as `c 1:3 rwm` or `a *:* rwm`.
pub(crate) fn device_rule(text: &str) -> Result<LinuxDeviceCgroup> {
    let wrong = || invalid(format!("invalid device cgroup rule format: '{text}'"));
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [kind, numbers, access] = parts.as_slice() else {
        return Err(wrong());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str| match text {
        "*" => Ok(None),
        text => text.parse::<u32>().map(|number| Some(i64::from(number))).map_err(|_| wrong()),
    };
    let access_is_valid =
        !access.is_empty() && access.bytes().all(|letter| b"rwm".contains(&letter));
    if !matches!(*kind, "a" | "b" | "c") || !access_is_valid {
        return Err(wrong());
    }
    Ok(LinuxDeviceCgroup {
        allow: true,
        kind: Some((*kind).to_owned()),
        major: number(major)?,
        minor: number(minor)?,
        access: Some((*access).to_owned()),
    })
}

/// `--ulimit`, by the names that `ulimit` and Docker use.
pub(crate) fn rlimits(resources: &Resources) -> Result<Vec<Rlimit>> {
    resources
        .ulimits
        .iter()
        .map(|limit| {
            if !barge_types::ulimit::is_known(&limit.name) {
                return Err(invalid(format!("invalid ulimit type: {}", limit.name)));
            }
            // -1 is no limit, which the kernel writes as the largest number.
            let (soft, hard) = (limit.soft.cast_unsigned(), limit.hard.cast_unsigned());
            if soft > hard {
                return Err(invalid(format!(
                    "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                    limit.soft, limit.hard
                )));
            }
            Ok(Rlimit { kind: format!("RLIMIT_{}", limit.name.to_ascii_uppercase()), soft, hard })
        })
        .collect()
}
