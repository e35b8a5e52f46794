//! Containers that other OCI runtimes make: runc and crun, driven by barge's own shim.

use std::fs;
use std::path::Path;

use barge_testkit::{Client, HostOptions, TestHost, Verdict};
use serde_json::{Value, json};

/// Those of runc and crun that are installed and work on this machine, with their paths. crun does not where the
/// hierarchies of v1 and v2 both have controllers.
fn installed() -> Vec<(&'static str, String)> {
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];
    let beside = fs::read_to_string("/sys/fs/cgroup/unified/cgroup.controllers");
    let is_mixed = beside.is_ok_and(|controllers| !controllers.trim().is_empty());
    let find = |name: &'static str| {
        let mut paths = folders.iter().map(|folder| format!("{folder}/{name}"));
        Some((name, paths.find(|path| Path::new(path).exists())?))
    };
    let works = |name: &str| name != "crun" || !is_mixed;
    ["runc", "crun"]
        .into_iter()
        .filter(|name| works(name) && barge_testkit::check(name) == Verdict::Present)
        .filter_map(find)
        .collect()
}

/// A daemon that knows them by names of its own.
fn host(runtimes: &[(&str, String)]) -> TestHost {
    let flags = runtimes.iter().map(|(name, path)| format!("--add-runtime=other-{name}={path}"));
    let host = TestHost::with(HostOptions { flags: flags.collect(), ..HostOptions::default() });
    host.busybox();
    host
}

/// Whether the runtime's own cgroups, which the kernel does not clean up, are gone.
fn named_group_is_gone(host: &TestHost, id: &str) -> bool {
    !Path::new("/sys/fs/cgroup/systemd").join(host.cgroup_parent()).join(id).exists()
}

#[test]
fn a_whole_life_by_another_runtime() {
    let runtimes = installed();
    let host = host(&runtimes);
    for (name, _) in &runtimes {
        let runtime = format!("other-{name}");
        let run = |flags: &[&str], words: &[&str]| {
            let start = ["run", "--rm", "--runtime", &runtime];
            host.barge(&[&start[..], flags, &["busybox"], words].concat())
        };
        assert_eq!(run(&[], &["echo", "hello"]).text(), "hello");
        run(&[], &["sh", "-c", "exit 7"]).fails(7);
        let script = "id -u; id -g; id -G; echo $HOME; hostname";
        let user = run(&["-u", "worker", "-h", "box"], &["sh", "-c", script]);
        assert_eq!(user.text(), "1000\n1000\n1000 50\n/home/worker\nbox", "{runtime}");
        let first = run(&["--init"], &["cat", "/proc/1/cmdline"]);
        assert!(first.stdout.starts_with("/sbin/docker-init\0--\0cat\0"), "{first}");
        let script =
            "grep CapEff: /proc/self/status; touch /x 2>&1; grep Seccomp: /proc/self/status";
        let confined = run(&["--cap-drop", "ALL", "--read-only"], &["sh", "-c", script]);
        assert!(confined.stdout.contains("CapEff:\t0000000000000000"), "{confined}");
        assert!(confined.stdout.contains("Read-only file system"), "{confined}");
        assert!(confined.stdout.contains("Seccomp:\t2"), "{confined}");
        let image = ["--mount", "type=image,src=busybox,dst=/image,image-subpath=bin"];
        let mounted =
            run(&image, &["sh", "-c", "/image/busybox echo mounted; touch /image/x || echo kept"]);
        assert_eq!(mounted.text(), "mounted\nkept", "{mounted}");
        let named = host.unique("life");
        let start = ["run", "-d", "--runtime", &runtime, "--name", &named, "-m", "64m"];
        host.barge(&[&start[..], &["busybox", "sleep", "1000"]].concat()).ok();
        let id = host.id(&named);
        assert_eq!(host.inspect(&named)["HostConfig"]["Runtime"], runtime);
        assert_eq!(host.barge(&["exec", "-u", "worker", &named, "id", "-u"]).text(), "1000");
        host.barge(&["exec", &named, "sh", "-c", "exit 3"]).fails(3);
        let fed = host.run_with_input(Client::Barge, &["exec", "-i", &named, "cat"], b"fed\n");
        assert_eq!(fed.text(), "fed");
        limits_are_in_force(&host, &named);
        host.barge(&["restart", "-t", "0", &named]).ok();
        assert_eq!(host.status(&named), "running");
        host.barge(&["kill", &named]).ok();
        assert_eq!(host.barge(&["wait", &named]).text(), "137");
        host.barge(&["rm", "-f", &named]).ok();
        assert!(named_group_is_gone(&host, &id), "{runtime}");
    }
}

fn limits_are_in_force(host: &TestHost, name: &str) {
    assert_eq!(host.cgroup(name, "memory", "memory.limit_in_bytes"), "67108864");
    assert_eq!(host.processes(name), [host.pid(name)]);
    host.barge(&["pause", name]).ok();
    assert_eq!(host.status(name), "paused");
    host.barge(&["unpause", name]).ok();
    host.barge(&["update", "--pids-limit", "33", name]).ok();
    assert_eq!(host.cgroup(name, "pids", "pids.max"), "33");
}

#[test]
fn their_terminals_are_terminals() {
    let runtimes = installed();
    let host = host(&runtimes);
    for (name, _) in &runtimes {
        let runtime = format!("other-{name}");
        let words = ["run", "--rm", "-it", "--runtime", &runtime, "busybox", "sh"];
        let mut terminal = host.terminal(Client::Barge, &words);
        terminal.send("tty; stty size; exit 5\n");
        terminal.expect("/dev/pts/0");
        assert_eq!(terminal.wait(), 5, "{runtime}");
        let named = host.unique("tty");
        host.barge(&[
            "run",
            "-d",
            "--runtime",
            &runtime,
            "--name",
            &named,
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
        let mut exec = host.terminal(Client::Barge, &["exec", "-it", &named, "sh"]);
        exec.send("tty; exit 4\n");
        exec.expect("/dev/pts/");
        assert_eq!(exec.wait(), 4, "{runtime}");
        host.barge(&["rm", "-f", &named]).ok();
    }
}

#[test]
fn what_fails_is_said_in_the_runtimes_words_and_leaves_nothing() {
    let runtimes = installed();
    let host = host(&runtimes);
    for (name, _) in &runtimes {
        let runtime = format!("other-{name}");
        let run = ["run", "--rm", "--runtime", &runtime, "busybox"];
        let missing = host.barge(&[&run[..], &["/no/such/program"]].concat());
        assert!(
            missing.fails(127).contains("no such file or directory")
                || missing.stderr.contains("not found"),
            "{missing}"
        );
        let denied = host.barge(&[&run[..], &["/etc/passwd"]].concat());
        assert!(denied.fails(126).to_lowercase().contains("permission denied"), "{denied}");
    }
}

#[test]
fn a_daemon_that_comes_back_finds_them() {
    let runtimes = installed();
    let mut host = host(&runtimes);
    for (name, _) in &runtimes {
        let start = ["run", "-d", "--name", name, "--runtime", &format!("other-{name}")];
        host.barge(&[&start[..], &["busybox", "sleep", "1000"]].concat()).ok();
    }
    host.kill9();
    host.start();
    for (name, _) in &runtimes {
        assert_eq!(host.status(name), "running");
        assert_eq!(host.barge(&["exec", name, "echo", "here"]).text(), "here");
        host.barge(&["stop", "-t", "0", name]).ok();
        host.barge(&["start", name]).ok();
        host.barge(&["rm", "-f", name]).ok();
    }
}

#[test]
fn the_file_names_runtimes_and_info_shows_them() {
    let runtimes = installed();
    let Some((_, path)) = runtimes.first() else { return };
    let file = std::env::temp_dir().join(format!("barge-runtimes-{}.json", std::process::id()));
    let config = json!({
        "runtimes": {"mine": {"path": path, "runtimeArgs": ["--debug"]}},
        "default-runtime": "mine",
    });
    fs::write(&file, config.to_string()).unwrap();
    let flags = vec![format!("--config-file={}", file.display())];
    let host = TestHost::with(HostOptions { flags, ..HostOptions::default() });
    fs::remove_file(&file).unwrap();
    host.busybox();
    let info = host.api().get("/info").is(200).json();
    assert_eq!(info["DefaultRuntime"], "mine");
    assert_eq!(info["Runtimes"]["mine"]["path"], json!(path));
    assert_eq!(info["Runtimes"]["mine"]["runtimeArgs"], json!(["--debug"]));
    assert!(info["Runtimes"]["barge"]["path"].is_string());
    host.barge(&["run", "-d", "--name", "usual", "busybox", "sleep", "1000"]).ok();
    assert_eq!(host.inspect("usual")["HostConfig"]["Runtime"], "mine");
    let own = host.barge(&["run", "--rm", "--runtime", "barge", "busybox", "echo", "own"]);
    assert_eq!(own.text(), "own");
    host.barge(&["rm", "-f", "usual"]).ok();
}

#[test]
fn an_unknown_runtime_is_refused_in_dockers_words() {
    let host = host(&[]);
    let body = json!({"Image": "busybox", "HostConfig": {"Runtime": "kata"}});
    let said = host.api().post("/containers/create", body).error(400);
    assert_eq!(said, "unknown or invalid runtime name: kata");
    for client in Client::both() {
        let outcome = host.run(client, &["run", "--rm", "--runtime", "kata", "busybox", "true"]);
        outcome.fails_saying(125, "unknown or invalid runtime name: kata");
    }
    let none: Value = host.api().get("/containers/json?all=1").is(200).json();
    assert_eq!(none, json!([]));
}
