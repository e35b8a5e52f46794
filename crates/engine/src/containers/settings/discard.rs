//! What this host cannot do is left out, and that is said in Docker's words: a container that asks for a little less than
//! it gets elsewhere should run here. What would change the meaning of a request is refused instead.

use barge_api_types::{HostConfig, Resources};
use barge_cgroups::Feature;

use super::Host;

/// Takes away what the host cannot do; one warning for each.
pub(crate) fn discard_unsupported(host: &mut HostConfig, machine: &Host) -> Vec<String> {
    let mut warnings = discard_limits(&mut host.resources, machine);
    if host.network_mode == "host" && !host.port_bindings.is_empty() {
        warnings.push("Published ports are discarded when using host network mode".to_owned());
    }
    for option in &host.security_opt {
        let (key, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
        let absent = match key {
            "apparmor" if value != "unconfined" && !machine.modules.apparmor => "AppArmor",
            "label" if value != "disable" && !machine.modules.selinux => "SELinux",
            _ => continue,
        };
        warnings.push(format!(
            "Your kernel does not support {absent} or it is disabled. Security option {option} discarded."
        ));
    }
    warnings
}

/// The same for the limits alone, which `update` changes.
pub(crate) fn discard_limits(resources: &mut Resources, machine: &Host) -> Vec<String> {
    let mut discard = Discard { machine, warnings: Vec::new() };
    discard.memory(resources);
    discard.cpu(resources);
    discard.block_io(resources);
    discard.warnings
}

/// The text for a limit that a kernel may lack.
fn lacking(what: &str, outcome: &str) -> String {
    format!("Your kernel does not support {what} or the cgroup is not mounted. {outcome}")
}

struct Discard<'a> {
    machine: &'a Host,
    warnings: Vec<String>,
}

impl Discard<'_> {
    fn is_lost(&mut self, is_asked: bool, feature: Feature, text: impl FnOnce() -> String) -> bool {
        let is_lost = is_asked && !self.machine.features.contains(&feature);
        if is_lost {
            self.warnings.push(text());
        }
        is_lost
    }

    fn memory(&mut self, own: &mut Resources) {
        if self.is_lost(own.memory > 0, Feature::Memory, || {
            lacking("memory limit capabilities", "Limitation discarded.")
        }) {
            (own.memory, own.memory_swap) = (0, -1);
        }
        if self.is_lost(own.memory > 0 && own.memory_swap != -1, Feature::Swap, || {
            lacking("swap limit capabilities", "Memory limited without swap.")
        }) {
            own.memory_swap = -1;
        }
        let wants_swappiness = own.memory_swappiness.is_some_and(|value| value != -1);
        if self.is_lost(wants_swappiness, Feature::Swappiness, || {
            lacking("memory swappiness capabilities", "Memory swappiness discarded.")
        }) {
            own.memory_swappiness = None;
        }
        if self.is_lost(own.memory_reservation > 0, Feature::MemoryReservation, || {
            lacking("memory soft limit capabilities", "Limitation discarded.")
        }) {
            own.memory_reservation = 0;
        }
        // The kernel has ignored it since 5.16, whatever its files say.
        if own.kernel_memory > 0 {
            self.warnings
                .push(lacking("kernel memory limit capabilities", "Limitation discarded."));
            own.kernel_memory = 0;
        }
        if self.is_lost(own.kernel_memory_tcp > 0, Feature::KernelMemoryTcp, || {
            lacking("kernel memory TCP limit capabilities", "Limitation discarded.")
        }) {
            own.kernel_memory_tcp = 0;
        }
        let keeps_all = own.oom_kill_disable == Some(true);
        if self.is_lost(keeps_all, Feature::OomKillDisable, || {
            "Your kernel does not support OomKillDisable. OomKillDisable discarded.".to_owned()
        }) {
            own.oom_kill_disable = None;
        } else if keeps_all && own.memory == 0 {
            self.warnings.push("OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.".to_owned());
        }
        let has_pids = own.pids_limit.is_some_and(|limit| limit > 0);
        if self.is_lost(has_pids, Feature::Pids, || {
            lacking("PIDs limit capabilities", "PIDs limit discarded.")
        }) {
            own.pids_limit = None;
        }
    }

    fn cpu(&mut self, own: &mut Resources) {
        if self.is_lost(own.cpu_shares > 0, Feature::CpuShares, || {
            lacking("CPU shares", "Shares discarded.")
        }) {
            own.cpu_shares = 0;
        }
        let has_quota = own.cpu_period != 0 || own.cpu_quota != 0;
        if self.is_lost(has_quota, Feature::CpuQuota, || {
            "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.".to_owned()
        }) {
            (own.cpu_period, own.cpu_quota) = (0, 0);
        }
        if own.cpu_percent > 0 {
            self.warnings.push("linux does not support CPU percent. Percent discarded.".to_owned());
            own.cpu_percent = 0;
        }
        let has_set = !own.cpuset_cpus.is_empty() || !own.cpuset_mems.is_empty();
        if self.is_lost(has_set, Feature::Cpuset, || lacking("cpuset", "Cpuset discarded.")) {
            own.cpuset_cpus.clear();
            own.cpuset_mems.clear();
        }
    }

    fn block_io(&mut self, own: &mut Resources) {
        if self.is_lost(own.blkio_weight > 0, Feature::BlkioWeight, || {
            lacking("Block I/O weight", "Weight discarded.")
        }) {
            own.blkio_weight = 0;
        }
        let weights = !own.blkio_weight_device.is_empty();
        if self.is_lost(weights, Feature::BlkioWeightDevice, || {
            lacking("Block I/O weight_device", "Weight-device discarded.")
        }) {
            own.blkio_weight_device.clear();
        }
        let rates = [
            (
                &mut own.blkio_device_read_bps,
                Feature::BlkioReadBps,
                ("BPS Block I/O read limit", "Block I/O BPS read limit discarded."),
            ),
            (
                &mut own.blkio_device_write_bps,
                Feature::BlkioWriteBps,
                ("BPS Block I/O write limit", "Block I/O BPS write limit discarded."),
            ),
            (
                &mut own.blkio_device_read_iops,
                Feature::BlkioReadIops,
                ("IOPS Block read limit", "Block I/O IOPS read limit discarded."),
            ),
            (
                &mut own.blkio_device_write_iops,
                Feature::BlkioWriteIops,
                ("IOPS Block write limit", "Block I/O IOPS write limit discarded."),
            ),
        ];
        for (list, feature, (what, outcome)) in rates {
            if self.is_lost(!list.is_empty(), feature, || lacking(what, outcome)) {
                list.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use barge_api_types::ThrottleDevice;

    use super::super::SecurityModules;
    use super::*;

    fn machine(features: &[Feature]) -> Host {
        Host {
            cpus: 2,
            nodes: 1,
            has_cgroup_v1: true,
            features: features.iter().copied().collect::<BTreeSet<_>>(),
            modules: SecurityModules::default(),
        }
    }

    #[test]
    fn what_the_kernel_lacks_is_discarded_and_said() {
        let mut own = Resources {
            memory: 1 << 30,
            memory_swap: 2 << 30,
            memory_swappiness: Some(10),
            blkio_weight: 100,
            blkio_device_read_bps: vec![ThrottleDevice { path: "/dev/x".into(), rate: 1 }],
            pids_limit: Some(5),
            ..Resources::default()
        };
        let warnings = discard_limits(&mut own, &machine(&[Feature::Memory, Feature::Pids]));
        assert_eq!(
            warnings,
            [
                "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
                "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
                "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
                "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.",
            ]
        );
        assert_eq!((own.memory, own.memory_swap, own.pids_limit), (1 << 30, -1, Some(5)));
        assert!(own.memory_swappiness.is_none() && own.blkio_weight == 0);
        assert!(own.blkio_device_read_bps.is_empty());
    }

    #[test]
    fn who_asks_for_nothing_is_told_nothing() {
        let mut host = HostConfig::default();
        assert_eq!(discard_unsupported(&mut host, &machine(&[])), [""; 0]);
        host.security_opt = vec!["apparmor=unconfined".into(), "label=disable".into()];
        assert_eq!(discard_unsupported(&mut host, &machine(&[])), [""; 0]);
    }

    #[test]
    fn profiles_of_absent_modules_are_named() {
        let mut host = HostConfig {
            security_opt: vec!["apparmor=mine".into(), "label:type:x".into()],
            ..HostConfig::default()
        };
        let warnings = discard_unsupported(&mut host, &machine(&[]));
        assert!(warnings[0].contains("AppArmor") && warnings[0].contains("apparmor=mine"));
        assert!(warnings[1].contains("SELinux") && warnings.len() == 2);
    }
}
