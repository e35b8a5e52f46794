//! What a container changed, through the API: listed, as an archive, as an image; as dockerd answers and tells.

use barge_testkit::{Sharing, TestHost, Victim, eventually};
use serde_json::{Value, json};

static HOST: Sharing = Sharing::new();

fn encoded(filters: &Value) -> String {
    filters.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Events of containers and images since the host began, oldest first.
fn events(host: &TestHost, about: &[&str]) -> Vec<Value> {
    let filters = encoded(&json!({"event": about}));
    let until = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let path = format!("/events?since=1&until={}&filters={filters}", until.as_secs() + 1);
    let told = host.api().get(&path).is(200).text();
    told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn commit(host: &TestHost, query: &str, config: Value) -> String {
    let reply = host.api().post(&format!("/commit?{query}"), config).is(201).json();
    assert_eq!(reply.as_object().unwrap().len(), 1, "{reply}");
    reply["Id"].as_str().unwrap().to_owned()
}

#[test]
fn a_container_that_changed_nothing_answers_null() {
    let host = HOST.host();
    let name = host.unique("same");
    host.barge(&["create", "--name", &name, "busybox"]).ok();
    assert_eq!(host.api().get(&format!("/containers/{name}/changes")).is(200).json(), Value::Null);
    host.barge(&["rm", &name]).ok();
}

#[test]
fn changes_have_dockers_kinds_and_mount_points_that_were_made() {
    let host = HOST.host();
    let name = host.unique("kinds");
    let script = "mkdir /n && echo 1 > /n/f && echo x >> /etc/passwd && rm /etc/group && touch /dev/x /vol/y \
                  && rm -r /home && mkdir /home";
    host.barge(&["run", "--name", &name, "-v", "/vol", "busybox", "sh", "-c", script]).ok();
    let changes = host.api().get(&format!("/containers/{name}/changes")).is(200).json();
    assert_eq!(
        changes,
        json!([
            {"Path": "/etc", "Kind": 0},
            {"Path": "/etc/group", "Kind": 2},
            {"Path": "/etc/passwd", "Kind": 0},
            {"Path": "/home", "Kind": 0},
            {"Path": "/home/worker", "Kind": 2},
            {"Path": "/n", "Kind": 1},
            {"Path": "/n/f", "Kind": 1},
            {"Path": "/vol", "Kind": 1},
        ])
    );
    host.barge(&["rm", "-v", &name]).ok();
}

#[test]
fn a_given_configuration_counts_before_the_containers() {
    let host = HOST.host();
    let name = host.unique("given");
    host.barge(&[
        "create", "--name", &name, "-e", "A=1", "-w", "/w", "-l", "own=1", "busybox", "ls", "/",
    ])
    .ok();
    let config = json!({"Cmd": ["x"], "Env": ["Z=1"], "Labels": {"a": "b"}, "Hostname": "hh"});
    let id = commit(&host, &format!("container={name}&comment=why&author=me"), config);
    let image = host.api().get(&format!("/images/{id}/json")).is(200).json();
    assert_eq!(image["Config"]["Cmd"], json!(["x"]));
    let env = &image["Config"]["Env"];
    assert_eq!((&env[0], &env[1]), (&json!("Z=1"), &json!("A=1")));
    assert_eq!(image["Config"]["WorkingDir"], "/w");
    assert_eq!(image["Config"]["Labels"], json!({"a": "b", "own": "1"}));
    assert_eq!((&image["Author"], &image["Comment"]), (&json!("me"), &json!("why")));
    // The history says what the container ran, not what the image is to run.
    let history = host.api().get(&format!("/images/{id}/history")).is(200).json();
    assert_eq!(history[0]["CreatedBy"], "ls /");
    // An entry point takes the command along.
    let id = commit(&host, &format!("container={name}"), json!({"Entrypoint": ["e"]}));
    let image = host.api().get(&format!("/images/{id}/json")).is(200).json();
    assert_eq!(image["Config"]["Entrypoint"], json!(["e"]));
    assert!(image["Config"]["Cmd"].is_null(), "{image}");
    // Nothing was changed: no layer, but a step of the history.
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 1);
    host.barge(&["rm", &name]).ok();
}

#[test]
fn wrong_requests_are_refused_as_by_docker() {
    let host = HOST.host();
    let name = host.unique("refused");
    host.barge(&["create", "--name", &name, "busybox"]).ok();
    let refused = |query: &str, status: u16| {
        host.api().post(&format!("/commit?{query}"), Value::Null).error(status)
    };
    assert_eq!(refused("repo=a", 400), "invalid name or ID supplied: \"\"");
    assert_eq!(refused("container=nobody", 404), "No such container: nobody");
    let of = |rest: &str| refused(&format!("container={name}&{rest}"), 400);
    assert_eq!(of("repo=a&tag=..x"), "invalid tag format");
    assert!(of("repo=Bad").starts_with("invalid reference format"));
    let digest = "0123456789".repeat(6) + "abcd";
    assert_eq!(of(&format!("repo=a%40sha256%3A{digest}")), "cannot import digest reference");
    assert_eq!(of("changes=RUN%20x"), "RUN is not a valid change command");
    assert_eq!(of("changes=ENV"), "ENV requires at least one argument");
    assert_eq!(of("changes="), "file with no instructions");
    host.barge(&["rm", &name]).ok();
}

#[test]
fn a_commit_of_a_running_container_is_told_as_by_docker() {
    let host = TestHost::new();
    host.busybox();
    host.barge(&["run", "-d", "--name", "cc", "busybox", "sleep", "1000"]).ok();
    let id = commit(&host, "container=cc&repo=made&comment=why", Value::Null);
    let mut told = events(&host, &["pause", "tag", "commit", "unpause"]);
    // Of the import of busybox.
    told.remove(0);
    let actions: Vec<&str> = told.iter().map(|event| event["Action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["pause", "tag", "commit", "unpause"]);
    assert_eq!(told[1]["Actor"]["Attributes"]["name"], "made:latest");
    let facts = &told[2]["Actor"]["Attributes"];
    assert_eq!(
        (&facts["comment"], &facts["imageID"], &facts["imageRef"], &facts["name"]),
        (&json!("why"), &json!(id), &json!("made:latest"), &json!("cc"))
    );
    assert_eq!(host.status("cc"), "running");
    // Without a pause, and of one that was paused before, nobody is paused or goes on.
    commit(&host, "container=cc&pause=0", Value::Null);
    host.barge(&["pause", "cc"]).ok();
    commit(&host, "container=cc", Value::Null);
    assert_eq!(host.status("cc"), "paused");
    assert_eq!(events(&host, &["pause", "commit", "unpause"]).len(), 6);
    host.barge(&["unpause", "cc"]).ok();
}

#[test]
fn a_daemon_that_dies_in_a_commit_leaves_nobody_frozen() {
    let mut host = TestHost::new();
    host.busybox();
    host.barge(&["run", "-d", "--name", "cc", "busybox", "sh", "-c", "echo 1 > /f; sleep 1000"])
        .ok();
    host.arm_fault(Victim::Daemon, 1);
    host.barge(&["commit", "cc", "made"]).fails(1);
    host.kill9();
    assert!(host.disarm_fault(Victim::Daemon).is_some());
    host.start();
    assert_eq!(host.status("cc"), "running");
    host.barge(&["exec", "cc", "true"]).ok();
    // What a user paused stays paused.
    host.barge(&["pause", "cc"]).ok();
    host.kill9();
    host.start();
    assert_eq!(host.status("cc"), "paused");
    host.barge(&["unpause", "cc"]).ok();
    host.barge(&["commit", "cc", "made"]).ok();
    assert_eq!(host.barge(&["run", "--rm", "made", "cat", "/f"]).text(), "1");
}

#[test]
fn an_export_goes_on_when_the_container_is_removed_meanwhile() {
    let host = TestHost::new();
    host.busybox();
    let script = "dd if=/dev/urandom of=/big bs=1M count=16 2>/dev/null; md5sum < /big";
    let sum = host.barge(&["run", "--name", "cc", "busybox", "sh", "-c", script]);
    let mut stream = host.api().connect();
    stream.write(b"GET /containers/cc/export HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(stream.head().0, 200);
    let mut archive = stream.chunk().unwrap();
    host.barge(&["rm", "cc"]).ok();
    while let Some(chunk) = stream.chunk() {
        archive.extend(chunk);
    }
    let tar = host.file("exported.tar", &archive);
    host.barge(&["import", &tar, "again"]).ok();
    let again = host.barge(&["run", "--rm", "again", "sh", "-c", "md5sum < /big"]);
    assert_eq!(again.text(), sum.text());
    eventually("the layer is gone", || {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        !mounts.contains(host.data_root().join("overlay2/").to_str().unwrap())
    });
    host.assert_nothing_of_containers();
}
