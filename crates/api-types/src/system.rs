//! The daemon itself: info, version, disk use.

use std::collections::BTreeMap;

use crate::container::ContainerSummary;
use crate::image::ImageSummary;
use crate::volume::Volume;

wire! {
    /// `GET /version`.
    pub struct SystemVersion {
        pub platform: VersionPlatform,
        pub components: Vec<VersionComponent>,
        pub version: String,
        pub api_version: String,
        #[serde(rename = "MinAPIVersion")]
        pub min_api_version: String,
        pub git_commit: String,
        /// A Rust compiler's version here; the field's name is the API's.
        pub go_version: String,
        pub os: String,
        pub arch: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub kernel_version: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub experimental: bool,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub build_time: String,
    }

    /// Product name.
    pub struct VersionPlatform {
        pub name: String,
    }

    /// One program of the engine.
    pub struct VersionComponent {
        pub name: String,
        pub version: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub details: BTreeMap<String, String>,
    }

    /// `GET /info`.
    pub struct SystemInfo {
        #[serde(rename = "ID")]
        pub id: String,
        pub containers: i64,
        pub containers_running: i64,
        pub containers_paused: i64,
        pub containers_stopped: i64,
        pub images: i64,
        pub driver: String,
        pub driver_status: Vec<[String; 2]>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub system_status: Vec<[String; 2]>,
        pub plugins: PluginsInfo,
        pub memory_limit: bool,
        pub swap_limit: bool,
        #[serde(rename = "CpuCfsPeriod")]
        pub cpu_cfs_period: bool,
        #[serde(rename = "CpuCfsQuota")]
        pub cpu_cfs_quota: bool,
        #[serde(rename = "CPUShares")]
        pub cpu_shares: bool,
        #[serde(rename = "CPUSet")]
        pub cpu_set: bool,
        pub pids_limit: bool,
        #[serde(rename = "IPv4Forwarding")]
        pub ipv4_forwarding: bool,
        pub debug: bool,
        #[serde(rename = "NFd")]
        pub n_fd: i64,
        pub oom_kill_disable: bool,
        pub n_goroutines: i64,
        pub system_time: String,
        pub logging_driver: String,
        pub cgroup_driver: String,
        /// `1` or `2`.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub cgroup_version: String,
        pub n_events_listener: i64,
        pub kernel_version: String,
        pub operating_system: String,
        #[serde(rename = "OSVersion")]
        pub os_version: String,
        #[serde(rename = "OSType")]
        pub os_type: String,
        pub architecture: String,
        pub index_server_address: String,
        pub registry_config: Option<RegistryServiceConfig>,
        #[serde(rename = "NCPU")]
        pub ncpu: i64,
        pub mem_total: i64,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub generic_resources: Vec<serde_json::Value>,
        pub docker_root_dir: String,
        #[serde(rename = "HttpProxy")]
        pub http_proxy: String,
        #[serde(rename = "HttpsProxy")]
        pub https_proxy: String,
        pub no_proxy: String,
        pub name: String,
        pub labels: Vec<String>,
        pub experimental_build: bool,
        pub server_version: String,
        pub runtimes: BTreeMap<String, RuntimeInfo>,
        pub default_runtime: String,
        pub swarm: SwarmInfo,
        pub live_restore_enabled: bool,
        pub isolation: String,
        pub init_binary: String,
        pub containerd_commit: CommitInfo,
        pub runc_commit: CommitInfo,
        pub init_commit: CommitInfo,
        pub security_options: Vec<String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub product_license: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub default_address_pools: Vec<AddressPoolInfo>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub firewall_backend: Option<FirewallInfo>,
        #[serde(rename = "CDISpecDirs")]
        pub cdi_spec_dirs: Vec<String>,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub warnings: Vec<String>,
    }

    /// Names of drivers by kind.
    pub struct PluginsInfo {
        pub volume: Vec<String>,
        pub network: Vec<String>,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub authorization: Vec<String>,
        pub log: Vec<String>,
    }

    /// An OCI runtime.
    pub struct RuntimeInfo {
        #[serde(rename = "path", skip_serializing_if = "crate::null::is_empty")]
        pub path: String,
        #[serde(rename = "runtimeArgs", skip_serializing_if = "crate::null::is_empty")]
        pub runtime_args: Vec<String>,
        #[serde(rename = "status", skip_serializing_if = "crate::null::is_empty")]
        pub status: BTreeMap<String, String>,
    }

    /// Which commit a program was built from.
    pub struct CommitInfo {
        #[serde(rename = "ID")]
        pub id: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub expected: String,
    }

    /// Swarm, which is `inactive` on a single node.
    pub struct SwarmInfo {
        #[serde(rename = "NodeID")]
        pub node_id: String,
        pub node_addr: String,
        pub local_node_state: String,
        pub control_available: bool,
        pub error: String,
        pub remote_managers: Option<Vec<serde_json::Value>>,
    }

    /// A pool that networks without a subnet take theirs from.
    pub struct AddressPoolInfo {
        pub base: String,
        pub size: u8,
    }

    /// What writes the packet filter's rules.
    pub struct FirewallInfo {
        pub driver: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub info: Vec<[String; 2]>,
    }

    /// Registry settings of the daemon.
    pub struct RegistryServiceConfig {
        #[serde(rename = "InsecureRegistryCIDRs")]
        pub insecure_registry_cidrs: Vec<String>,
        pub index_configs: BTreeMap<String, IndexInfo>,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub mirrors: Vec<String>,
    }

    /// One registry.
    pub struct IndexInfo {
        pub name: String,
        pub mirrors: Vec<String>,
        pub secure: bool,
        pub official: bool,
    }

    /// `GET /system/df`; kinds that were not asked for are `null`.
    pub struct DiskUsage {
        /// Bytes of the layers of images, each counted once.
        pub layers_size: i64,
        pub images: Option<Vec<ImageSummary>>,
        pub containers: Option<Vec<ContainerSummary>>,
        pub volumes: Option<Vec<Volume>>,
        pub build_cache: Option<Vec<serde_json::Value>>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub builder_size: i64,
        /// Not in Docker's API: what the containers' logs take.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub logs_usage: Option<LogsUsage>,
        /// Not in Docker's API: what the packed layers, configurations and manifests take.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub content_usage: Option<ContentUsage>,
    }

    /// What is kept of images as it travels, to be pushed and saved with the digests that it came with.
    pub struct ContentUsage {
        /// Whole blobs.
        pub total_count: i64,
        pub total_size: i64,
        /// Begun downloads, which go on when they are asked for again.
        pub partial_count: i64,
        pub partial_size: i64,
        /// Bytes that go with images that no container uses, and begun downloads.
        pub reclaimable: i64,
    }

    /// Answer of `POST /build/prune`.
    pub struct BuildPruneResponse {
        #[serde(serialize_with = "crate::null::if_empty")]
        pub caches_deleted: Vec<String>,
        pub space_reclaimed: u64,
    }

    /// What the containers' logs take on the disk.
    pub struct LogsUsage {
        /// Containers with a log.
        pub total_count: i64,
        /// Of running containers.
        pub active_count: i64,
        pub total_size: i64,
        /// Of containers that do not run.
        pub reclaimable: i64,
        pub items: Vec<LogUsage>,
    }

    /// The log of one container.
    pub struct LogUsage {
        #[serde(rename = "ContainerID")]
        pub container_id: String,
        /// With the slash in front, as in a listing of containers.
        pub names: Vec<String>,
        pub driver: String,
        pub size: i64,
    }
}
