//! `kill -9` at every step: of the daemon, of the shim, of the client. Whatever step it was, what is said of the container
//! afterwards is true, it can be used, and it goes without leaving anything.
//!
//! A sample of the steps in an ordinary run; all of them with `BARGE_ALL_FAULTS` in the environment.

use barge_testkit::{Context, TestHost, Victim, eventually, fault_places};
use serde_json::Value;

mod clients;
mod daemon;
mod shim;
mod volumes;

/// Says what it hears and ends when it is asked to.
const SCRIPT: &str = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";

/// The files of an image.
const IMAGE: &str = "type=image,source=busybox,target=/image";

/// A container with all that a start can leave behind.
const FLAGS: [&str; 10] =
    ["--name", "subject", "-p", "8080:80", "-v", "/home", "--ipc", "shareable", "--mount", IMAGE];

/// The same, run without anybody attached.
const RUN: &[&str] = &[
    "run", "-d", "--name", "subject", "-p", "8080:80", "-v", "/home", "busybox", "sh", "-c", SCRIPT,
];
const RUN_AND_REMOVE: &[&str] =
    &["run", "--rm", "--name", "subject", "-v", "/home", "--mount", IMAGE, "busybox", "true"];

/// When a verb has had all of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// When it is answered.
    Answered,
    /// When its container has been taken down, too.
    Settled,
    /// When it is gone.
    Removed,
}

/// A verb, seen from outside.
struct Verb {
    prepare: fn(&TestHost),
    line: &'static [&'static str],
    over: Over,
    /// What else has to be true of its container.
    truth: fn(&TestHost, &Value) -> bool,
    /// How many steps it has at least.
    steps: u32,
}

impl Verb {
    const fn new(prepare: fn(&TestHost), line: &'static [&'static str], over: Over) -> Self {
        Self { prepare, line, over, truth: |_, _| true, steps: 1 }
    }

    const fn with_steps(self, steps: u32) -> Self {
        Self { steps, ..self }
    }

    /// Tries the verb with a kill at one place after the other.
    fn kill_at_each_place(&self, host: &mut TestHost, victim: Victim) {
        for place in fault_places() {
            (self.prepare)(host);
            host.arm_fault(victim, place);
            let outcome = host.barge(self.line);
            eventually("it is killed, or all is done", || {
                host.fault(victim).is_some() || self.is_over(host)
            });
            let Some(name) = host.disarm_fault(victim) else {
                outcome.ok();
                self.check(host, "not killed");
                assert!(place > self.steps, "{:?}: no step is number {place}", self.line);
                return;
            };
            if victim == Victim::Daemon {
                host.kill9();
                host.start();
            }
            self.check(host, &format!("{:?} killed at place {place}, {name}", self.line));
        }
    }

    fn is_over(&self, host: &TestHost) -> bool {
        match self.over {
            Over::Answered => true,
            Over::Settled => host.is_settled(),
            Over::Removed => {
                let folder = host.data_root().join("containers");
                host.is_settled() && std::fs::read_dir(folder).unwrap().next().is_none()
            }
        }
    }

    fn check(&self, host: &TestHost, told: &str) {
        check(host, told, self.truth);
    }
}

/// The one container that there may be is what is said of it, can be used, and goes.
fn check(host: &TestHost, told: &str, truth: fn(&TestHost, &Value) -> bool) {
    let _context = Context::new(told);
    eventually(&format!("{told}: what is said is true"), || {
        containers(host).iter().all(|container| is_true(host, container, truth))
    });
    let listed = containers(host);
    assert!(listed.len() <= 1, "{told}: {listed:?}");
    for container in listed {
        let id = container["Id"].as_str().unwrap();
        if container["State"] == "paused" {
            host.barge(&["unpause", id]).ok();
        }
        // One that goes with its end may be going.
        if !host.inspect(id)["HostConfig"]["AutoRemove"].as_bool().unwrap() {
            // One that was signalled just before its daemon was killed still runs, and ends now.
            eventually(&format!("{told}: it starts and can be used"), || {
                host.barge(&["start", id]).ok();
                host.barge(&["exec", id, "true"]).code == 0
            });
        }
        let removed = host.barge(&["rm", "-f", "-v", id]);
        assert!(removed.code == 0 || removed.stderr.contains("No such"), "{told}: {removed}");
    }
    host.assert_nothing_of_containers();
}

fn containers(host: &TestHost) -> Vec<Value> {
    let listed = host.api().get("/containers/json?all=1").is(200).json();
    listed.as_array().unwrap().clone()
}

/// Whether a container is as it is said to be: asked twice, since it may change while it is looked at.
fn is_true(host: &TestHost, listed: &Value, truth: fn(&TestHost, &Value) -> bool) -> bool {
    let id = listed["Id"].as_str().unwrap();
    let reply = host.api().get(&format!("/containers/{id}/json"));
    if reply.status == 404 {
        return false;
    }
    let inspected = reply.is(200).json();
    let state = &inspected["State"];
    let is_running = state["Running"] == true;
    let processes = barge_testkit::processes_of(&format!("{}/{id}", host.cgroup_parent()));
    let pid = state["Pid"].as_i64().unwrap();
    let has_its_process = processes.iter().any(|process| i64::from(*process) == pid);
    let is_published = host.ruleset().contains("8080");
    let has_port = inspected["HostConfig"]["PortBindings"]["80/tcp"].is_array();
    listed["State"] == state["Status"]
        && (is_running || (pid == 0 && processes.is_empty()))
        && (!is_running || (has_its_process && host.has_shim(id)))
        && is_published == (is_running && has_port)
        && truth(host, &inspected)
}

fn nothing(_: &TestHost) {}

fn created(host: &TestHost) {
    host.barge(&[&["create"], &FLAGS[..], &["busybox", "sh", "-c", SCRIPT]].concat()).ok();
}

fn running(host: &TestHost) {
    created(host);
    host.barge(&["start", "subject"]).ok();
    eventually("it listens", || host.barge(&["logs", "subject"]).text() == "ready");
}

fn stopped(host: &TestHost) {
    created(host);
    host.barge(&["start", "subject"]).ok();
    host.barge(&["stop", "-t", "0", "subject"]).ok();
    eventually("it is taken down", || host.is_settled());
}
