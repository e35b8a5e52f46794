//! What barge's own client says and hears: folders that are open, secrets, events, results to fetch; the cache.

use std::os::fd::AsRawFd as _;

use barge_testkit::api::Reply;
use barge_testkit::{Sharing, TestHost};
use serde_json::{Value, json};

use super::{build, dockerfile, encoded, lines};

static HOST: Sharing = Sharing::new();

/// Says what is ahead of a build.
#[track_caller]
pub(super) fn prepared(host: &TestHost, inputs: Value) -> String {
    let reply = host.api().post("/build/inputs", inputs).is(200).json();
    reply["Id"].as_str().unwrap().to_owned()
}

/// Builds with what was said ahead, and hears events.
pub(super) fn events(host: &TestHost, query: &str, inputs: &str) -> Reply {
    let head = format!(
        "POST /build?inputs={inputs}&{query} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\
         Accept: application/vnd.barge.build-events\r\nContent-Length: 0\r\n\r\n"
    );
    let mut connection = host.api().connect();
    connection.write(head.as_bytes());
    let (status, headers) = connection.head();
    let mut body = Vec::new();
    if headers.iter().any(|(name, _)| name == "transfer-encoding") {
        while let Some(chunk) = connection.chunk() {
            body.extend(chunk);
        }
    } else {
        body = connection.rest();
    }
    Reply { request: "POST /build".to_owned(), status, headers, body }
}

fn find<'a>(events: &'a [Value], kind: &str) -> Option<&'a Value> {
    events.iter().find(|event| event["event"] == kind)
}

#[test]
fn a_folder_of_the_client_is_built_without_being_sent() {
    let host = HOST.host();
    host.busybox();
    let folder = host.scratch().join(host.unique("folder"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("Dockerfile"), "FROM busybox\nCOPY f /f\nRUN cat /f\n").unwrap();
    std::fs::write(folder.join("f"), "read in place").unwrap();
    let open = std::fs::File::open(&folder).unwrap();
    let context = json!({"kind": "folder", "fd": open.as_raw_fd(), "identity": "/it"});
    let inputs = prepared(&host, json!({"context": context}));
    let reply = events(&host, "t=infolder&networkmode=none", &inputs).is(200);
    assert_eq!(reply.header("content-type"), Some("application/vnd.barge.build-events"));
    let all = lines(&reply);
    assert_eq!(all[0]["event"], "planned", "{}", reply.text());
    assert_eq!(all[0]["steps"].as_array().unwrap().len(), 3);
    assert!(all.iter().any(|event| event["event"] == "output" && event["text"] == "read in place"));
    let image = find(&all, "image").unwrap();
    let found = host.api().get("/images/infolder/json").is(200).json();
    assert_eq!(image["id"], found["Id"]);
    // They are taken once.
    assert_eq!(events(&host, "", &inputs).status, 404);
}

#[test]
fn a_descriptor_that_is_no_folder_is_refused() {
    let host = HOST.host();
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    for fd in [file.as_raw_fd(), 900] {
        let context = json!({"kind": "folder", "fd": fd, "identity": ""});
        let reply = host.api().post("/build/inputs", json!({"context": context}));
        assert!(reply.status >= 400, "{}", reply.text());
    }
}

#[test]
fn a_secret_is_seen_by_its_step_and_by_nobody_else() {
    let host = HOST.host();
    host.busybox();
    // "the-secret-word"
    let secrets = json!({"word": "dGhlLXNlY3JldC13b3Jk"});
    let text = "FROM busybox\nRUN --mount=type=secret,id=word wc -c < /run/secrets/word\nRUN ls /run/secrets 2>/dev/null | wc -l\n";
    let dockerfile = json!({"name": "Dockerfile", "text": text});
    let inputs = json!({"context": {"kind": "none"}, "dockerfile": dockerfile, "secrets": secrets});
    let reply = events(&host, "t=hush&networkmode=none", &prepared(&host, inputs)).is(200);
    let outputs: Vec<Value> =
        lines(&reply).into_iter().filter(|event| event["event"] == "output").collect();
    assert_eq!(outputs.len(), 2, "{}", reply.text());
    assert_eq!(outputs[0]["text"].as_str().unwrap().trim(), "15");
    assert_eq!(outputs[1]["text"].as_str().unwrap().trim(), "0");
    for folder in ["builds", "image", "content"] {
        let found = barge_testkit::Process::start(
            barge_testkit::command("grep")
                .args(["-rl", "the-secret-word"])
                .arg(host.data_root().join(folder)),
        )
        .wait();
        assert_eq!(found.stdout.trim(), "", "{folder}");
    }
}

#[test]
fn a_failure_comes_with_the_lines_around() {
    let host = HOST.host();
    host.busybox();
    let dockerfile = json!({"name": "Here", "text": "FROM busybox\nRUN exit 4\n"});
    let inputs = json!({"context": {"kind": "none"}, "dockerfile": dockerfile});
    let reply = events(&host, "networkmode=none", &prepared(&host, inputs)).is(200);
    let last = lines(&reply).pop().unwrap();
    assert_eq!(last["event"], "failed");
    assert_eq!(last["code"], 4);
    assert!(last["excerpt"].as_str().unwrap().contains(">>> RUN exit 4"), "{last}");
}

#[test]
fn results_are_fetched_once() {
    let host = HOST.host();
    host.busybox();
    let text = "FROM scratch\nCOPY --from=busybox /etc/passwd /only\n";
    let inputs = json!({
        "context": {"kind": "none"},
        "dockerfile": {"name": "Dockerfile", "text": text},
        "outputs": [{"type": "tar", "name": "", "attributes": {}}],
    });
    let reply = events(&host, "", &prepared(&host, inputs)).is(200);
    let all = lines(&reply);
    let ready = find(&all, "ready").unwrap_or_else(|| panic!("{}", reply.text()));
    let path = format!("/build/outputs/{}/{}", ready["build"].as_str().unwrap(), ready["output"]);
    let archive = host.api().get(&path).is(200);
    assert_eq!(archive.header("content-type"), Some("application/x-tar"));
    assert!(archive.body.windows(4).any(|part| part == b"only"));
    host.api().get(&path).is(404);
}

#[test]
fn the_cache_is_listed_survives_and_is_pruned() {
    let mut host = TestHost::new();
    host.busybox();
    let context = dockerfile("FROM busybox\nRUN echo kept > /kept\nRUN echo more > /more\n");
    build(&host, "t=cached&networkmode=none", &context);
    let records = |host: &TestHost| {
        let usage = host.api().get("/system/df?type=build-cache").is(200).json();
        usage["BuildCache"].as_array().unwrap().clone()
    };
    let listed = records(&host);
    assert!(listed.len() >= 2, "{listed:?}");
    assert!(
        listed.iter().all(|record| record["ID"].is_string() && record["CreatedAt"].is_string())
    );
    // Neither the end of its image nor of the daemon is the end of the cache.
    host.barge(&["rmi", "cached"]).ok();
    host.restart();
    let again = build(&host, "t=cached&networkmode=none", &context);
    assert_eq!(again.matches("Using cache").count(), 2, "{again}");
    let ran = host.barge(&["run", "--rm", "--network", "none", "cached", "cat", "/kept", "/more"]);
    assert_eq!(ran.text(), "kept\nmore");
    let none = encoded(&json!({"id": ["no-such"]}).to_string());
    let pruned = host.api().post(&format!("/build/prune?all=1&filters={none}"), Value::Null);
    assert_eq!(pruned.is(200).json()["CachesDeleted"], Value::Null);
    let text = host.api().post("/build/prune?filters=%7B%22x%22%3A%5B%22y%22%5D%7D", Value::Null);
    assert_eq!(text.error(400), "invalid filter 'x'");
    host.barge(&["rmi", "cached"]).ok();
    let pruned = host.api().post("/build/prune?all=1", Value::Null).is(200).json();
    assert_eq!(pruned["CachesDeleted"].as_array().unwrap().len(), listed.len());
    assert!(pruned["SpaceReclaimed"].as_u64().unwrap() > 0, "{pruned}");
    assert_eq!(records(&host), Vec::<Value>::new());
    let anew = build(&host, "networkmode=none", &context);
    assert_eq!(anew.matches("Using cache").count(), 0, "{anew}");
}
