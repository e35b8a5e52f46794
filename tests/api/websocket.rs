//! Attaching over a websocket: the same conversation with barge and with dockerd.

use std::os::unix::net::UnixStream;
use std::time::{SystemTime, UNIX_EPOCH};

use barge_testkit::api::Api;
use barge_testkit::{DEADLINE, Dockerd, SharedHost, Sharing, TestHost, busybox_tar, need};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

static HOST: Sharing = Sharing::new();

type Socket = WebSocket<UnixStream>;

/// Opens a websocket; the status and text of a refusal otherwise.
fn open(api: &Api, path: &str) -> Result<Socket, (u16, String)> {
    let stream = UnixStream::connect(api.socket()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let request = format!("ws://barge{path}").into_client_request().unwrap();
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(reply))) => {
            let body = reply.body().clone().unwrap_or_default();
            Err((reply.status().as_u16(), String::from_utf8(body).unwrap()))
        }
        Err(error) => panic!("{path}: {error}"),
    }
}

/// The next message, which is binary; none at a close that says that all is well.
fn next(socket: &mut Socket) -> Option<String> {
    let message = socket.read().unwrap();
    if let Message::Close(reason) = message {
        assert_eq!(reason.unwrap().code, CloseCode::Normal);
        return None;
    }
    assert!(message.is_binary(), "{message:?}");
    Some(String::from_utf8(message.into_data().to_vec()).unwrap())
}

/// Everything up to the end.
fn rest(socket: &mut Socket) -> String {
    std::iter::from_fn(|| next(socket)).collect()
}

fn until(socket: &mut Socket, mark: &str) -> String {
    let mut text = String::new();
    while !text.contains(mark) {
        text.push_str(&next(socket).expect("there is more to come"));
    }
    text
}

fn create(api: &Api, mut body: Value) -> String {
    body["Image"] = "busybox".into();
    body["HostConfig"] = json!({"NetworkMode": "none"});
    let made = api.post("/containers/create", body).is(201).json();
    made["Id"].as_str().unwrap().to_owned()
}

fn start(api: &Api, id: &str) {
    api.post(&format!("/containers/{id}/start"), Value::Null).is(204);
}

fn remove(api: &Api, id: &str) {
    api.delete(&format!("/containers/{id}?force=1")).is(204);
}

fn attached(host: &SharedHost, id: &str, query: &str) -> Socket {
    open(&host.api(), &format!("/containers/{id}/attach/ws?stream=1&{query}")).unwrap()
}

/// Input goes in, both outputs come out as they are, what was logged comes first.
fn talks(api: &Api) {
    let script = "echo before; read x; echo got $x; echo bad >&2; read y; exit 4";
    let id = create(api, json!({"Cmd": ["sh", "-c", script], "OpenStdin": true}));
    start(api, &id);
    let path = format!("/v1.41/containers/{id}/attach/ws?logs=1&stream=1");
    let mut socket = open(api, &path).unwrap();
    assert_eq!(until(&mut socket, "\n"), "before\n");
    socket.send(Message::text("hello\n")).unwrap();
    // Two streams, of which either may come first.
    let text = until(&mut socket, "\n");
    let text =
        text.clone() + &(if text.len() < 14 { until(&mut socket, "\n") } else { String::new() });
    assert!(["got hello\nbad\n", "bad\ngot hello\n"].contains(&text.as_str()), "{text}");
    socket.send(Message::binary("end\n")).unwrap();
    let waited = api.post(&format!("/containers/{id}/wait"), Value::Null).is(200).json();
    assert_eq!(waited["StatusCode"], 4);
    assert_eq!(rest(&mut socket), "");
    let (status, text) = open(api, "/v1.41/containers/nobody/attach/ws?stream=1").unwrap_err();
    assert_eq!((status, text.contains("No such container: nobody")), (404, true), "{text}");
    api.post(&format!("/containers/{id}/start"), Value::Null).is(204);
    api.post(&format!("/containers/{id}/pause"), Value::Null).is(204);
    let (status, text) = open(api, &path).unwrap_err();
    assert_eq!((status, text.contains("is paused, unpause the")), (409, true), "{text}");
    remove(api, &id);
}

#[test]
fn a_websocket_talks_with_a_container() {
    talks(&HOST.host().api());
}

#[test]
fn a_websocket_talks_with_dockerds_containers_the_same_way() {
    need!(docker, dockerd);
    let host = TestHost::prepare(Default::default());
    let dockerd = Dockerd::start(&host);
    dockerd.run(&["import", &host.file("busybox.tar", busybox_tar()), "busybox:latest"]).ok();
    talks(&dockerd.api());
}

#[test]
fn a_terminal_is_left_by_its_keys_and_goes_on() {
    let host = HOST.host();
    let api = host.api();
    let id = create(&api, json!({"Cmd": ["sh"], "OpenStdin": true, "Tty": true}));
    start(&api, &id);
    let mut socket = attached(&host, &id, "stdin=1&stdout=1&detachKeys=ctrl-a,b");
    socket.send(Message::binary("echo $((40+2))\n")).unwrap();
    until(&mut socket, "42");
    socket.send(Message::binary("\u{1}b")).unwrap();
    while !socket.read().unwrap().is_close() {}
    assert_eq!(host.inspect(&id)["State"]["Status"], "running");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let filters = json!({"container": [id], "event": ["detach"]}).to_string();
    let filters: String = filters.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let path = format!("/events?since=1&until={}.9&filters={filters}", now.as_secs());
    assert_eq!(api.get(&path).is(200).text().lines().count(), 1);
    remove(&api, &id);
}

#[test]
fn several_attached_clients_see_and_say_all() {
    let host = HOST.host();
    let api = host.api();
    let script = "while read x; do echo $x; done";
    let id = create(&api, json!({"Cmd": ["sh", "-c", script], "OpenStdin": true}));
    start(&api, &id);
    let mut first = attached(&host, &id, "stdin=1&stdout=1");
    let mut second = attached(&host, &id, "stdin=1&stdout=1");
    let silent = attached(&host, &id, "stdin=1");
    let path = format!("/containers/{id}/attach?stream=1&stdout=1");
    let mut third = api.hijack(&path, &Value::Null);
    first.send(Message::binary("one\n")).unwrap();
    assert_eq!(until(&mut first, "\n"), "one\n");
    second.send(Message::binary("two\n")).unwrap();
    assert_eq!(until(&mut first, "\n"), "two\n");
    assert_eq!(until(&mut second, "two\n"), "one\ntwo\n");
    assert_eq!(third.frame(), (1, b"one\n".to_vec()));
    assert_eq!(third.frame(), (1, b"two\n".to_vec()));
    // Who leaves does not end the others.
    drop((first, silent));
    second.send(Message::binary("three\n")).unwrap();
    assert_eq!(until(&mut second, "\n"), "three\n");
    remove(&api, &id);
    assert_eq!(rest(&mut second), "");
}

#[test]
fn what_is_no_websocket_is_refused() {
    let host = HOST.host();
    let id = create(&host.api(), json!({"Cmd": ["true"]}));
    let path = format!("/containers/{id}/attach/ws?stream=1");
    assert_eq!(host.api().get(&path).error(400), "not websocket protocol");
    let (status, text) = open(&host.api(), &format!("{path}&detachKeys=zz")).unwrap_err();
    assert_eq!((status, text.contains("Invalid detach keys (zz) provided")), (400, true), "{text}");
    remove(&host.api(), &id);
}
