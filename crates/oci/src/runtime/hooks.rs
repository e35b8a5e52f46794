//! Hooks: programs that the runtime runs at points of a container's life.

use serde::{Deserialize, Serialize};

use crate::serde_go::{is_default, null_as_default};

/// The hooks of a container, by the point at which they run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hooks {
    /// Deprecated: in the runtime's namespace, before the user's process.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub prestart: Vec<Hook>,
    /// In the runtime's namespace, after the namespaces exist, before `pivot_root`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub create_runtime: Vec<Hook>,
    /// In the container's namespace, before `pivot_root`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub create_container: Vec<Hook>,
    /// In the container's namespace, before the user's process.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub start_container: Vec<Hook>,
    /// In the runtime's namespace, after the user's process started.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub poststart: Vec<Hook>,
    /// In the runtime's namespace, after the container was deleted.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub poststop: Vec<Hook>,
}

/// One program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Absolute path of the program.
    pub path: String,
    /// `argv`, with the program's name first.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub args: Vec<String>,
    /// `KEY=value`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub env: Vec<String>,
    /// Seconds until it is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}
