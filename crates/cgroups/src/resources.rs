//! Conversions between the units of the API, of the runtime specification and of the two versions of cgroups. Pure.

use barge_oci::runtime::LinuxMemory;

use crate::error::{CgroupError, Result};

/// Microseconds: the period Docker uses for `--cpus`.
pub const CPU_PERIOD: u64 = 100_000;

/// The quota in microseconds per [`CPU_PERIOD`] for a number of processors in billionths, as `--cpus=0.1` gives.
pub fn quota_from_nano_cpus(nano_cpus: i64) -> i64 {
    // 100,000 µs per period over 1,000,000,000 billionths.
    nano_cpus / 10_000
}

/// Weight of v2 (1 to 10000) for shares of v1 (2 to 262144).
///
/// The curve goes through the two ends and through the two defaults, 1024 and 100, as crun 1.23 and runc 1.4 have it;
/// the straight line of the older ones made 1024 less than the default.
pub fn weight_from_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            // Below 2^18, exact in a float.
            let log = f64::from(u32::try_from(shares).unwrap_or(u32::MAX)).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 10000 by the two arms above"
            )]
            let weight = 10f64.powf(exponent).ceil() as u64;
            weight.clamp(1, 10_000)
        }
    }
}

/// `io.weight` (1 to 10000) for `blkio.weight` (10 to 1000).
pub fn io_weight_from_blkio(weight: u16) -> u64 {
    let weight = u64::from(weight.clamp(10, 1000));
    1 + (weight - 10) * 9999 / 990
}

/// The text of a limit where a negative number is none: `-1` on v1.
pub(crate) fn v1_limit(limit: i64) -> String {
    limit.max(-1).to_string()
}

/// The text of a limit where a negative number is none: `max` on v2.
pub(crate) fn v2_limit(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.to_string() }
}

/// The text of a limit on tasks; zero is none, as in Docker.
pub(crate) fn pids_limit(limit: i64) -> String {
    v2_limit(if limit == 0 { -1 } else { limit })
}

/// Memory and swap together on v1: without a limit on memory there is none on the sum either.
pub(crate) fn v1_memory_and_swap(memory: &LinuxMemory) -> Option<i64> {
    match (memory.limit, memory.swap.filter(|&swap| swap != 0)) {
        (Some(-1), None) => Some(-1),
        (_, swap) => swap,
    }
}

/// `memory.swap.max` of v2, which counts swap alone, from the sum that the specification gives.
pub(crate) fn v2_swap(memory: &LinuxMemory) -> Result<Option<String>> {
    let refuse =
        |reason: String| Err(CgroupError::Invalid { what: "memory and swap limit", reason });
    match (memory.limit, memory.swap.filter(|&swap| swap != 0)) {
        (Some(-1), None) | (_, Some(-1)) => Ok(Some("max".to_owned())),
        (_, None) => Ok(None),
        (None | Some(0 | -1), Some(_)) => refuse("it needs a limit on memory too".to_owned()),
        (Some(limit), Some(swap)) if limit < 0 || swap < 0 => {
            refuse(format!("{limit} and {swap} are negative"))
        }
        (Some(limit), Some(swap)) if swap < limit => {
            refuse(format!("{swap} is less than the memory limit {limit}"))
        }
        (Some(limit), Some(swap)) => Ok(Some((swap - limit).to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_a_processor_is_ten_thousand_microseconds() {
        assert_eq!(quota_from_nano_cpus(100_000_000), 10_000);
        assert_eq!(quota_from_nano_cpus(2_500_000_000), 250_000);
    }

    #[test]
    fn the_ends_and_the_default_of_shares_become_those_of_weight() {
        assert_eq!(weight_from_shares(2), 1);
        assert_eq!(weight_from_shares(1024), 100);
        assert_eq!(weight_from_shares(262_144), 10_000);
        assert_eq!(weight_from_shares(0), 1);
        assert_eq!(weight_from_shares(u64::MAX), 10_000);
        let all: Vec<u64> = (2..20_000).map(weight_from_shares).collect();
        assert!(all.is_sorted());
    }

    #[test]
    fn io_weight_spans_its_whole_range() {
        assert_eq!(io_weight_from_blkio(10), 1);
        assert_eq!(io_weight_from_blkio(1000), 10_000);
    }

    #[test]
    fn zero_and_minus_one_mean_no_limit_of_tasks() {
        assert_eq!(pids_limit(0), "max");
        assert_eq!(pids_limit(-1), "max");
        assert_eq!(pids_limit(7), "7");
    }

    fn memory(limit: Option<i64>, swap: Option<i64>) -> LinuxMemory {
        LinuxMemory { limit, swap, ..LinuxMemory::default() }
    }

    #[test]
    fn swap_on_v2_is_what_the_sum_leaves_over() {
        let text = |limit, swap| v2_swap(&memory(limit, swap)).unwrap();
        assert_eq!(text(Some(100), Some(300)).as_deref(), Some("200"));
        assert_eq!(text(Some(100), Some(100)).as_deref(), Some("0"));
        assert_eq!(text(Some(100), Some(-1)).as_deref(), Some("max"));
        assert_eq!(text(Some(-1), None).as_deref(), Some("max"));
        assert_eq!(text(Some(100), None), None);
        assert_eq!(text(None, Some(0)), None);
    }

    #[test]
    fn swap_without_memory_or_below_it_is_refused() {
        assert!(v2_swap(&memory(None, Some(5))).is_err());
        assert!(v2_swap(&memory(Some(100), Some(50))).is_err());
    }

    #[test]
    fn unlimited_memory_lifts_the_limit_of_the_sum_on_v1() {
        assert_eq!(v1_memory_and_swap(&memory(Some(-1), None)), Some(-1));
        assert_eq!(v1_memory_and_swap(&memory(Some(5), Some(7))), Some(7));
        assert_eq!(v1_memory_and_swap(&memory(Some(5), None)), None);
    }
}
