//! What the black-box tests stand on: a daemon of their own in a network of its own, clients that end by a deadline,
//! and images small enough to be made for every test.
//!
//! Nothing here links the engine: what the tests see is what a user sees. Everything panics instead of returning
//! errors, because a test can do nothing else with them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a library for tests, where a panic with a text is the report"
)]

pub mod api;
mod cgroup;
mod context;
mod debian;
mod docker_archive;
mod dockerd;
mod host;
mod need;
mod process;
mod programs;
mod rootfs;
mod tar;
mod terminal;
mod wait;

pub use cgroup::{controller_file, processes as processes_of};
pub use context::Context;
pub use debian::debian_rootfs;
pub use docker_archive::{ArchiveImage, Layout};
pub use dockerd::Dockerd;
pub use host::{HostOptions, SharedHost, Sharing, TestHost, Victim, fault_places};
pub use need::{Verdict, check, check_python};
pub use process::{Outcome, Process, command};
pub use programs::{program, target_folder};
pub use rootfs::{BUSYBOX, busybox_rootfs, busybox_tar};
pub use tar::TarBuilder;
pub use terminal::Terminal;
pub use wait::{DEADLINE, eventually, let_pass, pause};

/// The two clients that most tests run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Ours.
    Barge,
    /// The stock one.
    Docker,
}

impl Client {
    /// Ours, and the stock one where it is installed (in CI it has to be).
    #[must_use]
    pub fn both() -> Vec<Self> {
        match check("docker") {
            Verdict::Present => vec![Self::Barge, Self::Docker],
            Verdict::Absent(_) => vec![Self::Barge],
        }
    }

    /// How its program is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Barge => "barge",
            Self::Docker => "docker",
        }
    }
}
