//! The words every crate shares: ids, digests, references, signals, sizes, ports.
//!
//! Pure values, valid by construction, without I/O: whoever holds one need not check it again. Texts that Docker's
//! clients match on live beside the parser that says them.

pub mod accounts;
mod address;
mod digest;
mod error_kind;
mod id;
mod name;
pub mod path;
mod platform;
mod port;
mod reference;
mod restart_policy;
mod signal;
pub mod size;
mod truth;
pub mod ulimit;

pub use address::shown_address;
pub use digest::{Digest, DigestError};
pub use error_kind::ErrorKind;
pub use id::{ContainerId, ExecId, IdError, ImageId, NetworkId};
pub use name::{ContainerName, NameError};
pub use platform::{Platform, PlatformError};
pub use port::{Port, PortError, Protocol};
pub use reference::{Reference, ReferenceError};
pub use restart_policy::{RestartPolicy, RestartPolicyError};
pub use signal::{Signal, SignalError};
pub use truth::parse_bool;
