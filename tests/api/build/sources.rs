//! What a build gets from elsewhere: bases of registries, contexts and files of the web, repositories.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use barge_testkit::{Process, Sharing, TarBuilder, TestHost, command, eventually, need};
use serde_json::json;

use super::events::{events, prepared};
use super::{build, dockerfile, encoded, failure, lines, post, said};
use crate::registry::server::{Registry, RegistryOptions, Wire};

static HOST: Sharing = Sharing::new();

/// Serves files over http in a host's network; returns where. It ends with the test program.
pub(super) fn web(host: &TestHost, files: BTreeMap<&'static str, Vec<u8>>) -> String {
    let listener = host.in_netns(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), &files);
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream, files: &BTreeMap<&'static str, Vec<u8>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    // The rest of the head.
    lines.find(String::is_empty);
    let path = first.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match files.get(path) {
        Some(body) => ("200 OK", body.as_slice()),
        None => ("404 Not Found", &b"none"[..]),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\
         Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
        body.len()
    );
    // A client may have heard enough.
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).ok();
}

#[test]
fn contexts_and_files_come_from_the_web() {
    let host = HOST.host();
    host.busybox();
    let archive = TarBuilder::new()
        .file("Dockerfile", 0o644, b"FROM busybox\nCOPY f /f\nRUN cat /f\n")
        .file("f", 0o644, b"from afar\n");
    let files = BTreeMap::from([
        ("/context.tar.gz", archive.gzip()),
        ("/Dockerfile", b"FROM busybox\nRUN echo alone\n".to_vec()),
        ("/added", b"added\n".to_vec()),
    ]);
    let url = web(&host, files);
    let remote = |path: &str| {
        let query =
            format!("networkmode=none&nocache=1&remote={}", encoded(&format!("{url}{path}")));
        post(&host, &query, &[])
    };
    assert!(said(&remote("/context.tar.gz").is(200)).contains("\nfrom afar\n"));
    assert!(said(&remote("/Dockerfile").is(200)).contains("\nalone\n"));
    let missing = remote("/missing");
    assert!(
        missing.status >= 400 && missing.text().contains("404 Not Found"),
        "{}",
        missing.text()
    );
    let text = format!("FROM busybox\nADD {url}/added /there/\nRUN stat -c '%a %Y' /there/added\n");
    let added = build(&host, "networkmode=none", &dockerfile(&text));
    assert!(added.contains("\n600 784111777\n"), "{added}");
    let text = format!("FROM busybox\nADD {url}/missing /there/\n");
    let failed = post(&host, "networkmode=none", &dockerfile(&text)).is(200);
    assert!(failure(&failed)["message"].as_str().unwrap().contains("404"), "{}", failed.text());
}

#[test]
fn a_repository_is_a_context() {
    need!(git);
    let host = HOST.host();
    host.busybox();
    let base = host.scratch().join(host.unique("git"));
    let work = base.join("repo");
    std::fs::create_dir_all(work.join("sub")).unwrap();
    std::fs::write(work.join("Dockerfile"), "FROM busybox\nCOPY . /all\nRUN find /all -type f\n")
        .unwrap();
    std::fs::write(work.join("sub/Dockerfile"), "FROM busybox\nRUN echo inside of sub\n").unwrap();
    std::os::unix::fs::symlink("/etc", work.join("out")).unwrap();
    let git = |line: &[&str]| {
        let identity =
            ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main"];
        Process::start(command("git").arg("-C").arg(&work).args(identity).args(line)).wait().ok();
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "first"]);
    git(&["tag", "v1"]);
    let port =
        host.in_netns(|| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let folder = format!("--base-path={}", base.display());
    let port_flag = format!("--port={port}");
    // Not by `git daemon`, which would be its parent.
    let programs = Process::start(command("git").arg("--exec-path")).wait();
    let daemon = std::path::Path::new(programs.text()).join("git-daemon");
    let server = host.in_netns(|| {
        let flags = ["--export-all", "--reuseaddr", "--listen=127.0.0.1", &port_flag, &folder];
        Process::start(command(daemon).args(flags))
    });
    eventually("git listens", || host.in_netns(|| TcpStream::connect(("127.0.0.1", port)).is_ok()));
    let remote = |fragment: &str| {
        let url = format!("git://127.0.0.1:{port}/repo{fragment}");
        post(&host, &format!("networkmode=none&nocache=1&remote={}", encoded(&url)), &[])
    };
    let whole = remote("").is(200);
    assert!(said(&whole).contains("/all/sub/Dockerfile\n"), "{}", whole.text());
    assert!(!said(&whole).contains(".git/"), "{}", whole.text());
    assert!(said(&remote("#v1:sub").is(200)).contains("\ninside of sub\n"));
    let named = |fragment: &str, argument: &str| {
        let text = "FROM there AS files\nFROM busybox\nCOPY --from=files / /all\nRUN ls -A /all\n";
        let inputs = json!({
            "context": {"kind": "none"},
            "dockerfile": {"name": "Dockerfile", "text": text},
            "named_contexts":
                {"there": {"kind": "url", "url": format!("git://127.0.0.1:{port}/repo{fragment}")}},
        });
        let arguments = encoded(&json!({ argument: "1" }).to_string());
        let query = format!("networkmode=none&nocache=1&buildargs={arguments}");
        events(&host, &query, &prepared(&host, inputs)).is(200).text()
    };
    let whole = named("", "NOTHING");
    assert!(whole.contains("Dockerfile\\nout\\nsub") && !whole.contains(".git"), "{whole}");
    assert!(named("", "BUILDKIT_CONTEXT_KEEP_GIT_DIR").contains(".git\\nDockerfile"));
    let below = named("#main:sub", "NOTHING");
    assert!(below.contains("\"text\":\"Dockerfile\\n\"") && !below.contains("sub\\n"), "{below}");
    let outside = named("#main:out", "NOTHING");
    assert!(outside.contains("no folder out in the repository"), "{outside}");
    let unknown = remote("#none").text().to_owned();
    let because = r#"the repository has no branch, tag or commit \"none\": git fetch failed: "#;
    assert!(
        unknown.contains(&because.replace('"', "\\\"")) || unknown.contains(because),
        "{unknown}"
    );
    for wrong in ["#none", "#main:out", "#main:..", "#main:nowhere"] {
        let refused = remote(wrong);
        assert!(refused.status >= 400, "{wrong}: {}", refused.text());
    }
    drop(server);
}

#[test]
fn a_base_is_pulled_with_the_clients_credentials() {
    let host = HOST.host();
    host.busybox();
    let registry =
        Registry::with(&host, &RegistryOptions { has_users: true, ..RegistryOptions::default() });
    let base = registry.image("base:1");
    host.barge(&["tag", "busybox", &base]).ok();
    host.barge(&["login", "-u", "tester", "-p", "secret", &registry.name]).ok();
    host.barge(&["push", "-q", &base]).ok();
    host.barge(&["rmi", &base]).ok();
    let context = dockerfile(&format!("FROM {base}\nRUN echo on it\n"));
    let without = post(&host, "networkmode=none", &context).is(200);
    assert!(
        failure(&without)["message"].as_str().unwrap().contains("no basic auth credentials"),
        "{}",
        without.text()
    );
    // {"127.0.0.1:PORT":{"username":"tester","password":"secret"}}
    let auth = json!({registry.name.as_str(): {"username": "tester", "password": "secret"}});
    let header = base64(auth.to_string().as_bytes());
    let head = format!(
        "POST /build?networkmode=none HTTP/1.1\r\nHost: d\r\nConnection: close\r\nX-Registry-Config: {header}\r\n\
         Content-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
        context.len()
    );
    let mut connection = host.api().connect();
    connection.write(head.as_bytes()).write(&context);
    let answer = String::from_utf8_lossy(&connection.rest()).into_owned();
    assert!(answer.contains("Successfully built"), "{answer}");
    assert!(answer.contains("on it"), "{answer}");
}

/// An image in a registry, the middle of whose only layer is not to be had until its wire is opened.
fn stalled(host: &TestHost) -> (Registry, Wire, String) {
    let registry = Registry::start(host);
    let mut noise = vec![0; 8 << 20];
    File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    let archive = TarBuilder::new().file("noise", 0o644, &noise).finish();
    let path = host.file(&host.unique("noise.tar"), &archive);
    let pushed = registry.image("noise:1");
    host.barge(&["import", &path, &pushed]).ok();
    host.barge(&["push", "-q", &pushed]).ok();
    host.barge(&["rmi", &pushed]).ok();
    let wire = Wire::to(host, &registry.name);
    wire.stall_after(4 << 20);
    let base = wire.image("noise:1");
    (registry, wire, base)
}

/// Posts a context to be built without a cache; what is told of it, as it comes.
fn posted(
    host: &TestHost,
    header: &str,
    context: &[u8],
) -> (Arc<Mutex<String>>, std::thread::JoinHandle<()>) {
    let head = format!(
        "POST /build?networkmode=none&nocache=1 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n{header}\
         Content-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
        context.len()
    );
    let mut connection = host.api().connect();
    connection.write(head.as_bytes()).write(context);
    let told = Arc::new(Mutex::new(String::new()));
    let hears = Arc::clone(&told);
    let heard = std::thread::spawn(move || {
        assert_eq!(connection.head().0, 200);
        while let Some(chunk) = connection.chunk() {
            hears.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk));
        }
    });
    (told, heard)
}

#[test]
fn a_client_watches_a_base_being_downloaded() {
    let host = HOST.host();
    let events = "Accept: application/vnd.barge.build-events\r\n";
    for (header, progress, end) in [
        ("", r#""status":"Downloading""#, "Successfully built"),
        (events, r#""event":"advanced""#, r#""event":"image""#),
    ] {
        let (_registry, wire, base) = stalled(&host);
        let (told, heard) = posted(&host, header, &dockerfile(&format!("FROM {base}\nENV A=1\n")));
        wire.wait_for_limit();
        let has = |text: &str| told.lock().unwrap().contains(text);
        eventually("its bytes are counted", || has(progress));
        wire.open();
        heard.join().unwrap();
        assert!(has(end), "{}", told.lock().unwrap());
        host.barge(&["rmi", "-f", &base]).ok();
    }
}

#[test]
fn steps_run_while_the_layers_of_another_base_are_still_coming() {
    let host = HOST.host();
    host.busybox();
    let (_registry, wire, base) = stalled(&host);
    let context = dockerfile(&format!(
        "FROM busybox AS quick\nRUN echo now; echo x >/x\nFROM {base}\nCOPY --from=quick /x /x\n"
    ));
    let (told, heard) = posted(&host, "", &context);
    wire.wait_for_limit();
    let has = |text: &str| told.lock().unwrap().contains(text);
    eventually("the step says something", || has(r#""stream":"now\n""#));
    wire.open();
    heard.join().unwrap();
    assert!(has("Successfully built"), "{}", told.lock().unwrap());
    host.barge(&["rmi", &base]).ok();
}

#[test]
fn an_output_for_a_registry_is_pushed() {
    let host = HOST.host();
    host.busybox();
    let registry = Registry::start(&host);
    let name = registry.image("made:1");
    let inputs = json!({
        "context": {"kind": "none"},
        "dockerfile": {"name": "Dockerfile", "text": "FROM busybox\nENV PUSHED=1\n"},
        "outputs": [{"type": "registry", "name": name, "attributes": {}}],
    });
    let reply = events(&host, "", &prepared(&host, inputs)).is(200);
    assert!(lines(&reply).iter().all(|event| event["event"] != "failed"), "{}", reply.text());
    assert!(!registry.requests(&["PUT", "/v2/made/manifests/1", " 201 "]).is_empty());
    host.barge(&["rmi", "-f", &name]).ok();
    host.barge(&["pull", "-q", &name]).ok();
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let value = three.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for place in 0..=three.len() {
            out.push(char::from(LETTERS[(value >> (18 - 6 * place)) as usize & 63]));
        }
        out.push_str(&"=".repeat(3 - three.len()));
    }
    out
}
