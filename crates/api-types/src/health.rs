//! Health checks: what to run (durations in nanoseconds) and what came of it.

wire! {
    /// A health check of an image or container. `test` is empty (inherit), `["NONE"]`, `["CMD", …]` or
    /// `["CMD-SHELL", command]`; zero durations and retries inherit.
    pub struct HealthConfig {
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub test: Vec<String>,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub interval: i64,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub timeout: i64,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub start_period: i64,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub start_interval: i64,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub retries: i64,
    }

    /// `State.Health` of a container that has a health check.
    pub struct Health {
        /// `starting`, `healthy`, `unhealthy` or `none`.
        pub status: String,
        pub failing_streak: i64,
        pub log: Vec<HealthcheckResult>,
    }

    /// One run of a health check.
    pub struct HealthcheckResult {
        pub start: String,
        pub end: String,
        pub exit_code: i64,
        pub output: String,
    }
}
