//! Exec: a further process in a running container.

use crate::container::StrSlice;

wire! {
    /// Body of `POST /containers/{id}/exec`.
    pub struct ExecCreateRequest {
        pub user: String,
        pub privileged: bool,
        pub tty: bool,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub console_size: Option<[u16; 2]>,
        pub attach_stdin: bool,
        pub attach_stderr: bool,
        pub attach_stdout: bool,
        pub detach: bool,
        pub detach_keys: String,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub env: Vec<String>,
        pub working_dir: String,
        #[serde(serialize_with = "crate::null::if_empty")]
        pub cmd: StrSlice,
    }

    /// Its answer.
    pub struct ExecCreateResponse {
        pub id: String,
    }

    /// Body of `POST /exec/{id}/start`.
    pub struct ExecStartRequest {
        pub detach: bool,
        pub tty: bool,
        /// Height, width.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub console_size: Option<[u16; 2]>,
    }

    /// Answer of `GET /exec/{id}/json`.
    pub struct ExecInspect {
        #[serde(rename = "ID")]
        pub id: String,
        pub running: bool,
        /// `null` while it has not ended.
        pub exit_code: Option<i64>,
        pub process_config: ExecProcessConfig,
        pub open_stdin: bool,
        pub open_stderr: bool,
        pub open_stdout: bool,
        pub can_remove: bool,
        #[serde(rename = "ContainerID")]
        pub container_id: String,
        pub detach_keys: String,
        pub pid: i64,
    }

    /// What an exec runs; lower case on the wire.
    pub struct ExecProcessConfig {
        #[serde(rename = "tty")]
        pub tty: bool,
        #[serde(rename = "entrypoint")]
        pub entrypoint: String,
        #[serde(rename = "arguments")]
        pub arguments: Vec<String>,
        #[serde(rename = "privileged", skip_serializing_if = "crate::null::is_empty")]
        pub privileged: Option<bool>,
        #[serde(rename = "user", skip_serializing_if = "crate::null::is_empty")]
        pub user: String,
    }
}
