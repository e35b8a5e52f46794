//! What the host mounts: v1 hierarchies, the one of v2, or both (hybrid).
//!
//! A hybrid host is v1: there the controllers are, and the v2 tree beside them has none. The usual mount points are
//! tried first, because reading the mount table takes longer the more containers run.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use rustix::fs::statfs;

use crate::{
    directory::io_error,
    drivers::{V1, V2},
    error::{CgroupError, Result},
    manager::CgroupManager,
    path::CgroupPath,
};

const ROOT: &str = "/sys/fs/cgroup";
/// linux/magic.h
const CGROUP_SUPER_MAGIC: i64 = 0x27_e0eb;
/// linux/magic.h
const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;

/// A controller that this crate drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the kernel's own names")]
pub enum Controller {
    Cpu,
    Cpuacct,
    Cpuset,
    Memory,
    Devices,
    Freezer,
    Blkio,
    Pids,
    Hugetlb,
}

impl Controller {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Cpu,
        Self::Cpuacct,
        Self::Cpuset,
        Self::Memory,
        Self::Devices,
        Self::Freezer,
        Self::Blkio,
        Self::Pids,
        Self::Hugetlb,
    ];

    /// Its name on v1.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Cpuset => "cpuset",
            Self::Memory => "memory",
            Self::Devices => "devices",
            Self::Freezer => "freezer",
            Self::Blkio => "blkio",
            Self::Pids => "pids",
            Self::Hugetlb => "hugetlb",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|controller| controller.name() == name)
    }
}

/// Version of the cgroup interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy per controller.
    V1,
    /// One hierarchy.
    V2,
}

/// Where the controllers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Mount point by controller. Controllers that are mounted together share one.
    V1(BTreeMap<Controller, PathBuf>),
    /// The one mount point.
    V2(PathBuf),
}

impl Layout {
    /// Looks at this host.
    pub fn detect() -> Result<Self> {
        let root = Path::new(ROOT);
        if is_mounted(root, CGROUP2_SUPER_MAGIC) {
            return Ok(Self::V2(root.to_owned()));
        }
        let path = Path::new("/proc/self/cgroup");
        let own = fs::read_to_string(path).map_err(io_error("read", path))?;
        let hierarchies = v1_hierarchies(&own);
        let mounts = match usual_mounts(&hierarchies, root) {
            Some(mounts) => mounts,
            None => {
                let path = Path::new("/proc/self/mountinfo");
                let table = fs::read_to_string(path).map_err(io_error("read", path))?;
                v1_mounts(&table)
            }
        };
        if mounts.is_empty() {
            return Err(CgroupError::NoCgroups(root.to_owned()));
        }
        Ok(Self::V1(mounts))
    }

    /// Which version.
    pub fn version(&self) -> Version {
        match self {
            Self::V1(_) => Version::V1,
            Self::V2(_) => Version::V2,
        }
    }

    /// The group at `path`, whether it is there or not.
    pub fn manager(&self, path: &CgroupPath) -> Box<dyn CgroupManager> {
        match self {
            Self::V1(mounts) => Box::new(V1::new(mounts, path)),
            Self::V2(mount) => Box::new(V2::new(mount, path)),
        }
    }

    /// The controllers that can be used, by their v1 names. On v2 the devices and freezer controllers are always there
    /// and cpuacct is part of cpu.
    pub fn controllers(&self) -> Result<Vec<Controller>> {
        match self {
            Self::V1(mounts) => Ok(mounts.keys().copied().collect()),
            Self::V2(mount) => {
                let path = mount.join("cgroup.controllers");
                let text = fs::read_to_string(&path).map_err(io_error("read", &path))?;
                Ok(v2_controllers(&text))
            }
        }
    }
}

fn is_mounted(path: &Path, magic: i64) -> bool {
    statfs(path).is_ok_and(|found| found.f_type == magic)
}

/// The controllers of each v1 hierarchy, from `/proc/self/cgroup` (`4:cpu,cpuacct:/`). Named hierarchies have none.
fn v1_hierarchies(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.split(':').nth(1))
        .filter(|names| !names.is_empty() && !names.starts_with("name="))
        .collect()
}

/// `None` as soon as one of the hierarchies is not where systemd, Docker and others mount it. A hierarchy without a
/// controller of ours is not looked for.
fn usual_mounts(hierarchies: &[&str], root: &Path) -> Option<BTreeMap<Controller, PathBuf>> {
    let mut mounts = BTreeMap::new();
    for names in hierarchies {
        let mut controllers = names.split(',').filter_map(Controller::parse).peekable();
        if controllers.peek().is_none() {
            continue;
        }
        let path = root.join(names);
        if !is_mounted(&path, CGROUP_SUPER_MAGIC) {
            return None;
        }
        mounts.extend(controllers.map(|controller| (controller, path.clone())));
    }
    Some(mounts)
}

/// Mount points from `/proc/self/mountinfo`: the controllers are among the super block's options.
fn v1_mounts(table: &str) -> BTreeMap<Controller, PathBuf> {
    let mut mounts = BTreeMap::new();
    for line in table.lines() {
        let Some((place, kind)) = line.split_once(" - ") else {
            continue;
        };
        let mut kind = kind.split(' ');
        if kind.next() != Some("cgroup") {
            continue;
        }
        let (Some(path), Some(options)) = (place.split(' ').nth(4), kind.nth(1)) else {
            continue;
        };
        for controller in options.split(',').filter_map(Controller::parse) {
            mounts.entry(controller).or_insert_with(|| PathBuf::from(path));
        }
    }
    mounts
}

fn v2_controllers(text: &str) -> Vec<Controller> {
    let mut found = vec![Controller::Devices, Controller::Freezer];
    for name in text.split_whitespace() {
        match name {
            "io" => found.push(Controller::Blkio),
            "cpu" => found.extend([Controller::Cpu, Controller::Cpuacct]),
            name => found.extend(Controller::parse(name)),
        }
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_without_controllers_are_left_out() {
        let text = "9:name=systemd:/\n2:cpu,cpuacct:/a\n1:pids:/\n0::/\n";
        assert_eq!(v1_hierarchies(text), ["cpu,cpuacct", "pids"]);
    }

    #[test]
    fn controllers_mounted_together_share_their_mount() {
        let table = "30 24 0:26 / /cg/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                     31 24 0:27 / /cg/unified rw - cgroup2 cgroup2 rw,nsdelegate\n\
                     32 24 0:28 / /cg/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";
        let mounts = v1_mounts(table);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[&Controller::Cpu], PathBuf::from("/cg/cpu,cpuacct"));
        assert_eq!(mounts[&Controller::Cpu], mounts[&Controller::Cpuacct]);
    }

    #[test]
    fn v2_always_has_devices_and_the_freezer() {
        let found = v2_controllers("cpuset cpu io memory pids\n");
        assert!(found.contains(&Controller::Devices) && found.contains(&Controller::Freezer));
        assert!(found.contains(&Controller::Blkio) && !found.contains(&Controller::Hugetlb));
    }

    #[test]
    fn this_host_has_cgroups() {
        let layout = Layout::detect().unwrap();
        let controllers = layout.controllers().unwrap();
        assert!(controllers.contains(&Controller::Memory), "{layout:?}");
    }
}
