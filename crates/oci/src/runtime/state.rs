//! The state of a container, as `state` prints it and hooks read it on stdin.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::serde_go::{is_default, null_as_default};

/// What a runtime tells about a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of the specification.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Where it is in its life.
    pub status: ContainerStatus,
    /// Its first process as the host sees it; absent when there is none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pid: u32,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// As in the bundle.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerStatus {
    /// Being made.
    Creating,
    /// Made, the user's process not yet run.
    Created,
    /// The user's process runs.
    Running,
    /// Frozen; not in the specification, but printed by runc and understood by its callers.
    Paused,
    /// The process has exited.
    Stopped,
}
