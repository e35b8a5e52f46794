//! `ADD` of addresses: a file of the web is asked for once, and from then on only whether it has changed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use barge_testkit::{Sharing, TestHost};
use serde_json::Value;

use super::{build, dockerfile, output};

static HOST: Sharing = Sharing::new();

const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const NEW: &str = "Mon, 07 Nov 1994 08:49:37 GMT";

/// A server of one file under three names, and what it was asked.
#[derive(Default)]
struct Web {
    is_new: bool,
    /// Path, condition and status of each answer.
    answers: Vec<(String, String, u16)>,
}

#[derive(Clone)]
struct Server(Arc<Mutex<Web>>);

impl Server {
    /// Serves in a host's network until the test program ends; says where.
    fn start(host: &TestHost) -> (Self, String) {
        let server = Self(Arc::default());
        let listener = host.in_netns(|| TcpListener::bind("127.0.0.1:0").unwrap());
        let url = format!("http://{}", listener.local_addr().unwrap());
        let this = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                this.answer(stream.unwrap());
            }
        });
        (server, url)
    }

    fn lock(&self) -> MutexGuard<'_, Web> {
        self.0.lock().unwrap()
    }

    fn answer(&self, mut stream: TcpStream) {
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        // Somebody who only looked whether there is a server.
        let Some(first) = head.first() else { return };
        let path = first.split(' ').nth(1).unwrap().to_owned();
        let asked = head.iter().find(|line| line.to_ascii_lowercase().starts_with("if-"));
        let asked = asked.cloned().unwrap_or_default().to_ascii_lowercase();
        let mut web = self.lock();
        let (tag, date) = if web.is_new { ("\"two\"", NEW) } else { ("\"one\"", OLD) };
        let told = match path.as_str() {
            "/tagged" => format!("ETag: {tag}\r\nLast-Modified: {date}\r\n"),
            "/dated" => format!("Last-Modified: {date}\r\n"),
            _ => String::new(),
        };
        let is_known = asked == format!("if-none-match: {tag}")
            || asked == format!("if-modified-since: {date}").to_ascii_lowercase();
        let (status, body) = match (is_known, web.is_new) {
            (true, _) => (304, ""),
            (false, false) => (200, "old\n"),
            (false, true) => (200, "new\n"),
        };
        web.answers.push((path, asked, status));
        drop(web);
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} S\r\n{told}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes()).unwrap();
    }

    /// Statuses since the last time.
    fn statuses(&self) -> Vec<u16> {
        self.lock().answers.drain(..).map(|(_, _, status)| status).collect()
    }
}

/// What the file says that was added, and the time that it has.
fn added(host: &TestHost, url: &str) -> String {
    let text = format!("FROM busybox\nADD {url} /f\nRUN cat /f; stat -c '%Y %a' /f\n");
    let said = build(host, "networkmode=none", &dockerfile(&text));
    if said.contains("Using cache") { "cached".to_owned() } else { output(&said).to_owned() }
}

#[test]
fn a_file_that_has_not_changed_is_not_sent_again() {
    let host = HOST.host();
    host.busybox();
    let (server, url) = Server::start(&host);
    // A date says nothing of a file that went back to an older one, so that only names are asked about.
    for (path, again) in [("/tagged", 304), ("/dated", 200)] {
        server.lock().is_new = false;
        let url = format!("{url}{path}");
        assert_eq!(added(&host, &url), "old\n784111777 600\n");
        assert_eq!(server.statuses(), [200]);
        assert_eq!(added(&host, &url), "cached");
        assert_eq!(server.statuses(), [again]);
        // The bytes are those that were kept, whatever the step is.
        let text = format!("FROM busybox\nADD {url} /elsewhere{path}\nRUN cat /elsewhere{path}\n");
        let said = build(&host, "networkmode=none&nocache=1", &dockerfile(&text));
        assert_eq!(output(&said), "old\n");
        assert_eq!(server.statuses(), [again]);
        server.lock().is_new = true;
        assert_eq!(added(&host, &url), "new\n784198177 600\n");
        assert_eq!(added(&host, &url), "cached");
        assert_eq!(server.statuses(), [200, again]);
    }
    // Of this one nobody can say whether it is the same.
    let plain = format!("{url}/plain");
    assert_eq!(added(&host, &plain), "new\n0 600\n");
    assert_eq!(added(&host, &plain), "cached");
    assert_eq!(server.statuses(), [200, 200]);
}

#[test]
fn what_is_kept_of_the_web_is_listed_pruned_and_not_trusted() {
    let host = TestHost::new();
    host.busybox();
    let (server, url) = Server::start(&host);
    let url = format!("{url}/tagged");
    added(&host, &url);
    let kept = |host: &TestHost| {
        let usage = host.api().get("/system/df?type=build-cache").is(200).json();
        let records = usage["BuildCache"].as_array().unwrap().clone();
        records.into_iter().filter(|record| record["Type"] == "source.http").collect::<Vec<_>>()
    };
    let listed = kept(&host);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["Description"], format!("http url {url}"));
    assert_eq!(listed[0]["Size"], 4);
    // Bytes that somebody damaged are asked for again.
    let folder = host.data_root().join("builds/downloads");
    let data = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let data = data.into_iter().find(|path| path.extension().unwrap() == "data").unwrap();
    std::fs::write(&data, "bad\n").unwrap();
    server.statuses();
    assert_eq!(added(&host, &url), "cached");
    assert_eq!(server.statuses(), [304, 200]);
    host.api().post("/build/prune?all=1", Value::Null).is(200);
    assert_eq!(kept(&host), Vec::<Value>::new());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    assert_eq!(added(&host, &url), "old\n784111777 600\n");
    assert_eq!(server.statuses(), [200]);
}
