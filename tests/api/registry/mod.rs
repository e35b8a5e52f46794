//! Images from and to registries: a real one (Debian's docker-registry), with real clients on its other side, and one
//! that misbehaves.

mod configured;
mod fake;
mod misbehaving;
mod peers;
mod pull;
mod push;
pub(crate) mod server;

use barge_testkit::{TestHost, api::Reply};
use serde_json::Value;

/// The messages of a stream; the second of two that differ only in how far a bar is is left out.
fn messages(reply: &Reply) -> Vec<Value> {
    let text = reply.text();
    let lines = text.split("\r\n").filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// `id status` of every message that is no bar; an error as `error: text`.
fn lines(reply: &Reply) -> Vec<String> {
    let is_line = |message: &&Value| message["progress"].is_null();
    messages(reply).iter().filter(is_line).map(line).collect()
}

fn line(message: &Value) -> String {
    let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
    if !message["error"].is_null() {
        assert_eq!(message["error"], message["errorDetail"]["message"], "{message}");
        return format!("error: {}", text("error"));
    }
    if !message["aux"].is_null() {
        return format!("aux: {}", message["aux"]);
    }
    format!("{} {}", text("id"), text("status")).trim().to_owned()
}

/// `POST /images/create` for `name` with its tag.
#[track_caller]
fn pull(host: &TestHost, name: &str) -> Reply {
    let (repository, tag) = split(name);
    host.api().post(&format!("/images/create?fromImage={repository}&tag={tag}"), Value::Null)
}

/// A pull that succeeds, and its last line.
#[track_caller]
fn pulled(host: &TestHost, name: &str) -> String {
    let reply = pull(host, name).is(200);
    let last = lines(&reply).pop().unwrap_or_default();
    assert!(last.starts_with("Status: "), "{}", reply.text());
    last
}

/// A pull that fails, whether before or after its first message, and why.
#[track_caller]
fn refused(host: &TestHost, name: &str) -> String {
    let reply = pull(host, name);
    if reply.status != 200 {
        return reply.json()["message"].as_str().unwrap_or_default().to_owned();
    }
    let last = lines(&reply).pop().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or_else(|| panic!("{}", reply.text())).to_owned()
}

/// `POST /images/…/push` with the tag of `name`.
#[track_caller]
fn push(host: &TestHost, name: &str) -> Reply {
    let (repository, tag) = split(name);
    host.api().post(&format!("/images/{repository}/push?tag={tag}"), Value::Null)
}

/// A push that succeeds, and the digest of its manifest.
#[track_caller]
fn pushed(host: &TestHost, name: &str) -> String {
    let reply = push(host, name).is(200);
    let aux = messages(&reply).pop().unwrap_or_default();
    aux["aux"]["Digest"].as_str().unwrap_or_else(|| panic!("{}", reply.text())).to_owned()
}

fn split(name: &str) -> (&str, &str) {
    match name.split_once('@') {
        Some(split) => split,
        None => name.rsplit_once(':').expect("a name with a tag"),
    }
}

/// Gives an image another name.
#[track_caller]
fn tag(host: &TestHost, from: &str, to: &str) {
    let (repository, tag) = split(to);
    let path = format!("/images/{from}/tag?repo={repository}&tag={tag}");
    host.api().post(&path, Value::Null).is(201);
}

/// Removes a name, and with the last one the image.
#[track_caller]
fn remove(host: &TestHost, name: &str) {
    host.api().delete(&format!("/images/{name}?force=1")).is(200);
}

#[track_caller]
fn inspect(host: &TestHost, name: &str) -> Value {
    host.api().get(&format!("/images/{name}/json")).is(200).json()
}

/// The first twelve digits of a digest, as messages name layers.
fn short(digest: &str) -> &str {
    &digest["sha256:".len()..][..12]
}
