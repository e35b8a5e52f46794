//! `io` of version 2: one line per device, weights by BFQ or by io.cost, whichever the kernel has.

use barge_oci::runtime::{LinuxBlockIo, LinuxThrottleDevice};

use crate::{
    directory::Directory,
    error::Result,
    resources::io_weight_from_blkio,
    stats::{IoEntry, IoStats},
};

pub(super) fn set(group: &Directory, limits: &LinuxBlockIo) -> Result<()> {
    let bfq = group.has("io.bfq.weight");
    let weight_file = if bfq { "io.bfq.weight" } else { "io.weight" };
    // BFQ kept the range of v1.
    let scale = |weight: u16| {
        if bfq { u64::from(weight) } else { io_weight_from_blkio(weight) }
    };
    if let Some(weight) = limits.weight.filter(|&weight| weight != 0) {
        group.write(weight_file, &format!("default {}", scale(weight)))?;
    }
    for device in &limits.weight_device {
        if let Some(weight) = device.weight {
            let (major, minor) = (device.major, device.minor);
            let text = format!("{major}:{minor} {}", scale(weight));
            group.write(weight_file, &text)?;
        }
    }
    let rates: [(&str, &[LinuxThrottleDevice]); 4] = [
        ("rbps", &limits.throttle_read_bps_device),
        ("wbps", &limits.throttle_write_bps_device),
        ("riops", &limits.throttle_read_iops_device),
        ("wiops", &limits.throttle_write_iops_device),
    ];
    for (key, devices) in rates {
        for device in devices {
            group.write("io.max", &rate_line(key, device))?;
        }
    }
    Ok(())
}

/// Zero takes the limit away, as on v1.
fn rate_line(key: &str, device: &LinuxThrottleDevice) -> String {
    let LinuxThrottleDevice { major, minor, rate } = device;
    if *rate == 0 {
        format!("{major}:{minor} {key}=max")
    } else {
        format!("{major}:{minor} {key}={rate}")
    }
}

pub(super) fn stats(group: &Directory) -> Result<IoStats> {
    let text = group.read_optional("io.stat")?.unwrap_or_default();
    Ok(parse(&text))
}

/// `254:0 rbytes=4096 wbytes=0 rios=1 …` lines.
fn parse(text: &str) -> IoStats {
    let mut stats = IoStats::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        let Some((major, minor)) = words
            .next()
            .and_then(|device| device.split_once(':'))
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
        else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (list, operation) = match key {
                "rbytes" => (&mut stats.bytes, "read"),
                "wbytes" => (&mut stats.bytes, "write"),
                "dbytes" => (&mut stats.bytes, "discard"),
                "rios" => (&mut stats.requests, "read"),
                "wios" => (&mut stats.requests, "write"),
                "dios" => (&mut stats.requests, "discard"),
                _ => continue,
            };
            list.push(IoEntry {
                major,
                minor,
                operation: operation.to_owned(),
                value: value.parse().unwrap_or_default(),
            });
        }
    }
    stats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_requests_are_told_apart() {
        let found = parse("254:0 rbytes=4096 wbytes=1 rios=2 wios=3 dbytes=0 dios=0\n8:0 \n");
        assert_eq!((found.bytes.len(), found.requests.len()), (3, 3));
        assert_eq!(found.requests[0].value, 2);
    }

    #[test]
    fn a_rate_of_zero_takes_the_limit_away() {
        let mut device = LinuxThrottleDevice { major: 8, minor: 0, rate: 0 };
        assert_eq!(rate_line("rbps", &device), "8:0 rbps=max");
        device.rate = 7;
        assert_eq!(rate_line("rbps", &device), "8:0 rbps=7");
    }
}
