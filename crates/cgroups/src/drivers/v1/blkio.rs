//! `blkio` of version 1: rates per device, and weights where a scheduler has them.

use barge_oci::runtime::{LinuxBlockIo, LinuxThrottleDevice};

use crate::{
    directory::Directory,
    error::Result,
    stats::{IoEntry, IoStats},
};

pub(super) fn set(group: &Directory, limits: &LinuxBlockIo) -> Result<()> {
    // CFQ named its files `blkio.weight`; it left the kernel in 5.0 and BFQ has names of its own.
    let weight_file =
        if group.has("blkio.bfq.weight") { "blkio.bfq.weight" } else { "blkio.weight" };
    if let Some(weight) = limits.weight.filter(|&weight| weight != 0) {
        group.write(weight_file, &weight.to_string())?;
    }
    if let Some(weight) = limits.leaf_weight.filter(|&weight| weight != 0) {
        group.write("blkio.leaf_weight", &weight.to_string())?;
    }
    for device in &limits.weight_device {
        let (major, minor) = (device.major, device.minor);
        if let Some(weight) = device.weight {
            let name = format!("{weight_file}_device");
            group.write(&name, &format!("{major}:{minor} {weight}"))?;
        }
        if let Some(weight) = device.leaf_weight {
            let text = format!("{major}:{minor} {weight}");
            group.write("blkio.leaf_weight_device", &text)?;
        }
    }
    let rates: [(&str, &[LinuxThrottleDevice]); 4] = [
        ("read_bps", &limits.throttle_read_bps_device),
        ("write_bps", &limits.throttle_write_bps_device),
        ("read_iops", &limits.throttle_read_iops_device),
        ("write_iops", &limits.throttle_write_iops_device),
    ];
    for (name, devices) in rates {
        for LinuxThrottleDevice { major, minor, rate } in devices {
            let file = format!("blkio.throttle.{name}_device");
            group.write(&file, &format!("{major}:{minor} {rate}"))?;
        }
    }
    Ok(())
}

pub(super) fn stats(group: &Directory) -> Result<IoStats> {
    let read = |name| -> Result<Vec<IoEntry>> {
        let text = group.read_optional(name)?.unwrap_or_default();
        Ok(parse(&text))
    };
    Ok(IoStats {
        bytes: read("blkio.throttle.io_service_bytes_recursive")?,
        requests: read("blkio.throttle.io_serviced_recursive")?,
    })
}

/// `8:0 Read 4096` lines; the sum at the end has no device and is left out.
fn parse(text: &str) -> Vec<IoEntry> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (major, minor) = words.next()?.split_once(':')?;
            Some(IoEntry {
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
                operation: words.next()?.to_lowercase(),
                value: words.next()?.parse().ok()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_device_and_the_sum_is_left_out() {
        let found = parse("254:0 Read 4096\n254:0 Write 0\nTotal 4096\n");
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].major, found[0].value), (254, 4096));
        assert_eq!(found[0].operation, "read");
    }
}
