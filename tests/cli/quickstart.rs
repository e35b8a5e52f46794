//! The first minute: no daemon runs, and `barge run --rm hello` works all the same.
//!
//! The default socket and folders are those of the machine; here they are a fresh machine's, because everything runs in
//! a mount namespace of its own, with empty `/run` and `/var/lib`, and a network namespace of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use barge_testkit::{Outcome, Process, command, eventually, need, program};

/// A machine on which nobody ever ran barge: a process that holds its namespaces.
struct FreshMachine {
    holder: Process,
    /// A daemon of the machine's own may be at work.
    has_cgroups_of_others: bool,
    /// The cgroups are the machine's, and the default parent is the same for all.
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

impl FreshMachine {
    fn new() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let has_cgroups_of_others = !default_cgroups().is_empty();
        let script = "mount -t tmpfs none /run && mount -t tmpfs none /var/lib && ip link set lo up && echo ready && exec cat";
        let mut unshare = command("unshare");
        // A pid namespace: when its first process ends, so does whatever the test has started in it.
        unshare.args([
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            "--",
            "sh",
            "-c",
            script,
        ]);
        let holder = Process::start(&mut unshare);
        holder.expect("ready");
        Self { holder, has_cgroups_of_others, _alone: alone }
    }

    /// The first process inside.
    fn pid(&self) -> String {
        let own = self.holder.pid();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap();
        children.split_whitespace().next().expect("unshare has a child").to_owned()
    }

    fn command(&self, line: &[&str]) -> Command {
        let mut enter = command("nsenter");
        enter.args(["--target", &self.pid(), "--mount", "--net", "--pid", "--"]).args(line);
        enter
    }

    fn run(&self, line: &[&str]) -> Outcome {
        Process::start(&mut self.command(line)).wait()
    }

    fn daemons(&self) -> Vec<String> {
        let listed = self.run(&["ps", "-e", "-o", "pid=", "-o", "stat=", "-o", "comm="]);
        let words = listed.text().lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        // A dead one stays a zombie here: the first process of this machine waits for nobody. It keeps its sockets while
        // it has other threads.
        let is_dead = |stat: &str| stat.starts_with('Z') && !stat.contains('l');
        let daemons = words.filter(|words| words[2] == "barged" && !is_dead(words[1]));
        daemons.map(|words| words[0].to_owned()).collect()
    }
}

/// The cgroups that the default daemon makes its containers' in.
fn default_cgroups() -> Vec<PathBuf> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let folders = hierarchies.map(|entry| entry.path().join("barge"));
    folders.filter(|folder| folder.is_dir()).collect()
}

impl Drop for FreshMachine {
    fn drop(&mut self) {
        self.holder.signal(libc::SIGKILL);
        if self.has_cgroups_of_others {
            return;
        }
        // The end of the machine is the end of its processes, but not at once.
        eventually("the cgroups can be removed", || {
            for folder in default_cgroups() {
                for child in fs::read_dir(&folder).into_iter().flatten().flatten() {
                    fs::remove_dir(child.path()).ok();
                }
                fs::remove_dir(&folder).ok();
            }
            default_cgroups().is_empty()
        });
    }
}

#[test]
fn hello_runs_on_a_fresh_machine_and_says_what_it_sees() {
    need!(unshare, nsenter, ip);
    let machine = FreshMachine::new();
    let barge = program("barge");
    let barge = barge.to_str().unwrap();
    let limits = ["--memory", "64m", "--cpus", "0.5", "--hostname", "box"];
    let outcome = machine.run(&[&[barge, "run", "--rm"], &limits[..], &["hello"]].concat());
    let text = outcome.text().to_owned();
    for (name, value) in [
        ("pid", "1"),
        ("hostname", "box"),
        ("uid", "0"),
        ("addresses", "172.17.0.2"),
        ("root folder", "hello"),
        ("memory limit", "64"),
        ("cpu limit", "0.5"),
    ] {
        let line = text.lines().find(|line| line.trim_start().starts_with(name));
        assert!(line.is_some_and(|line| line.contains(value)), "{name} {value}: {text}");
    }
    let [daemon] = &machine.daemons()[..] else {
        panic!("one daemon runs now: {:?}", machine.daemons());
    };
    machine.run(&[barge, "run", "--rm", "hello"]).ok();
    assert_eq!(
        machine.daemons(),
        std::slice::from_ref(daemon),
        "the second run uses the first one's"
    );
    let images = machine.run(&[barge, "images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert_eq!(images.text(), "hello:latest");
    assert_eq!(machine.run(&[barge, "ps", "-aq"]).text(), "");
}

#[test]
fn two_clients_at_once_start_one_daemon() {
    need!(unshare, nsenter, ip);
    let machine = FreshMachine::new();
    let barge = program("barge");
    let line = [barge.to_str().unwrap(), "run", "--rm", "hello"];
    let clients: Vec<Process> =
        (0..6).map(|_| Process::start(&mut machine.command(&line))).collect();
    for client in clients {
        assert!(client.wait().text().starts_with("Hello"));
    }
    assert_eq!(machine.daemons().len(), 1);
}

#[test]
fn no_daemon_is_started_for_another_host() {
    need!(unshare, nsenter, ip);
    let machine = FreshMachine::new();
    let barge = program("barge");
    let barge = barge.to_str().unwrap();
    for arguments in [
        ["env", "A=b", barge, "-H", "unix:///run/other.sock"],
        ["env", "A=b", barge, "-H", "tcp://127.0.0.1:2375"],
        ["env", "BARGE_HOST=unix:///run/other.sock", barge, "--log-level", "info"],
        ["env", "DOCKER_HOST=unix:///run/other.sock", barge, "--log-level", "info"],
    ] {
        let outcome = machine.run(&[&arguments[..], &["ps"]].concat());
        outcome.fails_saying(1, "Cannot connect to the barge daemon at ");
        assert_eq!(machine.daemons(), [""; 0], "{arguments:?}");
    }
}

#[test]
fn the_daemon_outlives_its_client_and_is_started_again_after_its_end() {
    need!(unshare, nsenter, ip);
    let machine = FreshMachine::new();
    let barge = program("barge");
    let barge = barge.to_str().unwrap();
    machine.run(&[barge, "run", "-d", "--name", "stays", "hello"]).ok();
    let first = machine.daemons();
    machine.run(&["kill", "-9", &first[0]]).ok();
    eventually("it is gone", || machine.daemons().is_empty());
    assert_eq!(machine.run(&[barge, "ps", "-aq"]).text().lines().count(), 1);
    assert_ne!(machine.daemons(), first);
    machine.run(&[barge, "rm", "-f", "stays"]).ok();
}
