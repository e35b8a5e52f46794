//! What the daemon asks of a shim.
//!
//! The kernel's descriptors that belong to a request are named in it, in the order in which they
//! are sent with the frame: [`Request::descriptors`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use barge_oci::runtime::{LinuxResources, Process, Spec};
use serde::{Deserialize, Serialize};

/// One request. Written with the variant's name outside (`{"create": {…}}`) because that is parsed
/// without a copy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Make the container, up to the moment before its command runs: `Created`. Once per shim.
    Create(Box<Create>),
    /// Run its command: `Started`. May be sent before `Created` has come back.
    Start,
    /// Run one more process in it: `ExecStarted`.
    Exec(Box<Exec>),
    /// Add a stream to the container's stdio; takes one descriptor: `Ok`.
    Attach(AttachStreams),
    /// Set the size of a terminal: `Ok`.
    Resize {
        /// The exec whose terminal it is; the container's when there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exec_id: Option<String>,
        /// The size.
        size: ConsoleSize,
    },
    /// Send a signal: `Ok`.
    Signal {
        /// The signal's number.
        signal: u8,
        /// To whom.
        target: SignalTarget,
    },
    /// Freeze every process: `Ok`.
    Pause,
    /// Let them go on: `Ok`.
    Resume,
    /// Change limits: `Ok`.
    Update {
        /// What is to change; what is absent stays.
        resources: Box<LinuxResources>,
    },
    /// What the container uses: `Stats`.
    Stats,
    /// Close the write end of a process's stdin once what was read from its streams is written:
    /// `Ok`.
    CloseStdin {
        /// The exec; the container when there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exec_id: Option<String>,
    },
    /// How the container is: `State`.
    State,
    /// The processes in it: `Pids`.
    Pids,
    /// Send events to this connection from now on: `State`, as it is at that very moment.
    Subscribe,
    /// The daemon has recorded the exit (or gives up a container that was never started, which is
    /// killed): `Ok`. The shim drains what is left, cleans up and goes, which ends the connection.
    Shutdown,
}

impl Request {
    /// How many descriptors are sent with this request.
    pub fn descriptors(&self) -> usize {
        match self {
            Self::Create(create) => create.descriptors.len(),
            Self::Exec(exec) => exec.streams.len(),
            Self::Attach(_) => 1,
            Self::Start
            | Self::Resize { .. }
            | Self::Signal { .. }
            | Self::Pause
            | Self::Resume
            | Self::Update { .. }
            | Self::Stats
            | Self::CloseStdin { .. }
            | Self::State
            | Self::Pids
            | Self::Subscribe
            | Self::Shutdown => 0,
        }
    }
}

/// Everything a shim needs to know to make its container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Create {
    /// The container's id.
    pub id: String,
    /// What to run, and in what. `root.path` is the mounted root file system, an absolute path.
    pub spec: Box<Spec>,
    /// Where the process's stdin comes from, and whether it has a terminal.
    pub stdio: StdioConfig,
    /// What becomes of its output.
    pub log: LogConfig,
    /// Where its processes are counted.
    pub cgroup: CgroupConfig,
    /// Who is process 1.
    pub init: InitProcess,
    /// The container's folder for what does not survive a reboot; `exit.json` is written here. It
    /// exists.
    pub state_dir: PathBuf,
    /// Where the shim listens for later daemons. Its folder exists; a leftover socket is replaced.
    pub socket_path: PathBuf,
    /// The `barge-runtime` program.
    pub runtime_path: PathBuf,
    /// The OCI runtime that makes the container instead of ours. The specification is then complete: user and groups
    /// are numbers, the seccomp profile is in it, and `init` is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_runtime: Option<OtherRuntime>,
    /// What the descriptors sent along are, in their order.
    #[serde(default)]
    pub descriptors: Vec<Descriptor>,
}

/// Another OCI runtime: a program with runc's command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherRuntime {
    /// The program.
    pub path: PathBuf,
    /// Arguments before those of a verb.
    #[serde(default)]
    pub arguments: Vec<String>,
}

/// What a descriptor sent along with `Create` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Descriptor {
    /// The network namespace to join instead of what the spec says.
    NetworkNamespace,
    /// A mount namespace with nothing in it, of which the container's is to be a copy.
    BareMounts,
    /// A file (a sealed memfd) with the compiled seccomp filter: an array of `struct sock_filter`
    /// from offset 0. It takes the place of the spec's `linux.seccomp`, for the container and for
    /// every exec in it.
    SeccompFilter,
    /// A stream socket that is attached before the container starts.
    Stream(AttachStreams),
}

/// What of a process's stdio goes over one attached stream.
///
/// The shim writes what a Docker client wants: raw bytes for a terminal, otherwise frames with the
/// 8-byte header `{1|2, 0, 0, 0, length in big endian}`. It reads raw stdin. A half-closed stream
/// (end of file on stdin) goes on getting output. The shim closes it when the process is gone and
/// all of its output is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AttachStreams {
    /// Bytes read from the stream go to the process.
    #[serde(default)]
    pub stdin: bool,
    /// The process's standard output is written to the stream.
    #[serde(default)]
    pub stdout: bool,
    /// The process's standard error is written to the stream; nothing of it has an own way when
    /// there is a terminal.
    #[serde(default)]
    pub stderr: bool,
}

/// How a process's stdin, stdout and stderr are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StdioConfig {
    /// What stdin is.
    pub stdin: StdinMode,
    /// A terminal of this size (0×0 leaves the kernel's) instead of three pipes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<ConsoleSize>,
}

/// What stdin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StdinMode {
    /// `/dev/null` (`OpenStdin` is false).
    Null,
    /// Stays open when an attached stream ends (`OpenStdin`).
    Open,
    /// Closed when the first attached stream with stdin ends (`OpenStdin` and `StdinOnce`). With a
    /// terminal there is nothing to close, and it is as `Open`.
    Once,
}

/// The size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// What becomes of a container's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// The driver's name: `json-file`, `none`, `syslog` and so on.
    pub driver: String,
    /// The file, for a driver that writes one or has a cache.
    pub path: PathBuf,
    /// The driver's options, as the user gave them.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// What is written with every line: the outcome of the options `labels`, `labels-regex`, `env`,
    /// `env-regex` and `tag`, which the daemon works out (`barge_logdriver::attributes`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Whose output it is, for drivers that tell others.
    #[serde(default)]
    pub origin: LogOrigin,
}

/// What remote log drivers tell of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogOrigin {
    /// The whole id.
    pub id: String,
    /// The name, without `/`.
    pub name: String,
    /// The image's whole id, with `sha256:`.
    pub image_id: String,
    /// The name by which the image was chosen.
    pub image_name: String,
    /// Entry point and arguments.
    pub command: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The outcome of the option `tag`, or its default.
    pub tag: String,
}

/// Where a container's processes are counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupConfig {
    /// The path below the mount point of each hierarchy: `barge/<id>`. The limits are the spec's
    /// `linux.resources`; this takes the place of `linux.cgroupsPath`.
    pub path: String,
    /// Whether it was made ahead for this container; otherwise what is there of this name is somebody's leftover.
    #[serde(default)]
    pub is_made: bool,
}

/// Who is process 1 of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitProcess {
    /// The command itself.
    #[default]
    Command,
    /// A small init that reaps orphans and forwards signals, with the command as its child
    /// (`--init`).
    Reaper,
}

/// One more process in the container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Exec {
    /// The exec's id.
    pub exec_id: String,
    /// What to run, as whom.
    pub process: Box<Process>,
    /// How its stdio is made. Without streams its output is drained and dropped; nothing of it is
    /// logged.
    pub stdio: StdioConfig,
    /// What goes over each of the stream sockets sent along.
    #[serde(default)]
    pub streams: Vec<AttachStreams>,
    /// What the shim keeps of it for a daemon that comes later; it means nothing to the shim.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Who gets a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignalTarget {
    /// The container's first process.
    Init,
    /// The process of this exec.
    Exec(String),
    /// Every process of the container.
    All,
}
