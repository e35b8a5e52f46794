//! What a group has used. Times are nanoseconds, sizes bytes; a counter the kernel does not have reads 0.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Processor time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Tasks.
    pub pids: PidsStats,
    /// Block devices.
    pub io: IoStats,
    /// Huge pages, by size (`2MB`).
    pub hugetlb: BTreeMap<String, HugetlbStats>,
}

/// Processor time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuStats {
    /// All of it.
    pub usage_ns: u64,
    /// In user space.
    pub user_ns: u64,
    /// In the kernel.
    pub system_ns: u64,
    /// By processor; empty on v2, which does not count it.
    pub per_cpu_ns: Vec<u64>,
    /// How often the quota bit.
    pub throttling: Throttling,
}

/// The quota at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttling {
    /// Periods that had work.
    pub periods: u64,
    /// Periods that ran out of quota.
    pub throttled_periods: u64,
    /// Time spent waiting for the next period.
    pub throttled_ns: u64,
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// Now.
    pub usage: u64,
    /// The most ever; 0 where the kernel does not say.
    pub max_usage: u64,
    /// The limit; `u64::MAX`, or on v1 a number near `i64::MAX`, when there is none.
    pub limit: u64,
    /// How often the limit was hit.
    pub failures: u64,
    /// Swap now, without memory.
    pub swap: u64,
    /// `memory.stat`, line by line.
    pub detail: BTreeMap<String, u64>,
}

/// Tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PidsStats {
    /// Now.
    pub current: u64,
    /// `None` is unlimited.
    pub limit: Option<u64>,
}

/// Block devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoStats {
    /// Bytes.
    pub bytes: Vec<IoEntry>,
    /// Requests.
    pub requests: Vec<IoEntry>,
}

/// One counter of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoEntry {
    /// Device.
    pub major: u64,
    /// Device.
    pub minor: u64,
    /// `read`, `write`, `sync`, `async`, `discard` or `total`.
    pub operation: String,
    /// Count.
    pub value: u64,
}

/// Huge pages of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugetlbStats {
    /// Now.
    pub usage: u64,
    /// The most ever; 0 where the kernel does not say.
    pub max_usage: u64,
    /// How often the limit was hit.
    pub failures: u64,
}
