//! Version 2: one hierarchy, in which a group has the controllers that every group above it hands down.

mod cpu;
mod cpuset;
mod device_program;
mod devices;
mod freezer;
mod hugetlb;
mod io;
mod memory;
mod pids;

use std::{
    fs,
    io::ErrorKind,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use barge_oci::runtime::LinuxResources;

use crate::{
    detect::Controller,
    directory::{Directory, io_error, value_of},
    error::{CgroupError, Result},
    manager::{CgroupManager, Entry},
    path::CgroupPath,
    stats::Stats,
    wait::{self, Deadline},
};

/// How long a removal waits for processes that were killed to be gone.
const REMOVAL: Duration = Duration::from_secs(5);
/// Controllers that a group is given when the host has them.
const WANTED: [&str; 6] = ["cpu", "cpuset", "io", "memory", "pids", "hugetlb"];

/// One group of version 2.
#[derive(Debug)]
pub(crate) struct V2 {
    mount: PathBuf,
    group: Directory,
}

impl V2 {
    pub(crate) fn new(mount: &Path, path: &CgroupPath) -> Self {
        Self { mount: mount.to_owned(), group: Directory::new(mount.join(path.as_path())) }
    }

    /// The groups from the mount down to the parent of this one.
    fn ancestors(&self) -> Vec<Directory> {
        let mut ancestors: Vec<Directory> = self
            .group
            .path()
            .ancestors()
            .skip(1)
            .take_while(|path| path.starts_with(&self.mount))
            .map(Directory::new)
            .collect();
        ancestors.reverse();
        ancestors
    }

    /// Makes what is missing above, and hands the controllers down. Only the first container has anything to do here.
    fn prepare_ancestors(&self) -> Result<()> {
        for directory in self.ancestors() {
            if !directory.path().exists() {
                let path = directory.path();
                fs::create_dir(path).map_err(io_error("create", path))?;
            }
            hand_down(&directory)?;
        }
        Ok(())
    }

    /// A parent that someone else made, or that lost a controller, is repaired once.
    fn repair_ancestors(&self) -> Result<()> {
        let own = self.group.read("cgroup.controllers")?;
        let available = Directory::new(&self.mount).read("cgroup.controllers")?;
        if missing(&available, &own).next().is_some() {
            self.prepare_ancestors()?;
        }
        Ok(())
    }

    fn make(&self) -> Result<()> {
        let path = self.group.path();
        match fs::create_dir(path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound && self.mount.exists() => {
                self.prepare_ancestors()?;
                fs::create_dir(path).map_err(io_error("create", path))
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let pids = self.group.pids()?;
                if !pids.is_empty() {
                    return Err(CgroupError::InUse { path: path.to_owned(), pids });
                }
                remove(&self.group, Deadline::after(REMOVAL))?;
                fs::create_dir(path).map_err(io_error("create", path))
            }
            Err(error) => Err(io_error("create", path)(error)),
        }
    }

    /// [`CgroupError::Absent`] when the file of a limit is not there.
    fn need(&self, controller: &'static str, file: &str, what: &'static str) -> Result<()> {
        if self.group.has(file) { Ok(()) } else { Err(CgroupError::Absent { what, controller }) }
    }

    fn set_unified(&self, resources: &LinuxResources) -> Result<()> {
        for (name, text) in &resources.unified {
            if name.contains('/') || name.starts_with('.') {
                return Err(CgroupError::Invalid {
                    what: "file of cgroup v2",
                    reason: format!("{name:?} is not a file name"),
                });
            }
            // `io.max` and its like take one device per write.
            for line in text.lines() {
                self.group.write(name, line)?;
            }
        }
        Ok(())
    }
}

impl CgroupManager for V2 {
    fn create(&self) -> Result<()> {
        self.make()?;
        self.repair_ancestors()
    }

    fn complete(&self) -> Result<()> {
        match fs::create_dir(self.group.path()) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => self.create(),
            Ok(()) | Err(_) => self.repair_ancestors(),
        }
    }

    fn apply(&self, pid: u32) -> Result<()> {
        self.group.write("cgroup.procs", &pid.to_string())
    }

    fn entry(&self) -> Result<Entry> {
        let file = self.group.open_to_write("cgroup.procs")?;
        Ok(Entry::new(vec![(self.group.file("cgroup.procs"), file)]))
    }

    fn dir_fd(&self) -> Result<Option<OwnedFd>> {
        self.group.open().map(Some)
    }

    fn set(&self, resources: &LinuxResources) -> Result<()> {
        let unsupported = |what| Err(CgroupError::Unsupported { what, version: "v2" });
        if resources.network.is_some() {
            return unsupported("network classes and priorities");
        }
        if !resources.rdma.is_empty() {
            return unsupported("RDMA limits");
        }
        if !resources.devices.is_empty() {
            devices::set(&self.group, &resources.devices)?;
        }
        if let Some(limits) = &resources.memory {
            self.need("memory", "memory.max", "a memory limit")?;
            memory::set(&self.group, limits)?;
        }
        if let Some(limits) = &resources.cpu {
            if cpu::is_asked(limits) {
                self.need("cpu", "cpu.max", "a CPU limit")?;
                cpu::set(&self.group, limits)?;
            }
            if limits.cpus.is_some() || limits.mems.is_some() {
                self.need("cpuset", "cpuset.cpus", "a set of CPUs or memory nodes")?;
                cpuset::set(&self.group, limits)?;
            }
        }
        if let Some(limits) = &resources.pids {
            self.need("pids", "pids.max", "a limit of tasks")?;
            pids::set(&self.group, *limits)?;
        }
        if let Some(limits) = &resources.block_io {
            self.need("io", "io.stat", "a block I/O limit")?;
            io::set(&self.group, limits)?;
        }
        if !resources.hugepage_limits.is_empty() {
            hugetlb::set(&self.group, &resources.hugepage_limits)?;
        }
        self.set_unified(resources)
    }

    fn freeze(&self) -> Result<()> {
        freezer::freeze(&self.group)
    }

    fn thaw(&self) -> Result<()> {
        freezer::thaw(&self.group)
    }

    fn is_frozen(&self) -> Result<bool> {
        freezer::is_frozen(&self.group)
    }

    fn stats(&self) -> Result<Stats> {
        Ok(Stats {
            cpu: cpu::stats(&self.group)?,
            memory: memory::stats(&self.group)?,
            pids: pids::stats(&self.group)?,
            io: io::stats(&self.group)?,
            hugetlb: hugetlb::stats(&self.group)?,
        })
    }

    fn pids(&self) -> Result<Vec<u32>> {
        self.group.pids()
    }

    fn kill_all(&self) -> Result<()> {
        match self.group.write("cgroup.kill", "1") {
            // Before 5.14 there is no such file: freezing first keeps the list complete, as on v1.
            Err(CgroupError::Io { source, .. })
                if source.kind() == ErrorKind::NotFound && self.exists() =>
            {
                freezer::freeze(&self.group)?;
                let killed = self.pids().and_then(|pids| super::kill_each(&pids));
                freezer::thaw(&self.group)?;
                killed
            }
            Err(CgroupError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn oom_kills(&self) -> Result<u64> {
        let text = self.group.read_optional("memory.events")?;
        Ok(text.and_then(|text| value_of(&text, "oom_kill")).unwrap_or_default())
    }

    fn exists(&self) -> bool {
        self.group.path().exists()
    }

    fn directory(&self, _controller: Controller) -> Option<PathBuf> {
        Some(self.group.path().to_owned())
    }

    fn destroy(&self) -> Result<()> {
        remove(&self.group, Deadline::after(REMOVAL))
    }
}

/// Names of wanted controllers that `available` has and `enabled` has not.
fn missing<'a>(available: &'a str, enabled: &'a str) -> impl Iterator<Item = &'static str> {
    let has = |text: &str, name: &str| text.split_whitespace().any(|word| word == name);
    WANTED.into_iter().filter(move |name| has(available, name) && !has(enabled, name))
}

/// Gives the groups below `directory` every wanted controller that it has itself.
fn hand_down(directory: &Directory) -> Result<()> {
    const FILE: &str = "cgroup.subtree_control";
    let available = directory.read("cgroup.controllers")?;
    let enabled = directory.read(FILE)?;
    let wanted: Vec<String> =
        missing(&available, &enabled).map(|name| format!("+{name}")).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    match directory.write(FILE, &wanted.join(" ")) {
        // Processes are in it. Without them all, some controllers could still be had, but they would turn the groups
        // below into ones that cannot be entered ("domain invalid").
        Err(CgroupError::Write { source, .. }) if source.kind() == ErrorKind::ResourceBusy => {}
        // One by one: cpu alone refuses while a real-time process is in another group.
        Err(CgroupError::Write { .. }) => {
            for name in wanted {
                // The limit that needs the controller says that it is missing when it is asked for.
                directory.write(FILE, &name).ok();
            }
        }
        result => return result,
    }
    Ok(())
}

/// Removes a group and those below it.
fn remove(group: &Directory, deadline: Deadline) -> Result<()> {
    let path = group.path();
    loop {
        match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
            Err(error) => return Err(io_error("remove", path)(error)),
        }
        for child in group.children()? {
            remove(&child, deadline)?;
        }
        match wait::for_event(group, ("populated", 0, "empty"), deadline) {
            Err(CgroupError::Deadline { .. }) => {
                return Err(CgroupError::InUse { path: path.to_owned(), pids: group.pids()? });
            }
            Err(CgroupError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            // Empty and still busy: a child was made meanwhile.
            Ok(()) if deadline.has_passed() => return Err(deadline.error("removable", path)),
            Ok(()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_available_controllers_are_missing() {
        let found: Vec<_> = missing("cpu memory pids rdma\n", "memory\n").collect();
        assert_eq!(found, ["cpu", "pids"]);
    }

    #[test]
    fn ancestors_go_from_the_mount_to_the_parent() {
        let path = CgroupPath::parse("a/b/c").unwrap();
        let group = V2::new(Path::new("/mnt"), &path);
        let found: Vec<_> = group.ancestors();
        let wanted = ["/mnt", "/mnt/a", "/mnt/a/b"].map(Directory::new);
        assert_eq!(found, wanted);
    }
}
