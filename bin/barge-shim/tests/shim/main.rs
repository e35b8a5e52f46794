//! The shim as a program, with real containers around busybox, driven as a daemon drives it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "only tests call the harness, and clippy knows only functions marked as tests"
)]

mod confinement;
mod daemon;
mod exec;
mod harness;
mod lifecycle;
mod streams;
