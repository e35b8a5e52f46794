//! What registries say through the daemon: `GET /images/search`, `GET /distribution/{name}/json`.

use crate::image::{OciDescriptor, OciPlatform};

wire! {
    /// One line of `GET /images/search`; snake case on the wire.
    pub struct ImageSearchResult {
        #[serde(rename = "star_count")]
        pub star_count: i64,
        #[serde(rename = "is_official")]
        pub is_official: bool,
        #[serde(rename = "name")]
        pub name: String,
        /// Always false since Docker Hub has no automated builds.
        #[serde(rename = "is_automated")]
        pub is_automated: bool,
        #[serde(rename = "description")]
        pub description: String,
    }

    /// `GET /distribution/{name}/json`: what a reference stands for in its registry.
    pub struct DistributionInspect {
        pub descriptor: OciDescriptor,
        /// One for each manifest of an index; one for a manifest.
        pub platforms: Vec<OciPlatform>,
    }
}
