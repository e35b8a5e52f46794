//! Connections that are taken over: attach, exec, and logs that go on.

use barge_testkit::{SharedHost, Sharing};
use serde_json::{Value, json};

static HOST: Sharing = Sharing::new();

fn create(host: &SharedHost, body: Value) -> String {
    let made = host.api().post("/containers/create", body).is(201).json();
    made["Id"].as_str().unwrap().to_owned()
}

fn start(host: &SharedHost, id: &str) {
    host.api().post(&format!("/containers/{id}/start"), Value::Null).is(204);
}

fn remove(host: &SharedHost, id: &str) {
    host.api().delete(&format!("/containers/{id}?force=1")).is(204);
}

/// The bytes of each stream in frames.
fn split(mut bytes: &[u8]) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some((header, rest)) = bytes.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let (content, rest) = rest.split_at(length.try_into().unwrap());
        match header[0] {
            1 => out.extend_from_slice(content),
            2 => err.extend_from_slice(content),
            other => panic!("a frame of stream {other}"),
        }
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a header at the end: {bytes:?}");
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn attach_has_frames_takes_input_and_its_end() {
    let host = HOST.host();
    let id = create(
        &host,
        json!({
            "Image": "busybox", "Cmd": ["sh", "-c", "cat; echo done >&2; exit 3"], "OpenStdin": true, "StdinOnce": true,
            "AttachStdin": true, "AttachStdout": true, "AttachStderr": true,
        }),
    );
    let path = format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1");
    let mut attached = host.api().hijack(&path, &Value::Null);
    start(&host, &id);
    attached.write(b"hello\n");
    assert_eq!(attached.frame(), (1, b"hello\n".to_vec()));
    attached.write(b"last").close_write();
    let (out, err) = split(&attached.rest());
    assert_eq!((out.as_str(), err.as_str()), ("last", "done\n"));
    let waited = host.api().post(&format!("/containers/{id}/wait"), Value::Null).is(200).json();
    assert_eq!(waited["StatusCode"], 3);
    remove(&host, &id);
}

#[test]
fn attach_to_one_stream_shows_one_stream() {
    let host = HOST.host();
    let id =
        create(&host, json!({"Image": "busybox", "Cmd": ["sh", "-c", "echo out; echo err >&2"]}));
    let mut out =
        host.api().hijack(&format!("/containers/{id}/attach?stream=1&stdout=1"), &Value::Null);
    let mut err =
        host.api().hijack(&format!("/containers/{id}/attach?stream=1&stderr=1"), &Value::Null);
    start(&host, &id);
    assert_eq!(split(&out.rest()), ("out\n".to_owned(), String::new()));
    assert_eq!(split(&err.rest()), (String::new(), "err\n".to_owned()));
    remove(&host, &id);
}

#[test]
fn attach_with_logs_shows_what_was_before() {
    let host = HOST.host();
    let id = create(
        &host,
        json!({"Image": "busybox", "Cmd": ["sh", "-c", "echo before; read x; echo after"], "OpenStdin": true}),
    );
    start(&host, &id);
    let mut follow = host
        .api()
        .hijack(&format!("/containers/{id}/attach?stream=1&logs=1&stdin=1&stdout=1"), &Value::Null);
    assert_eq!(follow.frame(), (1, b"before\n".to_vec()));
    follow.write(b"\n");
    assert_eq!(split(&follow.rest()).0, "after\n");
    let mut again =
        host.api().hijack(&format!("/containers/{id}/attach?logs=1&stdout=1"), &Value::Null);
    assert_eq!(split(&again.rest()).0, "before\nafter\n");
    remove(&host, &id);
}

#[test]
fn attach_with_logs_in_the_middle_loses_and_doubles_nothing() {
    let host = HOST.host();
    let counts = "i=0; while [ $i -lt 4000 ]; do echo $i; i=$((i+1)); done; read x";
    let wanted = json!({"Image": "busybox", "Cmd": ["sh", "-c", counts], "OpenStdin": true});
    let id = create(&host, wanted);
    start(&host, &id);
    let attach = || {
        let path = format!("/containers/{id}/attach?stream=1&logs=1&stdin=1&stdout=1");
        host.api().hijack(&path, &Value::Null)
    };
    let mut attached = [attach(), attach(), attach()];
    attached[0].write(b"\n");
    let all: String = (0..4000).map(|number| format!("{number}\n")).collect();
    for stream in &mut attached {
        assert!(split(&stream.rest()).0 == all);
    }
    remove(&host, &id);
}

#[test]
fn a_terminal_has_no_frames() {
    let host = HOST.host();
    let id = create(
        &host,
        json!({"Image": "busybox", "Cmd": ["sh", "-c", "read x; echo got $x"], "Tty": true, "OpenStdin": true}),
    );
    let mut attached = host
        .api()
        .hijack(&format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1"), &Value::Null);
    start(&host, &id);
    host.api().post(&format!("/containers/{id}/resize?h=30&w=90"), Value::Null).is(200);
    attached.write(b"it\n");
    let text = String::from_utf8(attached.rest()).unwrap();
    assert_eq!(text, "it\r\ngot it\r\n");
    remove(&host, &id);
}

#[test]
fn an_exec_is_made_started_and_inspected() {
    let host = HOST.host();
    let id = create(&host, json!({"Image": "busybox", "Cmd": ["sleep", "1000"]}));
    start(&host, &id);
    let made = host.api().post(&format!("/containers/{id}/exec"), json!({
        "Cmd": ["sh", "-c", "cat; echo $A >&2; exit 6"], "Env": ["A=b"], "AttachStdin": true, "AttachStdout": true, "AttachStderr": true,
    })).is(201).json();
    let exec = made["Id"].as_str().unwrap().to_owned();
    let inspected = host.api().get(&format!("/exec/{exec}/json")).is(200).json();
    assert_eq!((&inspected["Running"], &inspected["ExitCode"]), (&false.into(), &Value::Null));
    let mut stream =
        host.api().hijack(&format!("/exec/{exec}/start"), &json!({"Detach": false, "Tty": false}));
    stream.write(b"input").close_write();
    assert_eq!(split(&stream.rest()), ("input".to_owned(), "b\n".to_owned()));
    let inspected = host.api().get(&format!("/exec/{exec}/json")).is(200).json();
    assert_eq!((&inspected["Running"], &inspected["ExitCode"]), (&false.into(), &6.into()));
    assert_eq!(inspected["ContainerID"], id.as_str());
    let again = host.api().post(&format!("/exec/{exec}/start"), json!({"Detach": false}));
    assert!(again.status == 409 || again.status == 404, "{}", again.text());
    remove(&host, &id);
}

#[test]
fn an_exec_without_an_upgrade_streams_all_the_same() {
    let host = HOST.host();
    let id = create(&host, json!({"Image": "busybox", "Cmd": ["sleep", "1000"]}));
    start(&host, &id);
    let made = host
        .api()
        .post(
            &format!("/containers/{id}/exec"),
            json!({"Cmd": ["echo", "hi"], "AttachStdout": true}),
        )
        .is(201)
        .json();
    let exec = made["Id"].as_str().unwrap();
    let reply = host.api().post(&format!("/exec/{exec}/start"), json!({})).is(200);
    assert_eq!(reply.header("content-type"), Some("application/vnd.docker.raw-stream"));
    assert_eq!(split(&reply.body).0, "hi\n");
    remove(&host, &id);
}

#[test]
fn much_output_arrives_whole_and_in_order() {
    let host = HOST.host();
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done";
    let id = create(&host, json!({"Image": "busybox", "Cmd": ["sh", "-c", script]}));
    let mut attached =
        host.api().hijack(&format!("/containers/{id}/attach?stream=1&stdout=1"), &Value::Null);
    start(&host, &id);
    let (seen, _) = split(&attached.rest());
    let logs = host.api().get(&format!("/containers/{id}/logs?stdout=1&follow=1")).is(200);
    for text in [seen, split(&logs.body).0] {
        assert_eq!(text.lines().count(), 20_000);
        assert!(text.lines().enumerate().all(|(number, line)| line == format!("line {number}")));
    }
    remove(&host, &id);
}

#[test]
fn a_reader_that_does_not_read_stops_nobody_else() {
    let host = HOST.host();
    let id = create(
        &host,
        json!({"Image": "busybox", "Cmd": ["sh", "-c", "yes | head -c 20000000; read x"], "OpenStdin": true}),
    );
    let lazy =
        host.api().hijack(&format!("/containers/{id}/attach?stream=1&stdout=1"), &Value::Null);
    start(&host, &id);
    assert_eq!(host.inspect(&id)["State"]["Status"], "running");
    let other = create(&host, json!({"Image": "busybox", "Cmd": ["true"]}));
    start(&host, &other);
    let waited = host.api().post(&format!("/containers/{other}/wait"), Value::Null).is(200).json();
    assert_eq!(waited["StatusCode"], 0);
    drop(lazy);
    remove(&host, &id);
    remove(&host, &other);
}

#[test]
fn logs_are_cut_by_number_and_time_and_follow_to_the_end() {
    let host = HOST.host();
    let id = create(
        &host,
        json!({"Image": "busybox", "Cmd": ["sh", "-c", "echo a; echo b >&2; echo c; read x; echo d"], "OpenStdin": true}),
    );
    start(&host, &id);
    let logs = |query: &str| {
        split(&host.api().get(&format!("/containers/{id}/logs?{query}")).is(200).body)
    };
    barge_testkit::eventually("three lines are logged", || {
        let (out, err) = logs("stdout=1&stderr=1");
        (out.as_str(), err.as_str()) == ("a\nc\n", "b\n")
    });
    assert_eq!(logs("stdout=1&stderr=1"), ("a\nc\n".to_owned(), "b\n".to_owned()));
    assert_eq!(logs("stderr=1").1, "b\n");
    // Which of two streams comes first is nobody's promise.
    let (out, err) = logs("stdout=1&stderr=1&tail=2");
    assert_eq!(format!("{out}{err}").lines().count(), 2, "{out}{err}");
    assert_eq!(logs("stdout=1&since=99999999999").0, "");
    assert_eq!(logs("stdout=1&until=1").0, "");
    let stamped = logs("stdout=1&timestamps=1").0;
    let (time, line) = stamped.lines().next().unwrap().split_once(' ').unwrap();
    assert!(time.ends_with('Z') && time.len() == 30 && line == "a", "{stamped}");
    let mut follower = host.api().connect();
    follower.write(
        format!("GET /containers/{id}/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            .as_bytes(),
    );
    assert_eq!(follower.head().0, 200);
    let mut bytes = Vec::new();
    while split(&bytes).0 != "a\nc\n" {
        bytes.extend(follower.chunk().unwrap());
    }
    host.api()
        .hijack(&format!("/containers/{id}/attach?stream=1&stdin=1"), &Value::Null)
        .write(b"\n");
    while let Some(chunk) = follower.chunk() {
        bytes.extend(chunk);
    }
    assert_eq!(split(&bytes).0, "a\nc\nd\n");
    assert!(
        host.api()
            .get(&format!("/containers/{id}/logs"))
            .error(400)
            .contains("you must choose at least one stream")
    );
    remove(&host, &id);
}
