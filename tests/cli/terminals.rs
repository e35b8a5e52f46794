//! Containers in a terminal: what is typed, what is seen, what is left of the terminal.

use barge_testkit::{Client, Sharing, TestHost, eventually};

static HOST: Sharing = Sharing::new();

const DETACH: &str = "\u{10}\u{11}";

#[test]
fn a_shell_in_a_terminal_echoes_runs_and_passes_its_exit_code() {
    let host = HOST.host();
    for client in Client::both() {
        let mut terminal = host.terminal(client, &["run", "-it", "--rm", "busybox", "sh"]);
        let before = terminal.first_modes();
        terminal.expect("# ").send("tty; echo $((40+2)) $TERM\n");
        terminal.expect("/dev/pts/0").expect("42 xterm").expect("# ").send("exit 5\n");
        assert_eq!(terminal.wait(), 5, "{client:?}: {}", terminal.screen());
        assert_eq!(format!("{:?}", terminal.modes()), format!("{before:?}"), "modes are put back");
    }
}

#[test]
fn the_size_is_the_users_and_follows_it() {
    let host = HOST.host();
    for client in Client::both() {
        // The client tells the size once more after the start: that is no change, and a signal all the same.
        let script = "trap 'stty size' WINCH; trap 'exit 7' INT; echo ready; stty size; \
                      while :; do sleep 0.1; done";
        let arguments = ["run", "-it", "--rm", "busybox", "sh", "-c", script];
        let mut terminal = host.terminal(client, &arguments);
        terminal.expect("ready").expect("24 80");
        // A client may begin to listen to its terminal's size only when the container has started.
        terminal.try_until("33 1", |terminal, count| terminal.resize(33, 100 + count % 50));
        terminal.send("\u{3}");
        assert_eq!(terminal.wait(), 7, "{}", terminal.screen());
    }
}

#[test]
fn an_exec_in_a_terminal_has_the_users_size_from_the_start() {
    let host = HOST.host();
    let name = host.unique("size");
    host.barge(&["run", "-d", "--name", &name, "busybox", "sleep", "1000"]).ok();
    let mut terminal =
        host.terminal(Client::Barge, &["exec", "-it", &name, "sh", "-c", "stty size"]);
    terminal.expect("24 80");
    assert_eq!(terminal.wait(), 0);
    for client in Client::both() {
        let mut terminal = host.terminal(client, &["exec", "-it", &name, "sh"]);
        terminal.expect("# ");
        // The resize is a request of its own beside the stream, and the client may not listen yet.
        terminal.try_until("40 1", |terminal, count| {
            terminal.resize(40, 100 + count % 50);
            terminal.send("stty size\n");
        });
        terminal.send("exit 3\n");
        assert_eq!(terminal.wait(), 3);
    }
    host.barge(&["rm", "-f", &name]).ok();
}

#[test]
fn ctrl_c_goes_to_the_container() {
    let host = HOST.host();
    for client in Client::both() {
        let script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done";
        let mut terminal =
            host.terminal(client, &["run", "-it", "--rm", "busybox", "sh", "-c", script]);
        terminal.expect("ready").send("\u{3}").expect("caught");
        assert_eq!(terminal.wait(), 9, "{client:?}");
    }
}

#[test]
fn the_detach_keys_leave_the_container_running_and_attach_comes_back() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("detach");
        let mut terminal = host.terminal(client, &["run", "-it", "--name", &name, "busybox", "sh"]);
        terminal.expect("# ").send("x=kept\n").expect("# ").send(DETACH);
        assert_eq!(terminal.wait(), 0, "{client:?}: {}", terminal.screen());
        assert_eq!(host.status(&name), "running");
        let mut again = host.terminal(client, &["attach", &name]);
        // A prompt comes only when something is typed.
        again.send("\n").expect("# ").send("echo $x.\n").expect("kept.");
        again.expect("# ").send("exit 4\n");
        assert_eq!(again.wait(), 4, "{client:?}: {}", again.screen());
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn other_detach_keys_can_be_chosen() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("keys");
        let arguments =
            ["run", "-it", "--name", &name, "--detach-keys", "ctrl-x,q", "busybox", "sh"];
        let mut terminal = host.terminal(client, &arguments);
        // Half of the keys followed by something else is input like any other.
        terminal.expect("# ").send("\u{18}").send("\u{15}echo typed\n").expect("typed");
        terminal.send("\u{18}q");
        assert_eq!(terminal.wait(), 0, "{client:?}: {}", terminal.screen());
        assert_eq!(host.status(&name), "running");
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn leaving_an_exec_by_the_keys_leaves_its_process() {
    let host = HOST.host();
    let name = host.unique("left");
    host.barge(&["run", "-d", "--name", &name, "busybox", "sleep", "1000"]).ok();
    for client in Client::both() {
        let mut terminal = host.terminal(client, &["exec", "-it", &name, "sh"]);
        terminal.expect("# ").send(DETACH);
        terminal.wait();
        assert_eq!(host.status(&name), "running", "{client:?}");
    }
    host.barge(&["rm", "-f", &name]).ok();
}

#[test]
fn a_terminal_is_refused_when_the_input_is_none() {
    let host = HOST.host();
    for client in Client::both() {
        let outcome = host.run(client, &["run", "-it", "--rm", "busybox", "true"]);
        assert_eq!(outcome.code, 1, "{outcome}");
        assert!(outcome.stderr.contains("not a TTY"), "{outcome}");
    }
}

#[test]
fn a_signal_to_the_client_goes_to_the_container() {
    let host = HOST.host();
    for client in Client::both() {
        let script = "trap 'echo terminated; exit 8' TERM; echo ready; while :; do sleep 0.1; done";
        let run = host.start_client(client, &["run", "--rm", "busybox", "sh", "-c", script]);
        run.expect("ready");
        run.signal(libc::SIGTERM);
        let outcome = run.wait();
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (8, "ready\nterminated\n"),
            "{outcome}"
        );
    }
}

#[test]
fn who_asks_three_times_leaves_what_does_not_end() {
    // Events of others would push these out.
    let host = TestHost::new();
    host.busybox();
    for client in Client::both() {
        let name = host.unique("stays");
        let run = host.start_client(client, &["run", "--name", &name, "busybox", "sleep", "1000"]);
        eventually("it runs", || host.run(client, &["top", &name]).code == 0);
        let filter = format!("container={name}");
        let window = ["events", "--since", "1", "--until", "0s", "--filter", &filter];
        let told = [&window[..], &["--filter", "event=kill", "--format", "{{.Action}}"]].concat();
        for (count, signal) in [libc::SIGINT, libc::SIGTERM].into_iter().enumerate() {
            run.signal(signal);
            eventually("it is passed on", || host.barge(&told).text().lines().count() > count);
        }
        run.signal(libc::SIGINT);
        run.wait().fails_saying(1, "got 3 SIGTERM/SIGINTs, forcefully exiting");
        assert_eq!(host.status(&name), "running");
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn a_signal_stays_with_a_client_that_was_told_so() {
    // Events of others would push these out.
    let host = TestHost::new();
    host.busybox();
    let name = host.unique("alone");
    let script = "trap 'exit 8' TERM; echo ready; while :; do sleep 0.1; done";
    let line = ["run", "--sig-proxy=false", "--name", &name, "busybox", "sh", "-c", script];
    let run = host.start_client(Client::Barge, &line);
    run.expect("ready");
    run.signal(libc::SIGTERM);
    // The signal's own effect: nobody caught it.
    assert_eq!(run.wait().code, 128 + libc::SIGTERM);
    assert_eq!(host.status(&name), "running");
    let attach = host.start_client(Client::Barge, &["attach", &name]);
    let filter = format!("container={name}");
    let window = ["events", "--since", "1", "--until", "0s", "--filter", &filter];
    let told = [&window[..], &["--filter", "event=attach", "--format", "{{.Action}}"]].concat();
    eventually("it is attached", || host.barge(&told).text().lines().count() == 2);
    attach.signal(libc::SIGTERM);
    assert_eq!(attach.wait().code, 8, "and goes to the container otherwise");
    host.barge(&["rm", &name]).ok();
}

#[test]
fn what_a_terminal_shows_is_logged_as_it_was_shown() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("shown");
        host.run(client, &["run", "-d", "-t", "--name", &name, "busybox", "echo", "line"]).ok();
        host.run(client, &["wait", &name]).ok();
        assert_eq!(host.run(client, &["logs", &name]).stdout, "line\r\n");
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn a_hangup_of_the_terminal_ends_the_client_only() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("hangup");
        let mut terminal = host.terminal(client, &["run", "-it", "--name", &name, "busybox", "sh"]);
        terminal.expect("# ");
        drop(terminal);
        eventually("the container runs on", || host.status(&name) == "running");
        host.run(client, &["rm", "-f", &name]).ok();
    }
}
