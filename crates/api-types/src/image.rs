//! Images: list, inspect, history, removal, and the lines of load, import and pull.

use std::collections::BTreeMap;

use crate::container::StrSlice;
use crate::health::HealthConfig;
use crate::inspect::GraphDriverInfo;
use crate::port::ObjectSet;

wire! {
    /// One image of `GET /images/json`.
    pub struct ImageSummary {
        /// How many containers use it; -1 where it was not counted.
        pub containers: i64,
        /// Seconds since the epoch.
        pub created: i64,
        pub id: String,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub labels: BTreeMap<String, String>,
        pub parent_id: String,
        /// With `manifests=1`, since API 1.47.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub manifests: Vec<ManifestSummary>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub descriptor: Option<OciDescriptor>,
        pub repo_digests: Vec<String>,
        pub repo_tags: Vec<String>,
        /// -1 where it was not computed.
        pub shared_size: i64,
        pub size: i64,
        /// Before API 1.44.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub virtual_size: i64,
    }

    /// One manifest of an image's index.
    pub struct ManifestSummary {
        #[serde(rename = "ID")]
        pub id: String,
        pub descriptor: OciDescriptor,
        /// Whether all that it names is here.
        pub available: bool,
        pub size: ManifestSize,
        /// `image`, `attestation` or `unknown`.
        pub kind: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub image_data: Option<ManifestImage>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub attestation_data: Option<ManifestAttestation>,
    }

    /// Bytes of a manifest.
    pub struct ManifestSize {
        /// Compressed, as the registry has it.
        pub content: i64,
        pub total: i64,
    }

    /// A manifest of kind `image`.
    pub struct ManifestImage {
        pub platform: OciPlatform,
        /// Identifiers of the containers that use it.
        pub containers: Vec<String>,
        pub size: ManifestImageSize,
    }

    /// Bytes of what was unpacked.
    pub struct ManifestImageSize {
        pub unpacked: i64,
    }

    /// A manifest of kind `attestation`.
    pub struct ManifestAttestation {
        /// The digest of the manifest that it is about.
        #[serde(rename = "For")]
        pub about: String,
    }

    /// `GET /images/{name}/json`.
    pub struct ImageInspect {
        pub id: String,
        pub repo_tags: Vec<String>,
        pub repo_digests: Vec<String>,
        pub parent: String,
        pub comment: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub created: String,
        pub docker_version: String,
        pub author: String,
        pub config: Option<ImageConfig>,
        pub architecture: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub variant: String,
        pub os: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub os_version: String,
        pub size: i64,
        /// Before API 1.44.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub virtual_size: i64,
        pub graph_driver: GraphDriverInfo,
        #[serde(rename = "RootFS")]
        pub root_fs: RootFs,
        pub metadata: ImageMetadata,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub descriptor: Option<OciDescriptor>,
        /// With `manifests=1`, since API 1.48.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub manifests: Vec<ManifestSummary>,
    }

    /// The container defaults that an image carries.
    pub struct ImageConfig {
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub user: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub exposed_ports: ObjectSet,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub env: Vec<String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub entrypoint: StrSlice,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub cmd: StrSlice,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub volumes: ObjectSet,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub working_dir: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub labels: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub stop_signal: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub args_escaped: bool,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub healthcheck: Option<HealthConfig>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub on_build: Vec<String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub shell: StrSlice,
    }

    /// Diff ids of the layers, lowest first.
    pub struct RootFs {
        #[serde(rename = "Type")]
        pub kind: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub layers: Vec<String>,
    }

    /// What the engine notes about an image.
    pub struct ImageMetadata {
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub last_tag_time: String,
    }

    /// A content descriptor of the OCI image specification; camel case on the wire.
    pub struct OciDescriptor {
        #[serde(rename = "mediaType")]
        pub media_type: String,
        #[serde(rename = "digest")]
        pub digest: String,
        #[serde(rename = "size")]
        pub size: i64,
        #[serde(rename = "annotations", skip_serializing_if = "crate::null::is_empty")]
        pub annotations: BTreeMap<String, String>,
        #[serde(rename = "platform", skip_serializing_if = "crate::null::is_empty")]
        pub platform: Option<OciPlatform>,
    }

    /// A platform; lower case on the wire.
    pub struct OciPlatform {
        #[serde(rename = "architecture")]
        pub architecture: String,
        #[serde(rename = "os")]
        pub os: String,
        #[serde(rename = "os.version", skip_serializing_if = "crate::null::is_empty")]
        pub os_version: String,
        #[serde(rename = "variant", skip_serializing_if = "crate::null::is_empty")]
        pub variant: String,
    }

    /// One step of `GET /images/{name}/history`, newest first.
    pub struct ImageHistoryItem {
        pub comment: String,
        pub created: i64,
        pub created_by: String,
        /// `<missing>` where the step's image is not here.
        pub id: String,
        pub size: i64,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub tags: Vec<String>,
    }

    /// One line of `DELETE /images/{name}`: either member is empty.
    pub struct ImageDeleteResponseItem {
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub deleted: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub untagged: String,
    }

    /// `POST /commit`.
    pub struct CommitResponse {
        pub id: String,
    }

    /// Answer of `POST /images/prune`.
    pub struct ImagesPruneResponse {
        #[serde(serialize_with = "crate::null::if_empty")]
        pub images_deleted: Vec<ImageDeleteResponseItem>,
        pub space_reclaimed: u64,
    }

    /// One line of the streams of load, import, pull and push: Docker's `jsonmessage`, camel case.
    pub struct ProgressMessage {
        #[serde(rename = "stream", skip_serializing_if = "crate::null::is_empty")]
        pub stream: String,
        #[serde(rename = "status", skip_serializing_if = "crate::null::is_empty")]
        pub status: String,
        #[serde(rename = "progressDetail", skip_serializing_if = "crate::null::is_empty")]
        pub progress_detail: Option<ProgressDetail>,
        #[serde(rename = "progress", skip_serializing_if = "crate::null::is_empty")]
        pub progress: String,
        #[serde(rename = "id", skip_serializing_if = "crate::null::is_empty")]
        pub id: String,
        #[serde(rename = "errorDetail", skip_serializing_if = "crate::null::is_empty")]
        pub error_detail: Option<ProgressError>,
        /// The message of `error_detail` again.
        #[serde(rename = "error", skip_serializing_if = "crate::null::is_empty")]
        pub error: String,
        #[serde(rename = "aux", skip_serializing_if = "crate::null::is_empty")]
        pub aux: Option<serde_json::Value>,
    }

    /// How far a step has come, in bytes unless `units` says otherwise.
    pub struct ProgressDetail {
        #[serde(rename = "current", skip_serializing_if = "crate::null::is_empty")]
        pub current: i64,
        #[serde(rename = "total", skip_serializing_if = "crate::null::is_empty")]
        pub total: i64,
        #[serde(rename = "start", skip_serializing_if = "crate::null::is_empty")]
        pub start: i64,
        #[serde(rename = "hidecounts", skip_serializing_if = "crate::null::is_empty")]
        pub hide_counts: bool,
        #[serde(rename = "units", skip_serializing_if = "crate::null::is_empty")]
        pub units: String,
    }

    /// An error inside a stream whose status line has long been sent.
    pub struct ProgressError {
        #[serde(rename = "code", skip_serializing_if = "crate::null::is_empty")]
        pub code: i64,
        #[serde(rename = "message", skip_serializing_if = "crate::null::is_empty")]
        pub message: String,
    }
}

impl ProgressMessage {
    /// A line that ends a stream with an error.
    pub fn error(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            error_detail: Some(ProgressError { code: 0, message: message.clone() }),
            error: message,
            ..Self::default()
        }
    }

    /// A line of plain text; load and build write those.
    pub fn stream(text: impl Into<String>) -> Self {
        Self { stream: text.into(), ..Self::default() }
    }

    /// A line that says what happens; import, pull and push write those.
    pub fn status(text: impl Into<String>) -> Self {
        Self { status: text.into(), ..Self::default() }
    }
}
