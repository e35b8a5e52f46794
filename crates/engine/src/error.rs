//! What can go wrong in the engine, in the words that Docker's clients match on.
//!
//! `Display` says what and to what, without the cause; [`EngineError::message`] joins the chain for a client.

use std::error::Error as _;
use std::sync::Arc;

use barge_types::ErrorKind;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No container has this name, id or beginning of an id.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// More than one object's id begins so.
    #[error("multiple IDs found with provided prefix: {0}")]
    AmbiguousId(String),
    /// No exec has this id.
    #[error("No such exec instance: {0}")]
    NoSuchExec(String),
    /// Another container has the name.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameInUse {
        /// The name.
        name: String,
        /// Who has it.
        id: String,
    },
    /// A container cannot get the name that it is to have from now on.
    #[error("Error when allocating new name")]
    NewName {
        /// Why.
        source: Box<EngineError>,
    },
    /// The object is not in the state that the verb needs.
    #[error("{0}")]
    Conflict(String),
    /// The request says something that no state would allow.
    #[error("{0}")]
    Invalid(String),
    /// The named thing does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Barge does not have this.
    #[error("{0}")]
    NotImplemented(String),
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// Something did not happen in time.
    #[error("{0}")]
    Deadline(String),
    /// A container's command could not be run; the text is the runtime's.
    #[error(
        "failed to create task for container: failed to create shim task: OCI runtime create failed: {message}"
    )]
    Start {
        /// What, to what and why.
        message: String,
        /// The class.
        kind: barge_shim_api::FailureKind,
    },
    /// A container's log could not be opened; the text is the driver's.
    #[error("failed to initialize logging driver: {message}")]
    OpenLog {
        /// What, to what and why.
        message: String,
    },
    /// A process could not be run in a container.
    #[error("OCI runtime exec failed: exec failed: unable to start container process: {message}")]
    Exec {
        /// What, to what and why.
        message: String,
        /// The class.
        kind: barge_shim_api::FailureKind,
    },
    /// A shim did not do what it was asked.
    #[error("cannot {action}")]
    Shim {
        /// What was asked.
        action: &'static str,
        /// Its answer.
        source: barge_shim_api::Failure,
    },
    /// The connection to a shim broke.
    #[error("the shim of container {id} does not answer")]
    ShimGone {
        /// Whose shim.
        id: String,
    },
    /// A shim is there and says nothing.
    #[error("the shim of container {id} did not answer within {seconds} s")]
    ShimSilent {
        /// Whose shim.
        id: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The file system or the kernel refused.
    #[error("cannot {action} {what}")]
    Io {
        /// The verb.
        action: &'static str,
        /// The object.
        what: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// A record on disk is no record.
    #[error("cannot read record {path}")]
    Record {
        /// The file.
        path: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A build failed; all of its causes are in its text.
    #[error("{}", .0.chain())]
    Build(Box<barge_builder::BuildError>),
    /// There is nothing to build by; the text and the class are dockerd's.
    #[error("Cannot locate specified Dockerfile: {name}")]
    NoDockerfile {
        /// The path in the context.
        name: String,
    },
    /// The image store refused.
    #[error(transparent)]
    Image(#[from] barge_image::ImageError),
    /// An archive is wrong, or could not be written or extracted.
    #[error(transparent)]
    Archive(#[from] barge_archive::ArchiveError),
    /// The storage driver refused.
    #[error(transparent)]
    Storage(#[from] barge_storage::StorageError),
    /// The network refused.
    #[error(transparent)]
    Network(#[from] barge_network::NetworkError),
    /// The volume store refused.
    #[error(transparent)]
    Volume(#[from] barge_volume::VolumeError),
    /// The log could not be opened or read.
    #[error(transparent)]
    Log(#[from] barge_logdriver::LogError),
    /// The cgroups refused.
    #[error(transparent)]
    Cgroup(#[from] barge_cgroups::CgroupError),
    /// The seccomp profile is wrong.
    #[error(transparent)]
    Seccomp(#[from] barge_seccomp::SeccompError),
    /// The registry refused, or was not there.
    #[error(transparent)]
    Registry(#[from] barge_registry::RegistryError),
    /// The bytes that a registry sent for a layer are not the layer's; the text is dockerd's.
    #[error("filesystem layer verification failed for digest {digest}")]
    WrongLayer {
        /// The layer, as the manifest names it.
        digest: barge_types::Digest,
        /// What is wrong.
        source: Box<barge_image::ImageError>,
    },
    /// What several clients waited for failed.
    #[error(transparent)]
    Shared(Arc<EngineError>),
    /// Nobody waits for it any more.
    #[error("context canceled")]
    Cancelled,
    /// A blocking task was cancelled or panicked.
    #[error("an internal task did not end")]
    Task(#[from] tokio::task::JoinError),
}

/// What a verb of the engine gives.
pub type Result<T> = std::result::Result<T, EngineError>;

impl From<barge_builder::BuildError> for EngineError {
    fn from(error: barge_builder::BuildError) -> Self {
        Self::Build(Box::new(error))
    }
}

impl EngineError {
    /// Builds `map_err` closures: `.map_err(EngineError::io("create", &path))`.
    pub(crate) fn io(
        action: &'static str,
        what: impl AsRef<std::path::Path>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.as_ref().display().to_string();
        move |source| Self::Io { action, what, source }
    }

    /// The whole chain of causes, as the API's `message` carries it.
    #[must_use]
    pub fn message(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    /// The exit code that Docker shows for a command that could not be run; `otherwise` when the command was not what
    /// failed.
    pub(crate) fn exit_code(&self, otherwise: i32) -> i32 {
        use barge_shim_api::FailureKind as Failed;
        let (Self::Start { kind, .. } | Self::Exec { kind, .. }) = self else { return otherwise };
        match kind {
            Failed::CommandNotFound | Failed::BadWorkingDirectory => 127,
            Failed::CommandNotExecutable => 126,
            Failed::InvalidRequest | Failed::WrongState | Failed::NoSuchExec | Failed::System => {
                otherwise
            }
        }
    }

    /// The class, by which the API chooses the status code.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        use barge_shim_api::FailureKind as Failed;
        match self {
            Self::NoSuchContainer(_) | Self::NoSuchExec(_) | Self::NotFound(_) => {
                ErrorKind::NotFound
            }
            Self::AmbiguousId(_) | Self::Invalid(_) => ErrorKind::InvalidParameter,
            Self::NameInUse { .. } | Self::Conflict(_) => ErrorKind::Conflict,
            Self::NotImplemented(_) => ErrorKind::NotImplemented,
            Self::Forbidden(_) => ErrorKind::Forbidden,
            Self::Deadline(_) | Self::ShimSilent { .. } => ErrorKind::Deadline,
            Self::Start { kind, .. } | Self::Exec { kind, .. } => match kind {
                Failed::CommandNotFound
                | Failed::CommandNotExecutable
                | Failed::BadWorkingDirectory
                | Failed::InvalidRequest => ErrorKind::InvalidParameter,
                Failed::WrongState => ErrorKind::Conflict,
                Failed::NoSuchExec => ErrorKind::NotFound,
                Failed::System => ErrorKind::System,
            },
            Self::Shim { source, .. } => match source.kind {
                Failed::WrongState => ErrorKind::Conflict,
                Failed::NoSuchExec => ErrorKind::NotFound,
                Failed::InvalidRequest => ErrorKind::InvalidParameter,
                Failed::CommandNotFound
                | Failed::CommandNotExecutable
                | Failed::BadWorkingDirectory
                | Failed::System => ErrorKind::System,
            },
            Self::Cgroup(_)
            | Self::WrongLayer { .. }
            | Self::ShimGone { .. }
            | Self::Io { .. }
            | Self::Record { .. }
            | Self::NoDockerfile { .. }
            | Self::OpenLog { .. }
            | Self::Task(_) => ErrorKind::System,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Shared(error) => error.kind(),
            Self::NewName { source } => source.kind(),
            Self::Registry(error) => error.kind(),
            Self::Build(error) => error.kind(),
            Self::Image(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Storage(error) => error.kind(),
            Self::Network(error) => error.kind(),
            Self::Volume(error) => error.kind(),
            Self::Log(error) => match error {
                barge_logdriver::LogError::UnknownDriver(_)
                | barge_logdriver::LogError::UnknownOption { .. }
                | barge_logdriver::LogError::BadOption { .. } => ErrorKind::InvalidParameter,
                barge_logdriver::LogError::Unreachable { .. }
                | barge_logdriver::LogError::NoJournal
                | barge_logdriver::LogError::Io { .. } => ErrorKind::System,
            },
            Self::Seccomp(_) => ErrorKind::InvalidParameter,
        }
    }
}

/// The kernel's words for an error, as Go prints them: without the number that Rust adds.
pub(crate) fn os_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
