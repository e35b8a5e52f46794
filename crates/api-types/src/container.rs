//! Containers: create, list, wait, top, update, prune.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use crate::edit::ContainerEdit;
use crate::health::HealthConfig;
use crate::host_config::{HostConfig, Resources, RestartPolicy};
use crate::image::OciDescriptor;
use crate::mount::MountPoint;
use crate::network::EndpointSettings;
use crate::port::{ObjectSet, PortSummary};

wire! {
    /// What the image's configuration also holds: Docker's `Config`.
    pub struct ContainerConfig {
        pub hostname: String,
        pub domainname: String,
        pub user: String,
        pub attach_stdin: bool,
        pub attach_stdout: bool,
        pub attach_stderr: bool,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub exposed_ports: ObjectSet,
        pub tty: bool,
        pub open_stdin: bool,
        pub stdin_once: bool,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub env: Vec<String>,
        /// `None` inherits the image's; an empty list does too.
        pub cmd: Option<StrSlice>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub healthcheck: Option<HealthConfig>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub args_escaped: bool,
        pub image: String,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub volumes: ObjectSet,
        pub working_dir: String,
        /// `None` inherits the image's; an empty list or `[""]` resets it.
        pub entrypoint: Option<StrSlice>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub network_disabled: bool,
        /// Before API 1.44; then the endpoint's.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub mac_address: String,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub on_build: Vec<String>,
        pub labels: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub stop_signal: String,
        /// Seconds; negative waits for ever.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub stop_timeout: Option<i64>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub shell: StrSlice,
    }

    /// Body of `POST /containers/create`: a [`ContainerConfig`] and two members more.
    pub struct ContainerCreateRequest {
        pub host_config: HostConfig,
        pub networking_config: NetworkingConfig,
        flatten {
            pub config: ContainerConfig,
        }
    }

    /// Endpoints by network name or id.
    pub struct NetworkingConfig {
        pub endpoints_config: BTreeMap<String, Option<EndpointSettings>>,
    }

    /// Answer of `POST /containers/create`.
    pub struct ContainerCreateResponse {
        pub id: String,
        pub warnings: Vec<String>,
    }

    /// One container of `GET /containers/json`.
    pub struct ContainerSummary {
        pub id: String,
        /// With a leading slash.
        pub names: Vec<String>,
        pub image: String,
        #[serde(rename = "ImageID")]
        pub image_id: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub image_manifest_descriptor: Option<OciDescriptor>,
        pub command: String,
        /// Seconds since the epoch.
        pub created: i64,
        pub ports: Vec<PortSummary>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub size_rw: i64,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub size_root_fs: i64,
        pub labels: BTreeMap<String, String>,
        /// `running`, `exited`, …
        pub state: String,
        /// `Up 2 minutes`, `Exited (0) 3 hours ago`.
        pub status: String,
        pub host_config: SummaryHostConfig,
        pub network_settings: SummaryNetworkSettings,
        pub mounts: Vec<MountPoint>,
    }

    /// The part of `HostConfig` that a list shows.
    pub struct SummaryHostConfig {
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub network_mode: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub annotations: BTreeMap<String, String>,
    }

    /// The part of `NetworkSettings` that a list shows.
    pub struct SummaryNetworkSettings {
        pub networks: BTreeMap<String, EndpointSettings>,
    }

    /// Answer of `POST /containers/{id}/wait`.
    pub struct ContainerWaitResponse {
        pub status_code: i64,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub error: Option<WaitExitError>,
    }

    /// Why the wait itself failed.
    pub struct WaitExitError {
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub message: String,
    }

    /// Answer of `GET /containers/{id}/top`.
    pub struct ContainerTopResponse {
        pub titles: Vec<String>,
        pub processes: Vec<Vec<String>>,
    }

    /// Body of `POST /containers/{id}/update`: [`Resources`], the restart policy, and barge's own member.
    pub struct ContainerUpdateRequest {
        pub restart_policy: RestartPolicy,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub edit: ContainerEdit,
        flatten {
            pub resources: Resources,
        }
    }

    /// Its answer.
    pub struct ContainerUpdateResponse {
        pub warnings: Vec<String>,
    }

    /// Answer of `POST /containers/prune`.
    pub struct ContainersPruneResponse {
        #[serde(serialize_with = "crate::null::if_empty")]
        pub containers_deleted: Vec<String>,
        pub space_reclaimed: u64,
    }

    /// One line of `GET /containers/{id}/changes`.
    pub struct FilesystemChange {
        /// 0 changed, 1 added, 2 deleted.
        pub kind: u8,
        pub path: String,
    }

    /// `X-Docker-Container-Path-Stat`, base64 of this; lower case on the wire.
    pub struct PathStat {
        #[serde(rename = "name")]
        pub name: String,
        #[serde(rename = "size")]
        pub size: i64,
        /// Go's `fs.FileMode`, not `st_mode`.
        #[serde(rename = "mode")]
        pub mode: u32,
        #[serde(rename = "mtime")]
        pub mtime: String,
        #[serde(rename = "linkTarget")]
        pub link_target: String,
    }
}

/// A command: a list of words, or (as Docker accepts it) one string, which is a list of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct StrSlice(pub Vec<String>);

impl<'de> serde::Deserialize<'de> for StrSlice {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged, expecting = "expected a string or a list of strings")]
        enum Form {
            List(Vec<String>),
            Word(String),
        }
        Ok(match serde::Deserialize::deserialize(deserializer)? {
            Form::List(words) => Self(words),
            Form::Word(word) => Self(vec![word]),
        })
    }
}

impl Deref for StrSlice {
    type Target = Vec<String>;
    fn deref(&self) -> &Vec<String> {
        &self.0
    }
}

impl DerefMut for StrSlice {
    fn deref_mut(&mut self) -> &mut Vec<String> {
        &mut self.0
    }
}

impl From<Vec<String>> for StrSlice {
    fn from(words: Vec<String>) -> Self {
        Self(words)
    }
}

impl From<StrSlice> for Vec<String> {
    fn from(words: StrSlice) -> Self {
        words.0
    }
}
