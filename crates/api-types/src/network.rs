//! Networks and a container's endpoints in them.

use std::collections::BTreeMap;

wire! {
    /// A container's endpoint: what the request asks for and, in inspect, what it got.
    pub struct EndpointSettings {
        #[serde(rename = "IPAMConfig")]
        pub ipam_config: Option<EndpointIpamConfig>,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub links: Vec<String>,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub aliases: Vec<String>,
        pub mac_address: String,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub driver_opts: BTreeMap<String, String>,
        pub gw_priority: i64,
        #[serde(rename = "NetworkID")]
        pub network_id: String,
        #[serde(rename = "EndpointID")]
        pub endpoint_id: String,
        pub gateway: String,
        #[serde(rename = "IPAddress")]
        pub ip_address: String,
        #[serde(rename = "IPPrefixLen")]
        pub ip_prefix_len: u8,
        #[serde(rename = "IPv6Gateway")]
        pub ipv6_gateway: String,
        #[serde(rename = "GlobalIPv6Address")]
        pub global_ipv6_address: String,
        #[serde(rename = "GlobalIPv6PrefixLen")]
        pub global_ipv6_prefix_len: u8,
        #[serde(rename = "DNSNames", serialize_with = "crate::null::if_empty")]
        pub dns_names: Vec<String>,
    }

    /// Addresses asked for.
    pub struct EndpointIpamConfig {
        #[serde(rename = "IPv4Address", skip_serializing_if = "crate::null::is_empty")]
        pub ipv4_address: String,
        #[serde(rename = "IPv6Address", skip_serializing_if = "crate::null::is_empty")]
        pub ipv6_address: String,
        #[serde(rename = "LinkLocalIPs", skip_serializing_if = "crate::null::is_empty")]
        pub link_local_ips: Vec<String>,
    }

    /// A network as list and inspect show it.
    pub struct Network {
        pub name: String,
        pub id: String,
        pub created: String,
        /// `local`, `global` or `swarm`.
        pub scope: String,
        pub driver: String,
        #[serde(rename = "EnableIPv4")]
        pub enable_ipv4: bool,
        #[serde(rename = "EnableIPv6")]
        pub enable_ipv6: bool,
        #[serde(rename = "IPAM")]
        pub ipam: Ipam,
        pub internal: bool,
        pub attachable: bool,
        pub ingress: bool,
        pub config_from: ConfigReference,
        pub config_only: bool,
        /// By container id; empty in a list.
        pub containers: BTreeMap<String, EndpointResource>,
        pub options: BTreeMap<String, String>,
        pub labels: BTreeMap<String, String>,
    }

    /// A network's address management.
    pub struct Ipam {
        pub driver: String,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub options: BTreeMap<String, String>,
        pub config: Vec<IpamConfig>,
    }

    /// One pool.
    pub struct IpamConfig {
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub subnet: String,
        #[serde(rename = "IPRange", skip_serializing_if = "crate::null::is_empty")]
        pub ip_range: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub gateway: String,
        #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "crate::null::is_empty")]
        pub auxiliary_addresses: BTreeMap<String, String>,
    }

    /// The configuration-only network a network was made from.
    pub struct ConfigReference {
        pub network: String,
    }

    /// A container in a network's inspect.
    pub struct EndpointResource {
        pub name: String,
        #[serde(rename = "EndpointID")]
        pub endpoint_id: String,
        pub mac_address: String,
        /// With its prefix length.
        #[serde(rename = "IPv4Address")]
        pub ipv4_address: String,
        #[serde(rename = "IPv6Address")]
        pub ipv6_address: String,
    }

    /// Body of `POST /networks/create`.
    pub struct NetworkCreateRequest {
        pub name: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub check_duplicate: Option<bool>,
        pub driver: String,
        pub scope: String,
        #[serde(rename = "EnableIPv4", skip_serializing_if = "crate::null::is_empty")]
        pub enable_ipv4: Option<bool>,
        #[serde(rename = "EnableIPv6", skip_serializing_if = "crate::null::is_empty")]
        pub enable_ipv6: Option<bool>,
        #[serde(rename = "IPAM")]
        pub ipam: Option<Ipam>,
        pub internal: bool,
        pub attachable: bool,
        pub ingress: bool,
        pub config_only: bool,
        pub config_from: Option<ConfigReference>,
        pub options: BTreeMap<String, String>,
        pub labels: BTreeMap<String, String>,
    }

    /// Its answer.
    pub struct NetworkCreateResponse {
        pub id: String,
        pub warning: String,
    }

    /// Body of `POST /networks/{id}/connect`.
    pub struct NetworkConnectRequest {
        pub container: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub endpoint_config: Option<EndpointSettings>,
    }

    /// Body of `POST /networks/{id}/disconnect`.
    pub struct NetworkDisconnectRequest {
        pub container: String,
        pub force: bool,
    }

    /// Answer of `POST /networks/prune`.
    pub struct NetworksPruneResponse {
        #[serde(serialize_with = "crate::null::if_empty")]
        pub networks_deleted: Vec<String>,
    }
}
