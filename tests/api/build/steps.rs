//! What a step is to its process: isolated, limited and connected as a container, and nothing of that in its layer.

use barge_testkit::{HostOptions, Sharing, TarBuilder, TestHost};

use super::{build, dockerfile, failure, output, post};

static HOST: Sharing = Sharing::new();

/// What a command of a step printed, last first to be seen.
fn printed(host: &TestHost, query: &str, command: &str) -> String {
    let text = format!("FROM busybox\nRUN {command}\n");
    let said = build(host, &format!("nocache=1&{query}"), &dockerfile(&text));
    output(&said).trim().to_owned()
}

#[test]
fn a_step_has_dockers_rights_and_no_others() {
    let host = HOST.host();
    host.busybox();
    let status = printed(
        &host,
        "networkmode=none",
        "grep -E 'CapEff|Seccomp:|NoNewPrivs' /proc/self/status",
    );
    // Docker's fourteen capabilities, a filter.
    assert!(status.contains("00000000a80425fb"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    assert_eq!(printed(&host, "networkmode=none", "id -u; pwd; echo $$"), "0\n/\n1");
    let host_name = "(echo x > /proc/sys/kernel/domainname) 2>/dev/null || echo refused";
    assert_eq!(printed(&host, "networkmode=none", host_name), "refused");
}

#[test]
fn a_step_has_the_network_that_is_asked_for() {
    let host = HOST.host();
    host.busybox();
    let links = "ls /sys/class/net | sort | xargs";
    assert_eq!(printed(&host, "networkmode=none", links), "lo");
    assert_eq!(printed(&host, "", links), "eth0 lo");
    let inside = printed(&host, "networkmode=host", "readlink /proc/self/ns/net");
    let of_host = rustix::fs::fstat(host.netns()).unwrap().st_ino;
    assert_eq!(inside, format!("net:[{of_host}]"));
    let hosts = printed(&host, "extrahosts=other%3A10.1.2.3", "grep -c 10.1.2.3 /etc/hosts");
    assert_eq!(hosts, "1");
    // The gateway is the host: a step on the bridge reaches it.
    printed(
        &host,
        "",
        "ping -c 1 -W 20 $(ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p')",
    );
}

#[test]
fn a_daemon_without_a_bridge_builds_without_a_network() {
    let flags = vec!["--bridge=none".to_owned()];
    let host = TestHost::with(HostOptions { flags, ..HostOptions::default() });
    host.busybox();
    assert_eq!(printed(&host, "", "ls /sys/class/net | xargs"), "lo");
}

#[test]
fn nothing_of_the_daemons_is_left_in_a_layer() {
    let host = HOST.host();
    let busybox = std::fs::read("/bin/busybox").or_else(|_| std::fs::read("/usr/bin/busybox"));
    let text = "FROM scratch AS bare\nCOPY busybox /busybox\nRUN [\"/busybox\", \"touch\", \"/made\"]\n\
                RUN [\"/busybox\", \"true\"]\n\
                FROM busybox\nCOPY --from=bare / /bare\nRUN find /bare | sort | xargs\n";
    let context = TarBuilder::new()
        .file("Dockerfile", 0o644, text.as_bytes())
        .file("busybox", 0o755, &busybox.unwrap())
        .finish();
    host.busybox();
    let said = build(&host, "networkmode=none&t=bare", &context);
    assert!(said.contains("\n/bare /bare/busybox /bare/made\n"), "{said}");
}

#[test]
fn a_step_is_limited() {
    let host = HOST.host();
    host.busybox();
    let limits = "networkmode=none&shmsize=1048576&ulimits=%5B%7B%22Name%22%3A%22nofile%22%2C%22Soft%22%3A77%2C%22Hard%22%3A88%7D%5D";
    assert_eq!(printed(&host, limits, "ulimit -n; ulimit -Hn"), "77\n88");
    assert_eq!(printed(&host, limits, "df -k /dev/shm | tail -1 | awk '{print $2}'"), "1024");
    let small =
        dockerfile("FROM busybox\nRUN x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}\n");
    let reply = post(&host, "networkmode=none&memory=16777216&memswap=16777216", &small).is(200);
    assert_eq!(failure(&reply)["code"], 137, "{}", reply.text());
    let few = post(&host, "networkmode=none&memory=1", &dockerfile("FROM busybox\nRUN true\n"));
    assert_eq!(failure(&few)["message"], "Minimum memory limit allowed is 6MB");
    let command = dockerfile("FROM busybox\nRUN [\"/not-there\"]\n");
    let reply = post(&host, "networkmode=none", &command).is(200);
    assert!(
        failure(&reply)["message"].as_str().unwrap().contains("/not-there"),
        "{}",
        reply.text()
    );
}

#[test]
fn output_of_any_size_arrives_whole() {
    let host = HOST.host();
    host.busybox();
    let said = printed(&host, "networkmode=none", "seq 1 100000");
    assert_eq!(said.lines().count(), 100_000);
    assert!(said.ends_with("\n100000"));
}

#[test]
fn steps_leave_nothing_when_they_end() {
    let host = TestHost::new();
    host.busybox();
    // A process of its own that outlives the command.
    let text = "FROM busybox\nRUN (sleep 1000 > /dev/null 2>&1 &) ; echo started\nRUN exit 1\n";
    for query in ["", "networkmode=none", "networkmode=host"] {
        assert_eq!(failure(&post(&host, query, &dockerfile(text)))["code"], 1);
    }
    host.api().post("/build/prune?all=1", serde_json::Value::Null).is(200);
    host.assert_nothing_of_containers();
}
