//! What goes wrong, in Docker's words, with Docker's exit codes, and with nothing left behind.

use barge_testkit::{Client, TestHost};

/// Arguments, exit code, a part of what is said.
const REFUSED: [(&[&str], i32, &str); 22] = [
    (&["run", "--rm", "busybox", "no-such-program"], 127, "executable file not found in $PATH"),
    (&["run", "--rm", "busybox", "/no/such/program"], 127, "no such file or directory"),
    (&["run", "--rm", "busybox", "/etc/not-executable"], 126, "permission denied"),
    (&["run", "--rm", "busybox", "/etc"], 126, "is a directory"),
    (&["run", "--rm", "--no-such-flag", "busybox"], 125, "unknown flag: --no-such-flag"),
    (&["run", "--rm", "-m", "1m", "busybox", "true"], 125, "Minimum memory limit allowed is 6MB"),
    (&["run", "--rm", "-m", "much", "busybox", "true"], 125, "invalid"),
    (
        &["run", "--rm", "--name", "no/good", "busybox", "true"],
        125,
        "Invalid container name (no/good), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
    ),
    (
        &["run", "--rm", "--mount", "type=bind,src=/no/such/source,dst=/mnt", "busybox", "true"],
        125,
        "bind source path does not exist: /no/such/source",
    ),
    (&["run", "--rm", "-v", "/tmp:relative", "busybox", "true"], 125, "invalid"),
    (&["run", "--rm", "-p", "nonsense", "busybox", "true"], 125, "nvalid"),
    (&["run", "--rm", "-p", "1.2.3:80:80", "busybox", "true"], 125, "nvalid"),
    (&["run", "--rm", "-p", "70000:80", "busybox", "true"], 125, "nvalid"),
    (&["run", "--rm", "--ip", "300.1.1.1", "busybox", "true"], 125, "invalid"),
    (&["run", "--rm", "--cap-add", "NONSENSE", "busybox", "true"], 125, "NONSENSE"),
    (&["run", "--rm", "-w", "relative", "busybox", "true"], 125, "relative"),
    (&["run", "--rm", "-u", "no-such-user", "busybox", "true"], 125, "no-such-user"),
    (&["run", "--rm", "--network", "container:nobody", "busybox", "true"], 125, "nobody"),
    (&["run", "--rm", "--network", "no-such-net", "busybox", "true"], 125, "no-such-net not found"),
    (&["run", "--rm", "--log-driver", "no-such", "busybox", "true"], 125, "no-such"),
    (&["run", "--restart", "sometimes", "busybox", "true"], 125, "sometimes"),
    (&["run", "--rm", "--stop-signal", "SIGNONE", "busybox", "true"], 125, "SIGNONE"),
];

#[test]
fn what_cannot_run_is_refused_in_dockers_words_and_leaves_nothing() {
    let host = TestHost::new();
    host.busybox();
    let mut wrong = Vec::new();
    for client in Client::both() {
        for (arguments, code, text) in REFUSED {
            let outcome = host.run(client, arguments);
            if outcome.code != code || !outcome.stderr.contains(text) {
                wrong.push(format!("expected {code} and {text:?}: {outcome}"));
            }
        }
        if host.barge(&["ps", "-aq"]).text() != "" {
            wrong.push(format!("{client:?} left containers: {}", host.barge(&["ps", "-a"])));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    host.assert_nothing_of_containers();
}

#[test]
fn a_name_in_use_is_a_conflict_that_names_the_holder() {
    let host = TestHost::new();
    host.busybox();
    let id = host.barge(&["create", "--name", "taken", "busybox"]).text().to_owned();
    for client in Client::both() {
        let outcome = host.run(client, &["run", "--name", "taken", "busybox", "true"]);
        let text = format!(
            "Conflict. The container name \"/taken\" is already in use by container \"{id}\". \
             You have to remove (or rename) that container to be able to reuse that name."
        );
        outcome.fails_saying(125, &text);
    }
}

#[test]
fn an_object_that_does_not_exist_is_named() {
    let host = TestHost::new();
    for client in Client::both() {
        for verb in ["start", "stop", "kill", "rm", "wait", "logs", "attach"] {
            let outcome = host.run(client, &[verb, "nobody"]);
            outcome.fails_saying(1, "No such container: nobody");
        }
        host.run(client, &["exec", "nobody", "true"]).fails_saying(1, "No such container: nobody");
        host.run(client, &["rmi", "nothing"]).fails_saying(1, "No such image: nothing");
        let inspected = host.run(client, &["image", "inspect", "nothing"]);
        inspected.fails_saying(1, "o such image: nothing");
        let unknown = host.run(client, &["run", "--rm", "--pull", "never", "nothing", "true"]);
        unknown.fails_saying(125, "No such image: nothing");
    }
}

#[test]
fn a_running_container_is_not_removed_without_force() {
    let host = TestHost::new();
    host.busybox();
    host.barge(&["run", "-d", "--name", "busy", "busybox", "sleep", "1000"]).ok();
    for client in Client::both() {
        let refused = host.run(client, &["rm", "busy"]);
        refused.fails_saying(
            1,
            "cannot remove container \"/busy\": container is running: stop the container",
        );
        let refused = host.run(client, &["rmi", "busybox"]);
        refused.fails_saying(1, "conflict: unable to remove repository reference \"busybox\"");
    }
}

#[test]
fn an_exec_makes_no_folder_and_no_user() {
    let host = TestHost::new();
    host.busybox();
    host.barge(&["run", "-d", "--name", "cc", "busybox", "sleep", "1000"]).ok();
    for client in Client::both() {
        let run = host.run(client, &["exec", "-w", "/nope", "cc", "pwd"]);
        assert!(run.code == 126 || run.code == 127, "{run:?}");
        assert!(
            format!("{}{}", run.stdout, run.stderr).contains("chdir to cwd (\"/nope\")"),
            "{run:?}"
        );
        let run = host.run(client, &["exec", "-u", "nobody-here", "cc", "id"]);
        assert_eq!(run.code, 126, "{run:?}");
    }
    host.barge(&["exec", "cc", "ls", "-d", "/nope"]).fails_saying(1, "No such file or directory");
}
