//! What users of `barge` and of the stock `docker` client see: programs run to their end, looked at from inside the
//! containers and from the host.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests: a panic with a text is the report"
)]

mod absence;
mod attack;
mod bad_input;
mod basics;
mod builds;
mod builds_attest;
mod builds_cache;
mod builds_from;
mod builds_refused;
mod builds_ssh;
mod commands;
mod commit;
mod compose;
mod cp;
mod debian;
mod edit;
mod exhaustion;
mod flags;
mod formats;
mod groups_ahead;
mod health;
mod image_mounts;
mod images;
mod isolation;
mod kills;
mod lifecycle;
mod links;
mod logs;
mod network;
mod quickstart;
mod recovery;
mod registry;
mod remap;
mod restarts;
mod silent_shims;
mod soak;
mod stats;
mod stuck;
mod survival;
mod terminals;
mod watching;
