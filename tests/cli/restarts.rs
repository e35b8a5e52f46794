//! Restart policies: how often, how soon, and over a daemon that was away; and what could not be started or removed.

use std::fs;

use barge_testkit::{Client, Process, Sharing, TestHost, command, eventually};
use serde_json::{Value, json};

static HOST: Sharing = Sharing::new();

fn own_host() -> TestHost {
    let host = TestHost::new();
    host.busybox();
    host
}

/// Starts a container with a restart policy.
fn run(host: &TestHost, name: &str, policy: &str, script: &str) {
    let flags = ["run", "-d", "--network", "none", "--name", name, "--restart", policy];
    host.barge(&[&flags[..], &["busybox", "sh", "-c", script]].concat()).ok();
}

fn restarts(host: &TestHost, name: &str) -> u64 {
    host.inspect(name)["RestartCount"].as_u64().unwrap()
}

fn kill(pid: i32) {
    barge_sys::signal::kill(pid, libc::SIGKILL).unwrap();
    eventually("it ends", || !fs::exists(format!("/proc/{pid}")).unwrap());
}

#[test]
fn a_user_who_restarts_begins_to_count_anew() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("counts");
        run(&host, &name, "on-failure:2", "echo run; exit 3");
        let has_given_up = |runs: usize| {
            host.status(&name) == "exited"
                && host.run(client, &["logs", &name]).text().lines().count() == runs
        };
        eventually("it gave up", || has_given_up(3));
        host.run(client, &["restart", "-t", "0", &name]).ok();
        eventually("it gave up again", || has_given_up(6));
        assert_eq!(restarts(&host, &name), 2);
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn each_delay_is_twice_the_one_before() {
    let host = own_host();
    run(&host, "loops", "always", "exit 0");
    eventually("it was restarted", || restarts(&host, "loops") >= 4);
    host.barge(&["rm", "-f", "loops"]).ok();
    let filters = "%7B%22event%22%3A%5B%22start%22%2C%22die%22%5D%7D";
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let path = format!("/events?since={}&until={}&filters={filters}", now - 600, now + 1);
    let text = host.api().get(&path).is(200).text();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let times = |action: &str| {
        let own = events.iter().filter(|event| event["Action"] == action);
        own.map(|event| event["timeNano"].as_i64().unwrap()).collect::<Vec<i64>>()
    };
    let (starts, ends) = (times("start"), times("die"));
    let delays = ends.iter().zip(&starts[1..]).map(|(end, start)| (start - end) / 1_000_000);
    for (delay, least) in delays.take(4).zip([100, 200, 400, 800]) {
        assert!(delay >= least, "{delay} ms instead of {least}: {text}");
    }
}

#[test]
fn a_new_daemon_heeds_what_was_counted_and_who_stopped_what() {
    let mut host = own_host();
    run(&host, "tried", "on-failure:1", "exit 3");
    run(
        &host,
        "fails",
        "on-failure:5",
        "test -e /again || { touch /again; sleep 1000; }; exec sleep 1000",
    );
    run(&host, "unless", "unless-stopped", "exec sleep 1000");
    run(&host, "stopped", "on-failure", "exec sleep 1000");
    run(&host, "clock", "always", "exec sleep 1000");
    eventually("it had its try", || {
        host.status("tried") == "exited" && restarts(&host, "tried") == 1
    });
    host.barge(&["stop", "-t", "0", "stopped"]).ok();
    let before: Vec<Value> =
        ["tried", "stopped"].map(|name| host.inspect(name)["State"].clone()).into();
    let pids = ["fails", "unless", "clock"].map(|name| host.pid(name));
    host.kill9();
    pids.into_iter().for_each(kill);
    host.start();
    for name in ["fails", "unless", "clock"] {
        eventually("it runs again", || host.status(name) == "running");
    }
    let after: Vec<Value> =
        ["tried", "stopped"].map(|name| host.inspect(name)["State"].clone()).into();
    assert_eq!(after, before);
    assert_eq!(restarts(&host, "tried"), 1);
}

#[test]
fn what_waited_for_its_restart_comes_back_with_the_daemon() {
    let mut host = own_host();
    // "always" would start with the daemon what its user has stopped.
    run(&host, "loops", "unless-stopped", "echo run; exit 1");
    eventually("it waits", || {
        restarts(&host, "loops") >= 3 && host.status("loops") == "restarting"
    });
    host.kill9();
    host.start();
    let counted = restarts(&host, "loops");
    assert!(counted >= 3, "{counted}");
    eventually("it goes on", || restarts(&host, "loops") > counted);
    host.barge(&["stop", "-t", "0", "loops"]).ok();
    let stopped = restarts(&host, "loops");
    host.kill9();
    host.start();
    assert_eq!(
        (host.status("loops"), restarts(&host, "loops") >= stopped),
        ("exited".to_owned(), true)
    );
}

#[test]
fn a_failed_start_of_what_has_run_says_why_and_when_it_ran() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("broken");
        let line = ["run", "--name", &name, "busybox", "sh", "-c", "rm /bin/sh; exit 5"];
        host.run(client, &line).fails(5);
        let ran = host.inspect(&name)["State"].clone();
        assert_ne!(host.run(client, &["start", &name]).code, 0);
        let state = host.inspect(&name)["State"].clone();
        assert_eq!((&state["Status"], &state["ExitCode"]), (&json!("exited"), &json!(127)));
        assert!(state["Error"].as_str().unwrap().contains("\"sh\""), "{state}");
        assert_eq!(state["StartedAt"], ran["StartedAt"]);
        let filter = format!("name=^{name}$");
        let line =
            ["ps", "-a", "--filter", &filter, "--filter", "exited=127", "--format", "{{.Status}}"];
        assert!(host.run(client, &line).text().starts_with("Exited (127)"));
        host.run(client, &["rm", &name]).ok();
        // Its policy tries once and says so.
        run(&host, &name, "always", "rm /bin/sh");
        eventually("it cannot be started", || host.status(&name) == "exited");
        let found = host.inspect(&name);
        assert_eq!((&found["RestartCount"], &found["State"]["ExitCode"]), (&json!(1), &json!(127)));
        assert!(found["State"]["Error"].as_str().unwrap().contains("\"sh\""), "{found}");
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn what_cannot_be_removed_is_dead_until_it_can() {
    let mut host = own_host();
    let mount = |tool: &str, arguments: &[&str]| {
        Process::start(command(tool).args(arguments)).wait().ok();
    };
    for again in ["rm", "start"] {
        host.barge(&["run", "--name", "stuck", "busybox", "touch", "/kept"]).ok();
        let folder = host.data_root().join("containers").join(host.id("stuck"));
        let folder = folder.to_str().unwrap().to_owned();
        // Where something is mounted cannot be renamed.
        mount("mount", &["--bind", &folder, &folder]);
        let refused = host.barge(&["rm", "stuck"]);
        let state = host.inspect("stuck")["State"].clone();
        let list = host.barge(&[
            "ps",
            "-a",
            "--filter",
            "status=dead",
            "--format",
            "{{.Names}} {{.Status}}",
        ]);
        let start = host.barge(&["start", "stuck"]);
        mount("umount", &[&folder]);
        assert_ne!(refused.code, 0, "{refused}");
        assert!(refused.stderr.contains("busy"), "{refused}");
        assert_eq!((&state["Status"], &state["Dead"]), (&json!("dead"), &json!(true)));
        assert_eq!(list.text(), "stuck Dead");
        assert!(start.stderr.contains("marked for removal and cannot be started"), "{start}");
        if again == "start" {
            host.kill9();
            host.start();
            assert_eq!(host.status("stuck"), "exited", "nothing of it was lost");
            host.barge(&["start", "-a", "stuck"]).ok();
        }
        host.barge(&["rm", "stuck"]).ok();
    }
    host.assert_nothing_of_containers();
}
