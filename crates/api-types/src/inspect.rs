//! `GET /containers/{id}/json` as Docker 28 prints it.

use std::collections::BTreeMap;

use crate::container::ContainerConfig;
use crate::edit::ContainerEdit;
use crate::health::Health;
use crate::host_config::HostConfig;
use crate::image::OciDescriptor;
use crate::mount::MountPoint;
use crate::network::EndpointSettings;
use crate::port::PortMap;

wire! {
    /// A container in full.
    pub struct ContainerInspect {
        pub id: String,
        pub created: String,
        pub path: String,
        pub args: Vec<String>,
        pub state: ContainerState,
        /// Image id.
        pub image: String,
        pub resolv_conf_path: String,
        pub hostname_path: String,
        pub hosts_path: String,
        pub log_path: String,
        /// With a leading slash.
        pub name: String,
        pub restart_count: i64,
        pub driver: String,
        pub platform: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub image_manifest_descriptor: Option<OciDescriptor>,
        pub mount_label: String,
        pub process_label: String,
        pub app_armor_profile: String,
        #[serde(rename = "ExecIDs", serialize_with = "crate::null::if_empty")]
        pub exec_ids: Vec<String>,
        pub host_config: HostConfig,
        pub graph_driver: GraphDriverInfo,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub size_rw: Option<i64>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub size_root_fs: Option<i64>,
        pub mounts: Vec<MountPoint>,
        pub config: ContainerConfig,
        pub network_settings: NetworkSettings,
        /// What was changed while the container runs and is in force with its next start; barge's own.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub pending: Vec<ContainerEdit>,
    }

    /// A container's state; the booleans follow from `status`.
    pub struct ContainerState {
        /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
        pub status: String,
        pub running: bool,
        pub paused: bool,
        pub restarting: bool,
        #[serde(rename = "OOMKilled")]
        pub oom_killed: bool,
        pub dead: bool,
        pub pid: i64,
        pub exit_code: i64,
        pub error: String,
        /// RFC 3339 with nanoseconds; `0001-01-01T00:00:00Z` for never.
        pub started_at: String,
        pub finished_at: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub health: Option<Health>,
    }

    /// The storage driver and where its layers are.
    pub struct GraphDriverInfo {
        #[serde(serialize_with = "crate::null::if_empty")]
        pub data: BTreeMap<String, String>,
        pub name: String,
    }

    /// Networks of a container. The fields from `endpoint_id` on repeat those of the default bridge.
    pub struct NetworkSettings {
        pub bridge: String,
        #[serde(rename = "SandboxID")]
        pub sandbox_id: String,
        pub sandbox_key: String,
        pub ports: PortMap,
        pub hairpin_mode: bool,
        #[serde(rename = "LinkLocalIPv6Address")]
        pub link_local_ipv6_address: String,
        #[serde(rename = "LinkLocalIPv6PrefixLen")]
        pub link_local_ipv6_prefix_len: u8,
        #[serde(rename = "SecondaryIPAddresses", serialize_with = "crate::null::if_empty")]
        pub secondary_ip_addresses: Vec<SecondaryAddress>,
        #[serde(rename = "SecondaryIPv6Addresses", serialize_with = "crate::null::if_empty")]
        pub secondary_ipv6_addresses: Vec<SecondaryAddress>,
        #[serde(rename = "EndpointID")]
        pub endpoint_id: String,
        pub gateway: String,
        #[serde(rename = "GlobalIPv6Address")]
        pub global_ipv6_address: String,
        #[serde(rename = "GlobalIPv6PrefixLen")]
        pub global_ipv6_prefix_len: u8,
        #[serde(rename = "IPAddress")]
        pub ip_address: String,
        #[serde(rename = "IPPrefixLen")]
        pub ip_prefix_len: u8,
        #[serde(rename = "IPv6Gateway")]
        pub ipv6_gateway: String,
        pub mac_address: String,
        pub networks: BTreeMap<String, EndpointSettings>,
    }

    /// A further address.
    pub struct SecondaryAddress {
        pub addr: String,
        pub prefix_len: u8,
    }
}
