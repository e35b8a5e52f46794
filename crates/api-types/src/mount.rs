//! Mounts: what a request asks for (`--mount`) and what inspect shows.

use std::collections::BTreeMap;

wire! {
    /// One entry of `HostConfig.Mounts`.
    pub struct Mount {
        /// `bind`, `volume`, `tmpfs`, `image`, `npipe` or `cluster`.
        #[serde(rename = "Type", skip_serializing_if = "crate::null::is_empty")]
        pub kind: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub source: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub target: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub read_only: bool,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub consistency: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub bind_options: Option<BindOptions>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub volume_options: Option<VolumeOptions>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub image_options: Option<ImageOptions>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub tmpfs_options: Option<TmpfsOptions>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub cluster_options: Option<serde_json::Value>,
    }

    /// Options of a bind mount.
    pub struct BindOptions {
        /// `private`, `rprivate`, `shared`, `rshared`, `slave`, `rslave`.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub propagation: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub non_recursive: bool,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub create_mountpoint: bool,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub read_only_non_recursive: bool,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub read_only_force_recursive: bool,
    }

    /// Options of a volume mount.
    pub struct VolumeOptions {
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub no_copy: bool,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub labels: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub subpath: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub driver_config: Option<MountDriver>,
    }

    /// The volume driver of a volume that the mount makes.
    pub struct MountDriver {
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub name: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub options: BTreeMap<String, String>,
    }

    /// Options of an image mount.
    pub struct ImageOptions {
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub subpath: String,
    }

    /// Options of a tmpfs mount.
    pub struct TmpfsOptions {
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub size_bytes: i64,
        /// File mode of the mount point, as a decimal number on the wire.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub mode: u32,
        /// `[["noexec"], ["uid", "1000"]]`.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub options: Vec<Vec<String>>,
    }

    /// One entry of a container's `Mounts` in inspect and list.
    pub struct MountPoint {
        #[serde(rename = "Type", skip_serializing_if = "crate::null::is_empty")]
        pub kind: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub name: String,
        pub source: String,
        pub destination: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub driver: String,
        pub mode: String,
        #[serde(rename = "RW")]
        pub rw: bool,
        pub propagation: String,
    }
}
