//! What runs out, and what makes no sense: disks, watches, connections, garbage in place of requests. The daemon answers
//! the others, does not grow, and ends what it is told to end.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use barge_testkit::{Client, DEADLINE, HostOptions, Process, TestHost, command, eventually};
use serde_json::json;

fn memory(host: &TestHost) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", host.daemon_pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn raw(host: &TestHost) -> UnixStream {
    let stream = UnixStream::connect(host.socket()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Sends what may be no request and reads what comes; the daemon may close before it has read everything.
fn throw(host: &TestHost, bytes: &[u8]) -> Vec<u8> {
    let mut stream = raw(host);
    let mut answer = Vec::new();
    if stream.write_all(bytes).is_ok() && stream.shutdown(Shutdown::Write).is_ok() {
        // A reset is an answer too.
        drop(stream.read_to_end(&mut answer));
    }
    answer
}

/// A data root of so many megabytes, in memory.
struct SmallDisk<'h>(&'h std::path::Path);

impl<'h> SmallDisk<'h> {
    fn mount(folder: &'h std::path::Path, options: &str) -> Self {
        fs::create_dir_all(folder).unwrap();
        let mut mount = command("mount");
        mount.args(["-t", "tmpfs", "-o", options, "none"]).arg(folder);
        Process::start(&mut mount).wait().ok();
        Self(folder)
    }

    fn fill(&self) -> std::path::PathBuf {
        let path = self.0.join("fill");
        let mut file = fs::File::create(&path).unwrap();
        for size in [64 << 10, 1] {
            let piece = vec![0; size];
            while file.write_all(&piece).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        barge_sys::mount::detach(self.0).ok();
    }
}

#[test]
fn a_full_disk_keeps_nobody_from_looking_stopping_and_removing() {
    let mut host = TestHost::prepare(HostOptions::default());
    let root = host.data_root().to_owned();
    let disk = SmallDisk::mount(&root, "size=24m");
    host.start();
    host.busybox();
    let talk = "while :; do echo line; sleep 0.05; done";
    for name in ["stopped", "killed", "removed", "paused"] {
        host.barge(&["run", "-d", "--name", name, "busybox", "sh", "-c", talk]).ok();
    }
    host.barge(&["create", "--name", "waiting", "busybox", "true"]).ok();
    let fill = disk.fill();
    let refused = host.barge(&["run", "--rm", "busybox", "true"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("No space left on device"), "{refused}");
    assert_ne!(host.barge(&["start", "waiting"]).code, 0);
    assert_eq!(host.barge(&["exec", "stopped", "echo", "in"]).text(), "in");
    host.barge(&["logs", "--tail", "1", "stopped"]).ok();
    host.barge(&["pause", "paused"]).ok();
    host.barge(&["unpause", "paused"]).ok();
    host.barge(&["stop", "-t", "0", "stopped"]).ok();
    host.barge(&["kill", "killed"]).ok();
    host.barge(&["rm", "-f", "removed"]).ok();
    let states = ["stopped", "killed", "paused"].map(|name| host.status(name));
    assert_eq!(states, ["exited", "exited", "running"]);
    // A daemon that comes back to a full disk works the same.
    host.kill9();
    host.start();
    assert_eq!(host.status("paused"), "running");
    host.barge(&["rm", "-f", "stopped", "killed", "paused", "waiting"]).ok();
    fs::remove_file(fill).unwrap();
    assert_eq!(host.barge(&["run", "--rm", "busybox", "echo", "on"]).text(), "on");
    host.assert_nothing_of_containers();
    host.stop();
    drop(disk);
}

#[test]
fn logs_are_followed_by_more_clients_than_the_kernel_has_watches_for() {
    let host = TestHost::new();
    host.busybox();
    let script = "while :; do echo line; sleep 0.05; done";
    host.barge(&["run", "-d", "--name", "talks", "busybox", "sh", "-c", script]).ok();
    // 128 is the kernel's default for all programs of a user together.
    let mut followers: Vec<UnixStream> = (0..200)
        .map(|_| {
            let mut stream = raw(&host);
            let request =
                "GET /containers/talks/logs?stdout=1&follow=1&tail=1 HTTP/1.1\r\nHost: x\r\n\r\n";
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    for follower in &mut followers {
        let (mut text, mut buffer) = (Vec::new(), [0; 512]);
        while text.windows(5).filter(|window| window == b"line\n").count() < 3 {
            let count = follower.read(&mut buffer).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&buffer[..count]);
        }
    }
    host.barge(&["rm", "-f", "talks"]).ok();
}

#[test]
fn clients_that_never_read_or_never_ask_hold_nobody_up() {
    let host = TestHost::new();
    host.busybox();
    let script = "while :; do echo 0123456789012345678901234567890123456789; done";
    host.barge(&["run", "-d", "--name", "talks", "busybox", "sh", "-c", script]).ok();
    let requests = [
        "GET /containers/talks/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /events HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /containers/talks/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\n\
         Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        "GET /_ping HTTP/1.1\r\nHo",
        "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
        "",
    ];
    let held: Vec<UnixStream> = (0..20)
        .flat_map(|_| requests)
        .map(|request| {
            let mut stream = raw(&host);
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    for client in Client::both() {
        assert_eq!(host.run(client, &["run", "--rm", "busybox", "echo", "on"]).text(), "on");
        assert_eq!(host.run(client, &["exec", "talks", "echo", "in"]).text(), "in");
    }
    host.barge(&["rm", "-f", "talks"]).ok();
    drop(held);
    let folder = format!("/proc/{}/fd", host.daemon_pid());
    eventually("the descriptors are given back", || fs::read_dir(&folder).unwrap().count() < 60);
}

#[test]
fn garbage_in_place_of_requests_is_refused_and_forgotten() {
    let host = TestHost::new();
    host.busybox();
    let post = |length: &str, rest: &[u8]| {
        let head = format!(
            "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             {length}\r\n\r\n"
        );
        [head.as_bytes(), rest].concat()
    };
    let many: String = (0..20_000).map(|number| format!("X{number}: a\r\n")).collect();
    let long = "a".repeat(4 << 20);
    let garbage = [
        vec![0; 4096],
        (0_u8..=255).cycle().take(10_000).collect(),
        b"GET /_ping HTTP/9.9\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        format!("GET /_ping HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n").into_bytes(),
        format!("GET /_ping?{long} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes(),
        format!("GET /_ping HTTP/1.1\r\n{many}\r\n").into_bytes(),
        post("Content-Length: -5", b"{}"),
        post("Content-Length: 99999999999999", b"{}"),
        post("Content-Length: 2\r\nContent-Length: 5", b"{}"),
        post("Transfer-Encoding: chunked", b"ZZZ\r\nabc"),
        post("Transfer-Encoding: chunked", b"FFFFFFFFFFFFFFFFFF\r\n{}"),
        post("Transfer-Encoding: chunked, gzip", b"0\r\n\r\n"),
    ];
    for bytes in &garbage {
        let answer = throw(&host, bytes);
        let is_refusal = answer.is_empty()
            || answer.starts_with(b"HTTP/1.1 4")
            || answer.starts_with(b"HTTP/1.1 5");
        assert!(is_refusal, "{}", String::from_utf8_lossy(&answer));
    }
    let before = memory(&host);
    for _ in 0..20 {
        for bytes in &garbage {
            throw(&host, bytes);
        }
    }
    let after = memory(&host);
    assert!(after < before + (64 << 10), "{before} KiB before, {after} KiB after");
    assert!(!host.log().contains("panicked"), "{}", host.log());
    assert_eq!(host.barge(&["run", "--rm", "busybox", "echo", "on"]).text(), "on");
}

const ENDPOINTS: [&str; 13] = [
    "/containers/create",
    "/containers/subject/exec",
    "/containers/subject/update",
    "/containers/prune?filters=%5B%5B",
    "/containers/subject/resize?h=99999999999999&w=-1",
    "/containers/subject/rename?name=%00",
    "/containers/subject/kill?signal=99999",
    "/containers/subject/stop?t=x",
    "/exec/none/start",
    "/images/busybox/tag?repo=%ff",
    "/volumes/create",
    "/networks/create",
    "/auth",
];

const FIELDS: [&str; 9] = [
    "Cmd",
    "Env",
    "Labels",
    "ExposedPorts",
    "Volumes",
    "Tty",
    "StopTimeout",
    "Healthcheck",
    "NetworkingConfig",
];

const OF_HOST: [&str; 20] = [
    "Binds",
    "Mounts",
    "PortBindings",
    "RestartPolicy",
    "Memory",
    "NanoCpus",
    "PidsLimit",
    "Ulimits",
    "Devices",
    "Sysctls",
    "Tmpfs",
    "ShmSize",
    "NetworkMode",
    "CapAdd",
    "SecurityOpt",
    "LogConfig",
    "ExtraHosts",
    "OomScoreAdj",
    "BlkioWeightDevice",
    "MaskedPaths",
];

#[test]
fn wrong_types_and_absurd_numbers_are_errors_of_the_request() {
    let host = TestHost::new();
    host.busybox();
    host.barge(&["run", "-d", "--name", "subject", "busybox", "sleep", "1000"]).ok();
    let api = host.api();
    let values = [
        json!(-1),
        json!(1e300),
        json!("x"),
        json!([]),
        json!([1]),
        json!([null]),
        json!({ "a": 1 }),
        json!(true),
        json!(u64::MAX),
        json!(i64::MIN),
        json!("\0"),
    ];
    let mut bodies: Vec<_> = values.to_vec();
    for value in &values {
        for field in FIELDS {
            bodies.push(json!({ "Image": "busybox", field: value }));
        }
        for field in OF_HOST {
            bodies.push(json!({ "Image": "busybox", "HostConfig": { field: value } }));
        }
    }
    for endpoint in ENDPOINTS {
        let count = if endpoint == "/containers/create" { bodies.len() } else { values.len() };
        for body in &bodies[..count] {
            // What it answers is looked at elsewhere; here that it answers, and goes on.
            let reply = api.post(endpoint, body.clone());
            assert!((200..600).contains(&reply.status), "{endpoint} {body}");
        }
    }
    let deep =
        |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    for text in [deep("[", "]"), deep("{\"HostConfig\":", "}"), deep("{\"Labels\":[", "]}")] {
        let reply =
            api.send("POST", "/containers/create", Some(("application/json", text.as_bytes())));
        assert_eq!(reply.status, 400, "{}", reply.text());
    }
    assert!(!host.log().contains("panicked"), "{}", host.log());
    assert_eq!(host.barge(&["exec", "subject", "echo", "in"]).text(), "in");
}
