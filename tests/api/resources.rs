//! Limits and what else a container is given: in force on the host, kept for inspect, and refused or discarded in
//! Docker's words where this host cannot.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use barge_testkit::{HostOptions, Sharing, TestHost};
use serde_json::{Value, json};

static HOST: Sharing = Sharing::new();

fn body(host_config: &Value) -> Value {
    json!({"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": host_config})
}

/// Creates and starts it; returns the warnings.
fn start(host: &TestHost, name: &str, host_config: &Value) -> Vec<String> {
    let made = host.api().post(&format!("/containers/create?name={name}"), body(host_config));
    let made = made.is(201).json();
    host.api().post(&format!("/containers/{name}/start"), Value::Null).is(204);
    let warnings = made["Warnings"].as_array().unwrap();
    warnings.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The numbers of the device that has the tests' files: what limits of block I/O are written for.
fn disk(host: &TestHost) -> Option<(String, String)> {
    let device = fs::metadata(host.data_root()).unwrap().dev();
    let numbers = format!("{}:{}", libc::major(device), libc::minor(device));
    let uevent = fs::read_to_string(format!("/sys/dev/block/{numbers}/uevent")).ok()?;
    let name = uevent.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some((format!("/dev/{name}"), numbers))
}

#[test]
fn limits_of_block_io_are_written_for_their_device() {
    let host = HOST.host();
    let Some((path, numbers)) = disk(&host) else {
        eprintln!("skipped: the tests' files are on no block device");
        return;
    };
    let name = host.unique("blkio");
    let rate = |rate: u64| json!([{"Path": path, "Rate": rate}]);
    start(
        &host,
        &name,
        &json!({
            "BlkioWeight": 300,
            "BlkioDeviceReadBps": rate(1 << 20), "BlkioDeviceWriteBps": rate(2 << 20),
            "BlkioDeviceReadIOps": rate(100), "BlkioDeviceWriteIOps": rate(200),
        }),
    );
    for (file, value) in
        [("read_bps", 1 << 20), ("write_bps", 2 << 20), ("read_iops", 100), ("write_iops", 200)]
    {
        let found = host.cgroup(&name, "blkio", &format!("blkio.throttle.{file}_device"));
        assert_eq!(found, format!("{numbers} {value}"), "{file}");
    }
    // Without a weight in the kernel it was discarded, and inspect says so.
    let folder = format!("/sys/fs/cgroup/blkio/{}", host.cgroup_parent());
    let is_weighted = ["blkio.bfq.weight", "blkio.weight"]
        .iter()
        .any(|file| fs::exists(format!("{folder}/{file}")).unwrap());
    let kept = if is_weighted { 300 } else { 0 };
    assert_eq!(host.inspect(&name)["HostConfig"]["BlkioWeight"], kept);
    host.barge(&["rm", "-f", &name]).ok();
}

#[test]
fn what_is_asked_of_memory_is_in_the_hosts_cgroup() {
    let host = HOST.host();
    let name = host.unique("memory");
    let warnings = start(
        &host,
        &name,
        &json!({
            "Memory": 64 << 20, "MemoryReservation": 32 << 20, "MemorySwappiness": 7,
            "OomKillDisable": true, "KernelMemoryTCP": 16 << 20, "CpusetMems": "0",
            "CpuPeriod": 50_000, "CpuQuota": 25_000,
        }),
    );
    assert_eq!(warnings, [""; 0]);
    let is = |controller: &str, file: &str, value: &str| {
        assert_eq!(host.cgroup(&name, controller, file), value, "{file}");
    };
    is("memory", "memory.soft_limit_in_bytes", "33554432");
    is("memory", "memory.swappiness", "7");
    is("memory", "memory.kmem.tcp.limit_in_bytes", "16777216");
    is("cpuset", "cpuset.mems", "0");
    is("cpu", "cpu.cfs_period_us", "50000");
    is("cpu", "cpu.cfs_quota_us", "25000");
    let oom = host.cgroup(&name, "memory", "memory.oom_control");
    assert!(oom.contains("oom_kill_disable 1"), "{oom}");
    host.barge(&["rm", "-f", &name]).ok();
}

#[test]
fn what_this_host_cannot_is_discarded_with_a_warning() {
    let host = HOST.host();
    let name = host.unique("warned");
    let warnings = start(
        &host,
        &name,
        &json!({"KernelMemory": 32 << 20, "OomKillDisable": true, "CpuPercent": 5,
                "NetworkMode": "host", "PortBindings": {"80/tcp": [{"HostPort": "80"}]}}),
    );
    assert_eq!(
        warnings,
        [
            "Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
            "linux does not support CPU percent. Percent discarded.",
            "Published ports are discarded when using host network mode",
        ]
    );
    assert_eq!(host.inspect(&name)["HostConfig"]["CpuPercent"], 0);
    let shown = host.barge(&["create", "--oom-kill-disable", "busybox", "true"]);
    assert!(shown.stderr.contains("WARNING: OOM killer is disabled"), "{shown}");
    host.barge(&["rm", "-f", &name, shown.text()]).ok();
    let update = json!({"KernelMemory": 32 << 20, "PidsLimit": 10});
    let other = host.unique("updated");
    start(&host, &other, &json!({"NetworkMode": "none"}));
    let answer = host.api().post(&format!("/containers/{other}/update"), update).is(200).json();
    assert!(answer["Warnings"][0].as_str().unwrap().contains("kernel memory"), "{answer}");
    assert_eq!(host.cgroup(&other, "pids", "pids.max"), "10");
    host.barge(&["rm", "-f", &other]).ok();
}

#[test]
fn what_cannot_be_is_refused_in_dockers_words() {
    let host = HOST.host();
    for (host_config, text) in [
        (json!({"BlkioWeight": 5}), "Range of blkio weight is from 10 to 1000"),
        (
            json!({"CpusetMems": "4000"}),
            "Requested memory nodes are not available - requested 4000, available: 0",
        ),
        (json!({"CpusetMems": "x"}), "Invalid value x for cpuset mems"),
        (
            json!({"CpuRealtimePeriod": 10, "CpuRealtimeRuntime": 20}),
            "cpu real-time runtime cannot be higher than cpu real-time period",
        ),
        (
            json!({"IOMaximumIOps": 1}),
            "Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps",
        ),
        (
            json!({"Isolation": "hyperv"}),
            "invalid isolation: \"hyperv\" - linux only supports 'default'",
        ),
        (
            json!({"MemorySwappiness": 101}),
            "Invalid value: 101, valid memory swappiness range is 0-100",
        ),
        (
            json!({"OomScoreAdj": 1001}),
            "Invalid value 1001, range for oom score adj is [-1000, 1000]",
        ),
        (json!({"ShmSize": -1}), "SHM size can not be less than 0"),
        (json!({"Tmpfs": {"/x": "size=1m,foo"}}), "invalid tmpfs option [\"foo\"]"),
        (json!({"Tmpfs": {"/x": "size=abc"}}), "invalid tmpfs option [\"size=abc\"]"),
        (json!({"Tmpfs": {"/x": "mode=9"}}), "invalid tmpfs option [\"mode=9\"]"),
        (json!({"Tmpfs": {"/x": "size=0x10k,uid=me"}}), "invalid tmpfs option [\"uid=me\"]"),
        (json!({"Tmpfs": {"x": ""}}), "invalid mount path: 'x' mount path must be absolute"),
        (
            json!({"Mounts": [{"Type": "bind", "Source": "/", "Target": "/x",
                    "BindOptions": {"Propagation": "sideways"}}]}),
            "invalid mount config for type \"bind\": invalid propagation mode: sideways",
        ),
        (
            json!({"Mounts": [{"Type": "volume", "Target": "/x", "BindOptions": {}}]}),
            "invalid mount config for type \"volume\": field BindOptions must not be specified",
        ),
        (
            json!({"Mounts": [{"Type": "bind", "Source": "/", "Target": "/x",
                    "TmpfsOptions": {"SizeBytes": 1 << 20}}]}),
            "invalid mount config for type \"bind\": field TmpfsOptions must not be specified",
        ),
        (
            json!({"Mounts": [{"Type": "volume", "Target": "/x", "ImageOptions": {"Subpath": "x"}}]}),
            "invalid mount config for type \"volume\": field ImageOptions must not be specified",
        ),
        (
            json!({"BlkioDeviceReadBps": [{"Path": "/no/disk", "Rate": 1 << 20}]}),
            "cannot look at the device \"/no/disk\": No such file or directory",
        ),
    ] {
        let said = host.api().post("/containers/create", body(&host_config)).error(400);
        assert!(said.starts_with(text), "{host_config}: {said}");
    }
}

#[test]
fn a_read_only_bind_may_leave_what_is_mounted_below_it_as_it_is() {
    let host = HOST.host();
    let outer = host.scratch().join(host.unique("outer"));
    let inner = outer.join("inner");
    fs::create_dir_all(&inner).unwrap();
    // The mount below is made by a container, whose namespace the bind of the next one is not in: by the host itself.
    let path = outer.to_str().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(&inner)
        .status()
        .unwrap();
    assert!(mounted.success());
    let script = "touch /mnt/a 2>/dev/null && echo outer; touch /mnt/inner/a 2>/dev/null && echo inner; true";
    let run = |more: &str| {
        let mount = format!("type=bind,src={path},dst=/mnt,readonly{more}");
        let flags = ["run", "--rm", "--network", "none", "--mount", &mount];
        host.barge(&[&flags[..], &["busybox", "sh", "-c", script]].concat())
    };
    let outcomes = [run(""), run(",bind-recursive=writable")];
    std::process::Command::new("umount").arg(&inner).status().unwrap();
    assert_eq!(outcomes[0].text(), "");
    assert_eq!(outcomes[1].text(), "inner");
}

#[test]
fn the_daemon_grants_a_real_time_budget_and_containers_take_of_it() {
    let flags = ["--cpu-rt-period=1000000", "--cpu-rt-runtime=2000"];
    let parent = "/sys/fs/cgroup/cpu/cpu.rt_runtime_us";
    if !fs::exists(parent).unwrap() {
        eprintln!("skipped: this kernel has no real-time budgets for groups");
        return;
    }
    let host = TestHost::with(HostOptions {
        flags: flags.map(str::to_owned).to_vec(),
        ..HostOptions::default()
    });
    host.busybox();
    start(&host, "real", &json!({"CpuRealtimeRuntime": 500, "CpuRealtimePeriod": 500_000}));
    assert_eq!(host.cgroup("real", "cpu", "cpu.rt_runtime_us"), "500");
    assert_eq!(host.cgroup("real", "cpu", "cpu.rt_period_us"), "500000");
    host.barge(&["update", "--cpu-rt-runtime", "800", "real"]).ok();
    assert_eq!(host.cgroup("real", "cpu", "cpu.rt_runtime_us"), "800");
    // More than there is.
    let outcome = host.barge(&["run", "--rm", "--cpu-rt-runtime", "900000", "busybox", "true"]);
    assert!(outcome.fails(125).contains("cpu.rt_runtime_us"), "{outcome}");
}

#[test]
fn the_daemon_says_what_every_container_gets() {
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}"#;
    let path = std::env::temp_dir().join(format!("barge-profile-{}", std::process::id()));
    fs::write(&path, profile).unwrap();
    let profile = format!("--seccomp-profile={}", path.display());
    let host = TestHost::with(HostOptions {
        flags: vec![profile, "--no-new-privileges".into(), "--init".into()],
        ..HostOptions::default()
    });
    fs::remove_file(&path).unwrap();
    host.busybox();
    let script = "grep NoNewPrivs /proc/self/status; mkdir /x 2>/dev/null && echo made; echo $$";
    let run = |flags: &[&str]| {
        host.barge(&[&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat())
    };
    assert_eq!(run(&[]).text(), "NoNewPrivs:\t1\n2");
    let own = ["--security-opt", "no-new-privileges=false", "--security-opt", "seccomp=builtin"];
    assert_eq!(run(&[&own[..], &["--init=false"]].concat()).text(), "NoNewPrivs:\t0\nmade\n1");
}
