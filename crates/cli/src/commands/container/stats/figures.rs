//! From a sample to what people read, by the rules of Docker's client.

use barge_api_types::{CpuStats, MemoryStats, StatsResponse};
use barge_types::size::{human_binary, human_decimal_short};

use crate::format::listing::Row;

/// Everything but who it is.
pub(super) fn of(sample: &StatsResponse) -> Row {
    let used = memory_in_use(&sample.memory_stats);
    let limit = sample.memory_stats.limit;
    let pair = |(first, second): (u64, u64)| {
        format!("{} / {}", human_decimal_short(first), human_decimal_short(second))
    };
    let received = sample.networks.values().map(|network| network.rx_bytes).sum();
    let sent = sample.networks.values().map(|network| network.tx_bytes).sum();
    let values = [
        ("CPUPerc", format!("{:.2}%", cpu_percent(&sample.precpu_stats, &sample.cpu_stats))),
        ("MemUsage", format!("{} / {}", human_binary(used), human_binary(limit))),
        ("MemPerc", format!("{:.2}%", percent(used, limit))),
        ("NetIO", pair((received, sent))),
        ("BlockIO", pair((blocks(sample, 'r'), blocks(sample, 'w')))),
        ("PIDs", sample.pids_stats.current.to_string()),
    ];
    values.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// Without what the kernel can give up at once: files that nobody has read lately.
fn memory_in_use(memory: &MemoryStats) -> u64 {
    let inactive = ["total_inactive_file", "inactive_file"]
        .iter()
        .find_map(|name| memory.stats.get(*name))
        .copied()
        .unwrap_or_default();
    if inactive < memory.usage { memory.usage - inactive } else { memory.usage }
}

/// Of one processor: two that are busy are 200 %.
fn cpu_percent(before: &CpuStats, now: &CpuStats) -> f64 {
    let used = now.cpu_usage.total_usage.saturating_sub(before.cpu_usage.total_usage);
    let all = now.system_cpu_usage.saturating_sub(before.system_cpu_usage);
    percent(used, all) * f64::from(now.online_cpus)
}

#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

/// Bytes of an operation by its first letter, which the kernels' versions agree on.
fn blocks(sample: &StatsResponse, letter: char) -> u64 {
    let entries = sample.blkio_stats.io_service_bytes_recursive.iter();
    entries
        .filter(|entry| entry.op.to_ascii_lowercase().starts_with(letter))
        .map(|entry| entry.value)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_dockers() {
        let sample: StatsResponse = serde_json::from_str(
            r#"{"cpu_stats":{"cpu_usage":{"total_usage":300},"system_cpu_usage":2000,"online_cpus":2},
                "precpu_stats":{"cpu_usage":{"total_usage":100},"system_cpu_usage":1000},
                "memory_stats":{"usage":3145728,"limit":104857600,"stats":{"total_inactive_file":1048576}},
                "pids_stats":{"current":3},
                "blkio_stats":{"io_service_bytes_recursive":[
                    {"op":"Read","value":1000},{"op":"read","value":500},{"op":"Write","value":20},{"op":"Total","value":9}]},
                "networks":{"eth0":{"rx_bytes":1500,"tx_bytes":70},"eth1":{"rx_bytes":500}}}"#,
        )
        .unwrap();
        let row = of(&sample);
        let shown = |name: &str| row[name].as_str().unwrap().to_owned();
        assert_eq!(shown("CPUPerc"), "40.00%");
        assert_eq!(shown("MemUsage"), "2MiB / 100MiB");
        assert_eq!(shown("MemPerc"), "2.00%");
        assert_eq!(shown("NetIO"), "2kB / 70B");
        assert_eq!(shown("BlockIO"), "1.5kB / 20B");
        assert_eq!(shown("PIDs"), "3");
    }

    #[test]
    fn what_does_not_run_uses_nothing() {
        let row = of(&StatsResponse::default());
        assert_eq!(row["CPUPerc"], "0.00%");
        assert_eq!(row["MemUsage"], "0B / 0B");
    }
}
