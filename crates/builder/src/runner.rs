//! What a build needs of the engine to run a step.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::request::Limits;

/// Runs processes in a root file system, isolated and limited as a container is.
pub trait Runner: Send + Sync {
    /// Runs a step to its end and says its exit code (128 plus the signal for one that was killed, 137 out of memory).
    /// When [`Cancel`] is set, kills everything and returns soon.
    ///
    /// # Errors
    /// What kept the process from running at all, in the words of `run`.
    fn run(
        &self,
        step: &RunStep,
        output: &mut dyn FnMut(Stream, &[u8]),
        cancel: &Cancel,
    ) -> Result<i32, RunError>;
}

/// Why a step did not run.
pub type RunError = Box<dyn std::error::Error + Send + Sync>;

/// Where output comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Ends a build from outside. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ends it.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is to end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// One process to run.
#[derive(Clone, Debug, Default)]
pub struct RunStep {
    /// What this process is known by: 64 hexadecimal digits.
    pub id: String,
    /// The mounted root file system.
    pub rootfs: PathBuf,
    /// The command and its arguments.
    pub args: Vec<String>,
    /// `NAME=value`; the runner adds nothing but `PATH` (Docker's default) when it is absent, and `HOME` as `run` does.
    pub env: Vec<String>,
    /// An absolute path, made if it is not there.
    pub workdir: String,
    /// `user[:group]` as in an image, resolved in [`Self::rootfs`]; root when empty.
    pub user: String,
    /// In the order in which they are mounted.
    pub mounts: Vec<StepMount>,
    /// What the process reaches.
    pub network: StepNetwork,
    /// What the process may.
    pub security: StepSecurity,
    /// Whose users it has.
    pub users: StepUsers,
    /// Devices by their CDI names.
    pub devices: Vec<StepDevice>,
    /// The host's name inside.
    pub hostname: String,
    /// `name:address` lines for `/etc/hosts`.
    pub extra_hosts: Vec<String>,
    /// Of the request.
    pub limits: Limits,
}

/// A device that a step asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepDevice {
    /// `vendor/class=name`; `vendor/class` for any one of the class, `vendor/class=*` for all.
    pub name: String,
    /// Whether the step fails without it.
    pub is_required: bool,
}

/// Something of the host inside of a step.
#[derive(Clone, Debug)]
pub struct StepMount {
    /// Where; an absolute path. The runner makes the folder or file and the builder removes what was made before.
    pub target: String,
    /// What.
    pub source: StepSource,
    /// Whether it can be written.
    pub is_read_only: bool,
}

/// What is mounted.
#[derive(Clone, Debug)]
pub enum StepSource {
    /// A folder, file or socket of the host; whoever it belongs to there.
    Path(PathBuf),
    /// A folder on the disk whose files belong, to the process, to whom they belong there, also when its ids are mapped.
    Own(PathBuf),
    /// Memory, with `size=…` and so on.
    Tmpfs(BTreeMap<String, String>),
}

/// `--network`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StepNetwork {
    /// The default bridge.
    #[default]
    Default,
    /// Nothing but loopback.
    None,
    /// The host's.
    Host,
}

/// Whose users a process has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StepUsers {
    /// The host's: its root is root.
    #[default]
    Hosts,
    /// Its own, mapped as those of containers are. [`RunStep::rootfs`] and what is mounted by [`StepSource::Path`] show
    /// mapped owners.
    Mapped,
}

/// `--security`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StepSecurity {
    /// As a container.
    #[default]
    Sandbox,
    /// As a privileged container.
    Insecure,
}
