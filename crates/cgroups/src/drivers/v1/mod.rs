//! Version 1: one hierarchy per controller, so one directory per controller makes one group.
//!
//! Nothing joins the hierarchies: a directory that is missing in one of them is a limit that cannot be set, said when
//! it is asked for and not before.

mod blkio;
mod cpu;
mod cpuacct;
mod cpuset;
mod devices;
mod freezer;
mod hugetlb;
mod memory;
mod pids;

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    detect::Controller,
    directory::{Directory, io_error},
    error::{CgroupError, Result},
    manager::{CgroupManager, Entry},
    path::CgroupPath,
    stats::Stats,
    wait::{self, Deadline},
};
use barge_oci::runtime::LinuxResources;
use barge_sys::fault;

/// How long a removal waits for processes that were killed to be gone.
const REMOVAL: Duration = Duration::from_secs(5);

/// One group of version 1.
#[derive(Debug)]
pub(crate) struct V1 {
    path: CgroupPath,
    /// By controller; the same directory several times where controllers are mounted together.
    groups: BTreeMap<Controller, Directory>,
    /// Each directory once, with the mount it is in.
    directories: Vec<(PathBuf, Directory)>,
}

impl V1 {
    pub(crate) fn new(mounts: &BTreeMap<Controller, PathBuf>, path: &CgroupPath) -> Self {
        let mut directories: Vec<(PathBuf, Directory)> = Vec::new();
        let mut groups = BTreeMap::new();
        for (&controller, mount) in mounts {
            let directory = Directory::new(mount.join(path.as_path()));
            if !directories.iter().any(|(known, _)| known == mount) {
                directories.push((mount.clone(), directory.clone()));
            }
            groups.insert(controller, directory);
        }
        Self { path: path.clone(), groups, directories }
    }

    /// The directory in which `what` is set.
    fn group(&self, controller: Controller, what: &'static str) -> Result<&Directory> {
        self.groups
            .get(&controller)
            .ok_or(CgroupError::Absent { what, controller: controller.name() })
    }

    /// The directory that is asked for processes: the freezer's, so that what is frozen is what is killed.
    fn any(&self) -> Result<&Directory> {
        self.groups
            .get(&Controller::Freezer)
            .or_else(|| self.directories.first().map(|(_, directory)| directory))
            .ok_or_else(|| CgroupError::NoCgroups(PathBuf::from("/sys/fs/cgroup")))
    }

    fn create_all(&self) -> Result<()> {
        for (mount, directory) in &self.directories {
            create_directory(directory, mount)?;
            fault::point("cgroup: made in a hierarchy");
        }
        if let Some(directory) = self.groups.get(&Controller::Cpuset) {
            cpuset::inherit(directory)?;
        }
        Ok(())
    }
}

impl CgroupManager for V1 {
    fn create(&self) -> Result<()> {
        let result = self.create_all();
        if result.is_err() && !matches!(result, Err(CgroupError::InUse { .. })) {
            for (_, directory) in &self.directories {
                // What was made is empty; what was not made is not there; the first error is what counts.
                fs::remove_dir(directory.path()).ok();
            }
        }
        result
    }

    fn complete(&self) -> Result<()> {
        for (mount, directory) in &self.directories {
            match fs::create_dir(directory.path()) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    create_directory(directory, mount)?;
                }
                Ok(()) | Err(_) => {}
            }
            fault::point("cgroup: made in a hierarchy");
        }
        self.groups.get(&Controller::Cpuset).map_or(Ok(()), cpuset::renew)
    }

    fn apply(&self, pid: u32) -> Result<()> {
        for (_, directory) in &self.directories {
            directory.write("cgroup.procs", &pid.to_string())?;
        }
        Ok(())
    }

    fn entry(&self) -> Result<Entry> {
        let mut files = Vec::with_capacity(self.directories.len());
        for (_, directory) in &self.directories {
            // `tasks`, not `cgroup.procs`: only the move of a single thread goes without the global lock.
            files.push((directory.file("tasks"), directory.open_to_write("tasks")?));
        }
        Ok(Entry::new(files))
    }

    fn dir_fd(&self) -> Result<Option<OwnedFd>> {
        Ok(None)
    }

    fn set(&self, resources: &LinuxResources) -> Result<()> {
        let unsupported = |what| Err(CgroupError::Unsupported { what, version: "v1" });
        if !resources.unified.is_empty() {
            return unsupported("files of cgroup v2");
        }
        if resources.network.is_some() {
            return unsupported("network classes and priorities");
        }
        if !resources.rdma.is_empty() {
            return unsupported("RDMA limits");
        }
        if !resources.devices.is_empty() {
            let group = self.group(Controller::Devices, "device rules")?;
            devices::set(group, &resources.devices)?;
        }
        if let Some(memory) = &resources.memory {
            memory::set(self.group(Controller::Memory, "a memory limit")?, memory)?;
        }
        if let Some(limits) = &resources.cpu {
            if cpu::is_asked(limits) {
                cpu::set(self.group(Controller::Cpu, "a CPU limit")?, limits)?;
            }
            if limits.cpus.is_some() || limits.mems.is_some() {
                let group = self.group(Controller::Cpuset, "a set of CPUs or memory nodes")?;
                cpuset::set(group, limits)?;
            }
        }
        if let Some(limits) = &resources.pids {
            pids::set(self.group(Controller::Pids, "a limit of tasks")?, *limits)?;
        }
        if let Some(limits) = &resources.block_io {
            blkio::set(self.group(Controller::Blkio, "a block I/O limit")?, limits)?;
        }
        if !resources.hugepage_limits.is_empty() {
            let group = self.group(Controller::Hugetlb, "a limit of huge pages")?;
            hugetlb::set(group, &resources.hugepage_limits)?;
        }
        Ok(())
    }

    fn freeze(&self) -> Result<()> {
        freezer::freeze(self.group(Controller::Freezer, "the frozen state")?)
    }

    fn thaw(&self) -> Result<()> {
        freezer::thaw(self.group(Controller::Freezer, "the frozen state")?)
    }

    fn is_frozen(&self) -> Result<bool> {
        match self.groups.get(&Controller::Freezer) {
            Some(directory) => freezer::is_frozen(directory),
            None => Ok(false),
        }
    }

    fn stats(&self) -> Result<Stats> {
        let mut stats = Stats::default();
        for (controller, group) in &self.groups {
            match controller {
                Controller::Cpu => stats.cpu.throttling = cpu::throttling(group)?,
                Controller::Cpuacct => cpuacct::stats(group, &mut stats.cpu)?,
                Controller::Memory => stats.memory = memory::stats(group)?,
                Controller::Pids => stats.pids = pids::stats(group)?,
                Controller::Blkio => stats.io = blkio::stats(group)?,
                Controller::Hugetlb => stats.hugetlb = hugetlb::stats(group)?,
                Controller::Cpuset | Controller::Devices | Controller::Freezer => {}
            }
        }
        Ok(stats)
    }

    fn pids(&self) -> Result<Vec<u32>> {
        self.any()?.pids()
    }

    fn kill_all(&self) -> Result<()> {
        let group = self.any()?;
        // While all stand still nobody forks, so one round reaches everyone. Where there is no freezer, or a task sits
        // in an uninterruptible call, rounds go on until nobody new turns up.
        let frozen = self.freeze().is_ok();
        let mut killed: Vec<u32> = Vec::new();
        loop {
            let fresh: Vec<u32> =
                group.pids()?.into_iter().filter(|pid| !killed.contains(pid)).collect();
            if fresh.is_empty() {
                break;
            }
            super::kill_each(&fresh)?;
            killed.extend(fresh);
            if frozen {
                break;
            }
        }
        if self.groups.contains_key(&Controller::Freezer) && self.exists() {
            self.thaw()?;
        }
        Ok(())
    }

    fn oom_kills(&self) -> Result<u64> {
        self.groups.get(&Controller::Memory).map_or(Ok(0), memory::oom_kills)
    }

    fn exists(&self) -> bool {
        self.any().is_ok_and(|directory| directory.path().exists())
    }

    fn directory(&self, controller: Controller) -> Option<PathBuf> {
        self.groups.get(&controller).map(|directory| directory.path().to_owned())
    }

    fn destroy(&self) -> Result<()> {
        let mut failures = Vec::new();
        let deadline = Deadline::after(REMOVAL);
        for (_, directory) in &self.directories {
            if let Err(error) = remove(directory, deadline) {
                failures.push(error);
            }
            fault::point("cgroup: removed in a hierarchy");
        }
        let count = failures.len();
        match failures.into_iter().next() {
            None => Ok(()),
            Some(first) => Err(CgroupError::Destroy {
                path: self.path.as_path().to_owned(),
                count,
                source: Box::new(first),
            }),
        }
    }
}

/// Makes one directory, and its parents when they are missing: for the first container only.
fn create_directory(directory: &Directory, mount: &Path) -> Result<()> {
    let path = directory.path();
    match fs::create_dir(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound && mount.exists() => {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(io_error("create", parent))?;
            }
            fs::create_dir(path).map_err(io_error("create", path))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let pids = directory.pids()?;
            if !pids.is_empty() {
                return Err(CgroupError::InUse { path: path.to_owned(), pids });
            }
            remove(directory, Deadline::after(REMOVAL))?;
            fs::create_dir(path).map_err(io_error("create", path))
        }
        Err(error) => Err(io_error("create", path)(error)),
    }
}

/// Removes a directory and those below it.
fn remove(directory: &Directory, deadline: Deadline) -> Result<()> {
    let path = directory.path();
    loop {
        match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
            Err(error) => return Err(io_error("remove", path)(error)),
        }
        for child in directory.children()? {
            remove(&child, deadline)?;
        }
        let pids = directory.pids()?;
        if deadline.has_passed() {
            return Err(if pids.is_empty() {
                deadline.error("empty", path)
            } else {
                CgroupError::InUse { path: path.to_owned(), pids }
            });
        }
        if pids.is_empty() {
            deadline.look_again();
        } else {
            wait::for_exit(&pids, deadline)?;
        }
    }
}
