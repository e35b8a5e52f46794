//! What one group can do, whatever the version of cgroups below it.

use std::{
    fmt::Debug,
    fs::File,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
};

use barge_oci::runtime::LinuxResources;

use crate::{
    error::{CgroupError, Result},
    stats::Stats,
};

/// One group. Every call is one or a few system calls; none of them holds state between calls.
pub trait CgroupManager: Send + Sync + Debug {
    /// Makes the group, empty and without limits of its own. What an earlier container of the same name left is
    /// removed first; a group with processes in it is [`CgroupError::InUse`].
    fn create(&self) -> Result<()>;

    /// The same for a group that [`Self::create`] made ahead, for nobody else: it is used as it is, and what has become
    /// of it or of the one it is in since then is made good.
    fn complete(&self) -> Result<()>;

    /// Moves a process with all its threads. Slow (an RCU grace period, some 25 ms): prefer [`Self::entry`], or
    /// [`Self::dir_fd`] on v2.
    fn apply(&self, pid: u32) -> Result<()>;

    /// Opens the group for a process that will move itself.
    fn entry(&self) -> Result<Entry>;

    /// The directory for `CLONE_INTO_CGROUP`; `None` on v1, which has no such thing.
    fn dir_fd(&self) -> Result<Option<OwnedFd>>;

    /// Sets the limits that are given; absent ones stay as they are.
    fn set(&self, resources: &LinuxResources) -> Result<()>;

    /// Stops every process; returns when all of them stand still.
    fn freeze(&self) -> Result<()>;

    /// Lets every process go on.
    fn thaw(&self) -> Result<()>;

    /// Whether [`Self::freeze`] is in force.
    fn is_frozen(&self) -> Result<bool>;

    /// What has been used up to now.
    fn stats(&self) -> Result<Stats>;

    /// Processes of the group and of groups below it.
    fn pids(&self) -> Result<Vec<u32>>;

    /// Sends SIGKILL to every process, leaving none that was forked meanwhile. Does not wait for their end.
    fn kill_all(&self) -> Result<()>;

    /// How many processes the OOM killer took.
    fn oom_kills(&self) -> Result<u64>;

    /// Whether the group is there.
    fn exists(&self) -> bool;

    /// The group's directory for a controller, as the host sees it.
    fn directory(&self, controller: crate::Controller) -> Option<std::path::PathBuf>;

    /// Removes the group and those below it. Waits, with a deadline, for processes that are about to end; a group that
    /// is not there is removed already.
    fn destroy(&self) -> Result<()>;
}

/// An open door into a group, for the process that goes through it.
///
/// Open it in the parent, keep it across `clone3` (the files are close-on-exec) and [`enter`](Self::enter) in the
/// child: the credentials of the opener count, so it works from inside a user namespace too. On v1 the process **must
/// have one thread** – only the calling thread moves. In exchange the kernel skips the global lock that makes
/// [`CgroupManager::apply`] slow (`cgroup_procs_write_start` in kernel/cgroup/cgroup.c).
#[derive(Debug)]
pub struct Entry {
    files: Vec<(std::path::PathBuf, File)>,
}

impl Entry {
    pub(crate) fn new(files: Vec<(std::path::PathBuf, File)>) -> Self {
        Self { files }
    }

    /// Moves the calling process. Makes nothing but `write(2)` calls as long as nothing fails.
    pub fn enter(&self) -> Result<()> {
        for (path, file) in &self.files {
            write_zero(file.as_fd()).map_err(|source| CgroupError::Write {
                value: "0".to_owned(),
                path: path.clone(),
                source,
            })?;
        }
        Ok(())
    }

    /// The files, in case the child is given bare descriptors: it writes `0` to each.
    pub fn files(&self) -> impl Iterator<Item = (&Path, BorrowedFd<'_>)> {
        self.files.iter().map(|(path, file)| (path.as_path(), file.as_fd()))
    }
}

fn write_zero(file: BorrowedFd<'_>) -> std::io::Result<()> {
    rustix::io::write(file, b"0")?;
    Ok(())
}
