//! Asks a daemon over its REST API: transport, typed calls, hijacked streams.
//!
//! Knows no terminal and no environment; the command line hands in the [`Host`]. One file per noun
//! of the API. There is no `_ping` before the first call: every path carries the newest
//! version, until a daemon refuses it by naming an older one.

mod archive;
mod body;
mod builds;
mod connection;
mod containers;
mod error;
mod exec;
mod hijack;
mod host;
mod images;
mod networks;
mod query;
mod registry;
mod request;
pub mod stdcopy;
mod stream;
mod system;
mod version;
mod volumes;

pub use archive::ExtractOptions;
pub use body::Upload;
pub use builds::{
    BuildLimits, BuildOptions, BuildPruneOptions, Builds, Caching, Intermediate, Layers, Pulling,
    Records, RecordsPruned, RegistryConfig,
};
pub use connection::{Client, Transport};
pub use containers::{
    AttachOptions, CommitOptions, Containers, ListOptions, LogsOptions, RemoveOptions, Sizes,
    StopOptions, Wait, WaitFor,
};
pub use error::{ClientError, Result};
pub use exec::Execs;
pub use hijack::{Hijacked, HijackedReader, HijackedWriter};
pub use host::{Host, HostError};
pub use http::StatusCode;
pub use images::{
    ImageListOptions, ImageRemoveOptions, Images, ImportOptions, PullOptions, PushOptions,
    Verbosity,
};
pub use networks::{Networks, NetworksPruned};
pub use registry::{Registry, RegistryAuth, SearchOptions};
pub use stream::{ByteStream, JsonStream};
pub use system::{EventsOptions, System};
pub use version::ApiVersion;
pub use volumes::{VolumeRemoval, Volumes};
