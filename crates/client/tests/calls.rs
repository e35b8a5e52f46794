//! The client against a scripted server on a socket: what it asks, and what it makes of the
//! answers.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;

use barge_api_types::{
    AuthConfig, BuildEvent, BuildInputs, ContainerCreateRequest, ExecStartRequest,
};
use barge_client::{
    AttachOptions, BuildOptions, BuildPruneOptions, Client, ClientError, Host, ListOptions,
    PushOptions, Records, RegistryAuth, RegistryConfig, Upload, Verbosity, WaitFor,
};
use bytes::Bytes;
use tempfile::TempDir;

/// A server that runs a script on its listener, and the client of it.
struct Scripted<T> {
    client: Client,
    script: JoinHandle<T>,
    _folder: TempDir,
}

fn scripted<T: Send + 'static>(
    script: impl FnOnce(UnixListener) -> T + Send + 'static,
) -> Scripted<T> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    let listener = UnixListener::bind(&path).unwrap();
    Scripted {
        client: Client::new(Host::Unix(path)),
        script: std::thread::spawn(move || script(listener)),
        _folder: folder,
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Reads one request: its head, and its body by length.
fn request(stream: &mut UnixStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed within a head");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head, body)
}

fn answer(stream: &mut UnixStream, status: &str, body: &str) {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all((head + body).as_bytes()).unwrap();
}

#[test]
fn one_connection_serves_calls_that_follow_each_other() {
    let server = scripted(|listener| {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = Vec::new();
        for body in ["[]", "", r#"{"Id":"abc","Warnings":["w"]}"#] {
            let (head, _) = request(&mut stream);
            lines.push(head.lines().next().unwrap().to_owned());
            answer(&mut stream, "200 OK", body);
        }
        lines
    });
    run(async {
        let containers = server.client.containers();
        let all = ListOptions { all: true, ..ListOptions::default() };
        assert!(containers.list(&all).await.unwrap().is_empty());
        containers.start("c1").await.unwrap();
        let request = ContainerCreateRequest::default();
        let made = containers.create(Some("n"), None, &request).await.unwrap();
        assert_eq!(made.id, "abc");
        assert_eq!(made.warnings, ["w"]);
    });
    assert_eq!(
        server.script.join().unwrap(),
        [
            "GET /v1.51/containers/json?all=1 HTTP/1.1",
            "POST /v1.51/containers/c1/start HTTP/1.1",
            "POST /v1.51/containers/create?name=n HTTP/1.1",
        ]
    );
}

#[test]
fn a_connection_that_the_daemon_closed_is_replaced() {
    let server = scripted(|listener| {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            request(&mut stream);
            let head = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
            stream.write_all(head).unwrap();
        }
    });
    run(async {
        server.client.containers().start("a").await.unwrap();
        server.client.containers().start("b").await.unwrap();
    });
    server.script.join().unwrap();
}

#[test]
fn the_daemons_words_are_passed_on() {
    let server = scripted(|listener| {
        let (mut stream, _) = listener.accept().unwrap();
        for (status, body) in [
            ("404 Not Found", r#"{"message":"No such container: x"}"#),
            ("500 Internal Server Error", "plain words\n"),
            ("501 Not Implemented", ""),
        ] {
            request(&mut stream);
            answer(&mut stream, status, body);
        }
    });
    run(async {
        let containers = server.client.containers();
        let error = containers.start("x").await.unwrap_err();
        assert!(error.is_not_found());
        assert_eq!(error.to_string(), "Error response from daemon: No such container: x");
        let error = containers.start("x").await.unwrap_err();
        assert_eq!(error.to_string(), "Error response from daemon: plain words");
        let error = containers.start("x").await.unwrap_err();
        assert_eq!(error.to_string(), "Error response from daemon: 501 Not Implemented");
    });
    server.script.join().unwrap();
}

#[test]
fn a_daemon_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::Unix(folder.path().join("none.sock"));
    let client = Client::new(host.clone());
    let error = run(client.containers().start("x")).unwrap_err();
    assert!(error.is_unreachable());
    assert_eq!(
        error.to_string(),
        format!("Cannot connect to the barge daemon at {host}. Is the daemon running?")
    );
}

#[test]
fn an_attach_keeps_what_came_with_the_headers_and_closes_one_way() {
    let server = scripted(|listener| {
        let (mut stream, _) = listener.accept().unwrap();
        let (head, _) = request(&mut stream);
        let head_out = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
             Content-Type: application/vnd.docker.raw-stream\r\n\r\nearly ";
        stream.write_all(head_out.as_bytes()).unwrap();
        let mut input = String::new();
        stream.read_to_string(&mut input).unwrap();
        stream.write_all(b"late").unwrap();
        (head, input)
    });
    run(async {
        let options = AttachOptions {
            stream: true,
            stdin: true,
            stdout: true,
            detach_keys: Some("ctrl-a".to_owned()),
            ..AttachOptions::default()
        };
        let attached = server.client.containers().attach("c", &options).await.unwrap();
        assert!(!attached.is_multiplexed());
        let (mut reader, mut writer) = attached.into_blocking().unwrap();
        writer.write_all(b"typed").unwrap();
        writer.close().unwrap();
        let mut output = String::new();
        reader.read_to_string(&mut output).unwrap();
        assert_eq!(output, "early late");
    });
    let (head, input) = server.script.join().unwrap();
    assert_eq!(input, "typed");
    assert!(head.starts_with(
        "POST /v1.51/containers/c/attach?stream=1&stdin=1&stdout=1&detachKeys=ctrl-a HTTP/1.1"
    ));
    assert!(head.contains("upgrade: tcp\r\n"), "{head}");
    assert!(head.contains("connection: Upgrade\r\n"), "{head}");
}

#[test]
fn a_stream_that_was_refused_is_an_error() {
    let server = scripted(|listener| {
        let (mut stream, _) = listener.accept().unwrap();
        request(&mut stream);
        answer(&mut stream, "409 Conflict", r#"{"message":"not running"}"#);
        request(&mut stream);
        answer(&mut stream, "200 OK", "");
    });
    run(async {
        let request = ExecStartRequest::default();
        let error = server.client.execs().start("e", &request).await.unwrap_err();
        assert_eq!(error.status().map(|status| status.as_u16()), Some(409));
        let error = server.client.execs().start("e", &request).await.unwrap_err();
        assert!(matches!(error, ClientError::NotHijacked { .. }));
    });
    server.script.join().unwrap();
}

#[test]
fn a_wait_is_registered_before_its_result_is_there() {
    let (registered, start) = std::sync::mpsc::channel();
    let server = scripted(move |listener| {
        let (mut stream, _) = listener.accept().unwrap();
        request(&mut stream);
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        start.recv().unwrap();
        stream.write_all(b"10\r\n{\"StatusCode\":7}\r\n0\r\n\r\n").unwrap();
    });
    run(async {
        let containers = server.client.containers();
        let wait = containers.wait("c", WaitFor::NextExit).await.unwrap();
        registered.send(()).unwrap();
        assert_eq!(wait.result().await.unwrap().status_code, 7);
    });
    server.script.join().unwrap();
}

#[test]
fn an_archive_goes_up_in_chunks_while_progress_comes_back() {
    let server = scripted(|listener| {
        let (mut stream, _) = listener.accept().unwrap();
        // What can be sent only once is not sent in a version that may be refused.
        let (ping, _) = request(&mut stream);
        assert!(ping.starts_with("GET /_ping HTTP/1.1"), "{ping}");
        answer(&mut stream, "200 OK\r\nApi-Version: 1.48", "OK");
        let (head, _) = request(&mut stream);
        assert!(head.starts_with("POST /v1.48/images/load?"), "{head}");
        let mut body = Vec::new();
        let mut byte = [0];
        while !body.ends_with(b"0\r\n\r\n") {
            assert_eq!(stream.read(&mut byte).unwrap(), 1);
            body.push(byte[0]);
        }
        answer(&mut stream, "200 OK", "{\"stream\":\"Loaded image: a\\n\"}\n{\"stream\":\"b\"}\n");
        (head, body)
    });
    run(async {
        let (sender, upload) = Upload::channel();
        tokio::spawn(async move {
            for chunk in [&b"abc"[..], b"defg"] {
                sender.send(Ok(Bytes::from_static(chunk))).await.unwrap();
            }
        });
        let mut progress =
            server.client.images().load(upload, (Verbosity::Progress, &[])).await.unwrap();
        let first = progress.next().await.unwrap().unwrap();
        assert_eq!(first.stream, "Loaded image: a\n");
        assert_eq!(progress.next().await.unwrap().unwrap().stream, "b");
        assert!(progress.next().await.unwrap().is_none());
    });
    let (head, body) = server.script.join().unwrap();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(body, b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
}

#[test]
fn a_daemon_that_is_too_old_is_asked_in_its_own_version() {
    let server = scripted(|listener| {
        let (mut stream, _) = listener.accept().unwrap();
        let (first, body) = request(&mut stream);
        answer(
            &mut stream,
            "400 Bad Request",
            r#"{"message":"client version 1.51 is too new. Maximum supported API version is 1.41"}"#,
        );
        let (second, again) = request(&mut stream);
        assert_eq!(body, again);
        answer(&mut stream, "201 Created", r#"{"Id":"abc"}"#);
        let (third, _) = request(&mut stream);
        answer(&mut stream, "200 OK", "[]");
        [first, second, third].map(|head| head.lines().next().unwrap().to_owned())
    });
    run(async {
        let containers = server.client.containers();
        let request = ContainerCreateRequest::default();
        assert_eq!(containers.create(None, None, &request).await.unwrap().id, "abc");
        assert!(containers.changes("abc").await.unwrap().is_empty());
    });
    assert_eq!(
        server.script.join().unwrap(),
        [
            "POST /v1.51/containers/create HTTP/1.1",
            "POST /v1.41/containers/create HTTP/1.1",
            "GET /v1.41/containers/abc/changes HTTP/1.1",
        ]
    );
}

#[test]
fn credentials_go_in_a_header() {
    let server = scripted(|listener| {
        let (mut stream, _) = listener.accept().unwrap();
        let (head, _) = request(&mut stream);
        answer(&mut stream, "200 OK", "{\"status\":\"s\"}\n{\"id\":\"x\",\"progressDetail\":{}}\n");
        head
    });
    run(async {
        let options = PushOptions {
            repository: "h:5/a".to_owned(),
            tag: Some("1".to_owned()),
            auth: RegistryAuth::new(&AuthConfig {
                username: "u".to_owned(),
                ..AuthConfig::default()
            }),
            platform: None,
        };
        let mut progress = server.client.images().push(&options).await.unwrap();
        assert_eq!(progress.next().await.unwrap().unwrap().status, "s");
        assert_eq!(progress.next().await.unwrap().unwrap().id, "x");
        assert!(progress.next().await.unwrap().is_none());
    });
    let head = server.script.join().unwrap();
    assert!(head.starts_with("POST /v1.51/images/h:5/a/push?tag=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("x-registry-auth: eyJ1c2VybmFtZSI6InUifQ==\r\n"), "{head}");
}

#[test]
fn a_build_is_prepared_followed_and_its_output_fetched() {
    let server = scripted(|listener| {
        let mut seen = Vec::new();
        // What answers as a stream keeps its connection.
        let (mut first, _) = listener.accept().unwrap();
        let (head, body) = request(&mut first);
        seen.push((head, String::from_utf8(body).unwrap()));
        answer(&mut first, "200 OK", r#"{"Id":"i1"}"#);
        let (head, _) = request(&mut first);
        seen.push((head, String::new()));
        let events = concat!(
            r#"{"event":"started","step":0}"#,
            "\n",
            r#"{"event":"ready","build":"b1","output":0}"#,
            "\n"
        );
        answer(&mut first, "200 OK", events);
        let (mut second, _) = listener.accept().unwrap();
        let (head, _) = request(&mut second);
        seen.push((head, String::new()));
        answer(&mut second, "200 OK", "archive");
        seen
    });
    run(async {
        let builds = server.client.builds();
        let inputs = BuildInputs { check: true, ..BuildInputs::default() };
        let id = builds.prepare(&inputs).await.unwrap();
        let options = BuildOptions { tags: vec!["a:1".to_owned()], ..BuildOptions::default() };
        let credentials = RegistryConfig::default();
        let mut events = builds.start(&id, &options, (&credentials, None)).await.unwrap();
        assert_eq!(events.next().await.unwrap(), Some(BuildEvent::Started { step: 0 }));
        let ready = BuildEvent::Ready { build: "b1".to_owned(), output: 0 };
        assert_eq!(events.next().await.unwrap(), Some(ready));
        assert_eq!(events.next().await.unwrap(), None);
        let mut output = builds.output("b1", 0).await.unwrap();
        assert_eq!(output.next().await.unwrap().unwrap(), "archive");
    });
    let seen = server.script.join().unwrap();
    let line = |number: usize| seen[number].0.lines().next().unwrap();
    assert_eq!(line(0), "POST /v1.51/build/inputs HTTP/1.1");
    assert!(seen[0].1.contains(r#""check":true"#), "{}", seen[0].1);
    assert_eq!(line(1), "POST /v1.51/build?t=a%3A1&rm=1&inputs=i1 HTTP/1.1");
    assert!(seen[1].0.contains("accept: application/vnd.barge.build-events\r\n"), "{}", seen[1].0);
    assert!(seen[1].0.contains("x-registry-config: e30=\r\n"), "{}", seen[1].0);
    assert_eq!(line(2), "GET /v1.51/build/outputs/b1/0 HTTP/1.1");
}

#[test]
fn the_cache_is_pruned_with_floors_under_both_their_names() {
    let server = scripted(|listener| {
        let (mut stream, _) = listener.accept().unwrap();
        let (head, _) = request(&mut stream);
        answer(&mut stream, "200 OK", r#"{"CachesDeleted":null,"SpaceReclaimed":7}"#);
        head
    });
    let options = BuildPruneOptions {
        which: Records::All,
        reserved_space: 5,
        ..BuildPruneOptions::default()
    };
    let pruned = run(async { server.client.builds().prune(&options).await.unwrap() });
    assert_eq!((pruned.caches_deleted.len(), pruned.space_reclaimed), (0, 7));
    let head = server.script.join().unwrap();
    let line = "POST /v1.51/build/prune?all=1&keep-storage=5&reserved-space=5 HTTP/1.1";
    assert_eq!(head.lines().next(), Some(line));
}
