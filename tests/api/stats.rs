//! What containers use, as their own cgroups and interfaces count it.

use barge_testkit::{Client, TestHost};
use serde_json::Value;

/// A container that has a limit, memory in use and packets sent.
fn start(host: &TestHost) {
    host.busybox();
    let script = "dd if=/dev/zero of=/dev/shm/f bs=1M count=8 2>/dev/null; ping -c1 -W1 127.0.0.1; \
                  echo ready; while :; do :; done";
    host.barge(&[
        "run",
        "-d",
        "--name",
        "busy",
        "--memory",
        "100m",
        "--pids-limit",
        "50",
        "--cpus",
        "0.2",
        "busybox",
        "sh",
        "-c",
        script,
    ])
    .ok();
    barge_testkit::eventually("it works", || {
        host.barge(&["logs", "busy"]).text().ends_with("ready")
    });
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is a number"))
}

#[test]
fn one_sample_has_what_the_kernel_counts() {
    let host = TestHost::new();
    start(&host);
    let stats = host.api().get("/containers/busy/stats?stream=0&one-shot=1").is(200).json();
    assert_eq!(stats["name"], "/busy");
    assert_eq!(stats["id"], host.id("busy"));
    assert_eq!(number(&stats["memory_stats"]["limit"]), 100 << 20);
    assert!(number(&stats["memory_stats"]["usage"]) >= 8 << 20, "{stats}");
    assert!(!stats["memory_stats"]["stats"].as_object().unwrap().is_empty());
    assert_eq!(number(&stats["pids_stats"]["limit"]), 50);
    assert!(number(&stats["pids_stats"]["current"]) >= 1);
    assert!(number(&stats["cpu_stats"]["cpu_usage"]["total_usage"]) > 0);
    assert!(number(&stats["cpu_stats"]["system_cpu_usage"]) > 0);
    assert!(number(&stats["cpu_stats"]["online_cpus"]) >= 1);
    assert_eq!(stats["preread"], "0001-01-01T00:00:00Z");
    assert_eq!(number(&stats["precpu_stats"]["cpu_usage"]["total_usage"]), 0);
    let networks = stats["networks"].as_object().unwrap();
    assert_eq!(networks.keys().collect::<Vec<_>>(), ["eth0"]);
}

#[test]
fn a_stream_tells_each_sample_with_the_one_before_until_the_container_is_removed() {
    let host = TestHost::new();
    start(&host);
    let mut stream = host.api().connect();
    stream.write(b"GET /containers/busy/stats HTTP/1.1\r\nHost: barge\r\n\r\n");
    assert_eq!(stream.head().0, 200);
    let mut sample =
        || -> Option<Value> { Some(serde_json::from_slice(&stream.chunk()?).unwrap()) };
    let first = sample().unwrap();
    let second = sample().unwrap();
    assert_eq!(second["preread"], first["read"]);
    assert_eq!(second["precpu_stats"], first["cpu_stats"]);
    let used = |stats: &Value| number(&stats["cpu_stats"]["cpu_usage"]["total_usage"]);
    assert!(used(&second) > used(&first));
    // One that does not run has a name alone; one that is gone ends it.
    host.barge(&["kill", "busy"]).ok();
    let ended = std::iter::from_fn(&mut sample).find(|stats| used(stats) == 0).unwrap();
    assert_eq!(ended["name"], "/busy");
    host.barge(&["rm", "busy"]).ok();
    assert_eq!(std::iter::from_fn(&mut sample).filter(|stats| used(stats) > 0).count(), 0);
}

#[test]
fn one_sample_without_a_stream_has_rates_and_clients_show_them() {
    let host = TestHost::new();
    start(&host);
    host.barge(&["create", "--name", "still", "busybox", "true"]).ok();
    let stats = host.api().get("/containers/busy/stats?stream=false").is(200).json();
    assert!(number(&stats["precpu_stats"]["cpu_usage"]["total_usage"]) > 0, "{stats}");
    let still = host.api().get("/containers/still/stats?stream=false").is(200).json();
    assert_eq!(still["name"], "/still");
    assert_eq!(number(&still["cpu_stats"]["cpu_usage"]["total_usage"]), 0);
    let format = "{{.Name}} {{.MemUsage}} {{.PIDs}}";
    let shown = host.run(Client::Docker, &["stats", "--no-stream", "--format", format, "busy"]);
    let shown = shown.text();
    assert!(shown.starts_with("busy ") && shown.contains("/ 100MiB"), "{shown}");
    let missing = host.api().get("/containers/nosuch/stats").error(404);
    assert_eq!(missing, "No such container: nosuch");
    let both = host.api().get("/containers/busy/stats?stream=1&one-shot=1").error(400);
    assert_eq!(both, "cannot have stream=true and one-shot=true");
}
