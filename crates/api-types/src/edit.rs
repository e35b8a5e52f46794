//! Changes to a container that there is, beyond Docker's `update`: barge's own.

use std::collections::BTreeMap;

use crate::container::ContainerCreateRequest;
use crate::mount::Mount;
use crate::port::PortMap;

wire! {
    /// What `POST /containers/{id}/update` changes beside limits; what is absent stays.
    pub struct ContainerEdit {
        /// `NAME=VALUE`, instead of what the container has under that name.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub env_add: Vec<String>,
        /// Names.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub env_rm: Vec<String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub label_add: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub label_rm: Vec<String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub publish_add: PortMap,
        /// Ports of the container: `80/tcp`.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub publish_rm: Vec<String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub mount_add: Vec<Mount>,
        /// Paths in the container.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub mount_rm: Vec<String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub hostname: Option<String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub user: Option<String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub working_dir: Option<String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub stop_signal: Option<String>,
        /// Seconds; negative waits for ever.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub stop_timeout: Option<i64>,
    }

    /// Answer of `GET /containers/{id}/request`: what made the container, as it was asked.
    pub struct ContainerOrigin {
        pub name: String,
        pub request: ContainerCreateRequest,
        /// The same with everything that was changed since, what waits for the next start included.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub edited: Option<ContainerCreateRequest>,
        /// What no request can say, because the image says otherwise.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub differences: Vec<String>,
    }
}
