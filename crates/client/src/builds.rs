//! Builds: started, followed, their results fetched, their cache pruned.
//!
//! A build of ours takes two calls: what does not fit into the query of `POST /build` (secrets,
//! open folders, outputs) goes ahead of it and is named by an id.

use std::collections::BTreeMap;
use std::fmt;

use barge_api_types::{AuthConfig, DiskUsage, Filters, Ulimit};
use barge_api_types::{
    BUILD_EVENTS, BuildCacheRecord, BuildEvent, BuildInputs, BuildInputsResponse,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde::Deserialize;
use serde::Serialize;

use crate::body::Upload;
use crate::connection::Client;
use crate::error::{ClientError, Result};
use crate::query::Path;
use crate::stream::{ByteStream, JsonStream};

/// Calls on builds.
#[derive(Clone, Copy, Debug)]
pub struct Builds<'a> {
    pub(crate) client: &'a Client,
}

/// The part of a build that Docker's API has words for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BuildOptions {
    /// `-t`.
    pub tags: Vec<String>,
    /// The path of the Dockerfile in the context; the daemon's default when empty.
    pub dockerfile: String,
    /// Where the daemon fetches the context.
    pub remote: Option<String>,
    /// What of earlier builds is used.
    pub cache: Caching,
    /// Whether base images are looked for anew.
    pub pull: Pulling,
    /// `--build-arg`; without a value the argument keeps its default.
    pub build_args: BTreeMap<String, Option<String>>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--target`.
    pub target: String,
    /// `--network`.
    pub network: String,
    /// `--add-host`.
    pub extra_hosts: Vec<String>,
    /// `--security-opt`.
    pub security: Vec<String>,
    /// Whether the image gets one layer only.
    pub layers: Layers,
    /// What becomes of containers between the steps.
    pub intermediate: Intermediate,
    /// Limits of each step.
    pub limits: BuildLimits,
}

/// What of earlier builds is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caching {
    /// What is there.
    #[default]
    Used,
    /// Nothing.
    Unused,
}

/// Whether base images are looked for anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pulling {
    /// Only those that are not there.
    #[default]
    Missing,
    /// All.
    Always,
}

/// What becomes of the layers of a build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layers {
    /// One per step.
    #[default]
    Kept,
    /// One in all.
    Squashed,
}

/// What becomes of containers between the steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Intermediate {
    /// Removed after a build that went well.
    #[default]
    Removed,
    /// Removed after every build.
    AlwaysRemoved,
    /// Kept.
    Kept,
}

/// Limits of each step of a build; 0 or empty for none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BuildLimits {
    /// Bytes.
    pub memory: i64,
    /// Bytes with swap; -1 for no limit.
    pub memory_swap: i64,
    /// Relative weight.
    pub cpu_shares: i64,
    /// Microseconds.
    pub cpu_period: i64,
    /// Microseconds.
    pub cpu_quota: i64,
    /// As `0-1`.
    pub cpuset_cpus: String,
    /// As `0`.
    pub cpuset_mems: String,
    /// Bytes of `/dev/shm`.
    pub shm_size: i64,
    /// Of processes.
    pub ulimits: Vec<Ulimit>,
    /// Where in the tree of control groups.
    pub cgroup_parent: String,
}

/// Credentials for the registries that a build may pull from, by name, as the header
/// `X-Registry-Config` carries them.
#[derive(Clone, Default)]
pub struct RegistryConfig(String);

impl RegistryConfig {
    /// The header for `credentials`.
    #[must_use]
    pub fn new(credentials: &BTreeMap<String, AuthConfig>) -> Self {
        // A map of structs of strings can always be written.
        let text = serde_json::to_vec(credentials).unwrap_or_else(|_| b"{}".to_vec());
        Self(URL_SAFE.encode(text))
    }

    fn header(&self) -> (&'static str, &str) {
        ("x-registry-config", if self.0.is_empty() { "e30=" } else { &self.0 })
    }
}

impl fmt::Debug for RegistryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistryConfig(…)")
    }
}

/// Which records of the build cache go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BuildPruneOptions {
    /// Which kinds.
    pub which: Records,
    /// Bytes that may stay whatever their age; the daemon's default when 0.
    pub reserved_space: u64,
    /// Bytes that may stay at most; no such limit when 0.
    pub max_used_space: u64,
    /// Bytes that are to be free on the disk; no such aim when 0.
    pub min_free_space: u64,
    /// Which.
    pub filters: Filters,
}

/// Which kinds of records of the build cache are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Records {
    /// Those that nothing refers to.
    #[default]
    Dangling,
    /// All that are not in use.
    All,
}

/// What a prune of the build cache removed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RecordsPruned {
    /// Their identifiers.
    #[serde(deserialize_with = "barge_api_types::null::as_default")]
    pub caches_deleted: Vec<String>,
    /// Bytes.
    pub space_reclaimed: u64,
}

impl Builds<'_> {
    /// Says what a build needs beyond its options; gives the id to start it with.
    pub async fn prepare(self, inputs: &BuildInputs) -> Result<String> {
        let call = self.client.post(Path::new(&["build", "inputs"])).json(inputs)?;
        let answer: BuildInputsResponse = call.decode("answer to a build's inputs").await?;
        Ok(answer.id)
    }

    /// Starts a build that was prepared under `inputs`; `context` is the archive with its files,
    /// where it needs one. Dropping the stream ends the build.
    pub async fn start(
        self,
        inputs: &str,
        options: &BuildOptions,
        (credentials, context): (&RegistryConfig, Option<Upload>),
    ) -> Result<JsonStream<BuildEvent>> {
        let path = options.path()?.with("inputs", inputs);
        let call = self
            .client
            .post(path)
            .header(credentials.header())?
            .header(("accept", BUILD_EVENTS))?;
        let call = match context {
            Some(context) => call.upload(context),
            None => call,
        };
        Ok(JsonStream::new(call.stream().await?, "report of the build"))
    }

    /// Fetches what a build made for us: an archive.
    pub async fn output(self, build: &str, number: u32) -> Result<ByteStream> {
        let path = Path::new(&["build", "outputs", build, &number.to_string()]);
        self.client.get(path).stream().await
    }

    /// Removes records of the build cache.
    pub async fn prune(self, options: &BuildPruneOptions) -> Result<RecordsPruned> {
        let some = |bytes: u64| (bytes > 0).then_some(bytes);
        let path = Path::new(&["build", "prune"])
            .with_flag(("all", options.which == Records::All))
            // What daemons before API 1.48 call it.
            .with_some("keep-storage", some(options.reserved_space))
            .with_some("reserved-space", some(options.reserved_space))
            .with_some("max-used-space", some(options.max_used_space))
            .with_some("min-free-space", some(options.min_free_space))
            .with_filters(&options.filters);
        self.client.post(path).decode("list of removed records").await
    }

    /// The records of the build cache.
    pub async fn records(self) -> Result<Vec<BuildCacheRecord>> {
        let path = Path::new(&["system", "df"]).with("type", "build-cache");
        let usage: DiskUsage = self.client.get(path).decode("disk usage").await?;
        let records = serde_json::Value::Array(usage.build_cache.unwrap_or_default());
        serde_json::from_value(records).map_err(ClientError::decode("records of the build cache"))
    }
}

impl BuildOptions {
    /// The call, in the words of Docker's API.
    fn path(&self) -> Result<Path> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut path = Path::new(&["build"]);
        for tag in &self.tags {
            path = path.with("t", tag);
        }
        path = path
            .with_some("dockerfile", text(&self.dockerfile))
            .with_some("remote", self.remote.as_deref())
            .with_flag(("nocache", self.cache == Caching::Unused))
            .with_flag(("pull", self.pull == Pulling::Always))
            .with_flag(("squash", self.layers == Layers::Squashed))
            .with("rm", u8::from(self.intermediate != Intermediate::Kept))
            .with_flag(("forcerm", self.intermediate == Intermediate::AlwaysRemoved))
            .with_some("target", text(&self.target))
            .with_some("networkmode", text(&self.network))
            .with_some("buildargs", object(&self.build_args, self.build_args.len())?)
            .with_some("labels", object(&self.labels, self.labels.len())?)
            .with_some("securityopt", object(&self.security, self.security.len())?);
        if !self.extra_hosts.is_empty() {
            path = path.with("extrahosts", self.extra_hosts.join(","));
        }
        self.limits.add_to(path)
    }
}

impl BuildLimits {
    fn add_to(&self, path: Path) -> Result<Path> {
        let number = |number: i64| (number != 0).then_some(number);
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(path
            .with_some("memory", number(self.memory))
            .with_some("memswap", number(self.memory_swap))
            .with_some("cpushares", number(self.cpu_shares))
            .with_some("cpuperiod", number(self.cpu_period))
            .with_some("cpuquota", number(self.cpu_quota))
            .with_some("cpusetcpus", text(&self.cpuset_cpus))
            .with_some("cpusetmems", text(&self.cpuset_mems))
            .with_some("shmsize", number(self.shm_size))
            .with_some("ulimits", object(&self.ulimits, self.ulimits.len())?)
            .with_some("cgroupparent", text(&self.cgroup_parent)))
    }
}

/// A parameter that is a document; none for one without anything in it.
fn object(value: &impl Serialize, length: usize) -> Result<Option<String>> {
    if length == 0 {
        return Ok(None);
    }
    serde_json::to_string(value).map(Some).map_err(ClientError::decode("build options"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_the_names_of_dockers_api() {
        let options = BuildOptions {
            tags: vec!["a:1".to_owned(), "b".to_owned()],
            dockerfile: "sub/Dockerfile".to_owned(),
            cache: Caching::Unused,
            pull: Pulling::Always,
            build_args: [("A".to_owned(), Some("1".to_owned())), ("B".to_owned(), None)].into(),
            layers: Layers::Squashed,
            extra_hosts: vec!["h:1.2.3.4".to_owned(), "i:::1".to_owned()],
            limits: BuildLimits { memory: 7, memory_swap: -1, ..BuildLimits::default() },
            ..BuildOptions::default()
        };
        assert_eq!(
            options.path().unwrap().as_str(),
            "/build?t=a%3A1&t=b&dockerfile=sub%2FDockerfile&nocache=1&pull=1&squash=1&rm=1&\
             buildargs=%7B%22A%22%3A%221%22%2C%22B%22%3Anull%7D&\
             extrahosts=h%3A1.2.3.4%2Ci%3A%3A%3A1&memory=7&memswap=-1"
        );
        assert_eq!(BuildOptions::default().path().unwrap().as_str(), "/build?rm=1");
    }

    #[test]
    fn credentials_are_not_shown() {
        let auth = AuthConfig { password: "secret".to_owned(), ..AuthConfig::default() };
        let config = RegistryConfig::new(&[("h".to_owned(), auth)].into());
        assert_eq!(format!("{config:?}"), "RegistryConfig(…)");
        assert_eq!(RegistryConfig::default().header(), ("x-registry-config", "e30="));
    }
}
