//! What is asked of a build, valid by construction where types can say it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use barge_archive::compression::Compression;
use barge_image::LayoutName;
use barge_types::{Platform, Reference};

use crate::error::{BuildError, Result};
use crate::provenance::{Material, ProvenanceOptions};
use crate::runner::StepNetwork;
use crate::sources::Pull;

const MULTI_PLATFORM: &str = "BUILDKIT_MULTI_PLATFORM";

/// One build.
#[derive(Clone, Debug, Default)]
pub struct BuildRequest {
    /// What the engine knows this build by when it is asked for images: whose credentials are used.
    pub client: String,
    /// The files that `COPY` and `ADD` see.
    pub context: Context,
    /// Where the Dockerfile is.
    pub dockerfile: DockerfileSource,
    /// `--build-context`, by name.
    pub named_contexts: BTreeMap<String, NamedContext>,
    /// `--target`.
    pub target: Option<String>,
    /// `--build-arg`; without a value the argument is left to its default.
    pub build_args: BTreeMap<String, Option<String>>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--annotation`.
    pub annotations: BTreeMap<String, String>,
    /// `-t`.
    pub tags: Vec<Reference>,
    /// `--platform`; the daemon's own when empty.
    pub platforms: Vec<Platform>,
    /// `--pull`.
    pub pull: Pull,
    /// What of the cache is used.
    pub cache: CacheUse,
    /// `--network`.
    pub network: StepNetwork,
    /// `--allow security.insecure`.
    pub allows_insecure: bool,
    /// `--allow network.host`.
    pub allows_host_network: bool,
    /// `--allow device`.
    pub devices: AllowedDevices,
    /// `--add-host`.
    pub extra_hosts: Vec<String>,
    /// Of every step.
    pub limits: Limits,
    /// `--secret`, by id.
    pub secrets: BTreeMap<String, Secret>,
    /// `--ssh`, by id: the agent's socket as the daemon can reach it.
    pub ssh: BTreeMap<String, PathBuf>,
    /// `--output`; the image store when empty.
    pub outputs: Vec<Output>,
    /// `--squash`.
    pub squash: bool,
    /// `SOURCE_DATE_EPOCH` in seconds: the time of everything that the build makes.
    pub epoch: Option<i64>,
    /// `--on-failure`.
    pub on_failure: OnFailure,
    /// `--call`.
    pub purpose: Purpose,
    /// `--attest type=provenance`.
    pub provenance: Option<ProvenanceOptions>,
    /// `--attest type=sbom`.
    pub sbom: Option<Sbom>,
    /// What the main context was fetched from, when it is not the client's.
    pub origin: Option<Material>,
}

/// Which devices steps may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedDevices {
    /// None.
    #[default]
    None,
    /// `device=NAME`: these.
    Named(Vec<String>),
    /// `device`: all.
    All,
}

/// Arguments that BuildKit knows without any `ARG`.
impl BuildRequest {
    /// Whether repositories that are contexts keep their `.git`.
    #[must_use]
    pub fn keeps_git_folders(&self) -> bool {
        self.is_on("BUILDKIT_CONTEXT_KEEP_GIT_DIR")
    }

    /// Whether the image says what its layers were made from, as `--cache-to type=inline` has it.
    pub(crate) fn has_inline_cache(&self) -> bool {
        self.is_on("BUILDKIT_INLINE_CACHE")
    }

    /// Whether one platform is treated as several.
    pub(crate) fn is_multi_platform(&self) -> bool {
        self.is_on(MULTI_PLATFORM)
    }

    /// Refuses what would have no effect: the image of one platform has no index.
    pub(crate) fn check(&self) -> Result<()> {
        let is_files = |output: &Output| output.kind == OutputKind::Files;
        let has_image = self.outputs.is_empty() || !self.outputs.iter().all(is_files);
        if has_image && self.platforms.len() < 2 && self.is_multi_platform() {
            let text = format!("{MULTI_PLATFORM} for the image of one platform");
            return Err(BuildError::Unsupported(text));
        }
        let is_nameless = |output: &Output| {
            output.kind == OutputKind::Registry && output.names.is_empty() && self.tags.is_empty()
        };
        if self.outputs.iter().any(is_nameless) {
            // BuildKit's words.
            return Err(BuildError::Invalid("tag is needed when pushing to registry".to_owned()));
        }
        let is_attested = self.provenance.is_some() || self.sbom.is_some();
        if is_attested && self.outputs.iter().any(crate::execute::is_silent) {
            return Err(BuildError::Invalid(
                "an output of type docker has no place for attestations: expected type=oci"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// The name of the host that steps see.
    pub(crate) fn hostname(&self) -> Option<&str> {
        self.argument("BUILDKIT_SANDBOX_HOSTNAME")
    }

    /// What the ids of cache mounts are parted by.
    pub(crate) fn mount_namespace(&self) -> Option<&str> {
        self.argument("BUILDKIT_CACHE_MOUNT_NS")
    }

    fn argument(&self, name: &str) -> Option<&str> {
        self.build_args.get(name)?.as_deref().filter(|value| !value.is_empty())
    }

    fn is_on(&self, name: &str) -> bool {
        let given = self.argument(name);
        given.is_some_and(|value| matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"))
    }
}

/// `--attest type=sbom`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sbom {
    /// `generator`: the image that looks at the result.
    pub generator: String,
}

/// What becomes of a step that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Nothing is left.
    #[default]
    Discard,
    /// An image of its files is kept, for a shell.
    KeepImage,
}

/// What for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To build.
    #[default]
    Build,
    /// To look at the Dockerfile only.
    Check,
    /// To list its stages.
    Targets,
    /// To list what the target uses.
    Outline,
}

/// The main context.
#[derive(Clone, Debug, Default)]
pub enum Context {
    /// There is none (a Dockerfile on its own).
    #[default]
    None,
    /// A folder that the daemon reads: the client's own, or what was unpacked of an archive.
    Folder {
        /// Where.
        path: PathBuf,
        /// What keeps checksums of its files from build to build: a name for the folder that stays the same.
        identity: String,
    },
}

/// Where a Dockerfile is.
#[derive(Clone, Debug)]
pub enum DockerfileSource {
    /// A path in the context.
    InContext(String),
    /// Its text, with the name to show, and of the ignore file beside it.
    Text {
        /// For errors.
        name: String,
        /// The Dockerfile.
        text: String,
        /// `<Dockerfile>.dockerignore`, when there is one.
        ignore: Option<String>,
    },
}

impl Default for DockerfileSource {
    fn default() -> Self {
        Self::InContext("Dockerfile".to_owned())
    }
}

/// A `--build-context`.
#[derive(Clone, Debug)]
pub enum NamedContext {
    /// A folder.
    Folder(PathBuf),
    /// `docker-image://…`.
    Image(String),
    /// `https://…` of an archive or a git repository.
    Url(String),
    /// `target:…`: another stage.
    Stage(String),
    /// `oci-layout://…`: an image of an OCI layout.
    Layout {
        /// The layout.
        folder: PathBuf,
        /// Which one.
        image: LayoutName,
    },
}

/// What of the cache is used.
#[derive(Clone, Debug, Default)]
pub struct CacheUse {
    /// `--no-cache`.
    pub is_off: bool,
    /// `--no-cache-filter`: stages without cache.
    pub off_for: Vec<String>,
    /// `--cache-from`.
    pub from: Vec<CacheRemote>,
    /// `--cache-to`.
    pub to: Vec<CacheExport>,
}

/// A `--cache-to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheExport {
    /// Where.
    pub to: CacheRemote,
    /// `mode=`.
    pub mode: CacheMode,
    /// `compression=`, of a folder's layers: none, gzip or zstd.
    pub compression: Compression,
    /// Whether a cache that cannot be written is a warning (`ignore-error`).
    pub ignores_errors: bool,
}

/// What of a build is kept elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// The layers of the result.
    #[default]
    Min,
    /// Those of all stages.
    Max,
}

/// A cache that is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheRemote {
    /// In an image that is here, or pulled (`type=inline`, or a plain reference).
    Image(String),
    /// `type=inline` of `--cache-to`.
    Inline,
    /// `type=local`: a folder as the daemon can reach it.
    Folder(PathBuf),
    /// `type=registry`.
    Registry(String),
}

/// A secret's bytes; never shown.
#[derive(Clone, Default)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Limits of every step; 0 or empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub memory: i64,
    /// Bytes of memory and swap together; -1 for no limit.
    pub memory_swap: i64,
    /// Relative weight.
    pub cpu_shares: u64,
    /// Microseconds.
    pub cpu_period: u64,
    /// Microseconds.
    pub cpu_quota: i64,
    /// As `0-1`.
    pub cpuset_cpus: String,
    /// As `0`.
    pub cpuset_mems: String,
    /// `name=soft:hard`.
    pub ulimits: Vec<String>,
    /// Bytes of `/dev/shm`.
    pub shm_size: u64,
    /// `--cgroup-parent`.
    pub cgroup_parent: String,
    /// `--security-opt`.
    pub security_options: Vec<String>,
}

/// A `--output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What is made.
    pub kind: OutputKind,
    /// `name=`, for those that have one.
    pub names: Vec<Reference>,
    /// Other `key=value`.
    pub options: BTreeMap<String, String>,
}

/// `type=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// Into the image store (`image`, and `docker` without a destination).
    Image,
    /// The files of the result: `local` and `tar`, fetched as an archive.
    Files,
    /// An OCI layout as an archive.
    Oci,
    /// What `docker load` reads.
    Docker,
    /// Into the image store and then pushed.
    Registry,
}
