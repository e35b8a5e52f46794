//! Health checks as users ask for them and see them.

use barge_testkit::{Client, SharedHost, Sharing, eventually};
use serde_json::{Value, json};

static HOST: Sharing = Sharing::new();

const SLEEP: [&str; 3] = ["busybox", "sleep", "1000"];

fn run(host: &SharedHost, client: Client, name: &str, flags: &[&str]) {
    let line = [&["run", "-d", "--network", "none", "--name", name], flags, &SLEEP].concat();
    host.run(client, &line).ok();
}

/// The line of `ps` that a filter lets through, if it does.
fn listed(host: &SharedHost, client: Client, name: &str, filter: &str) -> String {
    let name = format!("name=^{name}$");
    let line = ["ps", "--filter", &name, "--filter", filter, "--format", "{{.Status}}"];
    host.run(client, &line).text().to_owned()
}

#[test]
fn every_flag_is_a_field_of_the_check() {
    let host = HOST.host();
    let second = 1_000_000_000_i64;
    for client in Client::both() {
        let name = host.unique("fields");
        let flags = [
            "--health-cmd=exit 1",
            "--health-interval=1m30s",
            "--health-timeout=3s",
            "--health-retries=4",
            "--health-start-period=5s",
            "--health-start-interval=6s",
        ];
        run(&host, client, &name, &flags);
        let wanted = json!({
            "Test": ["CMD-SHELL", "exit 1"],
            "Interval": 90 * second,
            "Timeout": 3 * second,
            "Retries": 4,
            "StartPeriod": 5 * second,
            "StartInterval": 6 * second,
        });
        assert_eq!(host.inspect(&name)["Config"]["Healthcheck"], wanted);
        let format = "{{.State.Health.Status}} {{len .State.Health.Log}}";
        assert_eq!(host.run(client, &["inspect", "-f", format, &name]).text(), "starting 0");
        assert!(listed(&host, client, &name, "health=starting").ends_with("(health: starting)"));
        assert_eq!(listed(&host, client, &name, "health=none"), "");
        host.run(client, &["rm", "-f", &name]).ok();
        run(&host, client, &name, &["--no-healthcheck"]);
        assert_eq!(host.inspect(&name)["State"].get("Health"), None);
        assert!(!listed(&host, client, &name, "health=none").contains('('));
        host.run(client, &["rm", "-f", &name]).ok();
        let both = ["run", "--no-healthcheck", "--health-cmd", "true", "busybox"];
        let text = "--no-healthcheck conflicts with --health-* options";
        host.run(client, &both).fails_saying(125, text);
        let short = ["run", "--health-cmd", "true", "--health-interval", "1us", "busybox"];
        let text = "Interval in Healthcheck cannot be less than 1ms";
        host.run(client, &short).fails_saying(125, text);
    }
}

#[test]
fn how_well_it_is_is_seen_by_ps_inspect_and_events() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("seen");
        let flags = [
            "--health-cmd",
            "test -e /well",
            "--health-interval",
            "200ms",
            "--health-retries",
            "2",
        ];
        let filter = format!("container={name}");
        let watch = [
            "events",
            "--filter",
            &filter,
            "--filter",
            "event=health_status",
            "--format",
            "{{.Action}}",
        ];
        let events = host.start_client(client, &watch);
        run(&host, client, &name, &flags);
        let is_listed = |word: &str| {
            let line = listed(&host, client, &name, &format!("health={word}"));
            line.ends_with(&format!("({word})"))
        };
        eventually("it is unhealthy", || is_listed("unhealthy"));
        host.run(client, &["exec", &name, "touch", "/well"]).ok();
        eventually("it is healthy", || is_listed("healthy"));
        // A client that began to listen late has missed the first, not the other.
        host.run(client, &["exec", &name, "rm", "/well"]).ok();
        events.expect("health_status: unhealthy");
        host.run(client, &["pause", &name]).ok();
        assert!(listed(&host, client, &name, "status=paused").ends_with("(Paused)"));
        host.run(client, &["rm", "-f", &name]).ok();
        events.signal(libc::SIGKILL);
        assert_ne!(events.wait().code, 0, "it would have gone on");
    }
}

#[test]
fn barge_acts_on_what_is_unhealthy() {
    let host = HOST.host();
    let name = host.unique("acts");
    let check = ["--health-cmd", "false", "--health-interval", "100ms", "--health-retries", "1"];
    let flags = [&check[..], &["--health-on-failure", "kill"]].concat();
    run(&host, Client::Barge, &name, &flags);
    assert_eq!(host.inspect(&name)["HostConfig"]["HealthOnFailure"], "kill");
    eventually("it is killed", || host.status(&name) == "exited");
    assert_eq!(host.inspect(&name)["State"]["ExitCode"], 137);
    assert_eq!(host.inspect(&name)["State"]["Health"]["Status"], "unhealthy");
    host.barge(&["rm", &name]).ok();
    let create = ["create", "--health-on-failure", "kill", "busybox"];
    host.barge(&create).fails_saying(1, "without a health check");
    let wrong = ["create", "--health-on-failure", "wait", "--health-cmd", "true", "busybox"];
    host.barge(&wrong).fails_saying(1, "supported actions are none,restart,stop,kill");
}

#[test]
fn what_is_being_stopped_is_not_acted_on() {
    let host = HOST.host();
    let name = host.unique("ending");
    let check = ["--health-cmd", "test -e /well", "--health-interval", "100ms"];
    let act = ["--health-retries", "1", "--health-on-failure", "restart"];
    let start = ["--health-start-period", "1h", "--health-start-interval", "100ms"];
    // Who acts does not wait before it kills.
    let end = ["--stop-timeout", "0"];
    run(&host, Client::Barge, &name, &[&check[..], &act, &start, &end].concat());
    host.barge(&["exec", &name, "touch", "/well"]).ok();
    let health = || host.inspect(&name)["State"]["Health"].clone();
    eventually("it is healthy", || health()["Status"] == "healthy");
    let started = host.inspect(&name)["State"]["StartedAt"].clone();
    let stop = host.start_client(Client::Barge, &["stop", "-t", "-1", &name]);
    let kills = ["events", "--since", "1h", "--until", "0s", "--filter", "event=kill"];
    let of_this = ["--filter", &format!("container={name}")];
    eventually("it is told to end", || {
        !host.barge(&[&kills[..], &of_this].concat()).text().is_empty()
    });
    host.barge(&["exec", &name, "rm", "/well"]).ok();
    eventually("it fails again and again", || health()["FailingStreak"].as_i64() >= Some(5));
    assert_eq!(host.inspect(&name)["State"]["StartedAt"], started);
    host.barge(&["kill", &name]).ok();
    stop.wait().ok();
    assert_eq!(host.status(&name), "exited");
    host.barge(&["rm", &name]).ok();
}

/// What docker-compose's `depends_on: service_healthy` and others wait by.
#[test]
fn images_say_how_to_check_them() {
    let host = HOST.host();
    let (name, image) = (host.unique("from"), host.unique("image"));
    host.barge(&["create", "--name", &name, "busybox"]).ok();
    let change = "HEALTHCHECK --interval=100ms CMD [\"echo\", \"from the image\"]";
    host.barge(&["commit", "-c", change, &name, &image]).ok();
    host.barge(&["rm", &name]).ok();
    for client in Client::both() {
        let line = ["run", "-d", "--network", "none", "--name", &name, &image, "sleep", "1000"];
        host.run(client, &line).ok();
        eventually("it is healthy", || {
            host.inspect(&name)["State"]["Health"]["Status"] == "healthy"
        });
        let log = host.inspect(&name)["State"]["Health"]["Log"].clone();
        assert_eq!(log[0]["Output"], Value::from("from the image\n"));
        host.run(client, &["rm", "-f", &name]).ok();
    }
    host.barge(&["rmi", &image]).ok();
}
