//! `HostConfig`: everything of a container that depends on the host.

use std::collections::BTreeMap;

use crate::mount::Mount;
use crate::port::PortMap;

wire! {
    /// `HostConfig` of create and inspect. Lists that a client leaves nil are `null` again in inspect.
    pub struct HostConfig {
        #[serde(serialize_with = "crate::null::if_empty")]
        pub binds: Vec<String>,
        #[serde(rename = "ContainerIDFile")]
        pub container_id_file: String,
        pub log_config: LogConfig,
        pub network_mode: String,
        pub port_bindings: PortMap,
        pub restart_policy: RestartPolicy,
        pub auto_remove: bool,
        pub volume_driver: String,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub volumes_from: Vec<String>,
        /// Height, width.
        pub console_size: [u16; 2],
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub annotations: BTreeMap<String, String>,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub cap_add: Vec<String>,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub cap_drop: Vec<String>,
        pub cgroupns_mode: String,
        pub dns: Vec<String>,
        pub dns_options: Vec<String>,
        pub dns_search: Vec<String>,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub extra_hosts: Vec<String>,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub group_add: Vec<String>,
        pub ipc_mode: String,
        pub cgroup: String,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub links: Vec<String>,
        pub oom_score_adj: i64,
        pub pid_mode: String,
        pub privileged: bool,
        pub publish_all_ports: bool,
        pub readonly_rootfs: bool,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub security_opt: Vec<String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub storage_opt: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub tmpfs: BTreeMap<String, String>,
        #[serde(rename = "UTSMode")]
        pub uts_mode: String,
        pub userns_mode: String,
        /// Bytes; 0 is the daemon's default.
        pub shm_size: i64,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub sysctls: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub runtime: String,
        pub isolation: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub mounts: Vec<Mount>,
        /// `None` is the default list, an empty one masks nothing.
        pub masked_paths: Option<Vec<String>>,
        /// `None` is the default list, an empty one protects nothing.
        pub readonly_paths: Option<Vec<String>>,
        /// `None` is the daemon's default.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub init: Option<bool>,
        /// Beyond Docker: what is done when the container becomes unhealthy: `none` (as the empty text), `restart`,
        /// `stop` or `kill`.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub health_on_failure: String,
        flatten {
            pub resources: Resources,
        }
    }

    /// Limits: part of [`HostConfig`] and the body of update. Zero means not given.
    pub struct Resources {
        pub cpu_shares: i64,
        pub memory: i64,
        /// A thousand millionth of a CPU.
        pub nano_cpus: i64,
        pub cgroup_parent: String,
        pub blkio_weight: u16,
        pub blkio_weight_device: Vec<WeightDevice>,
        pub blkio_device_read_bps: Vec<ThrottleDevice>,
        pub blkio_device_write_bps: Vec<ThrottleDevice>,
        #[serde(rename = "BlkioDeviceReadIOps")]
        pub blkio_device_read_iops: Vec<ThrottleDevice>,
        #[serde(rename = "BlkioDeviceWriteIOps")]
        pub blkio_device_write_iops: Vec<ThrottleDevice>,
        pub cpu_period: i64,
        pub cpu_quota: i64,
        pub cpu_realtime_period: i64,
        pub cpu_realtime_runtime: i64,
        pub cpuset_cpus: String,
        pub cpuset_mems: String,
        pub devices: Vec<DeviceMapping>,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub device_cgroup_rules: Vec<String>,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub device_requests: Vec<DeviceRequest>,
        /// Removed from the API in 1.42; still accepted from older clients.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub kernel_memory: i64,
        #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "crate::null::is_empty")]
        pub kernel_memory_tcp: i64,
        pub memory_reservation: i64,
        /// Memory and swap together; -1 is unlimited swap.
        pub memory_swap: i64,
        /// -1 or `None` is the host's.
        pub memory_swappiness: Option<i64>,
        pub oom_kill_disable: Option<bool>,
        /// 0, -1 or `None`: no limit.
        pub pids_limit: Option<i64>,
        pub ulimits: Vec<Ulimit>,
        pub cpu_count: i64,
        pub cpu_percent: i64,
        #[serde(rename = "IOMaximumIOps")]
        pub io_maximum_iops: u64,
        #[serde(rename = "IOMaximumBandwidth")]
        pub io_maximum_bandwidth: u64,
    }

    /// The log driver and its options; an empty type is the daemon's default.
    pub struct LogConfig {
        #[serde(rename = "Type")]
        pub kind: String,
        pub config: BTreeMap<String, String>,
    }

    /// When to start it again. An empty name is `no`.
    pub struct RestartPolicy {
        pub name: String,
        pub maximum_retry_count: i64,
    }

    /// A resource limit of the process.
    pub struct Ulimit {
        pub name: String,
        pub hard: i64,
        pub soft: i64,
    }

    /// A device of the host in the container.
    pub struct DeviceMapping {
        pub path_on_host: String,
        pub path_in_container: String,
        /// Of `rwm`.
        pub cgroup_permissions: String,
    }

    /// Devices asked for by capability (`--gpus`).
    pub struct DeviceRequest {
        pub driver: String,
        pub count: i64,
        #[serde(rename = "DeviceIDs", serialize_with = "crate::null::if_empty")]
        pub device_ids: Vec<String>,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub capabilities: Vec<Vec<String>>,
        pub options: BTreeMap<String, String>,
    }

    /// Block I/O weight of one device.
    pub struct WeightDevice {
        pub path: String,
        pub weight: u16,
    }

    /// Block I/O limit of one device, bytes or operations a second.
    pub struct ThrottleDevice {
        pub path: String,
        pub rate: u64,
    }
}
