//! `GET /containers/{id}/stats`: lower case on the wire, times in nanoseconds.

use std::collections::BTreeMap;

wire! {
    /// One sample and, for the rates, the CPU part of the one before.
    pub struct StatsResponse {
        #[serde(rename = "name")]
        pub name: String,
        #[serde(rename = "id")]
        pub id: String,
        #[serde(rename = "read")]
        pub read: String,
        #[serde(rename = "preread")]
        pub preread: String,
        #[serde(rename = "pids_stats")]
        pub pids_stats: PidsStats,
        #[serde(rename = "blkio_stats")]
        pub blkio_stats: BlkioStats,
        #[serde(rename = "num_procs")]
        pub num_procs: u32,
        #[serde(rename = "storage_stats")]
        pub storage_stats: BTreeMap<String, u64>,
        #[serde(rename = "cpu_stats")]
        pub cpu_stats: CpuStats,
        #[serde(rename = "precpu_stats")]
        pub precpu_stats: CpuStats,
        #[serde(rename = "memory_stats")]
        pub memory_stats: MemoryStats,
        /// By interface.
        #[serde(rename = "networks", skip_serializing_if = "crate::null::is_empty")]
        pub networks: BTreeMap<String, NetworkStats>,
    }

    /// Processes.
    pub struct PidsStats {
        #[serde(rename = "current", skip_serializing_if = "crate::null::is_empty")]
        pub current: u64,
        #[serde(rename = "limit", skip_serializing_if = "crate::null::is_empty")]
        pub limit: u64,
    }

    /// Block I/O.
    pub struct BlkioStats {
        #[serde(rename = "io_service_bytes_recursive", serialize_with = "crate::null::if_empty")]
        pub io_service_bytes_recursive: Vec<BlkioEntry>,
        #[serde(rename = "io_serviced_recursive", serialize_with = "crate::null::if_empty")]
        pub io_serviced_recursive: Vec<BlkioEntry>,
        #[serde(rename = "io_queue_recursive", serialize_with = "crate::null::if_empty")]
        pub io_queue_recursive: Vec<BlkioEntry>,
        #[serde(rename = "io_service_time_recursive", serialize_with = "crate::null::if_empty")]
        pub io_service_time_recursive: Vec<BlkioEntry>,
        #[serde(rename = "io_wait_time_recursive", serialize_with = "crate::null::if_empty")]
        pub io_wait_time_recursive: Vec<BlkioEntry>,
        #[serde(rename = "io_merged_recursive", serialize_with = "crate::null::if_empty")]
        pub io_merged_recursive: Vec<BlkioEntry>,
        #[serde(rename = "io_time_recursive", serialize_with = "crate::null::if_empty")]
        pub io_time_recursive: Vec<BlkioEntry>,
        #[serde(rename = "sectors_recursive", serialize_with = "crate::null::if_empty")]
        pub sectors_recursive: Vec<BlkioEntry>,
    }

    /// One counter of one device.
    pub struct BlkioEntry {
        #[serde(rename = "major")]
        pub major: u64,
        #[serde(rename = "minor")]
        pub minor: u64,
        #[serde(rename = "op")]
        pub op: String,
        #[serde(rename = "value")]
        pub value: u64,
    }

    /// CPU time of the container and of the host.
    pub struct CpuStats {
        #[serde(rename = "cpu_usage")]
        pub cpu_usage: CpuUsage,
        #[serde(rename = "system_cpu_usage", skip_serializing_if = "crate::null::is_empty")]
        pub system_cpu_usage: u64,
        #[serde(rename = "online_cpus", skip_serializing_if = "crate::null::is_empty")]
        pub online_cpus: u32,
        #[serde(rename = "throttling_data")]
        pub throttling_data: ThrottlingData,
    }

    /// CPU time of the container.
    pub struct CpuUsage {
        #[serde(rename = "total_usage")]
        pub total_usage: u64,
        #[serde(rename = "percpu_usage", skip_serializing_if = "crate::null::is_empty")]
        pub percpu_usage: Vec<u64>,
        #[serde(rename = "usage_in_kernelmode")]
        pub usage_in_kernelmode: u64,
        #[serde(rename = "usage_in_usermode")]
        pub usage_in_usermode: u64,
    }

    /// How often the CPU limit held it back.
    pub struct ThrottlingData {
        #[serde(rename = "periods")]
        pub periods: u64,
        #[serde(rename = "throttled_periods")]
        pub throttled_periods: u64,
        #[serde(rename = "throttled_time")]
        pub throttled_time: u64,
    }

    /// Memory in bytes; `stats` are the kernel's own counters.
    pub struct MemoryStats {
        #[serde(rename = "usage", skip_serializing_if = "crate::null::is_empty")]
        pub usage: u64,
        #[serde(rename = "max_usage", skip_serializing_if = "crate::null::is_empty")]
        pub max_usage: u64,
        #[serde(rename = "stats", skip_serializing_if = "crate::null::is_empty")]
        pub stats: BTreeMap<String, u64>,
        #[serde(rename = "failcnt", skip_serializing_if = "crate::null::is_empty")]
        pub failcnt: u64,
        #[serde(rename = "limit", skip_serializing_if = "crate::null::is_empty")]
        pub limit: u64,
    }

    /// One interface.
    pub struct NetworkStats {
        #[serde(rename = "rx_bytes")]
        pub rx_bytes: u64,
        #[serde(rename = "rx_packets")]
        pub rx_packets: u64,
        #[serde(rename = "rx_errors")]
        pub rx_errors: u64,
        #[serde(rename = "rx_dropped")]
        pub rx_dropped: u64,
        #[serde(rename = "tx_bytes")]
        pub tx_bytes: u64,
        #[serde(rename = "tx_packets")]
        pub tx_packets: u64,
        #[serde(rename = "tx_errors")]
        pub tx_errors: u64,
        #[serde(rename = "tx_dropped")]
        pub tx_dropped: u64,
    }
}
