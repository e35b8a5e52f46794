//! Seccomp profiles compiled to classic BPF, without libseccomp.
//!
//! [`Profile`] is Docker's JSON (or [`Profile::docker_default`]); with a container's [`Circumstances`] it becomes the
//! runtime specification's `linux.seccomp`, and [`compile()`] makes one filter of that for all architectures the machine
//! runs. [`FilterCache`] keeps filters, so that neither a start nor an exec compiles one. Nothing is installed here:
//! that is `barge_sys::seccomp::install`.
//!
//! Where this differs from libseccomp: rules of one call are tried in their order, and the first that matches counts.

mod arch;
mod cache;
mod compile;
mod condition;
mod default_profile;
mod error;
mod profile;
mod program;
mod tables;

#[cfg(test)]
mod interpreter;
#[cfg(test)]
mod real;

pub use cache::FilterCache;
pub use compile::compile;
pub use error::{Result, SeccompError};
pub use profile::{ArchMap, Circumstances, Condition, KernelVersion, Profile, Rule};
pub use program::{Filter, Instruction};
