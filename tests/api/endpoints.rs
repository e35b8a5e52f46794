//! A walk over every endpoint: each one answers, with the status and the words of docker.io's daemon. The list with what
//! differs, and why, is `endpoints.txt`.

use barge_testkit::api::Api;
use barge_testkit::{Dockerd, TestHost, Verdict, busybox_tar, check};

/// One line of the list.
struct Endpoint<'a> {
    line: &'a str,
    ours: u16,
    theirs: u16,
    has_same_words: bool,
    method: &'a str,
    path: String,
    body: Option<&'a str>,
}

impl<'a> Endpoint<'a> {
    fn parse(line: &'a str) -> Self {
        let (rest, is_loose) = line.strip_prefix("~ ").map_or((line, false), |rest| (rest, true));
        let mut words = rest.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("{line:?}"));
        let (status, method, path) = (word(), word(), word());
        let (ours, theirs) = status.split_once('/').unwrap_or((status, status));
        let number = |text: &str| text.parse().unwrap_or_else(|error| panic!("{line:?}: {error}"));
        let (ours, theirs) = (number(ours), number(theirs));
        // Quotes and braces as clients send them.
        let path = path.replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
        let has_same_words = !is_loose && ours == theirs && ours >= 400;
        Self { line, ours, theirs, has_same_words, method, path, body: words.next() }
    }

    /// Status and message. Remembers the exec that was made.
    fn ask(&self, api: &Api, exec: &mut String) -> (u16, String) {
        let content = self.body.map(|body| match body {
            "@busybox" => ("application/x-tar", busybox_tar()),
            _ => ("application/json", body.as_bytes()),
        });
        let path = self.path.replace("[", "%5B").replace("]", "%5D").replace("<exec>", exec);
        let reply = api.send(self.method, &path, content);
        if reply.status == 201 && path.ends_with("/exec") {
            *exec = reply.json()["Id"].as_str().unwrap().to_owned();
        }
        let is_message = self.method != "HEAD" && reply.status >= 400;
        let text = if is_message { reply.text() } else { String::new() };
        (reply.status, text.trim().to_owned())
    }
}

fn list() -> Vec<Endpoint<'static>> {
    let lines = include_str!("endpoints.txt").lines();
    let list: Vec<_> = lines.filter(|line| !line.starts_with('#')).map(Endpoint::parse).collect();
    assert!(list.len() > 120, "{}", list.len());
    list
}

#[test]
fn every_endpoint_answers_in_dockers_words() {
    let host = TestHost::new();
    let dockerd = matches!(check("dockerd"), Verdict::Present).then(|| Dockerd::start(&host));
    let mut wrong = Vec::new();
    let (mut our_exec, mut their_exec) = (String::new(), String::new());
    for endpoint in list() {
        let (ours, our_words) = endpoint.ask(&host.api(), &mut our_exec);
        if ours != endpoint.ours {
            wrong.push(format!("{}: barge answers {ours}: {our_words}", endpoint.line));
        }
        let Some(dockerd) = &dockerd else { continue };
        let (theirs, their_words) = endpoint.ask(&dockerd.api(), &mut their_exec);
        if theirs != endpoint.theirs {
            wrong.push(format!("{}: dockerd answers {theirs}: {their_words}", endpoint.line));
        } else if endpoint.has_same_words
            && our_words != their_words.replace(&their_exec, &our_exec)
        {
            wrong.push(format!("{}: {our_words}, not {their_words}", endpoint.line));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn queries_that_are_typed_by_hand_are_understood() {
    let host = TestHost::new();
    let listed = host.api().get(r#"/containers/json?all=1&filters={"status":["exited"]}"#);
    assert_eq!(listed.is(200).json(), serde_json::json!([]));
    let refused = host.api().get(r#"/v1.44/containers/json?filters={"nope":{"<x>":true}}"#);
    assert_eq!(refused.error(400), "invalid filter 'nope'");
}
