//! What happened, told as it happens.

use barge_testkit::TestHost;
use serde_json::{Value, json};

fn encoded(filters: &Value) -> String {
    filters.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn the_life_of_a_container_is_told_in_order() {
    let host = TestHost::new();
    host.busybox();
    let mut stream = host.api().connect();
    let filters = encoded(&json!({"type": ["container"]}));
    stream.write(format!("GET /events?filters={filters} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    assert_eq!(stream.head().0, 200);
    host.barge(&["run", "--name", "told", "--label", "a=b", "busybox", "sh", "-c", "exit 4"])
        .fails(4);
    host.barge(&["rm", "told"]).ok();
    let id_and_actions = |stream: &mut barge_testkit::api::Connection| {
        let mut actions = Vec::new();
        while actions.last().is_none_or(|action| action != "destroy") {
            let chunk = stream.chunk().expect("events do not end");
            for line in String::from_utf8(chunk).unwrap().lines() {
                let event: Value = serde_json::from_str(line).unwrap();
                assert_eq!(event["Type"], "container");
                assert_eq!(event["Actor"]["Attributes"]["name"], "told");
                assert_eq!(event["Actor"]["Attributes"]["a"], "b");
                assert_eq!(event["Actor"]["Attributes"]["image"], "busybox");
                assert!(
                    event["timeNano"].as_i64().unwrap() / 1_000_000_000
                        == event["time"].as_i64().unwrap()
                );
                if event["Action"] == "die" {
                    assert_eq!(event["Actor"]["Attributes"]["exitCode"], "4");
                }
                actions.push(event["Action"].as_str().unwrap().to_owned());
            }
        }
        actions
    };
    assert_eq!(id_and_actions(&mut stream), ["create", "attach", "start", "die", "destroy"]);
}

#[test]
fn events_of_the_past_are_told_and_end_where_asked() {
    let host = TestHost::new();
    host.busybox();
    host.barge(&["run", "--rm", "--name", "past", "busybox", "true"]).ok();
    barge_testkit::eventually("it is removed", || host.barge(&["ps", "-aq"]).text().is_empty());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let filters = encoded(&json!({"container": ["past"], "event": ["start", "die"]}));
    let reply =
        host.api().get(&format!("/events?since={}&until={}&filters={filters}", now - 600, now + 1));
    let actions: Vec<String> = reply
        .is(200)
        .text()
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["Action"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(actions, ["start", "die"]);
}

#[test]
fn images_and_volumes_are_told_of_too() {
    let host = TestHost::new();
    host.busybox();
    host.barge(&["tag", "busybox", "other:1"]).ok();
    host.barge(&["rmi", "other:1"]).ok();
    host.barge(&["volume", "create", "v1"]).ok();
    host.barge(&["volume", "rm", "v1"]).ok();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let told =
        host.api().get(&format!("/events?since={}&until={}", now - 600, now + 1)).is(200).text();
    let told: Vec<(String, String)> = told
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|event| {
            (
                event["Type"].as_str().unwrap().to_owned(),
                event["Action"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let told: Vec<(&str, &str)> =
        told.iter().map(|(kind, action)| (kind.as_str(), action.as_str())).collect();
    assert_eq!(
        told,
        [
            ("image", "tag"),
            ("image", "import"),
            ("image", "tag"),
            ("image", "untag"),
            ("volume", "create"),
            ("volume", "destroy")
        ]
    );
}

#[test]
fn each_thing_that_happens_is_told_once() {
    let host = TestHost::new();
    host.busybox();
    let told = |name: &str| -> Vec<String> {
        let filters = encoded(&json!({"container": [name]}));
        let path = format!("/events?since=1&until={}&filters={filters}", u32::MAX);
        let mut stream = host.api().connect();
        stream.write(format!("GET {path} HTTP/1.1\r\nHost: barge\r\n\r\n").as_bytes());
        assert_eq!(stream.head().0, 200);
        let mut actions = Vec::new();
        while actions.last().is_none_or(|action| action != "destroy") {
            let chunk = stream.chunk().expect("events do not end");
            for line in String::from_utf8(chunk).unwrap().lines() {
                let event: Value = serde_json::from_str(line).unwrap();
                actions.push(event["Action"].as_str().unwrap().to_owned());
            }
        }
        actions
    };
    let count = |actions: &[String], wanted: &str| {
        actions.iter().filter(|action| *action == wanted).count()
    };
    host.barge(&["run", "-d", "--name", "forced", "busybox", "sleep", "1000"]).ok();
    host.barge(&["rm", "-f", "forced"]).ok();
    let actions = told("forced");
    assert_eq!((count(&actions, "kill"), count(&actions, "die")), (1, 1), "{actions:?}");
    let greedy = ["run", "--name", "greedy", "-m", "16m", "busybox", "tail", "/dev/zero"];
    assert_eq!(host.barge(&greedy).code, 137);
    host.barge(&["rm", "greedy"]).ok();
    let actions = told("greedy");
    assert_eq!((count(&actions, "oom"), count(&actions, "kill")), (1, 0), "{actions:?}");
}
