//! Asks a daemon over its REST API: transport, typed calls, hijacked streams.
//!
//! Knows no terminal and no environment; the command line hands in the [`Host`]. One file per noun
//! of the API. There is no `_ping` before the first call: every path carries a fixed
//! [`API_VERSION`].

mod body;
mod connection;
mod containers;
mod error;
mod exec;
mod hijack;
mod host;
mod images;
mod networks;
mod query;
mod request;
pub mod stdcopy;
mod stream;
mod system;
mod volumes;

pub use body::Upload;
pub use connection::{Client, Transport};
pub use containers::{
    AttachOptions, Containers, ListOptions, LogsOptions, RemoveOptions, Sizes, StopOptions, Wait,
    WaitFor,
};
pub use error::{ClientError, Result};
pub use exec::Execs;
pub use hijack::{Hijacked, HijackedReader, HijackedWriter};
pub use host::{Host, HostError};
pub use http::StatusCode;
pub use images::{ImageListOptions, ImageRemoveOptions, Images, ImportOptions};
pub use networks::Networks;
pub use stream::{ByteStream, JsonStream};
pub use system::{EventsOptions, System};
pub use volumes::{VolumeRemoval, Volumes};

/// The version of the API that every path names.
pub const API_VERSION: &str = "1.47";
