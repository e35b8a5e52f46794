//! `events`, `wait` and `attach`: both clients say the same.

use std::time::{SystemTime, UNIX_EPOCH};

use barge_testkit::{Client, TestHost, need};

#[test]
fn events_are_printed_as_the_stock_client_prints_them() {
    need!(docker);
    let host = TestHost::new();
    host.busybox();
    host.barge(&[
        "run", "--name", "seen", "-l", "a=b", "-v", "vol:/v", "busybox", "sh", "-c", "exit 3",
    ])
    .fails(3);
    host.barge(&["rm", "-v", "seen"]).ok();
    // A duration before now is one of whole seconds with the stock client.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let until = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
    let window = ["events", "--since", "10m", "--until", &until];
    let filters: [&[&str]; 10] = [
        &[],
        &["--format", "json"],
        &["--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}"],
        &["--filter", "type=container"],
        &["--filter", "event=die", "--filter", "event=destroy"],
        &["--filter", "container=se"],
        &["--filter", "image=busybox", "--filter", "type=container"],
        &["--filter", "label=a=b"],
        &["--filter", "volume=vol"],
        &["--filter", "scope=swarm"],
    ];
    for filter in filters {
        let words = [&window[..], filter].concat();
        let ours = host.run(Client::Barge, &words);
        let theirs = host.run(Client::Docker, &words);
        ours.ok();
        assert_eq!(ours.text(), theirs.text(), "{filter:?}");
        assert_eq!(ours.text().is_empty(), filter.contains(&"scope=swarm"), "{filter:?}");
    }
    host.barge(&["system", "events", "--since", "2020-01-01", "--until", "2020-01-02"]).ok();
    host.barge(&["events", "--since", "never"])
        .fails_saying(1, "failed to parse value as time or duration");
    host.barge(&["events", "--filter", "colour=red"]).fails_saying(1, "invalid filter 'colour'");
}

#[test]
fn several_containers_are_waited_for_in_their_order() {
    let host = TestHost::new();
    host.busybox();
    for client in Client::both() {
        for (name, code) in [("first", "3"), ("second", "4")] {
            let script = format!("read x; exit {code}");
            host.barge(&["run", "-di", "--name", name, "busybox", "sh", "-c", &script]).ok();
        }
        let wait = host.start_client(client, &["wait", "first", "nobody", "second"]);
        for name in ["second", "first"] {
            host.run_with_input(Client::Barge, &["attach", name], b"go\n");
        }
        let outcome = wait.wait();
        assert_eq!(outcome.code, 1, "{outcome}");
        assert_eq!(outcome.stdout, "3\n4\n", "{}", client.name());
        assert!(outcome.stderr.contains("No such container: nobody"), "{outcome}");
        host.barge(&["rm", "first", "second"]).ok();
    }
}

#[test]
fn who_cannot_attach_is_told_why() {
    need!(docker);
    let host = TestHost::new();
    host.busybox();
    host.barge(&["create", "--name", "still", "busybox", "sleep", "1000"]).ok();
    let same = |text: &str| {
        for client in Client::both() {
            let outcome = host.run(client, &["attach", "still"]);
            assert_eq!(outcome.code, 1, "{outcome}");
            assert!(outcome.stderr.to_lowercase().contains(text), "{}: {outcome}", client.name());
        }
    };
    same("cannot attach to a stopped container, start it first");
    host.barge(&["start", "still"]).ok();
    host.barge(&["pause", "still"]).ok();
    same("cannot attach to a paused container, unpause it first");
}
