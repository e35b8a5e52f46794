//! A daemon that goes away: what happens meanwhile is told by the next one, and its clients say what became of them or
//! go on with the next one.

use std::fs;
use std::time::SystemTime;

use barge_testkit::{Client, Process, TestHost, eventually};
use serde_json::Value;

fn host() -> TestHost {
    let host = TestHost::new();
    host.busybox();
    host
}

fn kill(pid: i32) {
    barge_sys::signal::kill(pid, libc::SIGKILL).unwrap();
    eventually("it ends", || {
        fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| {
            stat.rsplit(')').next().unwrap_or_default().trim().starts_with('Z')
        })
    });
}

/// Nanoseconds since 1970.
fn nanoseconds(moment: &str) -> i64 {
    let date = Process::start(barge_testkit::command("date").args(["-u", "-d", moment, "+%s%N"]));
    date.wait().text().parse().unwrap()
}

fn events(host: &TestHost, client: Client, filters: [&str; 2]) -> Vec<Value> {
    let [first, second] = filters;
    // To the nanosecond: Docker's client takes "0s" for the beginning of this second.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let until = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
    let line = ["events", "--since", "1h", "--until", &until, "--format", "{{json .}}"];
    let told = host.run(client, &[&line[..], &["--filter", first, "--filter", second]].concat());
    told.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_end_without_a_daemon_is_told_by_the_next_with_its_time() {
    let mut host = host();
    let script = "mkfifo /go; echo ready; read x < /go; exit 42";
    host.barge(&["run", "-d", "--name", "ends", "-l", "a=b", "busybox", "sh", "-c", script]).ok();
    eventually("it waits", || host.barge(&["logs", "ends"]).text() == "ready");
    let pid = host.pid("ends");
    host.kill9();
    fs::write(format!("/proc/{pid}/root/go"), "go\n").unwrap();
    eventually("it ends", || !fs::exists(format!("/proc/{pid}")).unwrap());
    host.start();
    let finished = host.inspect("ends")["State"]["FinishedAt"].as_str().unwrap().to_owned();
    for client in Client::both() {
        let told = events(&host, client, ["container=ends", "event=die"]);
        let [die] = told.as_slice() else { panic!("{told:?}") };
        let attributes = &die["Actor"]["Attributes"];
        assert_eq!(attributes["exitCode"], "42", "{die}");
        assert_eq!(attributes["a"], "b", "{die}");
        assert!(attributes["execDuration"].as_str().unwrap().parse::<u64>().is_ok(), "{die}");
        assert_eq!(die["timeNano"].as_i64().unwrap(), nanoseconds(&finished), "{die}");
    }
    // Once: the daemon after that finds nothing new.
    host.kill9();
    host.start();
    let told = events(&host, Client::Barge, ["container=ends", "event=die"]);
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn the_end_of_an_exec_without_a_daemon_is_told_once() {
    let mut host = host();
    let script = "mkfifo /go; echo ready; exec sleep 1000";
    host.barge(&["run", "-d", "--name", "stays", "busybox", "sh", "-c", script]).ok();
    eventually("it is ready", || host.barge(&["logs", "stays"]).text() == "ready");
    let pid = host.pid("stays");
    host.barge(&["exec", "-d", "stays", "sh", "-c", "read x < /go; exit 6"]).ok();
    let ids = || host.inspect("stays")["ExecIDs"].clone();
    let exec = ids()[0].as_str().unwrap().to_owned();
    let state = host.api().get(&format!("/exec/{exec}/json")).is(200).json();
    let process = state["Pid"].as_i64().unwrap();
    host.kill9();
    fs::write(format!("/proc/{pid}/root/go"), "go\n").unwrap();
    eventually("it ends", || !fs::exists(format!("/proc/{process}")).unwrap());
    host.start();
    let told = events(&host, Client::Barge, ["container=stays", "event=exec_die"]);
    let [die] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(die["Actor"]["Attributes"]["exitCode"], "6", "{die}");
    assert_eq!(die["Actor"]["Attributes"]["execID"], *exec, "{die}");
    let state = host.api().get(&format!("/exec/{exec}/json")).is(200).json();
    assert_eq!(state["ExitCode"], 6);
    host.kill9();
    host.start();
    let told = events(&host, Client::Barge, ["container=stays", "event=exec_die"]);
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_restart_by_the_next_daemon_counts() {
    let mut host = host();
    let flags = ["run", "-d", "--name", "tries", "--restart", "on-failure:2", "busybox"];
    host.barge(&[&flags[..], &["sleep", "1000"]].concat()).ok();
    for count in 1..=2 {
        let pid = host.pid("tries");
        host.kill9();
        kill(pid);
        host.start();
        eventually("it is started again", || {
            let now = host.inspect("tries");
            now["State"]["Status"] == "running" && now["State"]["Pid"] != pid
        });
        assert_eq!(host.inspect("tries")["RestartCount"], count);
    }
    let pid = host.pid("tries");
    host.kill9();
    kill(pid);
    host.start();
    assert_eq!(host.status("tries"), "exited", "two tries are two tries, whoever counts");
    assert_eq!(host.inspect("tries")["RestartCount"], 2);
    host.barge(&["start", "tries"]).ok();
    assert_eq!(host.inspect("tries")["RestartCount"], 0, "its user starts it afresh");
}

#[test]
fn what_is_started_with_the_daemon_without_having_ended_counts_no_restart() {
    let mut host = host();
    let flags = ["run", "-d", "--name", "always", "--restart", "always", "busybox"];
    host.barge(&[&flags[..], &["sleep", "1000"]].concat()).ok();
    host.barge(&["stop", "-t", "0", "always"]).ok();
    host.restart();
    eventually("always means always", || host.status("always") == "running");
    assert_eq!(host.inspect("always")["RestartCount"], 0);
}

/// A client that waits so many seconds for the daemon to come back.
fn client(host: &TestHost, seconds: &str, line: &[&str]) -> Process {
    Process::start(host.client(Client::Barge, line).env("BARGE_RECONNECT", seconds))
}

#[test]
fn a_client_whose_daemon_goes_says_so_in_one_line() {
    for end in [TestHost::kill9, TestHost::stop] {
        let mut host = host();
        let script = "while :; do echo ready; sleep 0.05; done";
        host.barge(&["run", "-d", "--name", "stays", "busybox", "sh", "-c", script]).ok();
        let run = client(&host, "0", &["run", "--name", "front", "busybox", "sh", "-c", script]);
        run.expect("ready");
        let attach = client(&host, "0", &["attach", "front"]);
        let logs = client(&host, "0", &["logs", "-f", "stays"]);
        let wait = client(&host, "0", &["wait", "stays"]);
        let exec = client(&host, "0", &["exec", "stays", "sh", "-c", script]);
        let events = client(&host, "0", &["events", "--since", "1h"]);
        let stats = client(&host, "0", &["stats", "stays"]);
        for talks in [&attach, &logs, &exec] {
            talks.expect("ready");
        }
        events.expect("front");
        stats.expect("stays");
        await_connection(&host, &wait);
        end(&mut host);
        let gone = format!("the barge daemon at unix://{} went away", host.socket().display());
        let stays = |name: &str, back: &str| {
            format!("{gone}; container {name} does not end with it: {back}")
        };
        let again = "`barge attach front` or `barge logs -f front` goes on with it";
        for (process, code, text) in [
            (run, 125, stays("front", again)),
            (attach, 1, stays("front", again)),
            (logs, 1, stays("stays", "`barge logs -f stays` goes on with its log")),
            (wait, 1, stays("stays", "`barge wait stays` waits for it again")),
            (exec, 1, format!("{gone}; what was started in container stays does not end with it")),
            (events, 1, format!("{gone} in the middle of its answer")),
            (stats, 1, format!("{gone} in the middle of its answer")),
        ] {
            let outcome = process.wait_with_open_stdin();
            assert_eq!(outcome.fails(code), text, "{outcome}");
        }
        host.start();
        assert_eq!([host.status("front"), host.status("stays")], ["running", "running"]);
    }
}

/// Waits until a client that prints nothing has connected: it has no other socket.
fn await_connection(host: &TestHost, client: &Process) {
    let folder = format!("/proc/{}/fd", client.pid());
    eventually("it has connected", || {
        fs::read_dir(&folder).unwrap().flatten().any(|fd| {
            fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
        })
    });
    // Time enough for one step, and what comes of it is asked again if it was not.
    host.barge(&["ps"]).ok();
}

#[test]
fn a_wait_and_a_log_go_on_with_the_next_daemon() {
    let mut host = host();
    let script = "n=0; while :; do n=$((n+1)); echo line $n; echo error >&2; sleep 0.01; done";
    host.barge(&["run", "-d", "--name", "talks", "busybox", "sh", "-c", script]).ok();
    let flags = ["run", "-d", "--rm", "--name", "goes", "busybox", "sleep", "1000"];
    host.barge(&flags).ok();
    let log = client(&host, "60", &["logs", "-f", "talks"]);
    let stamped = client(&host, "60", &["logs", "-f", "-t", "--tail", "3", "talks"]);
    let wait = client(&host, "60", &["wait", "talks"]);
    let wait_in_vain = client(&host, "60", &["wait", "goes"]);
    log.expect("line 3\n");
    stamped.expect("line ");
    await_connection(&host, &wait);
    await_connection(&host, &wait_in_vain);
    for round in 0..2 {
        let goes = (round == 0).then(|| host.pid("goes"));
        host.kill9();
        if let Some(pid) = goes {
            kill(pid);
        }
        host.start();
        let last = host.barge(&["logs", "--tail", "10", "talks"]);
        let last = last.text().lines().rfind(|line| line.starts_with("line")).unwrap().to_owned();
        log.expect(&format!("{last}\n"));
        stamped.expect(&format!("{last}\n"));
    }
    let text = format!(
        "the barge daemon at unix://{} went away; when it was back there was no container goes any more",
        host.socket().display()
    );
    assert_eq!(wait_in_vain.wait().fails(1), text);
    host.barge(&["stop", "-t", "0", "talks"]).ok();
    assert_eq!(wait.wait().text(), "137");
    let log = log.wait();
    for (number, line) in log.text().lines().enumerate() {
        assert_eq!(line, format!("line {}", number + 1), "no line is lost or doubled");
    }
    let all = host.barge(&["logs", "-t", "talks"]);
    assert_eq!(log.stderr, all.stderr.lines().map(|_| "error\n").collect::<String>());
    let stamped = stamped.wait();
    assert!(all.stdout.ends_with(&stamped.stdout), "{stamped}");
    assert!(all.stderr.ends_with(&stamped.stderr), "{stamped}");
}
