//! Health checks: when they run, what they say, and what becomes of it.

use std::fs;

use barge_testkit::{Sharing, TestHost, eventually};
use serde_json::{Value, json};

static HOST: Sharing = Sharing::new();

/// A health check that runs so often that nobody waits for it, and that fails at once.
fn check(words: &[&str]) -> Value {
    json!({"Test": words, "Interval": 100_000_000, "Retries": 1})
}

fn shell(command: &str) -> Value {
    check(&["CMD-SHELL", command])
}

fn with(mut check: Value, field: &str, value: Value) -> Value {
    check[field] = value;
    check
}

/// Creates and starts a container that sleeps, with a health check.
fn run(host: &TestHost, name: &str, check: impl Into<Option<Value>>) {
    run_with(host, name, &json!({"Healthcheck": check.into()}));
}

fn run_with(host: &TestHost, name: &str, more: &Value) {
    let mut body = json!({"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}});
    for (key, value) in more.as_object().unwrap() {
        match (body.get_mut(key).and_then(Value::as_object_mut), value.as_object()) {
            (Some(own), Some(more)) => own.extend(more.clone()),
            _ => body[key] = value.clone(),
        }
    }
    let api = host.api();
    api.post(&format!("/containers/create?name={name}"), body).is(201);
    api.post(&format!("/containers/{name}/start"), Value::Null).is(204);
}

fn remove(host: &TestHost, name: &str) {
    host.api().delete(&format!("/containers/{name}?force=1")).is(204);
}

fn health(host: &TestHost, name: &str) -> Value {
    host.inspect(name)["State"]["Health"].clone()
}

fn await_status(host: &TestHost, name: &str, status: &str) -> Value {
    eventually(status, || health(host, name)["Status"] == status);
    health(host, name)
}

fn log(host: &TestHost, name: &str) -> Vec<Value> {
    health(host, name)["Log"].as_array().cloned().unwrap_or_default()
}

/// The first probe that was recorded.
fn first(host: &TestHost, name: &str) -> Value {
    eventually("a probe has ended", || !log(host, name).is_empty());
    log(host, name)[0].clone()
}

fn touch(host: &TestHost, name: &str, line: &[&str]) {
    host.barge(&[&["exec", name], line].concat()).ok();
}

fn encoded(value: &Value) -> String {
    value.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// What was told of a container until now.
fn told(host: &TestHost, name: &str) -> Vec<(String, Value)> {
    let filters = encoded(&json!({"container": [name]}));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
    let path = format!("/events?since=1&until={now}&filters={filters}");
    let text = host.api().get(&path).is(200).text();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events
        .map(|event| {
            (event["Action"].as_str().unwrap().to_owned(), event["Actor"]["Attributes"].clone())
        })
        .collect()
}

fn listed(host: &TestHost, status: &str) -> Vec<(String, String)> {
    let filters = encoded(&json!({"health": [status]}));
    let list = host.api().get(&format!("/containers/json?filters={filters}")).is(200).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lines = list.as_array().unwrap().iter();
    lines.map(|line| (text(&line["Names"][0])[1..].to_owned(), text(&line["Status"]))).collect()
}

#[test]
fn what_is_well_is_shown_as_such() {
    let host = HOST.host();
    let name = host.unique("well");
    run(&host, &name, shell("echo fine; echo really >&2"));
    await_status(&host, &name, "healthy");
    eventually("five probes are kept", || log(&host, &name).len() == 5);
    let found = health(&host, &name);
    assert_eq!(found["FailingStreak"], 0);
    for probe in found["Log"].as_array().unwrap() {
        assert_eq!((&probe["ExitCode"], &probe["Output"]), (&json!(0), &json!("fine\nreally\n")));
        let time = |key: &str| probe[key].as_str().unwrap().to_owned();
        assert!(time("Start") < time("End") && time("Start").ends_with('Z'), "{probe}");
    }
    let is_listed = |status: &str| listed(&host, status).into_iter().find(|(own, _)| *own == name);
    assert!(is_listed("healthy").unwrap().1.ends_with("(healthy)"));
    for other in ["none", "starting", "unhealthy"] {
        assert_eq!(is_listed(other), None);
    }
    let path = "/containers/json?filters=%7B%22health%22%3A%5B%22ill%22%5D%7D";
    assert!(host.api().get(path).error(400).contains("ill"));
    remove(&host, &name);
}

#[test]
fn probes_and_changes_are_told_as_by_dockerd() {
    let host = TestHost::new();
    host.busybox();
    // Only so many events are kept: a slow machine has to come back before the first are forgotten.
    let check = with(shell("test -e /well"), "Interval", json!(700_000_000));
    run(&host, "told", with(check, "Retries", json!(2)));
    await_status(&host, "told", "unhealthy");
    touch(&host, "told", &["touch", "/well"]);
    await_status(&host, "told", "healthy");
    eventually("both changes are told", || {
        let changes =
            told(&host, "told").into_iter().filter(|(action, _)| action.starts_with("health"));
        changes.map(|(action, _)| action).eq(["health_status: unhealthy", "health_status: healthy"])
    });
    let all = told(&host, "told");
    let probe = &all[all.iter().position(|(action, _)| action == "start").unwrap() + 1..];
    assert_eq!(probe[0].0, "exec_create: /bin/sh -c test -e /well");
    assert_eq!(probe[1].0, "exec_start: /bin/sh -c test -e /well");
    assert_eq!(probe[2].0, "exec_die");
    assert_eq!(probe[2].1["exitCode"], "1");
    assert_eq!(probe[0].1["execID"], probe[2].1["execID"]);
    assert_eq!(probe[3].0, probe[0].0, "it takes two to make it unhealthy");
    assert_eq!(probe[6].0, "health_status: unhealthy");
    assert_eq!(probe[6].1, json!({"image": "busybox", "name": "told"}));
    let wanted = encoded(&json!({"event": ["health_status"]}));
    let text = host.api().get(&format!("/events?since=1&until=1&filters={wanted}")).is(200).text();
    assert_eq!(text, "", "nothing happened in 1970");
}

#[test]
fn failures_in_the_start_period_do_not_count() {
    let host = HOST.host();
    let name = host.unique("slow");
    let hour = 3_600_000_000_000_i64;
    let check = with(shell("test -e /well"), "StartPeriod", json!(hour));
    run(&host, &name, with(check, "StartInterval", json!(50_000_000)));
    eventually("many probes have failed", || log(&host, &name).len() == 5);
    let found = health(&host, &name);
    assert_eq!((&found["Status"], &found["FailingStreak"]), (&json!("starting"), &json!(0)));
    let line = listed(&host, "starting").into_iter().find(|(own, _)| *own == name).unwrap();
    assert!(line.1.ends_with("(health: starting)"), "{line:?}");
    touch(&host, &name, &["touch", "/well"]);
    await_status(&host, &name, "healthy");
    touch(&host, &name, &["rm", "/well"]);
    await_status(&host, &name, "unhealthy");
    remove(&host, &name);
}

#[test]
fn a_probe_that_takes_too_long_is_killed_with_what_it_started() {
    let host = HOST.host();
    let name = host.unique("hangs");
    run(&host, &name, with(shell("echo part; sleep 999; true"), "Timeout", json!(300_000_000)));
    eventually("some probes have ended", || log(&host, &name).len() == 5);
    let output = |probe: &Value| probe["Output"].as_str().unwrap().to_owned();
    let text = "Health check exceeded timeout (300ms)";
    for probe in log(&host, &name) {
        assert_eq!((&probe["ExitCode"], output(&probe).starts_with(text)), (&json!(-1), true));
    }
    // Where it was started soon enough to write it.
    let whole = format!("{text}: part\n");
    eventually("what it wrote is kept", || {
        log(&host, &name).iter().any(|probe| output(probe) == whole)
    });
    let top = host.api().get(&format!("/containers/{name}/top")).is(200).json();
    let lines: Vec<String> =
        top["Processes"].as_array().unwrap().iter().map(Value::to_string).collect();
    let sleeping = lines.iter().filter(|line| line.contains("sleep 999")).count();
    // The shell of the running probe has it in its line too.
    assert!(sleeping <= 2, "{lines:#?}");
    remove(&host, &name);
}

#[test]
fn a_probe_is_a_process_of_the_container_as_its_own() {
    let host = HOST.host();
    let name = host.unique("who");
    let ids = shell("id -u; pwd; echo $WORD");
    let more =
        json!({"Healthcheck": ids, "User": "7", "WorkingDir": "/tmp", "Env": ["WORD=from here"]});
    run_with(&host, &name, &more);
    assert_eq!(first(&host, &name)["Output"], "7\n/tmp\nfrom here\n");
    remove(&host, &name);
    run(&host, &name, check(&["CMD", "echo", "a  b", "$WORD"]));
    assert_eq!(first(&host, &name)["Output"], "a  b $WORD\n", "no shell has seen it");
    remove(&host, &name);
}

#[test]
fn long_output_is_cut_and_what_cannot_be_run_says_why() {
    let host = HOST.host();
    let name = host.unique("says");
    run(&host, &name, shell("yes 0123456 | head -c 100000"));
    let probe = first(&host, &name);
    let output = probe["Output"].as_str().unwrap();
    assert_eq!((output.len(), &output[..8], &output[4096..]), (4099, "0123456\n", "..."));
    assert_eq!(probe["ExitCode"], 0);
    remove(&host, &name);
    run(&host, &name, check(&["CMD", "/no/such/program"]));
    let probe = first(&host, &name);
    assert_eq!(probe["ExitCode"], -1);
    let text = probe["Output"].as_str().unwrap();
    assert!(
        text.contains("OCI runtime exec failed") && text.contains("/no/such/program"),
        "{text}"
    );
    await_status(&host, &name, "unhealthy");
    remove(&host, &name);
}

#[test]
fn what_a_probe_leaves_behind_holds_up_nothing() {
    let host = HOST.host();
    let name = host.unique("leaves");
    run(&host, &name, shell("test -e /left || sleep 999 & touch /left; echo done"));
    await_status(&host, &name, "healthy");
    assert_eq!(first(&host, &name)["Output"], "done\n");
    remove(&host, &name);
}

#[test]
fn a_paused_container_is_not_probed_and_its_probe_has_the_time_that_it_lost() {
    let host = HOST.host();
    let (name, clock) = (host.unique("frozen"), host.unique("clock"));
    let second = 1_000_000_000_i64;
    let waits = shell("until test -e /go; do sleep 0.05; done");
    run(&host, &name, with(waits, "Timeout", json!(10 * second)));
    eventually("a probe runs", || {
        host.inspect(&name)["ExecIDs"].as_array().is_some_and(|ids| !ids.is_empty())
    });
    host.barge(&["pause", &name]).ok();
    run(&host, &clock, with(shell("true"), "Interval", json!(2 * second + second / 8)));
    eventually("others are probed for longer than it may take", || log(&host, &clock).len() == 5);
    assert_eq!(health(&host, &name), json!({"Status": "starting", "FailingStreak": 0, "Log": []}));
    fs::write(format!("/proc/{}/root/go", host.pid(&name)), "").unwrap();
    host.barge(&["unpause", &name]).ok();
    await_status(&host, &name, "healthy");
    assert_eq!(first(&host, &name)["ExitCode"], 0);
    remove(&host, &clock);
    remove(&host, &name);
}

#[test]
fn the_end_of_a_container_is_no_verdict_and_a_new_start_begins_anew() {
    // Of its own: only so many events are kept.
    let host = TestHost::new();
    host.busybox();
    let name = host.unique("ends");
    run(&host, &name, shell("test -e /quick || sleep 999"));
    eventually("a probe runs", || {
        host.inspect(&name)["ExecIDs"].as_array().is_some_and(|ids| !ids.is_empty())
    });
    host.barge(&["stop", "-t", "0", &name]).ok();
    let found = health(&host, &name);
    // As dockerd says of what does not run.
    assert_eq!(found, json!({"Status": "unhealthy", "FailingStreak": 0, "Log": []}));
    assert!(told(&host, &name).iter().all(|(action, _)| !action.starts_with("health_status")));
    host.barge(&["start", &name]).ok();
    assert_eq!(health(&host, &name)["Status"], "starting");
    touch(&host, &name, &["touch", "/quick"]);
    host.barge(&["restart", "-t", "0", &name]).ok();
    await_status(&host, &name, "healthy");
    host.barge(&["stop", "-t", "0", &name]).ok();
    let kept = log(&host, &name);
    assert!(!kept.is_empty());
    host.barge(&["start", &name]).ok();
    let found = health(&host, &name);
    assert_eq!(found["Log"][0], kept[kept.len().saturating_sub(5)], "what was before stays known");
    remove(&host, &name);
}

#[test]
fn a_new_daemon_knows_how_it_was_and_goes_on() {
    let mut host = TestHost::new();
    host.busybox();
    let hour = 3_600_000_000_000_i64;
    run(&host, "ill", with(shell("echo no; exit 3"), "Retries", json!(3)));
    run(&host, "well", shell("true"));
    host.api()
        .post(
            "/containers/create?name=new",
            json!({"Image": "busybox", "Healthcheck": shell("true")}),
        )
        .is(201);
    run(&host, "young", with(shell("true"), "Interval", json!(hour)));
    await_status(&host, "ill", "unhealthy");
    await_status(&host, "well", "healthy");
    host.barge(&["stop", "-t", "0", "well"]).ok();
    let (ill, well) = (health(&host, "ill"), health(&host, "well"));
    host.kill9();
    host.start();
    let found = health(&host, "ill");
    assert_eq!(found["Status"], "unhealthy");
    let streak = |health: &Value| health["FailingStreak"].as_u64().unwrap();
    assert!(streak(&found) >= streak(&ill), "{found}");
    assert_eq!(found["Log"].as_array().unwrap().len() as u64, streak(&found).min(5));
    assert_eq!(health(&host, "well"), well);
    assert_eq!(
        health(&host, "young"),
        json!({"Status": "starting", "FailingStreak": 0, "Log": []})
    );
    assert_eq!(health(&host, "new"), Value::Null);
    eventually("probing goes on", || streak(&health(&host, "ill")) > streak(&found));
    let text = told(&host, "ill");
    assert!(
        text.iter().all(|(action, _)| !action.starts_with("health_status")),
        "nothing has changed"
    );
}

#[test]
fn a_probe_that_lost_its_daemon_is_killed_by_the_next() {
    let mut host = TestHost::new();
    host.busybox();
    run(&host, "lost", shell("test -e /well || exec sleep 999"));
    let sleeping = |host: &TestHost| {
        let top = host.api().get("/containers/lost/top?ps_args=-o%20pid,args").is(200).json();
        let lines = top["Processes"].as_array().unwrap().iter();
        let sleeping = lines.filter(|line| line[1] == "sleep 999");
        sleeping.map(|line| line[0].clone()).collect::<Vec<Value>>()
    };
    eventually("a probe hangs", || sleeping(&host).len() == 1);
    host.barge(&["exec", "-d", "lost", "sleep", "998"]).ok();
    host.barge(&["exec", "lost", "touch", "/well"]).ok();
    host.kill9();
    host.start();
    eventually("it is gone", || sleeping(&host).is_empty());
    await_status(&host, "lost", "healthy");
    let top = host.api().get("/containers/lost/top").is(200).text();
    assert!(top.contains("sleep 998"), "an exec that is no probe goes on: {top}");
}

#[test]
fn a_check_comes_from_the_image_field_by_field() {
    let host = HOST.host();
    let (name, image) = (host.unique("from"), host.unique("image"));
    let folder = host.scratch().join(&image);
    fs::create_dir_all(&folder).unwrap();
    let lines = [
        "FROM busybox",
        "SHELL [\"/bin/sh\", \"-e\", \"-c\"]",
        "HEALTHCHECK --interval=100ms --retries=7 CMD echo one; false; echo two",
        "CMD [\"sleep\", \"1000\"]",
    ];
    fs::write(folder.join("Dockerfile"), lines.join("\n")).unwrap();
    host.barge(&["build", "-q", "-t", &image, folder.to_str().unwrap()]).ok();
    let wanted = |more: Value| {
        let mut check = json!({"Test": ["CMD-SHELL", "echo one; false; echo two"], "Interval": 100_000_000, "Retries": 7});
        check.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        check
    };
    run_with(&host, &name, &json!({"Image": image}));
    assert_eq!(host.inspect(&name)["Config"]["Healthcheck"], wanted(json!({})));
    let probe = first(&host, &name);
    assert_eq!(
        (&probe["ExitCode"], &probe["Output"]),
        (&json!(1), &json!("one\n")),
        "by the image's shell"
    );
    remove(&host, &name);
    run_with(
        &host,
        &name,
        &json!({"Image": image, "Healthcheck": {"Timeout": 3_000_000_000_i64, "Retries": 1}}),
    );
    let merged = wanted(json!({"Timeout": 3_000_000_000_i64, "Retries": 1}));
    assert_eq!(host.inspect(&name)["Config"]["Healthcheck"], merged);
    await_status(&host, &name, "unhealthy");
    remove(&host, &name);
    run_with(&host, &name, &json!({"Image": image, "Healthcheck": {"Test": ["NONE"]}}));
    assert_eq!(host.inspect(&name)["Config"]["Healthcheck"], wanted(json!({"Test": ["NONE"]})));
    assert_eq!(host.inspect(&name)["State"].get("Health"), None);
    assert!(listed(&host, "none").iter().any(|(own, _)| *own == name));
    remove(&host, &name);
    host.barge(&["rmi", &image]).ok();
}

#[test]
fn what_makes_no_sense_is_refused() {
    let host = HOST.host();
    let refused = |more: Value| {
        let mut body = json!({"Image": "busybox"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        host.api().post("/containers/create", body).error(400)
    };
    let short = |name: &str| format!("{name} in Healthcheck cannot be less than 1ms");
    for name in ["Interval", "Timeout", "StartPeriod", "StartInterval"] {
        assert_eq!(refused(json!({"Healthcheck": {name: 999_999}})), short(name));
        assert_eq!(refused(json!({"Healthcheck": {name: -1}})), short(name));
    }
    let text = refused(json!({"Healthcheck": {"Retries": -1}}));
    assert_eq!(text, "Retries in Healthcheck cannot be negative");
    // Docker's daemon dies of the first and ignores the other.
    assert!(refused(json!({"Healthcheck": {"Test": ["CMD"]}})).contains("missing command"));
    assert!(refused(json!({"Healthcheck": {"Test": ["PING", "x"]}})).contains("\"PING\""));
    let action = |action: &str, more: Value| {
        let host = json!({"HealthOnFailure": action, "AutoRemove": true});
        refused(json!({"HostConfig": host, "Healthcheck": more}))
    };
    assert!(action("reboot", shell("true")).contains("\"reboot\""));
    assert!(action("kill", json!({"Test": ["NONE"]})).contains("without a health check"));
    assert!(action("restart", shell("true")).contains("AutoRemove"));
}

#[test]
fn an_unhealthy_container_is_restarted_when_its_user_said_so() {
    // Of its own: only so many events are kept.
    let host = TestHost::new();
    host.busybox();
    let name = host.unique("again");
    let limits = json!({"HealthOnFailure": "restart"});
    let more =
        json!({"Healthcheck": shell("test -e /well"), "StopSignal": "KILL", "HostConfig": limits});
    run_with(&host, &name, &more);
    let pid = host.pid(&name);
    assert_eq!(host.inspect(&name)["HostConfig"]["HealthOnFailure"], "restart");
    eventually("it is restarted", || {
        let state = host.inspect(&name)["State"].clone();
        state["Running"] == true && state["Pid"] != pid
    });
    eventually("it stays", || {
        // Between two runs there is nothing to run it in.
        host.barge(&["exec", &name, "touch", "/well"]);
        health(&host, &name)["Status"] == "healthy"
    });
    let actions: Vec<String> = told(&host, &name).into_iter().map(|(action, _)| action).collect();
    let from = actions.iter().position(|action| action == "health_status: unhealthy").unwrap();
    let after: Vec<&String> =
        actions[from..].iter().filter(|action| !action.starts_with("exec_")).collect();
    assert_eq!(after[..6], ["health_status: unhealthy", "kill", "die", "stop", "start", "restart"]);
    remove(&host, &name);
}

#[test]
fn an_unhealthy_container_is_stopped_or_killed_when_its_user_said_so() {
    let host = HOST.host();
    for (action, policy) in [("stop", "always"), ("kill", "no")] {
        let name = host.unique(action);
        let limits = json!({"HealthOnFailure": action, "RestartPolicy": {"Name": policy}});
        let more =
            json!({"Healthcheck": shell("false"), "StopSignal": "KILL", "HostConfig": limits});
        run_with(&host, &name, &more);
        eventually("it has ended", || host.status(&name) == "exited");
        let found = host.inspect(&name);
        assert_eq!((&found["State"]["ExitCode"], &found["RestartCount"]), (&json!(137), &json!(0)));
        remove(&host, &name);
    }
    // A kill is one for the restart policy.
    let name = host.unique("comes");
    let limits = json!({"HealthOnFailure": "kill", "RestartPolicy": {"Name": "on-failure"}});
    run_with(&host, &name, &json!({"Healthcheck": shell("false"), "HostConfig": limits}));
    eventually("it comes back", || host.inspect(&name)["RestartCount"].as_u64() > Some(0));
    remove(&host, &name);
}

#[test]
fn many_probes_leave_nothing_behind() {
    let host = HOST.host();
    let name = host.unique("many");
    let fast = json!({"Test": ["CMD", "true"], "Interval": 1_000_000});
    run(&host, &name, fast);
    let folder = format!("/proc/{}/fd", host.daemon_pid());
    let shim = format!("/proc/{}/fd", host.shim(&name));
    let open = |folder: &str| fs::read_dir(folder).unwrap().count();
    let mut ends = std::collections::BTreeSet::new();
    let mut count = |least: usize| {
        eventually("they run", || {
            ends.extend(log(&host, &name).into_iter().map(|probe| probe["End"].to_string()));
            ends.len() >= least
        });
    };
    count(20);
    let (daemons, shims) = (open(&folder), open(&shim));
    count(200);
    eventually("a shim's descriptors are as before", || open(&shim) <= shims);
    // Other tests use the same daemon.
    eventually("the daemon's too", || open(&folder) <= daemons + 50);
    assert!(host.inspect(&name)["ExecIDs"].as_array().is_none_or(|ids| ids.len() <= 1));
    remove(&host, &name);
}
