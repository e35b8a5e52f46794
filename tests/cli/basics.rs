//! `run` and what one does with what it started, with both clients.

use barge_testkit::{Client, Sharing};

static HOST: Sharing = Sharing::new();

#[test]
fn output_and_errors_stay_apart_and_the_exit_code_passes_through() {
    let host = HOST.host();
    for client in Client::both() {
        let script = "echo out; echo err >&2; exit 7";
        let outcome = host.run(client, &["run", "--rm", "busybox", "sh", "-c", script]);
        assert_eq!(outcome.fails(7), "err", "{client:?}");
        assert_eq!(outcome.stdout, "out\n", "{client:?}");
    }
}

#[test]
fn input_is_handed_on_and_its_end_too() {
    let host = HOST.host();
    for client in Client::both() {
        let bytes = "line\n".repeat(100_000);
        let arguments = ["run", "-i", "--rm", "busybox", "cat"];
        let outcome = host.run_with_input(client, &arguments, bytes.as_bytes());
        assert!(outcome.text() == bytes.trim_end(), "{client:?}: {} bytes", outcome.stdout.len());
    }
}

#[test]
fn a_container_without_i_has_no_input() {
    let host = HOST.host();
    for client in Client::both() {
        let outcome = host.run_with_input(client, &["run", "--rm", "busybox", "cat"], b"");
        assert_eq!(outcome.text(), "", "{client:?}");
    }
}

#[test]
fn a_detached_container_is_started_listed_logged_waited_for_and_removed() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("life");
        let script = "echo one; echo two >&2; sleep 1000 & trap 'kill $!; exit 3' TERM; wait";
        let started =
            host.run(client, &["run", "-d", "--name", &name, "busybox", "sh", "-c", script]);
        let id = started.text();
        assert_eq!(id.len(), 64, "{id}");
        let running =
            host.run(client, &["ps", "--no-trunc", "-q", "--filter", &format!("name={name}")]);
        assert_eq!(running.text(), id);
        let follower = host.start_client(client, &["logs", "-f", &name]);
        follower.expect("one\n");
        assert_eq!(host.run(client, &["stop", &name]).text(), name);
        let log = follower.wait();
        assert_eq!((log.text(), log.stderr.as_str()), ("one", "two\n"));
        assert_eq!(host.run(client, &["wait", &name]).text(), "3");
        let listed = host.run(
            client,
            &[
                "ps",
                "-a",
                "--filter",
                &format!("name={name}"),
                "--format",
                "{{.Names}} {{.Status}}",
            ],
        );
        assert!(listed.text().starts_with(&format!("{name} Exited (3)")), "{}", listed.text());
        assert_eq!(host.run(client, &["rm", &name]).text(), name);
        host.run(client, &["inspect", &name]).fails_saying(1, &name);
    }
}

#[test]
fn a_created_container_is_started_with_its_output() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("created");
        let arguments = ["create", "--name", &name, "busybox", "sh", "-c", "echo hi; exit 4"];
        assert_eq!(host.run(client, &arguments).text().len(), 64);
        assert_eq!(host.status(&name), "created");
        let started = host.run(client, &["start", "-a", &name]);
        assert_eq!((started.code, started.stdout.as_str()), (4, "hi\n"), "{started}");
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn exec_runs_in_the_container_and_passes_its_exit_code() {
    let host = HOST.host();
    let name = host.unique("exec");
    host.barge(&[
        "run", "-d", "--name", &name, "-e", "A=1", "-w", "/tmp", "busybox", "sleep", "1000",
    ])
    .ok();
    for client in Client::both() {
        let run = |arguments: &[&str]| host.run(client, &[&["exec"], arguments].concat());
        assert_eq!(run(&[&name, "sh", "-c", "echo $A; pwd"]).text(), "1\n/tmp");
        assert_eq!(
            run(&["-e", "A=2", "-w", "/etc", &name, "sh", "-c", "echo $A; pwd"]).text(),
            "2\n/etc"
        );
        assert_eq!(run(&["-u", "worker", &name, "id", "-un"]).text(), "worker");
        run(&[&name, "sh", "-c", "exit 9"]).fails(9);
        // Docker writes why an exec failed to the stream that was to be the program's output.
        let missing = run(&[&name, "no-such-program"]);
        assert!(missing.stdout.contains("executable file not found in $PATH"), "{missing}");
        assert_eq!(missing.code, 127, "{missing}");
        let forbidden = run(&[&name, "/etc/not-executable"]);
        assert!(forbidden.stdout.contains("permission denied"), "{forbidden}");
        assert_eq!(forbidden.code, 126, "{forbidden}");
        run(&["-d", &name, "touch", "/tmp/detached"]).ok();
        let echoed = host.run_with_input(client, &["exec", "-i", &name, "cat"], b"in and out");
        assert_eq!(echoed.text(), "in and out");
    }
    host.barge(&["rm", "-f", &name]).ok();
}

#[test]
fn kill_sends_the_signal_that_is_named() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("kill");
        let script = "trap 'echo usr1; exit 5' USR1; echo ready; while :; do sleep 0.1; done";
        let run =
            host.start_client(client, &["run", "--name", &name, "busybox", "sh", "-c", script]);
        run.expect("ready");
        host.run(client, &["kill", "-s", "USR1", &name]).ok();
        let outcome = run.wait();
        assert_eq!((outcome.code, outcome.stdout.as_str()), (5, "ready\nusr1\n"), "{outcome}");
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn a_signal_that_ends_the_process_is_128_and_its_number() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("signal");
        host.run(client, &["run", "-d", "--name", &name, "busybox", "sleep", "1000"]).ok();
        host.run(client, &["kill", &name]).ok();
        assert_eq!(host.run(client, &["wait", &name]).text(), "137");
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn attach_shows_output_and_takes_input() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("attach");
        // The end of an attached client's input is not the container's: that was not asked for at its creation.
        let script = "while read line; do echo got $line; [ $line != b ] || exit 6; done";
        host.run(client, &["run", "-d", "-i", "--name", &name, "busybox", "sh", "-c", script]).ok();
        let mut attached = host.start_client(client, &["attach", &name]);
        attached.send(b"a\n").expect("got a\n");
        attached.send(b"b\n").expect("got b\n");
        let outcome = attached.wait();
        let both = (outcome.code, outcome.stdout.as_str());
        assert_eq!(both, (6, "got a\ngot b\n"), "{outcome}");
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn the_id_is_written_to_the_cidfile() {
    let host = HOST.host();
    for client in Client::both() {
        let path = host.scratch().join(host.unique("cidfile"));
        let file = path.to_str().unwrap();
        let started = host.run(client, &["run", "-d", "--cidfile", file, "busybox", "true"]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), started.text());
        let again = host.run(client, &["run", "--cidfile", file, "busybox", "true"]);
        again.fails_saying(125, "container ID file found");
        host.run(client, &["rm", "-f", started.text()]).ok();
    }
}
