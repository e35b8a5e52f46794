//! Control groups: the limits and the accounting of a container, on cgroup v1 and v2.
//!
//! [`Layout::detect`] finds what the host has, [`Layout::manager`] gives the [`CgroupManager`] of one group. A manager
//! holds no state and no descriptor: any process may make one for the same [`CgroupPath`] at any time, which is how a
//! shim, an exec and a restarted daemon meet. Nothing here chooses limits or knows the Engine API; minimums are the
//! engine's to refuse.
//!
//! The surprise: moving *another* process into a v1 group (or a v2 group) by its pid waits for an RCU grace period,
//! some 25 ms. A process that has one thread and moves *itself* does not: see [`Entry`].

mod detect;
mod device_rules;
mod directory;
mod drivers;
mod error;
mod features;
mod manager;
mod path;
pub mod resources;
mod stats;
mod wait;

#[cfg(test)]
mod conformance;

pub use detect::{Controller, Layout, Version};
pub use error::{CgroupError, Result};
pub use features::Feature;
pub use manager::{CgroupManager, Entry};
pub use path::{CgroupPath, DEFAULT_PARENT};
pub use stats::{
    CpuStats, HugetlbStats, IoEntry, IoStats, MemoryStats, PidsStats, Stats, Throttling,
};

/// The group at `path` (`barge/ID`, the specification's `cgroupsPath`) on this host, whether it is there or not.
pub fn open(path: &str) -> Result<Box<dyn CgroupManager>> {
    let path = CgroupPath::parse(path)?;
    Ok(Layout::detect()?.manager(&path))
}
