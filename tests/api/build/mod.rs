//! Builds through the API: Docker's classic stream, barge's own events, and what is left of either, which is nothing.

mod attacks;
mod classic;
mod downloads;
mod events;
mod faults;
mod sources;
mod steps;

use barge_testkit::api::Reply;
use barge_testkit::{TarBuilder, TestHost};
use serde_json::Value;

/// As a part of a query.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A context with this Dockerfile alone.
fn dockerfile(text: &str) -> Vec<u8> {
    TarBuilder::new().file("Dockerfile", 0o644, text.as_bytes()).finish()
}

/// Asks for a build with Docker's words.
fn post(host: &TestHost, query: &str, context: &[u8]) -> Reply {
    host.api().send("POST", &format!("/build?{query}"), Some(("application/x-tar", context)))
}

/// The lines of an answer.
fn lines(reply: &Reply) -> Vec<Value> {
    reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a classic build said, without what is no text.
fn said(reply: &Reply) -> String {
    lines(reply).iter().filter_map(|line| line["stream"].as_str()).collect()
}

/// Builds, and returns what was said; it has to go well.
#[track_caller]
fn build(host: &TestHost, query: &str, context: &[u8]) -> String {
    let reply = post(host, query, context).is(200);
    let text = said(&reply);
    assert!(text.contains("Successfully built "), "{}", reply.text());
    text
}

/// What the last step that ran printed.
fn output(said: &str) -> &str {
    let (_, ran) = said.rsplit_once(" ---> Running in ").unwrap_or_else(|| panic!("{said}"));
    let printed = ran.split_once('\n').unwrap().1;
    printed.split("Removing intermediate container").next().unwrap()
}

/// What an error in a stream says.
#[track_caller]
fn failure(reply: &Reply) -> Value {
    let last = lines(reply).pop().unwrap();
    assert_eq!(last["error"], last["errorDetail"]["message"], "{last}");
    last["errorDetail"].clone()
}
