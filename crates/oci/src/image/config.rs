//! The image configuration, the blob whose digest is the image id.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::serde_go::{is_default, null_as_default};

/// The configuration blob.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub author: String,
    /// Go's name of the processor, `amd64`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub architecture: String,
    /// Variant of the processor, `v8`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub variant: String,
    /// Go's name of the system, `linux`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub os: String,
    /// Version of the system.
    #[serde(
        rename = "os.version",
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "is_default"
    )]
    pub os_version: String,
    /// Features the system must have.
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "is_default"
    )]
    pub os_features: Vec<String>,
    /// Docker's message of a commit or import.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub comment: String,
    /// Docker's version of the engine that made it.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub docker_version: String,
    /// How a container of it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ContainerConfig>,
    /// The layers.
    pub rootfs: RootFs,
    /// How it came about, oldest first.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub history: Vec<History>,
    /// Fields not named above.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// The JSON object without fields, the value in Go's sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// How a container of an image runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerConfig {
    /// `user[:group]`, names or ids.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub user: String,
    /// `80/tcp`, a set.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// `KEY=value`.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub env: Vec<String>,
    /// Program and first arguments; absent and empty differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments, or the whole command without an entry point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Folders that become anonymous volumes, a set.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub volumes: BTreeMap<String, Empty>,
    /// Working folder.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// Signal that asks the process to stop.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub stop_signal: String,
    /// Seconds until the process is killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// How to see whether it is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Instructions for images built on this one.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub on_build: Vec<String>,
    /// Shell of the shell form.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub shell: Vec<String>,
    /// Windows: the command is one string already.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub args_escaped: bool,
    /// Fields not named above (`Hostname`, `AttachStdin`, … of Docker's).
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// How to see whether a container is well. Times are nanoseconds, 0 means inherited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `[]`, `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", text]`.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub test: Vec<String>,
    /// Between two checks.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub interval: i64,
    /// Until a check counts as failed.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub timeout: i64,
    /// In which failures do not count.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub start_period: i64,
    /// Between two checks during the start period.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub start_interval: i64,
    /// Failures in a row until the container is unhealthy.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub retries: i64,
}

/// The layers of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the uncompressed layers, lowest first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub diff_ids: Vec<String>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".to_owned(), diff_ids: Vec::new() }
    }
}

/// One step of an image's making.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub created_by: String,
    /// Who.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub author: String,
    /// Free text.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub comment: String,
    /// Whether the step made no layer.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub empty_layer: bool,
    /// Fields not named above.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}
