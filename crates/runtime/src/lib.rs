//! Makes a container of a specification: namespaces, mounts, capabilities, seccomp, exec.
//!
//! The library has two halves. [`create()`] and [`exec()`] run in the shim (or in the command-line runtime): they start
//! the program `barge-runtime` in new namespaces and tell it what to do. [`init`] runs there: it makes the inside of
//! the container, step by step, and becomes the user's process. [`reaper`] is the small init of `--init`.
//!
//! Nothing here keeps state on disk, knows images, networks or logs, or makes control groups: those are handed in.

mod bare;
mod create;
mod error;
mod exec;
mod handshake;
pub mod init;
mod mount_options;
mod namespaces;
mod outside;
mod plan;
pub mod reaper;
mod validate;

pub use create::{CreateOptions, Created, create};
pub use error::{Failure, Stage, StartError};
pub use exec::{ExecOptions, Started, exec};
pub use plan::InitProcess;

pub use barge_types::accounts as user;

use barge_oci::runtime::LinuxSeccomp;

/// The kernel's bits for the flags of a seccomp profile (`SECCOMP_FILTER_FLAG_…`); an unknown one is refused.
pub fn seccomp_flags(seccomp: Option<&LinuxSeccomp>) -> Result<u32, StartError> {
    let Some(seccomp) = seccomp else { return Ok(0) };
    seccomp.flags.iter().try_fold(0, |bits, name| {
        let bit = match name.as_str() {
            "SECCOMP_FILTER_FLAG_TSYNC" => 1,
            "SECCOMP_FILTER_FLAG_LOG" => 2,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => 4,
            other => {
                let text = format!("seccomp flag {other:?} is not supported");
                return Err(StartError::new(Stage::Validate, text));
            }
        };
        Ok(bits | bit)
    })
}

/// Compiles a profile for [`CreateOptions::seccomp_filter`]. Slow (milliseconds): the engine keeps what comes out.
pub fn compile_seccomp(seccomp: &LinuxSeccomp) -> Result<Vec<u8>, StartError> {
    let filter = barge_seccomp::compile(seccomp).map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let parts: Vec<_> = std::iter::once(error.to_string()).chain(cause).collect();
        StartError::new(Stage::Seccomp, parts.join(": "))
    })?;
    Ok(filter.to_bytes())
}
