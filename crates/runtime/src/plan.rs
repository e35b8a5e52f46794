//! What init is told: everything it needs, so that it asks nobody and reads no file of the host.

use barge_oci::runtime::{Process, Spec};
use serde::{Deserialize, Serialize};

use crate::namespaces::Late;

/// What the runtime program is to do inside the new namespaces.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Plan<'a> {
    /// Make a container and become its first process.
    Create(Box<CreatePlan<'a>>),
    /// Become one more process of a container.
    Exec(Box<ExecPlan<'a>>),
}

/// Making a container.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CreatePlan<'a> {
    /// Its specification; `root.path` is absolute.
    pub(crate) spec: std::borrow::Cow<'a, Spec>,
    /// Whether it has a namespace of cgroups, whose root is what it shall see.
    pub(crate) own_cgroup_namespace: bool,
    /// Process 1.
    pub(crate) init: InitProcess,
    /// `SECCOMP_FILTER_FLAG_…` for the filter that comes with this.
    pub(crate) seccomp_flags: u32,
    /// How many mounts are handed over when they are asked for: the root, then the binds. None outside of a user
    /// namespace.
    pub(crate) handed: usize,
    /// Who sets its limits.
    pub(crate) limits: Limits,
    /// What it comes into by itself.
    pub(crate) late: Option<Late>,
    /// Which of the descriptors after the control socket is a mount namespace to take a copy of.
    pub(crate) bare_mounts: Option<usize>,
}

/// Running one more process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExecPlan<'a> {
    /// What, as whom.
    pub(crate) process: std::borrow::Cow<'a, Process>,
    /// `SECCOMP_FILTER_FLAG_…` for the filter that comes with this.
    pub(crate) seccomp_flags: u32,
    /// Who sets its limits.
    pub(crate) limits: Limits,
    /// What it comes into by itself.
    pub(crate) late: Option<Late>,
}

/// Who sets the limits of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Limits {
    /// It does so itself.
    Own,
    /// The parent does when it is asked: in a user namespace nobody may raise one.
    Parent,
}

/// Who is process 1 of the container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitProcess {
    /// The command itself.
    #[default]
    Command,
    /// A small init that reaps orphans and forwards signals, with the command as its child.
    Reaper,
}
