//! Logs: drivers, rotation, readers that come and go, remotes that are slow or gone.

use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};

use barge_testkit::{DEADLINE, HostOptions, TestHost, eventually};
use serde_json::{Value, json};

fn create(host: &TestHost, log: &Value, script: &str) -> String {
    let made = host.busybox().api().post("/containers/create", request(log, script)).is(201).json();
    made["Id"].as_str().unwrap().to_owned()
}

fn request(log: &Value, script: &str) -> Value {
    json!({
        "Image": "busybox", "Cmd": ["sh", "-c", script], "OpenStdin": true,
        "Labels": {"app": "shop"}, "HostConfig": {"NetworkMode": "none", "LogConfig": log},
    })
}

fn start(host: &TestHost, id: &str) {
    host.api().post(&format!("/containers/{id}/start"), Value::Null).is(204);
}

fn wait(host: &TestHost, id: &str) {
    host.api().post(&format!("/containers/{id}/wait"), Value::Null).is(200);
}

/// Runs to the end.
fn run(host: &TestHost, log: &Value, script: &str) -> String {
    let id = create(host, log, script);
    start(host, &id);
    wait(host, &id);
    id
}

fn remove(host: &TestHost, id: &str) {
    host.api().delete(&format!("/containers/{id}?force=1")).is(204);
}

/// The bytes of all frames, whichever stream they are of.
fn unframed(mut bytes: &[u8]) -> String {
    let mut text = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let (content, rest) = rest.split_at(length.try_into().unwrap());
        text.extend_from_slice(content);
        bytes = rest;
    }
    String::from_utf8(text).unwrap()
}

fn logs(host: &TestHost, id: &str, query: &str) -> String {
    let path = format!("/containers/{id}/logs?stdout=1&stderr=1&{query}");
    unframed(&host.api().get(&path).is(200).body)
}

fn driver(name: &str, options: &Value) -> Value {
    json!({"Type": name, "Config": options})
}

/// So many numbered lines.
fn count(lines: usize) -> String {
    format!("i=0; while [ $i -lt {lines} ]; do echo line $i; i=$((i+1)); done")
}

fn numbered(range: std::ops::Range<usize>) -> String {
    range.map(|number| format!("line {number}\n")).collect()
}

#[test]
fn every_driver_with_a_file_is_read_over_rotations_and_compressed_ones() {
    let host = TestHost::new();
    for name in ["local", "json-file"] {
        let options = json!({"max-size": "10k", "max-file": "50", "compress": "true"});
        let id = run(&host, &driver(name, &options), &count(2000));
        assert_eq!(logs(&host, &id, ""), numbered(0..2000));
        for tail in [0, 1, 700, 1999, 5000] {
            let expected = numbered(2000_usize.saturating_sub(tail)..2000);
            assert_eq!(logs(&host, &id, &format!("tail={tail}")), expected);
        }
        // What is no number means all, as in Docker.
        assert_eq!(logs(&host, &id, "tail=some"), numbered(0..2000));
        let folder = host.data_root().join("containers").join(&id);
        let folder = if name == "local" { folder.join("local-logs") } else { folder };
        // By the shim, which nobody waits for.
        eventually("the last rotated file is compressed", || {
            let mut names = std::fs::read_dir(&folder).unwrap();
            names.any(|entry| entry.unwrap().file_name().to_str().unwrap().ends_with(".1.gz"))
        });
        remove(&host, &id);
    }
}

#[test]
fn no_more_files_are_kept_than_asked_for() {
    let host = TestHost::new();
    let options = json!({"max-size": "4k", "max-file": "3"});
    let id = run(&host, &driver("local", &options), &count(3000));
    let text = logs(&host, &id, "");
    assert!(text.ends_with(&numbered(2999..3000)) && text.lines().count() < 1500, "{text}");
    let folder = host.data_root().join("containers").join(&id).join("local-logs");
    // While one is being compressed, there is a part of it beside it.
    eventually("no more than three files are left", || {
        std::fs::read_dir(&folder).unwrap().count() <= 3
    });
    remove(&host, &id);
}

#[test]
fn a_follower_gets_every_line_over_rotations_and_the_end_of_the_daemon_loses_none() {
    let mut host = TestHost::new();
    for name in ["local", "json-file"] {
        let options = json!({"max-size": "10k", "max-file": "50", "compress": "true"});
        let script = format!("read x; {}; read x; echo last", count(1000));
        let id = create(&host, &driver(name, &options), &script);
        start(&host, &id);
        let type_a_line = |host: &TestHost| {
            let path = format!("/containers/{id}/attach?stream=1&stdin=1");
            host.api().hijack(&path, &Value::Null).write(b"\n");
        };
        let mut follower = host.api().connect();
        let request =
            format!("GET /containers/{id}/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n");
        follower.write(request.as_bytes());
        assert_eq!(follower.head().0, 200);
        type_a_line(&host);
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"line 999\n") {
            bytes.extend(follower.chunk().unwrap());
        }
        assert_eq!(unframed(&bytes), numbered(0..1000));
        host.restart();
        type_a_line(&host);
        wait(&host, &id);
        assert_eq!(logs(&host, &id, ""), numbered(0..1000) + "last\n");
        // Its next run goes on in the same log.
        start(&host, &id);
        type_a_line(&host);
        type_a_line(&host);
        eventually("the second run has logged as much", || {
            logs(&host, &id, "") == (numbered(0..1000) + "last\n").repeat(2)
        });
        remove(&host, &id);
    }
}

/// A UDP server in the daemon's network.
fn udp(host: &TestHost) -> (UdpSocket, String) {
    let socket = host.in_netns(|| UdpSocket::bind("127.0.0.1:0").unwrap());
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

fn tcp(host: &TestHost) -> (TcpListener, String) {
    let listener = host.in_netns(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn what_goes_to_a_remote_can_be_read_here_too() {
    let host = TestHost::new();
    let (server, address) = udp(&host);
    let options = json!({"syslog-address": format!("udp://{address}"), "tag": "{{.Name}}!"});
    let id = run(&host, &driver("syslog", &options), "echo one; echo two >&2");
    let name = host.inspect(&id)["Name"].as_str().unwrap().trim_start_matches('/').to_owned();
    let mut lines: Vec<String> = (0..2)
        .map(|_| {
            let mut bytes = [0; 1000];
            let length = server.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        })
        .collect();
    lines.sort();
    for (line, priority, word) in [(&lines[0], "<27>", "two"), (&lines[1], "<30>", "one")] {
        assert!(line.starts_with(priority), "{line}");
        assert!(line.contains(&format!(" {name}![")), "{line}");
        assert!(line.ends_with(&format!("]: {word}\n")), "{line}");
    }
    let mut text: Vec<String> = logs(&host, &id, "").lines().map(str::to_owned).collect();
    text.sort();
    assert_eq!(text, ["one", "two"]);
    assert_eq!(host.inspect(&id)["LogPath"], "");
    remove(&host, &id);
}

#[test]
fn fluentd_gets_the_last_line_before_the_connection_ends() {
    let host = TestHost::new();
    let (listener, address) = tcp(&host);
    let server = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let options = json!({"fluentd-address": address, "labels": "app"});
    let id = run(&host, &driver("fluentd", &options), &count(500));
    let bytes = server.join().unwrap();
    let contains = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
    assert!(contains(b"\xa3log\xa8line 499\x80") && contains(b"\xa3app\xa4shop"));
    assert!(contains(id.as_bytes()));
    remove(&host, &id);
}

#[test]
fn what_cannot_be_read_says_so() {
    let host = TestHost::new();
    let (_server, address) = udp(&host);
    let address = format!("udp://{address}");
    for log in [
        driver("none", &json!({})),
        driver("gelf", &json!({"gelf-address": address, "cache-disabled": "true"})),
    ] {
        let id = run(&host, &log, "echo x");
        let answer = host.api().get(&format!("/containers/{id}/logs?stdout=1"));
        let text = answer.error(501);
        assert!(text.contains("configured logging driver does not support reading"), "{text}");
        remove(&host, &id);
    }
}

#[test]
fn a_remote_that_is_not_there_fails_the_start_unless_it_may_come_later() {
    let host = TestHost::new();
    let (listener, address) = tcp(&host);
    drop(listener);
    let id = create(&host, &driver("fluentd", &json!({"fluentd-address": address})), "true");
    let text = host.api().post(&format!("/containers/{id}/start"), Value::Null).error(500);
    let expected = format!("failed to initialize logging driver: dial tcp {address}: ");
    assert!(text.starts_with(&expected), "{text}");
    assert_eq!(host.inspect(&id)["State"]["Status"], "created");
    remove(&host, &id);
    let options = json!({"fluentd-address": address, "fluentd-async": "true"});
    let id = run(&host, &driver("fluentd", &options), "echo early");
    assert_eq!(logs(&host, &id, ""), "early\n");
    remove(&host, &id);
    let id = create(&host, &driver("journald", &json!({})), "true");
    if !std::path::Path::new("/run/systemd/journal/socket").exists() {
        let text = host.api().post(&format!("/containers/{id}/start"), Value::Null).error(500);
        assert!(text.ends_with("journald is not enabled on this host"), "{text}");
    }
    remove(&host, &id);
}

#[test]
fn a_remote_that_takes_nothing_stops_no_container_that_does_not_wait() {
    let host = TestHost::new();
    let (_listener, address) = tcp(&host);
    let options = json!({
        "syslog-address": format!("tcp://{address}"), "mode": "non-blocking",
        "max-buffer-size": "64k",
    });
    // The connection is made by the kernel; nobody accepts it and nobody reads.
    let id = run(&host, &driver("syslog", &options), "yes 0123456789 | head -n 3000000; echo end");
    assert_eq!(host.inspect(&id)["State"]["ExitCode"], 0);
    assert_eq!(logs(&host, &id, "tail=1"), "end\n");
    remove(&host, &id);
}

#[test]
fn options_are_refused_in_dockers_words() {
    let host = TestHost::new();
    for (log, text) in [
        (driver("json-file", &json!({"x": "1"})), "unknown log opt 'x' for json-file log driver"),
        (driver("local", &json!({"labels": "a"})), "unknown log opt 'labels' for log driver local"),
        (driver("gelf", &json!({})), "gelf-address is a required parameter"),
        (driver("splunky", &json!({})), "logger: no log driver named 'splunky' is registered"),
        (driver("local", &json!({"mode": "x"})), "logger: logging mode not supported: x"),
        (
            driver("fluentd", &json!({"cache-disabled": "x"})),
            "invalid value for option cache-disabled: x",
        ),
    ] {
        let answer = host.busybox().api().post("/containers/create", request(&log, "true"));
        assert_eq!(answer.error(400), text);
    }
}

#[test]
fn the_daemon_has_a_driver_and_options_of_its_own() {
    let flags = ["--log-driver", "local", "--log-opt", "max-size=12k", "--log-opt"];
    let flags = flags.into_iter().chain(["cache-disabled=true"]).map(str::to_owned).collect();
    let host = TestHost::with(HostOptions { flags, ..HostOptions::default() });
    let info = host.api().get("/info").is(200).json();
    assert_eq!(info["LoggingDriver"], "local");
    let expected = json!(["fluentd", "gelf", "journald", "json-file", "local", "syslog"]);
    assert_eq!(info["Plugins"]["Log"], expected);
    let own = json!({"cache-disabled": "true", "max-size": "12k"});
    for (log, kind, options) in [
        (json!({}), "local", own.clone()),
        (driver("local", &json!({})), "local", own),
        (
            driver("json-file", &json!({"max-file": "2"})),
            "json-file",
            json!({"cache-disabled": "true", "max-file": "2"}),
        ),
    ] {
        let id = create(&host, &log, "true");
        let config = &host.inspect(&id)["HostConfig"]["LogConfig"];
        assert_eq!((&config["Type"], &config["Config"]), (&json!(kind), &options));
        remove(&host, &id);
    }
}

#[test]
fn a_daemon_with_wrong_log_options_does_not_start() {
    let flags = vec!["--log-opt".to_owned(), "max-sze=1".to_owned()];
    let mut host = TestHost::prepare(HostOptions { flags, ..HostOptions::default() });
    let text = host.start_in_vain();
    let expected = "failed to set log opts: unknown log opt 'max-sze' for json-file log driver";
    assert!(text.contains(expected), "{text}");
    // It never gets up to say what it left.
    host.give_up();
}
