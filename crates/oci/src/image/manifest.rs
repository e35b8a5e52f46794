//! Manifest, index, descriptor and the marker file of an image layout.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::serde_go::{is_default, null_as_default};

/// The manifest of one image: its configuration and its layers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// What this is.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub media_type: String,
    /// What an artifact that is no image is.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub artifact_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free text.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
    /// Fields not named above.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// A list of manifests, one for each platform.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// What this is.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub media_type: String,
    /// What an artifact that is no image is.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub artifact_type: String,
    /// The manifests.
    #[serde(default, deserialize_with = "null_as_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free text.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
    /// Fields not named above.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// Names a blob: what it is, its digest and size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    #[serde(default, deserialize_with = "null_as_default")]
    pub media_type: String,
    /// `sha256:…`.
    pub digest: String,
    /// Bytes.
    #[serde(default)]
    pub size: i64,
    /// Other places to get it.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub urls: Vec<String>,
    /// Free text.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
    /// The blob itself, base64.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub data: String,
    /// What a manifest's image runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What an artifact that is no image is.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub artifact_type: String,
    /// Fields not named above.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// What an image runs on, as an index says it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Platform {
    /// Go's name of the processor.
    #[serde(default, deserialize_with = "null_as_default")]
    pub architecture: String,
    /// Go's name of the system.
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
    /// Variant of the processor.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub variant: String,
    /// Fields not named above.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// The file `oci-layout` that marks a folder or archive as an image layout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageLayout {
    /// `1.0.0`.
    pub image_layout_version: String,
}

impl Default for ImageLayout {
    fn default() -> Self {
        Self { image_layout_version: "1.0.0".to_owned() }
    }
}
