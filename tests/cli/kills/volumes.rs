//! Volumes of what was never recorded, because the daemon was killed in the middle.

use std::collections::BTreeSet;

use barge_testkit::{TestHost, Victim};

/// The volumes that there are, and those that containers have.
fn volumes(host: &TestHost) -> [BTreeSet<String>; 2] {
    let lines = |words: &[&str]| {
        host.barge(words).text().lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let mut had = BTreeSet::new();
    for id in lines(&["ps", "-aq"]) {
        let shown = host.inspect(&id);
        let mounts = shown["Mounts"].as_array().unwrap();
        had.extend(mounts.iter().map(|mount| mount["Name"].as_str().unwrap().to_owned()));
    }
    [lines(&["volume", "ls", "-q"]), had]
}

/// Kills the daemon at each place of a command that makes volumes: none is there without its container.
fn kill_at_each_place(host: &mut TestHost, line: &[&str], after: &[&str]) {
    let mut kills = 0;
    for place in 1.. {
        host.arm_fault(Victim::Daemon, place);
        let outcome = host.barge(line);
        let killed = host.disarm_fault(Victim::Daemon);
        let Some(name) = killed else {
            outcome.ok();
            break;
        };
        kills += 1;
        host.kill9();
        host.start();
        let [all, had] = volumes(host);
        assert_eq!(all, had, "{line:?} killed at place {place}, {name}");
        // It may have been recorded.
        host.barge(after);
        host.barge(&["volume", "prune", "-f"]).ok();
    }
    let [all, had] = volumes(host);
    assert_eq!(all, had, "{line:?}");
    assert!(kills > 3, "{line:?}: killed {kills} times");
}

#[test]
fn of_a_creation_go() {
    let mut host = TestHost::new();
    host.busybox();
    // One whose container is gone is none of those, and neither is one that has a name.
    host.barge(&["run", "--name", "gone", "-v", "/kept", "busybox", "true"]).ok();
    let kept = host.inspect("gone")["Mounts"][0]["Name"].as_str().unwrap().to_owned();
    host.barge(&["rm", "gone"]).ok();
    host.barge(&["create", "--name", "keeper", "-v", "/own", "busybox"]).ok();
    host.kill9();
    host.start();
    assert!(volumes(&host)[0].contains(&kept));
    host.barge(&["volume", "rm", &kept]).ok();
    let line = ["create", "--name", "subject", "-v", "/home", "-v", "/two", "busybox"];
    kill_at_each_place(&mut host, &line, &["rm", "-v", "subject"]);
    host.barge(&["rm", "-v", "subject", "keeper"]).ok();
    assert_eq!(volumes(&host), [BTreeSet::new(), BTreeSet::new()]);
    host.assert_nothing_of_containers();
}

#[test]
fn of_a_change_go() {
    let mut host = TestHost::new();
    host.busybox();
    host.barge(&["create", "--name", "subject", "-v", "/own", "busybox"]).ok();
    let line = ["update", "--mount-add", "type=volume,dst=/added", "subject"];
    kill_at_each_place(&mut host, &line, &["update", "--mount-rm", "/added", "subject"]);
    // What a container lets go stays.
    host.barge(&["update", "--mount-rm", "/added", "subject"]).ok();
    host.kill9();
    host.start();
    let [all, had] = volumes(&host);
    assert_eq!((all.len(), had.len()), (2, 1));
    host.barge(&["rm", "-v", "subject"]).ok();
    host.barge(&["volume", "prune", "-f"]).ok();
    host.assert_nothing_of_containers();
}
