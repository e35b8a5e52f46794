//! `logs`, as both clients show it.

use barge_testkit::{Client, Sharing};

static HOST: Sharing = Sharing::new();

const THREE: &str = "echo one; echo two; echo three";

#[test]
fn logs_are_cut_and_furnished_as_asked() {
    let host = HOST.host();
    for client in Client::both() {
        for driver in ["json-file", "local"] {
            let name = host.unique("logs");
            let run = |arguments: &[&str]| host.run(client, arguments).text().to_owned();
            run(&["run", "--name", &name, "--log-driver", driver, "busybox", "sh", "-c", THREE]);
            assert_eq!(run(&["logs", &name]), "one\ntwo\nthree");
            assert_eq!(run(&["logs", "--tail", "2", &name]), "two\nthree");
            assert_eq!(run(&["logs", "-n", "0", &name]), "");
            assert_eq!(run(&["logs", "--tail", "all", &name]), "one\ntwo\nthree");
            let word = host.run(client, &["logs", "--tail", "word", &name]);
            match client {
                // What is no number means all of them to dockerd, and its client does not look.
                Client::Docker => assert_eq!(word.text(), "one\ntwo\nthree"),
                Client::Barge => word.fails_saying(1, "invalid value \"word\" for --tail"),
            }
            assert_eq!(run(&["logs", "--follow", &name]), "one\ntwo\nthree");
            assert_eq!(run(&["logs", "--since", "1h", &name]), "one\ntwo\nthree");
            assert_eq!(run(&["logs", "--until", "1h", &name]), "");
            let stamped = run(&["logs", "-t", "--tail", "1", &name]);
            let (moment, line) = stamped.split_once(' ').unwrap();
            assert!(moment.len() == 30 && moment.ends_with('Z') && line == "three", "{stamped}");
            // All of it again from that moment on, nothing before it but what is as young.
            let since = run(&["logs", "--since", moment, &name]);
            assert!(since.ends_with("three"), "{since}");
            run(&["rm", &name]);
        }
    }
}

#[test]
fn details_show_what_the_user_chose() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("details");
        let line = [
            "run",
            "--name",
            &name,
            "--label",
            "app=a b",
            "--env",
            "X=1",
            "--log-opt",
            "labels=app",
            "--log-opt",
            "env=X",
            "--log-opt",
            "tag={{with split .ImageName \":\"}}{{join . \"_\"}}{{end}}/{{.Name}}",
            "busybox",
            "echo",
            "hi",
        ];
        host.run(client, &line).ok();
        let shown = host.run(client, &["logs", "--details", &name]);
        assert_eq!(shown.text(), format!("X=1,app=a+b,tag=busybox%2F{name} hi"));
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn wrong_options_are_refused_in_the_same_words() {
    let host = HOST.host();
    for client in Client::both() {
        for (options, text) in [
            (&["--log-opt", "x=y"][..], "unknown log opt 'x' for json-file log driver"),
            (&["--log-driver", "splunky"], "no log driver named 'splunky' is registered"),
            (&["--log-driver", "gelf"], "gelf-address is a required parameter"),
        ] {
            let line: Vec<&str> =
                ["create"].iter().chain(options).chain(&["busybox"]).copied().collect();
            host.run(client, &line).fails_saying(1, text);
        }
    }
}
