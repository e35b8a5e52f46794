//! Limits and restart policies of containers that there are.

use barge_testkit::{Client, TestHost};
use serde_json::json;

fn sleeper(host: &TestHost, flags: &[&str]) {
    host.busybox();
    let run = [&["run", "-d", "--name", "cc"], flags, &["busybox", "sleep", "1000"]].concat();
    host.barge(&run).ok();
}

#[test]
fn limits_change_while_it_runs_and_are_kept() {
    let host = TestHost::new();
    sleeper(&host, &["-m", "100m", "--cpus", "0.5"]);
    let body = json!({"Memory": 64 << 20, "MemorySwap": 128 << 20, "NanoCpus": 250_000_000, "PidsLimit": 40,
                      "CpuShares": 512, "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}});
    let answer = host.api().post("/containers/cc/update", body).is(200).json();
    assert!(answer.get("Warnings").is_some(), "{answer}");
    assert_eq!(host.cgroup("cc", "memory", "memory.limit_in_bytes"), "67108864");
    assert_eq!(host.cgroup("cc", "cpu", "cpu.cfs_quota_us"), "25000");
    assert_eq!(host.cgroup("cc", "cpu", "cpu.shares"), "512");
    assert_eq!(host.cgroup("cc", "pids", "pids.max"), "40");
    // Nothing is no limit any more.
    host.api().post("/containers/cc/update", json!({"PidsLimit": 0})).is(200);
    assert_eq!(host.cgroup("cc", "pids", "pids.max"), "max");
    let config = host.inspect("cc")["HostConfig"].clone();
    assert_eq!(config["Memory"], 64 << 20);
    assert_eq!(config["MemorySwap"], 128 << 20);
    assert_eq!(config["NanoCpus"], 250_000_000);
    assert_eq!(config["RestartPolicy"], json!({"Name": "on-failure", "MaximumRetryCount": 3}));
    // What was not running, and what starts anew.
    host.barge(&["stop", "-t", "0", "cc"]).ok();
    host.barge(&["update", "--cpus", "0.1", "cc"]).ok();
    host.barge(&["start", "cc"]).ok();
    assert_eq!(host.cgroup("cc", "cpu", "cpu.cfs_quota_us"), "10000");
    assert_eq!(host.cgroup("cc", "memory", "memory.limit_in_bytes"), "67108864");
}

#[test]
fn both_clients_update_and_a_new_daemon_knows() {
    let mut host = TestHost::new();
    sleeper(&host, &["-m", "100m"]);
    for (client, restart) in [(Client::Barge, "always"), (Client::Docker, "unless-stopped")] {
        let update = host.run(client, &["update", "--restart", restart, "--memory", "80m", "cc"]);
        assert_eq!(update.text(), "cc");
        assert_eq!(host.inspect("cc")["HostConfig"]["RestartPolicy"]["Name"], restart);
    }
    host.kill9();
    host.start();
    assert_eq!(host.inspect("cc")["HostConfig"]["Memory"], 80 << 20);
    assert_eq!(host.cgroup("cc", "memory", "memory.limit_in_bytes"), "83886080");
    host.barge(&["update", "--restart", "no", "cc"]).ok();
}

#[test]
fn a_wrong_update_changes_nothing() {
    let host = TestHost::new();
    sleeper(&host, &["-m", "100m"]);
    let refused = |body: serde_json::Value, status: u16| {
        host.api().post("/containers/cc/update", body).error(status)
    };
    assert_eq!(refused(json!({"Memory": 1 << 20}), 400), "Minimum memory limit allowed is 6MB");
    assert!(
        refused(json!({"Memory": 1_u64 << 30}), 409)
            .contains("update the memoryswap at the same time")
    );
    assert!(
        refused(json!({"CpusetCpus": "4096"}), 400).contains("Requested CPUs are not available")
    );
    assert!(refused(json!({"OomKillDisable": true}), 400).contains("OomKillDisable"));
    assert!(refused(json!({"RestartPolicy": {"Name": "sometimes"}}), 400).contains("sometimes"));
    // Less than it uses: the kernel refuses on v1 with what cannot be given back.
    assert_eq!(host.cgroup("cc", "memory", "memory.limit_in_bytes"), "104857600");
    assert_eq!(host.inspect("cc")["HostConfig"]["Memory"], 100 << 20);
    assert!(host.api().post("/containers/nosuch/update", json!({})).error(404).contains("nosuch"));
    let nothing = host.barge(&["update", "cc"]);
    assert_eq!(nothing.code, 1, "{nothing}");
    assert!(nothing.stderr.contains("you must provide one or more flags"), "{nothing}");
    host.barge(&["run", "-d", "--rm", "--name", "gone", "busybox", "sleep", "1000"]).ok();
    let gone = host.barge(&["update", "--restart", "always", "gone"]);
    assert!(gone.stderr.contains("AutoRemove is enabled"), "{gone}");
}
