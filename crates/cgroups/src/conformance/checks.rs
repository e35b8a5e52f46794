//! What a driver must do.

use std::{
    fs,
    os::unix::{fs::MetadataExt as _, process::ExitStatusExt as _},
    process::Command,
    time::{Duration, Instant},
};

use barge_oci::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxNetwork, LinuxPids,
    LinuxResources, LinuxThrottleDevice,
};

use super::{Bench, text};
use crate::{
    CgroupError, CgroupPath, Controller, Version, device_rules::tests::rule, resources,
    wait::Deadline,
};

const MB: i64 = 1024 * 1024;

fn memory(limit: i64, swap: i64) -> LinuxResources {
    LinuxResources {
        memory: Some(LinuxMemory {
            limit: Some(limit),
            swap: Some(swap),
            ..LinuxMemory::default()
        }),
        ..LinuxResources::default()
    }
}

fn cpu(cpu: LinuxCpu) -> LinuxResources {
    LinuxResources { cpu: Some(cpu), ..LinuxResources::default() }
}

fn devices(rules: &[&str]) -> LinuxResources {
    LinuxResources {
        devices: rules.iter().map(|text| rule(text)).collect(),
        ..LinuxResources::default()
    }
}

fn file(bench: &Bench, controller: Controller, names: [&str; 2]) -> String {
    let name = match bench.layout.version() {
        Version::V1 => names[0],
        Version::V2 => names[1],
    };
    let path = bench.group.directory(controller).unwrap().join(name);
    fs::read_to_string(path).unwrap().trim().to_owned()
}

pub(super) fn limits_of_docker_run_are_in_the_files(bench: &Bench) {
    let mut limits = memory(100 * MB, 200 * MB);
    limits.cpu = Some(LinuxCpu {
        quota: Some(resources::quota_from_nano_cpus(100_000_000)),
        period: Some(resources::CPU_PERIOD),
        shares: Some(1024),
        ..LinuxCpu::default()
    });
    bench.group.set(&limits).unwrap();
    let limit = ["memory.limit_in_bytes", "memory.max"];
    assert_eq!(file(bench, Controller::Memory, limit), "104857600");
    let quota = file(bench, Controller::Cpu, ["cpu.cfs_quota_us", "cpu.max"]);
    let weight = file(bench, Controller::Cpu, ["cpu.shares", "cpu.weight"]);
    match bench.layout.version() {
        Version::V1 => assert_eq!((&*quota, &*weight), ("10000", "1024")),
        Version::V2 => assert_eq!((&*quota, &*weight), ("10000 100000", "100")),
    }
}

pub(super) fn a_group_made_ahead_is_used_as_it_is_and_completed(bench: &Bench) {
    let folder = bench.group.directory(Controller::Pids).unwrap();
    let before = fs::metadata(&folder).unwrap().ino();
    bench.group.complete().unwrap();
    assert_eq!(fs::metadata(&folder).unwrap().ino(), before);
    // What somebody has removed meanwhile is there again.
    fs::remove_dir(&folder).unwrap();
    bench.group.complete().unwrap();
    let limits = LinuxResources { pids: Some(LinuxPids { limit: 7 }), ..LinuxResources::default() };
    bench.group.set(&limits).unwrap();
    assert_eq!(file(bench, Controller::Pids, ["pids.max"; 2]), "7");
    // The parent, too.
    bench.group.destroy().unwrap();
    bench.layout.manager(&bench.parent).destroy().unwrap();
    bench.group.complete().unwrap();
    bench.group.set(&limits).unwrap();
    assert_eq!(bench.shell("true").output().status.code(), Some(0));
}

pub(super) fn memory_above_the_limit_is_killed_and_counted(bench: &Bench) {
    bench.group.set(&memory(16 * MB, 32 * MB)).unwrap();
    assert_eq!(bench.group.oom_kills().unwrap(), 0);
    let hog = bench.shell("exec dd if=/dev/zero of=/dev/null bs=64M count=1");
    let output = hog.output();
    assert_eq!(output.status.signal(), Some(9), "{}", text(&output));
    assert_eq!(bench.group.oom_kills().unwrap(), 1);
    let stats = bench.group.stats().unwrap().memory;
    assert!(stats.failures > 0, "{stats:?}");
    assert_eq!(stats.limit, 16 * 1024 * 1024);
}

pub(super) fn memory_limits_are_raised_and_lowered_in_any_order(bench: &Bench) {
    let limit = ["memory.limit_in_bytes", "memory.max"];
    for (memory_limit, sum) in [(64, 64), (128, 256), (32, 48), (200, 200), (16, 400)] {
        bench.group.set(&memory(memory_limit * MB, sum * MB)).unwrap();
        let wanted = (memory_limit * MB).to_string();
        assert_eq!(file(bench, Controller::Memory, limit), wanted);
    }
    bench.group.set(&memory(-1, -1)).unwrap();
    let unlimited = bench.group.stats().unwrap().memory.limit;
    assert!(unlimited > 1 << 60, "{unlimited}");
}

pub(super) fn a_limit_below_the_usage_is_refused_when_asked(bench: &Bench) {
    // The memory is the shell's own: a variable, so that it is not given back.
    let script = "x=$(dd if=/dev/zero bs=1M count=24 2>/dev/null | tr '\\0' x); echo ready; read y";
    let mut job = bench.shell(script);
    assert_eq!(job.first_line(), "ready");
    let mut limits = memory(4 * MB, 4 * MB);
    limits.memory.as_mut().unwrap().check_before_update = Some(true);
    let error = bench.group.set(&limits).unwrap_err();
    assert!(matches!(error, CgroupError::MemoryInUse { .. }), "{error:?}");
}

pub(super) fn a_fork_above_the_limit_of_tasks_fails_with_eagain(bench: &Bench) {
    let limits =
        |limit| LinuxResources { pids: Some(LinuxPids { limit }), ..LinuxResources::default() };
    // Two threads of the helper, and five children.
    bench.group.set(&limits(7)).unwrap();
    assert_eq!(bench.group.stats().unwrap().pids.limit, Some(7));
    let output = bench.helper("fork_until_refused");
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let wanted = format!("with {:?}", Some(rustix::io::Errno::AGAIN.raw_os_error()));
    assert!(said.contains(&wanted), "{said}");
    assert!(said.contains("refused after 5"), "{said}");
    bench.group.set(&limits(0)).unwrap();
    assert_eq!(bench.group.stats().unwrap().pids.limit, None);
}

/// Uses some 50 ms of processor time, several times that in the emulated machine.
const COUNT: &str = "i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done";

pub(super) fn cpu_above_the_quota_is_throttled_and_counted(bench: &Bench) {
    let limits = cpu(LinuxCpu { quota: Some(2_000), period: Some(10_000), ..LinuxCpu::default() });
    bench.group.set(&limits).unwrap();
    let output = bench.shell(COUNT).output();
    assert!(output.status.success(), "{}", text(&output));
    let found = bench.group.stats().unwrap().cpu;
    assert!(found.throttling.throttled_periods > 1, "{found:?}");
    assert!(found.throttling.throttled_ns > 0, "{found:?}");
    assert!(found.throttling.periods >= found.throttling.throttled_periods);
}

pub(super) fn quota_period_and_burst_fit_in_any_order(bench: &Bench) {
    for (quota, period, burst) in [
        (50_000, 100_000, 10_000),
        (1_000, 2_000, 500),
        (900_000, 1_000_000, 800_000),
        (2_000, 4_000, 0),
    ] {
        let limits = cpu(LinuxCpu {
            quota: Some(quota),
            period: Some(period),
            burst: Some(burst),
            ..LinuxCpu::default()
        });
        bench.group.set(&limits).unwrap();
        let names = ["cpu.cfs_burst_us", "cpu.max.burst"];
        assert_eq!(file(bench, Controller::Cpu, names), burst.to_string());
    }
    let limits = cpu(LinuxCpu { quota: Some(-1), ..LinuxCpu::default() });
    bench.group.set(&limits).unwrap();
    let quota = file(bench, Controller::Cpu, ["cpu.cfs_quota_us", "cpu.max"]);
    assert!(quota == "-1" || quota == "max 4000", "{quota}");
}

pub(super) fn a_process_runs_on_the_cpus_of_its_set(bench: &Bench) {
    let show = "while read name value; do case $name in Cpus_allowed_list:) echo $value;; esac; \
                done < /proc/self/status";
    for set in ["0", "0-1", "1"] {
        let limits = cpu(LinuxCpu {
            cpus: Some(set.to_owned()),
            mems: Some("0".to_owned()),
            ..LinuxCpu::default()
        });
        bench.group.set(&limits).unwrap();
        let output = bench.shell(show).output();
        assert_eq!(text(&output).trim(), set);
    }
}

pub(super) fn a_cpu_that_is_not_there_is_refused_by_name(bench: &Bench) {
    let limits = cpu(LinuxCpu { cpus: Some("4000".to_owned()), ..LinuxCpu::default() });
    // v2 takes processors that may come later, but not those that the kernel was not built for.
    let error = bench.group.set(&limits).unwrap_err();
    assert!(error.to_string().contains("cpuset.cpus"), "{error}");
}

/// Which of the device nodes open: `null:yes zero:no …`.
fn opens(bench: &Bench) -> String {
    let script = "for node in null zero full; do \
                    if ( : < /dev/$node ) 2>&-; then echo $node; fi; \
                  done; : < /dev/full";
    text(&bench.shell(script).output())
}

pub(super) fn only_allowed_devices_open(bench: &Bench) {
    let rules = devices(&["deny a", "allow c 1:3 rw", "allow c 1:5 w"]);
    bench.group.set(&rules).unwrap();
    let said = opens(bench);
    assert!(said.contains("null"), "{said}");
    assert!(!said.contains("zero"), "only writing was allowed: {said}");
    assert!(said.contains("Operation not permitted"), "EPERM: {said}");
    let output = bench.shell(": > /dev/zero; mknod /tmp/barge-test-node c 1 3").output();
    let said = text(&output);
    assert!(!output.status.success(), "mknod was not allowed: {said}");
    assert!(!said.contains("/dev/zero"), "writing was allowed: {said}");
    assert!(said.contains("Operation not permitted"), "EPERM: {said}");
}

pub(super) fn later_device_rules_replace_earlier_ones(bench: &Bench) {
    bench.group.set(&devices(&["deny a", "allow c 1:5 rw"])).unwrap();
    assert!(opens(bench).contains("zero"));
    let rules = devices(&["deny a", "allow c 1:3 rw", "allow c 1:7 rwm"]);
    bench.group.set(&rules).unwrap();
    let said = opens(bench);
    assert!(said.contains("null") && said.contains("full"), "{said}");
    assert!(!said.contains("zero"), "{said}");
}

pub(super) fn an_allow_list_denies_its_exceptions(bench: &Bench) {
    bench.group.set(&devices(&["allow a", "deny c 1:5 r"])).unwrap();
    let said = opens(bench);
    assert!(said.contains("null") && !said.contains("zero"), "{said}");
}

/// Waits for something the kernel has no event for.
fn until(mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never came");
        Deadline::after(Duration::ZERO).look_again();
    }
}

pub(super) fn frozen_processes_stand_still_until_thawed(bench: &Bench) {
    let usage = || bench.group.stats().unwrap().cpu.usage_ns;
    let mut job = bench.shell("echo ready; while :; do :; done");
    assert_eq!(job.first_line(), "ready");
    assert!(!bench.group.is_frozen().unwrap());
    bench.group.freeze().unwrap();
    assert!(bench.group.is_frozen().unwrap());
    let before = usage();
    // Time goes by for everyone else.
    let outside = Command::new("sh").args(["-c", COUNT]).status().unwrap();
    assert!(outside.success());
    assert_eq!(usage(), before);
    bench.group.thaw().unwrap();
    assert!(!bench.group.is_frozen().unwrap());
    until(|| usage() > before);
}

pub(super) fn a_process_enters_by_itself(bench: &Bench) {
    let output = bench.helper("enter");
    let said = text(&output);
    assert!(output.status.success() && said.contains("entered"), "{said}");
    // The group it made and moved to stays behind, empty.
    let inner = CgroupPath::new(bench.path.as_path().to_str().unwrap(), "inner").unwrap();
    assert!(bench.layout.manager(&inner).exists());
}

fn sleepers(bench: &Bench) -> super::Job {
    let mut job =
        bench.shell("for i in 1 2 3; do (sleep 600 & sleep 600) & done; echo ready; wait");
    assert_eq!(job.first_line(), "ready");
    until(|| bench.group.pids().unwrap().len() >= 7);
    job
}

pub(super) fn kill_all_reaches_every_process(bench: &Bench) {
    let job = sleepers(bench);
    bench.group.kill_all().unwrap();
    assert_eq!(job.output().status.signal(), Some(9));
    until(|| bench.group.pids().unwrap().is_empty());
    bench.group.kill_all().unwrap();
}

pub(super) fn a_frozen_group_is_killed_too(bench: &Bench) {
    let job = sleepers(bench);
    bench.group.freeze().unwrap();
    bench.group.kill_all().unwrap();
    assert_eq!(job.output().status.signal(), Some(9));
    until(|| bench.group.pids().unwrap().is_empty());
}

pub(super) fn a_group_goes_away_right_after_its_last_process(bench: &Bench) {
    for _ in 0..10 {
        let job = bench.shell("sleep 600 & exit");
        assert!(job.0.id() > 0);
        bench.group.kill_all().unwrap();
        bench.group.destroy().unwrap();
        assert!(!bench.group.exists());
        bench.group.create().unwrap();
    }
}

pub(super) fn groups_below_go_away_with_it(bench: &Bench) {
    let own = bench.path.as_path().to_str().unwrap();
    for name in ["a", "a/b", "c"] {
        let path = CgroupPath::new(own, name).unwrap();
        bench.layout.manager(&path).create().unwrap();
    }
    bench.group.destroy().unwrap();
    for controller in Controller::ALL {
        if let Some(directory) = bench.group.directory(controller) {
            assert!(!directory.exists(), "{}", directory.display());
        }
    }
}

pub(super) fn a_group_that_is_gone_can_be_destroyed_again(bench: &Bench) {
    bench.group.destroy().unwrap();
    bench.group.destroy().unwrap();
    assert!(bench.group.pids().unwrap().is_empty());
    bench.group.kill_all().unwrap();
    assert_eq!(bench.group.oom_kills().unwrap(), 0);
}

pub(super) fn a_populated_group_is_not_taken_over(bench: &Bench) {
    let mut job = bench.shell("echo ready; read x");
    assert_eq!(job.first_line(), "ready");
    let error = bench.group.create().unwrap_err();
    assert!(
        matches!(&error, CgroupError::InUse { pids, .. } if *pids == [job.0.id()]),
        "{error:?}"
    );
    assert_eq!(bench.group.pids().unwrap(), [job.0.id()]);
}

pub(super) fn limits_of_a_leftover_group_are_gone(bench: &Bench) {
    bench.group.set(&memory(64 * MB, 64 * MB)).unwrap();
    bench.group.create().unwrap();
    assert!(bench.group.stats().unwrap().memory.limit > 1 << 60);
}

pub(super) fn stats_count_what_was_used(bench: &Bench) {
    let script = format!("{COUNT}; x=$(dd if=/dev/zero bs=1M count=8 2>/dev/null | tr '\\0' x)");
    let mut job = bench.shell(&format!("{script}; echo ready; read x; read x"));
    assert_eq!(job.first_line(), "ready");
    let stats = bench.group.stats().unwrap();
    assert!(stats.cpu.usage_ns > 1_000_000, "{stats:?}");
    assert!(stats.cpu.user_ns > 0, "{stats:?}");
    assert!(stats.memory.usage > 8 * 1024 * 1024, "{stats:?}");
    assert_eq!(stats.pids.current, 1, "{stats:?}");
    assert!(stats.memory.detail.len() > 10, "{stats:?}");
}

pub(super) fn rates_of_a_block_device_are_set(bench: &Bench) {
    let device = fs::read_dir("/sys/block").unwrap().find_map(|entry| {
        let text = fs::read_to_string(entry.unwrap().path().join("dev")).ok()?;
        let (major, minor) = text.trim().split_once(':')?;
        Some((major.parse().unwrap(), minor.parse().unwrap()))
    });
    let Some((major, minor)) = device else {
        println!("skipped: this host has no block device");
        return;
    };
    let limits = LinuxResources {
        block_io: Some(LinuxBlockIo {
            throttle_read_bps_device: vec![LinuxThrottleDevice { major, minor, rate: 1 << 20 }],
            ..LinuxBlockIo::default()
        }),
        ..LinuxResources::default()
    };
    bench.group.set(&limits).unwrap();
    let names = ["blkio.throttle.read_bps_device", "io.max"];
    let found = file(bench, Controller::Blkio, names);
    assert!(found.contains("1048576"), "{found}");
    assert!(found.starts_with(&format!("{major}:{minor} ")), "{found}");
}

pub(super) fn huge_pages_are_limited_or_refused_by_name(bench: &Bench) {
    let limits = LinuxResources {
        hugepage_limits: vec![LinuxHugepageLimit { page_size: "2MB".to_owned(), limit: 4 << 20 }],
        ..LinuxResources::default()
    };
    let controllers = bench.layout.controllers().unwrap();
    let result = bench.group.set(&limits);
    if controllers.contains(&Controller::Hugetlb) {
        result.unwrap();
        let names = ["hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"];
        assert_eq!(file(bench, Controller::Hugetlb, names), "4194304");
        assert!(bench.group.stats().unwrap().hugetlb.contains_key("2MB"));
    } else {
        let error = result.unwrap_err();
        assert!(error.to_string().contains("hugetlb"), "{error}");
    }
}

pub(super) fn files_of_v2_are_written_on_v2_and_refused_on_v1(bench: &Bench) {
    let unified = |name: &str| LinuxResources {
        unified: [(name.to_owned(), "8388608".to_owned())].into(),
        ..LinuxResources::default()
    };
    let result = bench.group.set(&unified("memory.high"));
    match bench.layout.version() {
        Version::V1 => {
            let error = result.unwrap_err();
            assert!(matches!(error, CgroupError::Unsupported { .. }), "{error:?}");
        }
        Version::V2 => {
            result.unwrap();
            assert_eq!(file(bench, Controller::Memory, ["", "memory.high"]), "8388608");
            assert!(bench.group.set(&unified("../cgroup.procs")).is_err());
            assert!(bench.group.set(&unified("no.such")).is_err());
        }
    }
}

pub(super) fn what_has_no_driver_is_refused(bench: &Bench) {
    let limits =
        LinuxResources { network: Some(LinuxNetwork::default()), ..LinuxResources::default() };
    let error = bench.group.set(&limits).unwrap_err();
    assert!(matches!(error, CgroupError::Unsupported { .. }), "{error:?}");
}
