//! The process section: what runs, as whom, with which rights.

use serde::{Deserialize, Serialize};

use crate::serde_go::{is_default, null_as_default};

/// The process to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Whether it gets a terminal.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub terminal: bool,
    /// The terminal's first size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console_size: Option<ConsoleSize>,
    /// Who it runs as.
    #[serde(default, deserialize_with = "null_as_default")]
    pub user: User,
    /// `argv`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub args: Vec<String>,
    /// `KEY=value`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub env: Vec<String>,
    /// Working folder, absolute.
    pub cwd: String,
    /// Capability sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<LinuxCapabilities>,
    /// Resource limits.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub rlimits: Vec<Rlimit>,
    /// `PR_SET_NO_NEW_PRIVS`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub no_new_privileges: bool,
    /// AppArmor profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apparmor_profile: Option<String>,
    /// `oom_score_adj`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// `sched_setattr(2)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// SELinux label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selinux_label: Option<String>,
    /// `ioprio_set(2)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_priority: Option<IoPriority>,
    /// CPU affinity of processes that join later.
    #[serde(rename = "execCPUAffinity", default, skip_serializing_if = "Option::is_none")]
    pub exec_cpu_affinity: Option<ExecCpuAffinity>,
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

/// Whom a process runs as, inside the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// User id.
    #[serde(default)]
    pub uid: u32,
    /// Group id.
    #[serde(default)]
    pub gid: u32,
    /// File mode creation mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// Supplementary groups.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub additional_gids: Vec<u32>,
    /// Name, on Windows only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

/// Capability sets, as `CAP_…` names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinuxCapabilities {
    /// What a program may ever get back by execve(2).
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub bounding: Vec<String>,
    /// What the kernel checks.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub effective: Vec<String>,
    /// What is kept across execve(2) of files that allow it.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub inheritable: Vec<String>,
    /// The limit of the effective set.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub permitted: Vec<String>,
    /// What is kept across execve(2) of ordinary files.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub ambient: Vec<String>,
}

/// One resource limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_…`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Ceiling of the soft limit.
    pub hard: u64,
    /// What the kernel enforces.
    pub soft: u64,
}

/// Scheduling policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    /// `SCHED_…`.
    pub policy: String,
    /// For `SCHED_OTHER` and `SCHED_BATCH`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nice: i32,
    /// For `SCHED_FIFO` and `SCHED_RR`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i32,
    /// `SCHED_FLAG_…`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub flags: Vec<String>,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub runtime: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deadline: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub period: u64,
}

/// I/O priority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoPriority {
    /// `IOPRIO_CLASS_…`.
    pub class: String,
    /// Within the class, 0 first.
    #[serde(default)]
    pub priority: i32,
}

/// CPUs of a process that joins the container, as cpuset lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecCpuAffinity {
    /// Before it joins the cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<String>,
    /// Afterwards.
    #[serde(rename = "final", default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}
