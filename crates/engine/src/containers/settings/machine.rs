//! What of the machine decides on what containers can be given.

use std::collections::BTreeSet;
use std::path::Path;

use barge_cgroups::{CgroupPath, Feature, Layout, Version};

use crate::error::Result;

/// The machine, looked at once.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// How many processors it has.
    pub(crate) cpus: u32,
    /// How many memory nodes.
    pub(crate) nodes: u32,
    /// Whether the controllers are those of cgroup v1.
    pub(crate) has_cgroup_v1: bool,
    /// The limits that can be set.
    pub(crate) features: BTreeSet<Feature>,
    pub(crate) modules: SecurityModules,
}

/// The security modules that are at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SecurityModules {
    pub(crate) apparmor: bool,
    pub(crate) selinux: bool,
}

impl Host {
    /// Looks at this one; limits are tried in a group of `parent`.
    pub(crate) fn look(layout: &Layout, parent: &str) -> Result<Self> {
        let probe = CgroupPath::new(parent, &format!("probe-{}", std::process::id()))?;
        let is_on =
            |path: &str| std::fs::read_to_string(path).is_ok_and(|text| text.starts_with('Y'));
        Ok(Self {
            cpus: cpus(),
            nodes: nodes(
                &std::fs::read_to_string("/sys/devices/system/node/online").unwrap_or_default(),
            ),
            has_cgroup_v1: layout.version() == Version::V1,
            features: layout.features(&probe)?,
            modules: SecurityModules {
                apparmor: is_on("/sys/module/apparmor/parameters/enabled"),
                selinux: Path::new("/sys/fs/selinux/enforce").exists(),
            },
        })
    }

    /// What records are read with: containers are not unknown because the machine has less than it had, or has SELinux
    /// now. What the kernel cannot do is told when one is started.
    pub(crate) fn for_records(&self) -> Self {
        Self {
            cpus: u32::MAX,
            nodes: u32::MAX,
            has_cgroup_v1: self.has_cgroup_v1,
            features: Feature::all().collect(),
            modules: SecurityModules { selinux: false, ..self.modules },
        }
    }

    /// One of so many processors with cgroup v1 and nothing special.
    #[cfg(test)]
    pub(crate) const fn plain(cpus: u32) -> Self {
        Self {
            cpus,
            nodes: 1,
            has_cgroup_v1: true,
            features: BTreeSet::new(),
            modules: SecurityModules { apparmor: false, selinux: false },
        }
    }
}

fn cpus() -> u32 {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// One more than the highest of `0-1`; a kernel without nodes has one.
fn nodes(online: &str) -> u32 {
    let highest = online.trim().rsplit([',', '-']).next().and_then(|text| text.parse::<u32>().ok());
    highest.map_or(1, |highest| highest.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_counted_from_zero() {
        assert_eq!((nodes("0\n"), nodes("0-3\n"), nodes("0,2\n"), nodes("")), (1, 4, 3, 1));
    }
}
