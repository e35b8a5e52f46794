//! The daemon's services: containers, images, networks, volumes, events.
//!
//! What it refuses to do: to speak HTTP (that is `api-server`), to make a namespace (that is the runtime, behind a
//! shim), and to hold a lock that all containers share. Wire types come in, are parsed once into settings that are
//! valid by construction, and become records on disk.

mod blocking;
mod bridge;
mod builds;
mod cdi;
mod compose;
mod containers;
mod disk;
mod disk_usage;
mod error;
mod events;
mod images;
mod names;
mod networks;
mod registries;
mod remap;
mod rollback;
mod runtimes;
mod seccomp;
mod shims;
mod system;
mod time;
mod volumes;

pub use barge_image::{Parents, Removal};
pub use barge_registry::Credentials;
pub use bridge::{Download, Upload};
pub use builds::{
    BuildForm, BuildLimits, BuildMessage, BuildPruneRequest, BuildQuery, BuildStart, BuildStream,
    Builds, OutputStream, RegistryCredentials,
};
pub use compose::{Engine, EngineConfig};
pub use containers::{
    AttachOptions, Attached, ContainerDefaults, Containers, ExecEnd, ExecStarted, ExtractOptions,
    Leaving, ListOptions, LogStream, LogsOptions, RealtimeBudget, RemoveOptions, Size, Started,
    StatsMode, StatsStream, StopOptions, Stopped, WaitCondition, Waiter,
};
pub use disk_usage::DiskKind;
pub use error::{EngineError, Result};
pub use events::{EventStream, Events, EventsOptions};
pub use images::{
    CommitPause, CommitRequest, ImageListOptions, Images, ImportRequest, LoadStream,
    ProgressStream, PullRequest, PushRequest, SaveStream, ShowManifests,
};
pub use networks::Networks;
pub use registries::{Registries, RegistryOptions, SearchOptions};
pub use runtimes::RuntimeConfig;
pub use system::{System, VERSION};
pub use volumes::{Missing, Volumes};
