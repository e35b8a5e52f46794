//! A daemon that does nothing but answer: what a container does is scripted by its image's name.
//!
//! It speaks just enough HTTP for the client; every request is kept for the test to look at.

#![allow(dead_code, reason = "every test program uses a part of it")]

pub(crate) mod terminal;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(120);

/// A running daemon; its socket goes with it.
pub(crate) struct Daemon {
    state: Arc<State>,
    folder: TempDir,
}

#[derive(Default)]
struct State {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    requests: Vec<Request>,
    /// Exit codes of containers that have exited.
    exited: BTreeMap<String, i64>,
    /// What the process of the last container read.
    input: Vec<u8>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `POST /containers/create?name=x`, without the version.
    pub(crate) line: String,
    /// Its body, if it was JSON.
    pub(crate) body: Value,
    /// The credentials that came with it, decoded.
    pub(crate) auth: Value,
}

impl Daemon {
    /// Starts one.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("s.sock")).unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || listen(&shared, &listener));
        Self { state, folder }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("s.sock")
    }

    /// A folder for the test's own files.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The client, set up to ask this daemon.
    pub(crate) fn barge(&self, words: &[&str]) -> Command {
        let mut command = barge(words);
        command.env("BARGE_HOST", format!("unix://{}", self.socket().display()));
        command
    }

    /// Runs the client without input.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.barge(words).stdin(Stdio::null()).output().unwrap()
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.inner.lock().unwrap().requests.clone()
    }

    /// The lines of all requests so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.line).collect()
    }

    /// Waits for a request whose line starts so.
    pub(crate) fn wait_for(&self, start: &str) -> Request {
        let find = |inner: &Inner| {
            inner.requests.iter().find(|request| request.line.starts_with(start)).cloned()
        };
        let inner = self.state.inner.lock().unwrap();
        let (inner, _) = self
            .state
            .changed
            .wait_timeout_while(inner, DEADLINE, |inner| find(inner).is_none())
            .unwrap();
        find(&inner).unwrap_or_else(|| panic!("no request {start}: {:?}", inner.requests))
    }

    /// Waits until a container, or a pull, has ended.
    pub(crate) fn wait_for_end(&self, name: &str) -> i64 {
        self.state.wait(name)
    }

    /// What the process read.
    pub(crate) fn input(&self) -> Vec<u8> {
        self.state.inner.lock().unwrap().input.clone()
    }
}

/// The client with a clean environment.
fn barge(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_barge"));
    command
        .args(words)
        .env_remove("DOCKER_HOST")
        .env_remove("DOCKER_CONTEXT")
        .env("HOME", "/nonexistent");
    command
}

impl State {
    fn exit(&self, id: &str, code: i64) {
        self.inner.lock().unwrap().exited.insert(id.to_owned(), code);
        self.changed.notify_all();
    }

    fn wait(&self, id: &str) -> i64 {
        let inner = self.inner.lock().unwrap();
        let (inner, _) = self
            .changed
            .wait_timeout_while(inner, DEADLINE, |inner| !inner.exited.contains_key(id))
            .unwrap();
        inner.exited.get(id).copied().unwrap_or(255)
    }
}

fn listen(state: &Arc<State>, listener: &UnixListener) {
    for stream in listener.incoming().flatten() {
        let state = Arc::clone(state);
        std::thread::spawn(move || serve(&state, stream));
    }
}

/// Serves at the default socket for ever: what stands in for the daemon that the client starts.
pub(crate) fn serve_default_socket() {
    let listener = UnixListener::bind("/run/barge/barge.sock").unwrap();
    listen(&Arc::default(), &listener);
}

fn serve(state: &State, stream: UnixStream) {
    let mut from = BufReader::new(stream.try_clone().unwrap());
    let mut to = stream;
    while let Some(request) = read(&mut from) {
        {
            let mut inner = state.inner.lock().unwrap();
            inner.requests.push(request.clone());
        }
        state.changed.notify_all();
        let line = request.line.clone();
        let path = line.split([' ', '?']).nth(1).unwrap_or_default();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match parts.as_slice() {
            ["containers", id, "attach"] => return attach(state, (id, &mut from), &mut to),
            ["exec", id, "start"] if request.body["Detach"] != true => {
                return attach(state, (id, &mut from), &mut to);
            }
            ["images", .., "push"] | ["images", "create"] if !path_is_refused(&line) => {
                to.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
                for message in progress(&line) {
                    let text = format!("{message}\r\n");
                    write!(to, "{:x}\r\n{text}\r\n", text.len()).ok();
                }
                if line.contains("slow") {
                    // Goes on until nobody waits for it.
                    let mut rest = Vec::new();
                    from.read_to_end(&mut rest).ok();
                    state.exit("slow", 0);
                    return;
                }
                to.write_all(b"0\r\n\r\n").ok();
            }
            ["containers", id, "wait"] => {
                to.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
                let body = json!({ "StatusCode": state.wait(id) }).to_string();
                write!(to, "{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).ok();
            }
            _ => {
                let (status, body) = answer(state, &parts, &request);
                let body = if body.is_null() { String::new() } else { body.to_string() };
                let length = body.len();
                let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n");
                to.write_all((head + &body).as_bytes()).ok();
            }
        }
    }
}

fn read(from: &mut BufReader<UnixStream>) -> Option<Request> {
    let mut line = String::new();
    from.read_line(&mut line).ok().filter(|&count| count > 0)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    // `/v1.51/containers/…` without the version.
    let target = target
        .strip_prefix("/v1.")
        .and_then(|rest| Some(&rest[rest.find('/')?..]))
        .unwrap_or(target);
    let (mut length, mut auth) = (0, Value::Null);
    loop {
        let mut header = String::new();
        from.read_line(&mut header).ok()?;
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        if let Some(value) = header.strip_prefix("x-registry-auth: ") {
            auth = serde_json::from_slice(&URL_SAFE.decode(value.trim()).unwrap()).unwrap();
        }
        if header.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    Some(Request {
        line: format!("{method} {target}"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        auth,
    })
}

/// Images that are missing cannot be pulled either.
fn path_is_refused(line: &str) -> bool {
    line.contains("fromImage=missing")
}

/// What is told of a pull or a push: a layer, and an error for images called so.
fn progress(line: &str) -> Vec<Value> {
    if line.contains("slow") {
        return vec![json!({
            "status": "Downloading",
            "progressDetail": { "current": 512, "total": 1024 },
            "id": "1709f09e5343",
        })];
    }
    let mut messages = vec![
        json!({ "status": "Pulling from a", "id": "latest" }),
        json!({ "status": "Pulling fs layer", "progressDetail": {}, "id": "1709f09e5343" }),
        json!({
            "status": "Downloading",
            "progressDetail": { "current": 512, "total": 1024 },
            "progress": "[=> ] 512B/1.024kB",
            "id": "1709f09e5343",
        }),
        json!({ "status": "Pull complete", "progressDetail": {}, "id": "1709f09e5343" }),
        json!({ "status": "Digest: sha256:0" }),
        json!({ "progressDetail": {}, "aux": { "Tag": "latest", "Size": 7 } }),
    ];
    if line.contains("broken") {
        messages.push(json!({ "errorDetail": { "message": "it broke" }, "error": "it broke" }));
    }
    messages
}

/// Containers are called as their image: the script.
fn answer(state: &State, parts: &[&str], request: &Request) -> (u16, Value) {
    let message = |text: &str| json!({ "message": text });
    match parts {
        ["containers", "create"] => match request.body["Image"].as_str() {
            Some("missing") => (404, message("No such image: missing:latest")),
            Some(image) => (201, json!({ "Id": image, "Warnings": ["mind the gap"] })),
            None => (400, message("no image")),
        },
        ["containers", "json"] => (200, json!([])),
        ["images", "create"] => (501, message("pulling is not supported")),
        ["auth"] if request.body["password"] == "wrong" => (401, message("no such user")),
        ["auth"] if request.body["username"] == "token" => {
            (200, json!({ "Status": "Login Succeeded", "IdentityToken": "t0ken" }))
        }
        ["auth"] => (200, json!({ "Status": "Login Succeeded", "IdentityToken": "" })),
        ["distribution", .., "json"] => (
            200,
            json!({
                "Descriptor": { "mediaType": "m", "digest": "sha256:1", "size": 7 },
                "Platforms": [{ "architecture": "amd64", "os": "linux" }],
            }),
        ),
        ["commit"] => (201, json!({ "Id": "sha256:made" })),
        ["containers", _, "changes"] => (
            200,
            json!([{ "Path": "/a", "Kind": 1 }, { "Path": "/b", "Kind": 0 }, { "Path": "/c", "Kind": 2 }]),
        ),
        ["containers", "notfound", "start"] => {
            (400, message("exec: \"zzz\": executable file not found in $PATH"))
        }
        ["containers", "quick", "start"] => {
            state.exit("quick", 7);
            (204, Value::Null)
        }
        ["containers", id, "kill"] => {
            let signal = request.line.split_once("signal=").map(|(_, signal)| signal);
            state.exit(id, if signal == Some("TERM") { 143 } else { 130 });
            (204, Value::Null)
        }
        ["containers", _, "start" | "stop" | "resize"] => (204, Value::Null),
        ["containers", "nope", ..] => (404, message("No such container: nope")),
        ["containers", id, "json"] => {
            let running = !state.inner.lock().unwrap().exited.contains_key(*id);
            (
                200,
                json!({ "Id": id, "State": { "Running": running }, "Config": { "OpenStdin": true } }),
            )
        }
        ["containers", _, "exec"] => (201, json!({ "Id": "quick" })),
        ["exec", _, "json"] => (200, json!({ "ID": "quick", "Running": false, "ExitCode": 5 })),
        _ => (404, message("page not found")),
    }
}

/// What the process does with its streams.
fn attach(state: &State, (id, from): (&str, &mut BufReader<UnixStream>), to: &mut UnixStream) {
    let frame = |stream: u8, text: &[u8]| {
        let mut frame = vec![stream, 0, 0, 0];
        frame.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend(text);
        frame
    };
    to.write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n").unwrap();
    match id {
        "quick" => {
            to.write_all(&frame(1, b"out\n")).unwrap();
            to.write_all(&frame(2, b"err\n")).unwrap();
        }
        // Reads all input and writes it back.
        "cat" => {
            let mut input = Vec::new();
            from.read_to_end(&mut input).unwrap();
            to.write_all(&frame(1, &input)).unwrap();
            state.inner.lock().unwrap().input = input;
            state.exit(id, 0);
        }
        // Has a terminal; ends with the letter q, lets the user go with x.
        "shell" => {
            to.write_all(b"$ ").unwrap();
            let mut key = [0];
            while from.read(&mut key).is_ok_and(|count| count == 1) {
                state.inner.lock().unwrap().input.push(key[0]);
                state.changed.notify_all();
                match key[0] {
                    b'q' => {
                        to.write_all(b"bye\r\n").unwrap();
                        state.exit(id, 3);
                        break;
                    }
                    b'x' => break,
                    _ => {}
                }
            }
        }
        // Writes until nobody listens.
        "yes" => while to.write_all(&frame(1, &[b'y'; 4096])).is_ok() {},
        // Stays until it is killed.
        _ => {
            state.wait(id);
        }
    }
    to.shutdown(std::net::Shutdown::Both).ok();
}
