//! Volumes.

use std::collections::BTreeMap;

wire! {
    /// Body of `POST /volumes/create`.
    pub struct VolumeCreateRequest {
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub cluster_volume_spec: Option<serde_json::Value>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub driver: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub driver_opts: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub labels: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub name: String,
    }

    /// A volume.
    pub struct Volume {
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub created_at: String,
        pub driver: String,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub labels: BTreeMap<String, String>,
        pub mountpoint: String,
        pub name: String,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub options: BTreeMap<String, String>,
        /// `local` or `global`.
        pub scope: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub status: BTreeMap<String, serde_json::Value>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub usage_data: Option<VolumeUsage>,
    }

    /// Disk use of a volume; -1 where it is not known.
    pub struct VolumeUsage {
        pub ref_count: i64,
        pub size: i64,
    }

    /// Answer of `GET /volumes`.
    pub struct VolumeListResponse {
        pub volumes: Vec<Volume>,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub warnings: Vec<String>,
    }

    /// Answer of `POST /volumes/prune`.
    pub struct VolumesPruneResponse {
        #[serde(serialize_with = "crate::null::if_empty")]
        pub volumes_deleted: Vec<String>,
        pub space_reclaimed: u64,
    }
}
