//! Containers without their daemon: it is killed, it comes back, and nothing of theirs is lost.

use std::fs;

use barge_testkit::{Client, TestHost, eventually, let_pass};

fn host() -> TestHost {
    let host = TestHost::new();
    host.busybox();
    host
}

fn alive(pid: i32) -> bool {
    // A zombie nobody waited for has ended, too.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim().starts_with('Z'))
}

#[test]
fn a_container_runs_on_logs_and_answers_after_its_daemon_was_killed() {
    let mut host = host();
    let script = "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.01; done";
    host.barge(&["run", "-d", "--name", "talks", "busybox", "sh", "-c", script]).ok();
    let (pid, started) = (host.pid("talks"), host.inspect("talks")["State"]["StartedAt"].clone());
    let log = host.inspect("talks")["LogPath"].as_str().unwrap().to_owned();
    host.kill9();
    let length = fs::metadata(&log).unwrap().len();
    eventually("the log grows without a daemon", || {
        fs::metadata(&log).unwrap().len() > length + 1000
    });
    host.start();
    for client in Client::both() {
        assert_eq!(host.run(client, &["ps", "--format", "{{.Names}}"]).text(), "talks");
        assert_eq!(host.pid("talks"), pid);
        assert_eq!(host.inspect("talks")["State"]["StartedAt"], started);
        assert_eq!(host.run(client, &["exec", "talks", "echo", "in"]).text(), "in");
        let logs = host.run(client, &["logs", "talks"]);
        for (number, line) in logs.text().lines().enumerate() {
            assert_eq!(line, format!("line {}", number + 1), "no line is lost or doubled");
        }
        let attached = host.start_client(client, &["attach", "talks"]);
        attached.expect("line ");
        attached.signal(libc::SIGKILL);
        drop(attached);
    }
    let waiting = host.start_client(Client::Barge, &["wait", "talks"]);
    host.barge(&["stop", "-t", "0", "talks"]).ok();
    assert_eq!(waiting.wait().text(), "137");
    host.barge(&["rm", "talks"]).ok();
    host.assert_nothing_of_containers();
}

#[test]
fn a_container_that_ended_meanwhile_is_shown_with_its_code_and_time() {
    let mut host = host();
    let fifo = "mkfifo /go; read x < /go; exit 42";
    host.barge(&["run", "-d", "--name", "ends", "busybox", "sh", "-c", fifo]).ok();
    let pid = host.pid("ends");
    eventually("it waits", || host.barge(&["exec", "ends", "test", "-p", "/go"]).code == 0);
    host.kill9();
    fs::write(format!("/proc/{pid}/root/go"), "go\n").unwrap();
    eventually("it ends", || !alive(pid));
    // A second later at least, by the daemon's clock, so that the two times can be told apart.
    let ended = std::time::SystemTime::now();
    host.start();
    let restarted = std::time::SystemTime::now();
    assert!(restarted >= ended);
    let state = host.inspect("ends")["State"].clone();
    assert_eq!((&state["Status"], &state["ExitCode"]), (&"exited".into(), &42.into()), "{state}");
    let finished = state["FinishedAt"].as_str().unwrap().to_owned();
    let date = |time: std::time::SystemTime| {
        let seconds = time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        barge_testkit::command("date")
            .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%S"])
            .output()
            .unwrap()
    };
    let upper = String::from_utf8(date(ended).stdout).unwrap();
    assert!(
        finished[..19] <= *upper.trim(),
        "{finished} is when it ended, not when that was found out"
    );
    for client in Client::both() {
        assert_eq!(host.run(client, &["wait", "ends"]).text(), "42");
        let listed = host.run(client, &["ps", "-a", "--format", "{{.Status}}"]);
        assert!(listed.text().starts_with("Exited (42)"), "{listed}");
    }
    host.barge(&["start", "ends"]).ok();
    assert_eq!(host.status("ends"), "running", "it can be started again");
}

#[test]
fn a_stopped_daemon_leaves_its_containers_running() {
    let mut host = host();
    host.barge(&["run", "-d", "--name", "stays", "busybox", "sleep", "1000"]).ok();
    let pid = host.pid("stays");
    host.stop();
    assert!(alive(pid));
    host.start();
    assert_eq!(host.pid("stays"), pid);
}

#[test]
fn a_container_of_rm_that_ended_meanwhile_is_removed() {
    let mut host = host();
    host.barge(&["run", "-d", "--rm", "--name", "goes", "busybox", "sleep", "1000"]).ok();
    let pid = host.pid("goes");
    host.kill9();
    barge_sys::signal::kill(pid, libc::SIGKILL).unwrap();
    eventually("it ends", || !alive(pid));
    host.start();
    eventually("it is removed", || host.api().get("/containers/goes/json").status == 404);
    host.assert_nothing_of_containers();
}

#[test]
fn a_killed_shim_ends_its_container_and_that_is_shown() {
    let host = host();
    for client in Client::both() {
        let name = host.unique("orphan");
        host.run(
            client,
            &["run", "-d", "--name", &name, "busybox", "sh", "-c", "sleep 1000 & sleep 1000"],
        )
        .ok();
        let pid = host.pid(&name);
        let waiting = host.start_client(client, &["wait", &name]);
        barge_sys::signal::kill(host.shim(&name), libc::SIGKILL).unwrap();
        eventually("the container ends with its shim", || !alive(pid));
        assert_ne!(waiting.wait().text(), "0");
        eventually("that is shown", || host.status(&name) == "exited");
        host.run(client, &["start", &name]).ok();
        assert_eq!(host.status(&name), "running", "it can be started again");
        host.run(client, &["rm", "-f", &name]).ok();
    }
    host.assert_nothing_of_containers();
}

#[test]
fn a_shim_killed_while_no_daemon_runs_is_found_out() {
    let mut host = host();
    host.barge(&["run", "-d", "--name", "orphan", "busybox", "sleep", "1000"]).ok();
    let (pid, shim) = (host.pid("orphan"), host.shim("orphan"));
    host.kill9();
    barge_sys::signal::kill(shim, libc::SIGKILL).unwrap();
    host.start();
    eventually("the container is shown as ended", || host.status("orphan") == "exited");
    assert!(!alive(pid), "its processes are gone");
    host.barge(&["rm", "orphan"]).ok();
    host.assert_nothing_of_containers();
}

#[test]
fn restart_policies_hold_over_a_killed_daemon() {
    let mut host = host();
    let start = |name: &str, policy: &str, script: &str| {
        let flags =
            ["run", "-d", "--name", name, "--restart", policy, "busybox", "sh", "-c", script];
        host.barge(&flags).ok();
    };
    start("always", "always", "exec sleep 1000");
    start("unless", "unless-stopped", "exec sleep 1000");
    start("never", "no", "exec sleep 1000");
    host.barge(&["stop", "-t", "0", "unless"]).ok();
    let pids = [host.pid("always"), host.pid("never")];
    host.kill9();
    for pid in pids {
        barge_sys::signal::kill(pid, libc::SIGKILL).unwrap();
        eventually("it ends", || !alive(pid));
    }
    host.start();
    eventually("always means always", || host.status("always") == "running");
    assert_eq!(host.status("never"), "exited");
    assert_eq!(host.status("unless"), "exited", "it was stopped by its user");
}

#[test]
fn restart_policies_count_failures_and_stop_at_success() {
    let host = host();
    for client in Client::both() {
        let run = |policy: &str, code: &str| {
            let name = host.unique("again");
            let script = format!("echo started; exit {code}");
            let flags =
                ["run", "-d", "--name", &name, "--restart", policy, "busybox", "sh", "-c", &script];
            host.run(client, &flags).ok();
            name
        };
        let (fails, succeeds) = (run("on-failure:2", "3"), run("on-failure:2", "0"));
        eventually("it gave up", || {
            let it = host.inspect(&fails);
            it["State"]["Status"] == "exited" && it["RestartCount"] == 2
        });
        assert_eq!(host.run(client, &["logs", &fails]).text(), "started\nstarted\nstarted");
        assert_eq!(host.inspect(&fails)["State"]["ExitCode"], 3);
        eventually("it ended", || host.status(&succeeds) == "exited");
        assert_eq!(host.inspect(&succeeds)["RestartCount"], 0);
        let always = run("always", "0");
        eventually("it came back", || host.inspect(&always)["RestartCount"].as_u64() > Some(1));
        host.run(client, &["stop", &always]).ok();
        assert_eq!(host.status(&always), "exited", "stopped is stopped");
        host.run(client, &["rm", &always, &fails, &succeeds]).ok();
    }
}

#[test]
fn a_daemon_killed_at_any_moment_of_a_verb_leaves_a_consistent_state() {
    let mut host = host();
    let verbs: [&[&str]; 6] = [
        &["create", "--name", "subject", "busybox", "sleep", "1000"],
        &["run", "-d", "--name", "subject", "-p", "8080:80", "busybox", "sleep", "1000"],
        &["start", "subject"],
        &["stop", "-t", "0", "subject"],
        &["restart", "-t", "0", "subject"],
        &["rm", "-f", "subject"],
    ];
    for verb in verbs {
        // From before the request is read to after it is answered.
        for moment in [0, 3, 5, 7, 9, 11, 13, 16, 20, 25, 32, 40] {
            if !matches!(verb[0], "create" | "run") {
                host.barge(&[
                    "run", "-d", "--name", "subject", "-p", "8080:80", "busybox", "sleep", "1000",
                ])
                .ok();
            }
            if verb[0] == "start" {
                host.barge(&["stop", "-t", "0", "subject"]).ok();
            }
            let client = host.start_client(Client::Barge, verb);
            let_pass(moment);
            host.kill9();
            drop(client.wait());
            host.start();
            let listed = host.api().get("/containers/json?all=1").is(200).json();
            let containers = listed.as_array().unwrap();
            assert!(containers.len() <= 1, "{verb:?} {moment}: {listed}");
            if let Some(container) = containers.first() {
                let id = container["Id"].as_str().unwrap();
                let state = host.inspect(id)["State"].clone();
                let is_running = state["Running"] == true;
                assert_eq!(
                    is_running,
                    !host.processes(id).is_empty(),
                    "{verb:?} {moment}: {state}"
                );
                // Whatever state it is in, it can be used.
                if !is_running {
                    host.barge(&["start", id]).ok();
                }
                host.barge(&["exec", id, "true"]).ok();
                host.barge(&["rm", "-f", id]).ok();
            }
            host.assert_nothing_of_containers();
        }
    }
}

#[test]
fn signals_that_dockers_daemon_survives_are_survived() {
    let mut host = TestHost::new();
    let pid = host.daemon_pid();
    for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGPIPE, libc::SIGHUP] {
        barge_sys::signal::kill(pid, signal).unwrap();
    }
    eventually("it tells of its threads", || host.log().contains(" threads:"));
    host.api().get("/_ping").is(200);
    assert_eq!(host.daemon_pid(), pid);
    host.stop();
}

#[test]
fn a_shim_goes_with_its_container_and_not_by_a_signal() {
    let host = host();
    host.barge(&["run", "-d", "--name", "steady", "busybox", "sleep", "1000"]).ok();
    let shim = host.shim("steady");
    let ending = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGPIPE];
    for signal in ending.into_iter().chain([libc::SIGUSR1, libc::SIGUSR2]) {
        barge_sys::signal::kill(shim, signal).unwrap();
        // It has to read each to answer.
        host.barge(&["exec", "steady", "true"]).ok();
    }
    assert_eq!(host.shim("steady"), shim);
    assert_eq!(host.status("steady"), "running");
}
