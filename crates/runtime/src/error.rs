//! Why a process did not start, in a form that crosses process boundaries and keeps the words clients match on.

use std::io;

use serde::{Deserialize, Serialize};

/// The step that failed, in the order of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The specification asks for something impossible or unsupported.
    Validate,
    /// Making the process: namespaces, control group, handing over files.
    Spawn,
    /// Talking to it.
    Handshake,
    /// The root file system.
    Root,
    /// One of the mounts.
    Mount,
    /// Device files and links of `/dev`.
    Device,
    /// The terminal.
    Console,
    /// Host and domain name.
    Hostname,
    /// Kernel settings.
    Sysctl,
    /// Masked and read-only paths.
    Hide,
    /// Resource limits and the score for the out-of-memory killer.
    Limit,
    /// Finding the user, and becoming it.
    User,
    /// Capabilities.
    Capability,
    /// AppArmor and SELinux labels.
    Label,
    /// The working directory.
    WorkingDirectory,
    /// Finding the command.
    Command,
    /// The seccomp filter.
    Seccomp,
    /// Executing the command.
    Exec,
}

impl Stage {
    /// The word for logs and answers: `mount`, `working-directory`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Spawn => "spawn",
            Self::Handshake => "handshake",
            Self::Root => "root",
            Self::Mount => "mount",
            Self::Device => "device",
            Self::Console => "console",
            Self::Hostname => "hostname",
            Self::Sysctl => "sysctl",
            Self::Hide => "hide",
            Self::Limit => "limit",
            Self::User => "user",
            Self::Capability => "capability",
            Self::Label => "label",
            Self::WorkingDirectory => "working-directory",
            Self::Command => "command",
            Self::Seccomp => "seccomp",
            Self::Exec => "exec",
        }
    }
}

/// What kind of failure it is, which is what callers decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The command is not in the container: exit code 127.
    CommandNotFound,
    /// The command is there and cannot be executed: exit code 126.
    CommandNotExecutable,
    /// The working directory cannot be entered.
    BadWorkingDirectory,
    /// The specification is at fault.
    InvalidSpec,
    /// The kernel or the file system refused.
    System,
}

/// A process did not start; whatever had been made of it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    /// The step.
    pub stage: Stage,
    /// The kernel's error number, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// What, to what and why, with the causes: they cannot be kept as errors over a process boundary.
    pub message: String,
}

impl StartError {
    /// An error that the kernel has no number for.
    pub fn new(stage: Stage, message: impl Into<String>) -> Self {
        Self { stage, errno: None, message: message.into() }
    }

    /// An error of the kernel: `what: permission denied`.
    pub fn system(stage: Stage, what: &str, cause: &io::Error) -> Self {
        let message = format!("{what}: {}", cause_text(cause));
        Self { stage, errno: cause.raw_os_error(), message }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> Failure {
        let is_missing = self.errno == Some(rustix::io::Errno::NOENT.raw_os_error());
        match self.stage {
            Stage::Command | Stage::Exec if is_missing => Failure::CommandNotFound,
            Stage::Command | Stage::Exec => Failure::CommandNotExecutable,
            Stage::WorkingDirectory => Failure::BadWorkingDirectory,
            Stage::Validate | Stage::User => Failure::InvalidSpec,
            Stage::Spawn
            | Stage::Handshake
            | Stage::Root
            | Stage::Mount
            | Stage::Device
            | Stage::Console
            | Stage::Hostname
            | Stage::Sysctl
            | Stage::Hide
            | Stage::Limit
            | Stage::Capability
            | Stage::Label
            | Stage::Seccomp => Failure::System,
        }
    }
}

/// The words for a cause as other engines write them: lower case and without the number.
pub(crate) fn cause_text(cause: &io::Error) -> String {
    let text = cause.to_string();
    match text.split_once(" (os error ") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

/// Puts the step and its object before a cause.
pub(crate) trait At<T> {
    /// `what` is only worked out when it is needed.
    fn at(self, stage: Stage, what: impl FnOnce() -> String) -> Result<T, StartError>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, stage: Stage, what: impl FnOnce() -> String) -> Result<T, StartError> {
        self.map_err(|cause| StartError::system(stage, &what(), &cause.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_quoted_in_small_letters_without_its_number() {
        let cause = io::Error::from_raw_os_error(13);
        let error = StartError::system(Stage::Command, "exec: \"/etc/passwd\"", &cause);
        assert_eq!(error.to_string(), "exec: \"/etc/passwd\": permission denied");
        assert_eq!(error.kind(), Failure::CommandNotExecutable);
    }

    #[test]
    fn it_survives_the_way_between_processes() {
        let error = StartError::system(Stage::Mount, "x", &io::Error::from_raw_os_error(2));
        let text = serde_json::to_string(&error).unwrap();
        assert_eq!(serde_json::from_str::<StartError>(&text).unwrap(), error);
        assert_eq!(error.kind(), Failure::System);
    }
}
