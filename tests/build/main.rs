//! A corpus of Dockerfiles, each built by barge and by docker.io's two builders: the images must be the same, but for
//! what `differences.rs` lists with its reason.
//!
//! What is newer than docker.io 20.10 is compared with what the case itself says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests: a panic with a text is the report"
)]

mod builders;
mod case;
mod compare;
mod coverage;
mod differences;
mod errors;
mod facts;
mod files;
mod outputs;
mod saved;
mod tar;
