//! The Engine API as its clients see it: bytes through a socket, against a daemon of the test's own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests: a panic with a text is the report"
)]

mod archive;
mod build;
mod cdi;
mod commit;
mod containers;
mod crash;
mod df;
mod dockerpy;
mod endpoints;
mod errors;
mod events;
mod events_of_dockerd;
mod execs;
mod filters;
mod full_disk;
mod health;
mod health_of_dockerd;
mod images;
mod logs;
mod namespaces;
mod refusals;
mod registry;
mod resources;
mod runtimes;
mod shapes;
mod stats;
mod storage;
mod streams;
mod system;
mod update;
mod websocket;
