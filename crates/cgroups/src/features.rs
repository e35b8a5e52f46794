//! Which limits this kernel can set, found out by looking at a group that is made for it and removed again: some files
//! are not in the root group, and on v2 none is where its controller was not handed down.

use std::collections::BTreeSet;
use std::path::Path;

use crate::detect::{Controller, Layout, Version};
use crate::error::Result;
use crate::path::CgroupPath;

/// A limit that not every kernel can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the limits' own names")]
pub enum Feature {
    Memory,
    Swap,
    MemoryReservation,
    Swappiness,
    OomKillDisable,
    KernelMemoryTcp,
    Pids,
    CpuShares,
    CpuQuota,
    CpuRealtime,
    Cpuset,
    BlkioWeight,
    BlkioWeightDevice,
    BlkioReadBps,
    BlkioWriteBps,
    BlkioReadIops,
    BlkioWriteIops,
}

impl Feature {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        V1.into_iter().map(|(feature, ..)| feature)
    }
}

/// Where a limit is written; any one of the files will do.
type Place = (Feature, Controller, &'static [&'static str]);

/// The files of v1.
const V1: [Place; 17] = [
    (Feature::Memory, Controller::Memory, &["memory.limit_in_bytes"]),
    (Feature::Swap, Controller::Memory, &["memory.memsw.limit_in_bytes"]),
    (Feature::MemoryReservation, Controller::Memory, &["memory.soft_limit_in_bytes"]),
    (Feature::Swappiness, Controller::Memory, &["memory.swappiness"]),
    (Feature::OomKillDisable, Controller::Memory, &["memory.oom_control"]),
    (Feature::KernelMemoryTcp, Controller::Memory, &["memory.kmem.tcp.limit_in_bytes"]),
    (Feature::Pids, Controller::Pids, &["pids.max"]),
    (Feature::CpuShares, Controller::Cpu, &["cpu.shares"]),
    (Feature::CpuQuota, Controller::Cpu, &["cpu.cfs_quota_us"]),
    (Feature::CpuRealtime, Controller::Cpu, &["cpu.rt_runtime_us"]),
    (Feature::Cpuset, Controller::Cpuset, &["cpuset.cpus"]),
    (Feature::BlkioWeight, Controller::Blkio, &["blkio.bfq.weight", "blkio.weight"]),
    (
        Feature::BlkioWeightDevice,
        Controller::Blkio,
        &["blkio.bfq.weight_device", "blkio.weight_device"],
    ),
    (Feature::BlkioReadBps, Controller::Blkio, &["blkio.throttle.read_bps_device"]),
    (Feature::BlkioWriteBps, Controller::Blkio, &["blkio.throttle.write_bps_device"]),
    (Feature::BlkioReadIops, Controller::Blkio, &["blkio.throttle.read_iops_device"]),
    (Feature::BlkioWriteIops, Controller::Blkio, &["blkio.throttle.write_iops_device"]),
];

/// The files of v2, which has no swappiness, no switch for the OOM killer and no real-time budgets.
const V2: [Place; 13] = [
    (Feature::Memory, Controller::Memory, &["memory.max"]),
    (Feature::Swap, Controller::Memory, &["memory.swap.max"]),
    (Feature::MemoryReservation, Controller::Memory, &["memory.low"]),
    (Feature::Pids, Controller::Pids, &["pids.max"]),
    (Feature::CpuShares, Controller::Cpu, &["cpu.weight"]),
    (Feature::CpuQuota, Controller::Cpu, &["cpu.max"]),
    (Feature::Cpuset, Controller::Cpuset, &["cpuset.cpus"]),
    (Feature::BlkioWeight, Controller::Blkio, &["io.weight", "io.bfq.weight"]),
    (Feature::BlkioWeightDevice, Controller::Blkio, &["io.weight", "io.bfq.weight"]),
    (Feature::BlkioReadBps, Controller::Blkio, &["io.max"]),
    (Feature::BlkioWriteBps, Controller::Blkio, &["io.max"]),
    (Feature::BlkioReadIops, Controller::Blkio, &["io.max"]),
    (Feature::BlkioWriteIops, Controller::Blkio, &["io.max"]),
];

impl Layout {
    /// Looks what a group at `probe` can be limited in; no such group is there afterwards.
    pub fn features(&self, probe: &CgroupPath) -> Result<BTreeSet<Feature>> {
        let group = self.manager(probe);
        group.create()?;
        let places: &[Place] = match self.version() {
            Version::V1 => &V1,
            Version::V2 => &V2,
        };
        let found = places
            .iter()
            .filter(|(_, controller, files)| {
                let folder = group.directory(*controller);
                folder.is_some_and(|folder| has_any(&folder, files))
            })
            .map(|(feature, ..)| *feature)
            .collect();
        group.destroy()?;
        Ok(found)
    }
}

fn has_any(folder: &Path, files: &[&str]) -> bool {
    files.iter().any(|file| folder.join(file).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_host_limits_memory_and_processes_and_nothing_is_left() {
        let probe = CgroupPath::parse(&format!("barge-features-{}", std::process::id())).unwrap();
        let layout = Layout::detect().unwrap();
        let found = layout.features(&probe).unwrap();
        assert!(found.contains(&Feature::Memory) && found.contains(&Feature::Pids), "{found:?}");
        assert_eq!(found.contains(&Feature::Swappiness), layout.version() == Version::V1);
        assert!(!layout.manager(&probe).exists());
    }
}
