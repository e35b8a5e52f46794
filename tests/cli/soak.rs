//! Many containers, one after the other and at once: nothing of them is left, and the daemon is as it was.
//!
//! Short here; `cargo xtask soak` says how many by `BARGE_SOAK_RUNS` and `BARGE_SOAK_AT_ONCE`.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use barge_testkit::{Client, TestHost, eventually};

/// How many run before the daemon's memory and descriptors are looked at first: pools and caches are filled then.
const WARM: usize = 100;
/// What the daemon may have more after all runs than after those, in KiB.
const GROWTH: u64 = 5 << 10;

fn count(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect(variable))
}

fn memory(host: &TestHost) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", host.daemon_pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn descriptors(host: &TestHost) -> usize {
    fs::read_dir(format!("/proc/{}/fd", host.daemon_pid())).unwrap().count()
}

fn threads(host: &TestHost) -> usize {
    fs::read_dir(format!("/proc/{}/task", host.daemon_pid())).unwrap().count()
}

/// One after the other in each of four clients, with everything that a container can have.
fn run_many(host: &TestHost, total: usize) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        break;
                    }
                    let flags: &[&str] = match number % 5 {
                        0 => &["--network", "none"],
                        1 => &["-p", "80"],
                        2 => &["-v", "/anonymous", "--tmpfs", "/t"],
                        3 => &["-m", "64m", "--pids-limit", "20", "--init"],
                        _ => &["--read-only", "--label", "soak=1"],
                    };
                    let words = ["busybox", "echo", "done"];
                    let run = host.barge(&[&["run", "--rm"], flags, &words].concat());
                    assert_eq!((run.stdout.as_str(), run.code), ("done\n", 0), "{run:?}");
                }
            });
        }
    });
}

#[test]
fn many_runs_leave_nothing() {
    let host = TestHost::new();
    host.busybox();
    run_many(&host, WARM);
    host.assert_nothing_of_containers();
    let (memory_before, descriptors_before) = (memory(&host), descriptors(&host));
    run_many(&host, count("BARGE_SOAK_RUNS", 200));
    host.assert_nothing_of_containers();
    // Connections that clients left and threads that wait for work end in their own time.
    eventually("as few descriptors as before", || descriptors(&host) <= descriptors_before);
    let grown = memory(&host).saturating_sub(memory_before);
    println!("{memory_before} KiB before, {grown} KiB more after; {} threads", threads(&host));
    assert!(grown <= GROWTH, "the daemon has {grown} KiB more than before");
    let volumes = host.api().get("/volumes").is(200).json();
    assert!(volumes["Volumes"].as_array().is_none_or(Vec::is_empty), "{volumes}");
}

#[test]
fn many_containers_at_once_leave_nothing() {
    let mut host = TestHost::new();
    host.busybox();
    let total = count("BARGE_SOAK_AT_ONCE", 40);
    let names: Vec<String> = (0..total).map(|number| format!("soak{number}")).collect();
    let descriptors_before = descriptors(&host);
    std::thread::scope(|scope| {
        for chunk in names.chunks(total.div_ceil(8)) {
            let host = &host;
            scope.spawn(move || {
                for name in chunk {
                    host.barge(&["run", "-d", "--name", name, "busybox", "sleep", "100000"]).ok();
                }
            });
        }
    });
    let listed = |host: &TestHost| host.barge(&["ps", "-q"]).text().lines().count();
    assert_eq!(listed(&host), total);
    // Each answers, also to a new daemon.
    host.kill9();
    host.start();
    assert_eq!(listed(&host), total);
    for name in [&names[0], &names[total / 2], &names[total - 1]] {
        for client in Client::both() {
            assert_eq!(host.run(client, &["exec", name, "echo", "here"]).text(), "here");
        }
    }
    // Those that end by themselves beside those that are ended.
    let (killed, removed) = names.split_at(total / 2);
    let words = |verb: &[&'static str], names: &[String]| -> Vec<String> {
        verb.iter().map(|word| (*word).to_owned()).chain(names.iter().cloned()).collect()
    };
    let run = |words: Vec<String>| {
        host.barge(&words.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    };
    run(words(&["kill"], killed));
    run(words(&["rm", "-f"], removed));
    assert_eq!(listed(&host), 0);
    run(words(&["rm"], killed));
    host.assert_nothing_of_containers();
    eventually("as few descriptors as before", || descriptors(&host) <= descriptors_before);
}
