//! What a Dockerfile offers, without building anything of it.

use serde_json::{Value, json};

use super::workshop;
use super::workshop::Workshop;
use crate::event::Event;
use crate::request::{BuildRequest, Purpose};

const FILE: &str = "\
# BASE what all stand on
ARG BASE=busy
ARG SUFFIX=box
ARG IMAGE=${BASE}${SUFFIX}
ARG UNUSED=1
FROM $IMAGE AS tools
# COLOUR of the tools
ARG COLOUR=red TARGETARCH
RUN --mount=type=secret,id=token --mount=type=ssh true
FROM none-such AS unneeded
ARG NEVER=1
# app the program
FROM scratch AS app
ENV SHADE=dark
ARG COLOUR
ARG TONE=$SHADE-$BASE
ARG BASE
RUN --mount=type=secret,id=token,required --mount=type=ssh,id=gh,required=true true
COPY --from=tools /a /
";

fn described(workshop: &Workshop, request: &BuildRequest) -> Value {
    workshop.build(request).unwrap();
    let events = workshop.events.take();
    assert_eq!(workshop.runs(), 0);
    let [Event::Described { value }] = events.as_slice() else { panic!("{events:?}") };
    value.clone()
}

fn at(line: u32) -> Value {
    json!({ "ranges": [{ "start": { "line": line }, "end": { "line": line } }] })
}

#[test]
fn targets_are_the_stages_with_their_descriptions() {
    let workshop = workshop();
    let request = BuildRequest { purpose: Purpose::Targets, ..workshop.request(FILE) };
    let expected = json!({ "targets": [
        { "name": "tools", "base": "$IMAGE", "location": at(6) },
        { "name": "unneeded", "base": "none-such", "location": at(10) },
        { "name": "app", "default": true, "description": "the program", "base": "scratch", "location": at(13) },
    ] });
    assert_eq!(described(&workshop, &request), expected);
}

#[test]
fn an_outline_is_what_the_target_uses() {
    let workshop = workshop();
    let mut request = BuildRequest { purpose: Purpose::Outline, ..workshop.request(FILE) };
    request.build_args.insert("SUFFIX".to_owned(), Some("given".to_owned()));
    let names = |value: &Value, kind: &str| {
        let list = value[kind].as_array().unwrap().iter();
        let shown = list.map(|one| {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            format!(
                "{}={}{}",
                text("name"),
                text("value"),
                one["required"].as_bool().unwrap_or_default()
            )
        });
        shown.collect::<Vec<_>>()
    };
    let value = described(&workshop, &request);
    assert_eq!((&value["name"], &value["description"]), (&json!("app"), &json!("the program")));
    assert_eq!(
        names(&value, "args"),
        [
            "BASE=busyfalse",
            "SUFFIX=givenfalse",
            "IMAGE=busygivenfalse",
            "COLOUR=false",
            "TONE=dark-false"
        ]
    );
    assert_eq!(value["args"][0]["description"], "what all stand on");
    assert_eq!(names(&value, "secrets"), ["token=true"]);
    assert_eq!(names(&value, "ssh"), ["default=false", "gh=true"]);
    request.target = Some("tools".to_owned());
    let value = described(&workshop, &request);
    assert_eq!(
        names(&value, "args"),
        ["BASE=busyfalse", "SUFFIX=givenfalse", "IMAGE=busygivenfalse", "COLOUR=redfalse"]
    );
    assert_eq!(names(&value, "secrets"), ["token=false"]);
    request.target = Some("appp".to_owned());
    let error = workshop.build(&request).unwrap_err().to_string();
    assert!(error.contains("did you mean app?"), "{error}");
}
