//! Stopping and removing: in the order that was promised, and without anything left.

use barge_testkit::{Client, Sharing, TestHost, eventually};

static HOST: Sharing = Sharing::new();

#[test]
fn stop_sends_the_signal_waits_and_kills() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("deaf");
        let script = "trap 'echo heard' TERM; echo ready; while :; do sleep 0.1; done";
        host.run(client, &["run", "-d", "--name", &name, "busybox", "sh", "-c", script]).ok();
        eventually("it listens", || host.run(client, &["logs", &name]).text() == "ready");
        // Long enough for what it hears to be written.
        host.run(client, &["stop", "-t", "5", &name]).ok();
        let state = host.inspect(&name)["State"].clone();
        assert_eq!(state["ExitCode"], 137, "{state}");
        assert_eq!(host.run(client, &["logs", &name]).text(), "ready\nheard");
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn who_waits_for_an_end_for_ever_keeps_nobody_waiting() {
    let host = HOST.host();
    for client in Client::both() {
        for ending in [&["stop", "-t", "0"][..], &["restart", "-t", "0"], &["kill"], &["rm", "-f"]]
        {
            let name = host.unique("patient");
            // The first process of a container hears no signal that it does not handle.
            host.run(client, &["run", "-d", "--name", &name, "busybox", "sleep", "1000"]).ok();
            let id = host.id(&name);
            let line = format!("container={id}");
            let watch = ["events", "--filter", &line, "--format", "{{.Action}}"];
            let events = host.start_client(client, &watch);
            // One of a client that began to listen late is not heard.
            eventually("somebody listens", || {
                host.barge(&["update", "--cpu-shares", "512", &name]).ok();
                events.stdout().contains("update")
            });
            let stop = host.start_client(client, &["stop", "-t", "-1", &name]);
            events.expect("kill");
            host.run(client, &["start", &name]).ok();
            host.run(client, &["update", "--cpu-shares", "1024", &name]).ok();
            host.run(client, &["pause", &name]).ok();
            host.run(client, &["unpause", &name]).ok();
            let other = format!("{name}-2");
            host.run(client, &["rename", &name, &other]).ok();
            host.run(client, &[ending, &[&other]].concat()).ok();
            stop.wait().ok();
            let is_running = ending[0] == "restart";
            let state = if is_running { "running\n" } else { "exited\n" };
            let format = ["inspect", "-f", "{{.State.Status}}", &other];
            if ending[0] == "rm" {
                host.run(client, &format).fails(1);
            } else {
                assert_eq!(host.run(client, &format).stdout, state, "{ending:?}");
                host.run(client, &["rm", "-f", &other]).ok();
            }
            events.signal(libc::SIGKILL);
            drop(events);
        }
    }
}

#[test]
fn the_stop_signal_is_the_containers_own() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("own");
        let script = "trap 'exit 6' QUIT; echo ready; while :; do sleep 0.1; done";
        let flags =
            ["run", "-d", "--name", &name, "--stop-signal", "SIGQUIT", "--stop-timeout", "50"];
        host.run(client, &[&flags[..], &["busybox", "sh", "-c", script]].concat()).ok();
        eventually("it listens", || host.run(client, &["logs", &name]).text() == "ready");
        host.run(client, &["stop", &name]).ok();
        assert_eq!(host.inspect(&name)["State"]["ExitCode"], 6);
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn a_process_that_dies_by_its_stop_signal_does_not_wait_for_the_timeout() {
    let host = HOST.host();
    let name = host.unique("quick");
    host.barge(&["run", "-d", "--init", "--name", &name, "busybox", "sleep", "1000"]).ok();
    // Nobody waits for that long.
    host.barge(&["stop", "-t", "100000", &name]).ok();
    assert_eq!(host.inspect(&name)["State"]["ExitCode"], 143);
    host.barge(&["rm", &name]).ok();
}

#[test]
fn everything_in_a_container_ends_with_its_first_process() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("family");
        let script = "sleep 1000 & sleep 1000 & (setsid sleep 1000 &) ; echo up; read x; exit 0";
        let mut run = host
            .start_client(client, &["run", "-i", "--name", &name, "busybox", "sh", "-c", script]);
        run.expect("up");
        eventually("the family is there", || host.processes(&name).len() == 4);
        run.send(b"\n");
        run.wait().ok();
        assert!(host.processes(&name).is_empty());
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn rm_by_force_leaves_nothing() {
    let host = TestHost::new();
    host.busybox();
    for client in Client::both() {
        let flags = [
            "run", "-d", "--name", "all", "-p", "8080:80", "-v", "/data", "--tmpfs", "/t", "--init",
        ];
        host.run(client, &[&flags[..], &["busybox", "sh", "-c", "echo up; sleep 1000"]].concat())
            .ok();
        host.run(client, &["exec", "-d", "all", "sleep", "2000"]).ok();
        let id = host.id("all");
        let following = host.start_client(client, &["logs", "-f", "all"]);
        following.expect("up");
        host.run(client, &["rm", "-f", "-v", "all"]).ok();
        following.wait().ok();
        host.assert_nothing_of_containers();
        assert!(host.barge(&["volume", "ls", "-q"]).text().is_empty());
        assert!(!host.ruleset().contains(&id[..12]));
    }
}

#[test]
fn many_at_once_leave_nothing() {
    let host = TestHost::new();
    host.busybox();
    let running: Vec<_> = (0..50)
        .map(|number| {
            let port = format!("{}:80", 20_000 + number);
            let number = number.to_string();
            let client =
                if number.ends_with('7') { Client::both().pop().unwrap() } else { Client::Barge };
            host.start_client(
                client,
                &["run", "--rm", "-p", &port, "busybox", "sh", "-c", "echo $0; exit $0", &number],
            )
        })
        .collect();
    for (number, run) in running.into_iter().enumerate() {
        let outcome = run.wait();
        assert_eq!(outcome.stdout, format!("{number}\n"), "{outcome}");
        assert_eq!(outcome.code, i32::try_from(number).unwrap(), "{outcome}");
    }
    eventually("all of them are removed", || host.barge(&["ps", "-aq"]).text().is_empty());
    host.assert_nothing_of_containers();
    assert_eq!(host.barge(&["volume", "ls", "-q"]).text(), "");
}

#[test]
fn one_container_is_fought_over_without_harm() {
    let host = TestHost::new();
    host.busybox();
    host.barge(&["create", "--name", "bone", "busybox", "sleep", "1000"]).ok();
    let verbs: [&[&str]; 6] = [
        &["start", "bone"],
        &["stop", "-t", "0", "bone"],
        &["restart", "-t", "0", "bone"],
        &["kill", "bone"],
        &["exec", "bone", "true"],
        &["inspect", "bone"],
    ];
    let running: Vec<_> =
        (0..48).map(|n| host.start_client(Client::Barge, verbs[n % verbs.len()])).collect();
    for run in running {
        // Who loses is told so; nobody hangs.
        let outcome = run.wait();
        assert!(!outcome.stderr.contains("panicked"), "{outcome}");
    }
    assert!(!host.log().contains("panicked"), "{}", host.log());
    host.barge(&["rm", "-f", "bone"]).ok();
    host.assert_nothing_of_containers();
}

#[test]
fn a_paused_container_stands_still_and_goes_on() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("paused");
        host.run(
            client,
            &[
                "run",
                "-d",
                "--name",
                &name,
                "busybox",
                "sh",
                "-c",
                "while :; do echo x; sleep 0.01; done",
            ],
        )
        .ok();
        host.run(client, &["pause", &name]).ok();
        assert_eq!(host.status(&name), "paused");
        assert_eq!(host.cgroup(&name, "freezer", "freezer.state"), "FROZEN");
        host.run(client, &["exec", &name, "true"]).fails_saying(1, "is paused");
        host.run(client, &["unpause", &name]).ok();
        assert_eq!(host.status(&name), "running");
        host.run(client, &["exec", &name, "true"]).ok();
        host.run(client, &["pause", &name]).ok();
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn a_renamed_container_is_found_by_its_new_name() {
    let host = HOST.host();
    for client in Client::both() {
        let (old, new) = (host.unique("old"), host.unique("new"));
        host.run(client, &["create", "--name", &old, "busybox"]).ok();
        host.run(client, &["rename", &old, &new]).ok();
        assert_eq!(host.inspect(&new)["Name"], format!("/{new}"));
        host.run(client, &["inspect", &old]).fails(1);
        host.run(client, &["rm", &new]).ok();
    }
}

#[test]
fn a_container_keeps_its_files_from_start_to_start() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("keeps");
        let script = "cat /count 2>/dev/null; echo x >> /count";
        host.run(client, &["create", "--name", &name, "busybox", "sh", "-c", script]).ok();
        for count in 0..3 {
            let outcome = host.run(client, &["start", "-a", &name]);
            assert_eq!(outcome.stdout, "x\n".repeat(count), "{outcome}");
        }
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn a_system_prune_takes_what_is_stopped_and_nothing_else() {
    let host = TestHost::new();
    host.busybox();
    for client in Client::both() {
        host.run(client, &["run", "--name", "ended", "busybox", "true"]).ok();
        host.run(client, &["run", "-d", "--name", "running", "busybox", "sleep", "1000"]).ok();
        let said = host.run(client, &["system", "prune", "-f"]);
        assert!(said.text().contains("Total reclaimed space"), "{said}");
        assert_eq!(host.run(client, &["ps", "-a", "--format", "{{.Names}}"]).text(), "running");
        assert_eq!(host.run(client, &["images", "-q"]).text().lines().count(), 1);
        host.run(client, &["rm", "-f", "running"]).ok();
    }
}

#[test]
fn what_has_ended_has_no_address_and_no_ports() {
    let host = HOST.host();
    for round in 0..6 {
        let name = host.unique("ended");
        let port = format!("{}:80", 18200 + round);
        let run = ["run", "-d", "--name", &name, "-p", &port, "busybox", "sleep", "1000"];
        host.barge(&run).ok();
        host.barge(&["stop", "-t", "0", &name]).ok();
        let filter = format!("name={name}");
        let shown = host.barge(&["ps", "-a", "--filter", &filter, "--format", "{{.Ports}}"]);
        assert_eq!(shown.text(), "");
        let settings = host.inspect(&name)["NetworkSettings"].clone();
        assert_eq!(settings["IPAddress"], "", "{settings}");
        assert_eq!(settings["Networks"]["bridge"]["IPAddress"], "", "{settings}");
        host.barge(&["rm", &name]).ok();
    }
}

#[test]
fn the_name_of_what_goes_with_its_end_can_be_taken_at_once() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("again");
        for _ in 0..6 {
            let run = ["run", "-d", "--rm", "--name", &name, "-p", "18300:80", "busybox", "sleep"];
            host.run(client, &[&run[..], &["1000"]].concat()).ok();
            host.run(client, &["stop", "-t", "0", &name]).ok();
        }
        eventually("it is gone", || host.barge(&["inspect", &name]).code == 1);
    }
}
