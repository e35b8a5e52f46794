//! What the daemon and a shim say to each other: requests, responses, events, and the frames they
//! travel in.
//!
//! Types and bytes only: no socket, no runtime, so that the asynchronous daemon and the synchronous
//! shim share it.
//!
//! One connection, seen from the daemon:
//!
//! ```text
//! daemon                                   shim
//!   │ Create ── (netns, seccomp, streams) ─▶│  stdio, log, clone3
//!   │ Subscribe ───────────────────────────▶│  (requests may be sent without waiting for answers)
//!   │◀────────────────────────── Created ───│
//!   │◀──────────────────── State (Subscribe)│
//!   │ Start ───────────────────────────────▶│
//!   │◀────────────────────────── Started ───│
//!   │◀─────────────────────── Event::Exit ──│  exit.json is on disk, the log is complete
//!   │ Shutdown ────────────────────────────▶│
//!   │◀──────────────────────────────── Ok ──│
//!   │◀─────────────────────── end of file ──│  clients served, cgroup and socket removed
//! ```
//!
//! Answers come in the order of the requests' completion and carry the request's id.

mod error;
mod event;
mod exit;
mod frame;
mod request;
mod response;

pub use error::{Failure, FailureKind, FrameError};
pub use event::Event;
pub use exit::{BUNDLE_FOLDER, EXIT_FILE, Exit, ExitRecord, UnixTime};
pub use frame::{
    DaemonFrame, Decoder, MAX_DESCRIPTORS, MAX_FRAME, ShimFrame, encode, encode_request,
};
pub use request::{
    AttachStreams, CgroupConfig, ConsoleSize, Create, Descriptor, Exec, InitProcess, LogConfig,
    LogOrigin, OtherRuntime, Request, SignalTarget, StdinMode, StdioConfig,
};
pub use response::{ExecState, Response, State, Status};

/// How long the daemon waits for an answer before it takes the shim for hung and kills it. Creating a container includes
/// its mounts, so this is far above what any request needs on a busy machine.
pub const ANSWER_DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);

#[cfg(test)]
mod tests;
