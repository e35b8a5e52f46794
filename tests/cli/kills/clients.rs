//! The client: the verb goes to its end, and what the container does goes on.

use barge_testkit::{Client, TestHost, eventually, let_pass};

use super::{FLAGS, SCRIPT, check, running};

fn host() -> TestHost {
    let host = TestHost::new();
    host.busybox();
    host
}

#[test]
fn a_container_goes_on_without_who_is_attached() {
    let host = host();
    for client in Client::both() {
        let line = [&["run"], &FLAGS[..], &["busybox", "sh", "-c", SCRIPT]].concat();
        let run = host.start_client(client, &line);
        run.expect("ready");
        run.signal(libc::SIGKILL);
        drop(run);
        let pid = host.pid("subject");
        let attached = host.start_client(client, &["attach", "subject"]);
        let log = host.start_client(client, &["logs", "-f", "subject"]);
        log.expect("ready");
        for killed in [attached, log] {
            killed.signal(libc::SIGKILL);
            drop(killed);
        }
        assert_eq!(host.pid("subject"), pid);
        check(&host, &format!("{client:?} killed while it was attached"), |_, _| true);
    }
}

#[test]
fn input_ends_with_its_client() {
    let host = host();
    for client in Client::both() {
        let mut run = host.start_client(
            client,
            &["run", "-i", "--name", "subject", "busybox", "sh", "-c", "cat; exit 5"],
        );
        run.send(b"one\n").expect("one");
        run.signal(libc::SIGKILL);
        drop(run);
        eventually("it ends", || host.status("subject") == "exited");
        assert_eq!(host.inspect("subject")["State"]["ExitCode"], 5);
        check_and_remove(&host);
    }
}

/// It ends with its input, so it is not started again.
fn check_and_remove(host: &TestHost) {
    host.barge(&["rm", "subject"]).ok();
    host.assert_nothing_of_containers();
}

#[test]
fn an_exec_goes_on_without_its_client() {
    let host = host();
    for client in Client::both() {
        running(&host);
        let script = "echo begun; while [ ! -e /go ]; do sleep 0.05; done; echo done > /done";
        let exec = host.start_client(client, &["exec", "subject", "sh", "-c", script]);
        exec.expect("begun");
        exec.signal(libc::SIGKILL);
        drop(exec);
        host.barge(&["exec", "subject", "touch", "/go"]).ok();
        eventually("it comes to its end", || {
            host.barge(&["exec", "subject", "cat", "/done"]).stdout == "done\n"
        });
        eventually("nobody keeps it", || host.inspect("subject")["ExecIDs"].is_null());
        check(&host, &format!("{client:?} killed in an exec"), |_, _| true);
    }
}

#[test]
fn a_stop_goes_to_its_end_without_its_client() {
    let host = host();
    for client in Client::both() {
        let script = "trap 'echo heard' TERM; echo ready; while :; do sleep 0.05; done";
        host.barge(&[&["run", "-d"], &FLAGS[..], &["busybox", "sh", "-c", script]].concat()).ok();
        let log = || host.barge(&["logs", "subject"]).text().to_owned();
        eventually("it listens", || log() == "ready");
        let stop = host.start_client(client, &["stop", "-t", "1", "subject"]);
        eventually("it is asked", || log().contains("heard"));
        stop.signal(libc::SIGKILL);
        drop(stop);
        eventually("it is killed all the same", || host.status("subject") == "exited");
        assert_eq!(host.inspect("subject")["State"]["ExitCode"], 137);
        check(&host, &format!("{client:?} killed in a stop"), |_, _| true);
    }
}

#[test]
fn whenever_a_client_is_killed_its_verb_was_done_or_was_not() {
    let host = host();
    let verbs: [&[&str]; 5] = [
        &["run", "-d", "-p", "80", "-v", "/home", "--name", "NAME", "busybox", "sleep", "1000"],
        &["start", "NAME"],
        &["restart", "-t", "0", "NAME"],
        &["stop", "-t", "0", "NAME"],
        &["rm", "-f", "NAME"],
    ];
    for client in Client::both() {
        for line in verbs {
            for moment in [3, 10, 30, 90] {
                // A name for each: what was asked for is done whenever the daemon comes to it.
                let name = host.unique("subject");
                let named = |word: &&'static str| {
                    if *word == "NAME" { name.clone() } else { (*word).to_owned() }
                };
                if line[0] != "run" {
                    let words: Vec<String> = verbs[0].iter().map(named).collect();
                    host.barge(&words.iter().map(String::as_str).collect::<Vec<_>>()).ok();
                }
                let words: Vec<String> = line.iter().map(named).collect();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let verb = host.start_client(client, &words);
                let_pass(moment);
                verb.signal(libc::SIGKILL);
            }
        }
    }
    eventually("what is said is true", || {
        super::containers(&host).iter().all(|listed| {
            let id = listed["Id"].as_str().unwrap();
            let processes = barge_testkit::processes_of(&format!("{}/{id}", host.cgroup_parent()));
            (listed["State"] == "running") != processes.is_empty()
        })
    });
    for container in super::containers(&host) {
        let id = container["Id"].as_str().unwrap();
        let verbs: [&[&str]; 3] = [&["start", id], &["exec", id, "true"], &["rm", "-f", "-v", id]];
        for verb in verbs {
            let outcome = host.barge(verb);
            // The last removal goes on without its client.
            let is_going = ["No such container", "marked for removal", "already in progress"]
                .iter()
                .any(|words| outcome.stderr.contains(words));
            if outcome.code != 0 && is_going {
                break;
            }
            outcome.ok();
        }
    }
    eventually("all are gone", || super::containers(&host).is_empty());
    host.assert_nothing_of_containers();
}
