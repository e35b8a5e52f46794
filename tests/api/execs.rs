//! Execs outlive their daemon, as their container does.

use std::fs;

use barge_testkit::{TestHost, eventually};
use serde_json::{Value, json};

fn exec(host: &TestHost, script: &str) -> String {
    let body = json!({"Cmd": ["sh", "-c", script], "User": "root", "WorkingDir": "/tmp"});
    let made = host.api().post("/containers/subject/exec", body).is(201).json();
    let id = made["Id"].as_str().unwrap().to_owned();
    host.api().post(&format!("/exec/{id}/start"), json!({"Detach": true})).is(200);
    id
}

fn inspect(host: &TestHost, id: &str) -> Value {
    host.api().get(&format!("/exec/{id}/json")).is(200).json()
}

#[test]
fn an_exec_is_known_to_the_daemon_that_comes_after() {
    let mut host = TestHost::new();
    host.busybox();
    host.barge(&["run", "-d", "--name", "subject", "busybox", "sleep", "1000"]).ok();
    let wait = |file: &str, code: u8| {
        format!("while [ ! -e /tmp/{file} ]; do usleep 10000; done; exit {code}")
    };
    let before = exec(&host, "exit 5");
    eventually("it ends", || inspect(&host, &before)["ExitCode"] == 5);
    let (meanwhile, after) = (exec(&host, &wait("one", 6)), exec(&host, &wait("two", 7)));
    let known = inspect(&host, &after);
    let gone = format!("/proc/{}", inspect(&host, &meanwhile)["Pid"]);
    let tmp = format!("/proc/{}/root/tmp", host.pid("subject"));
    host.kill9();
    fs::write(format!("{tmp}/one"), "").unwrap();
    eventually("it ends without a daemon", || !fs::exists(&gone).unwrap());
    host.start();
    assert_eq!(inspect(&host, &before)["ExitCode"], 5);
    eventually("its end is known", || inspect(&host, &meanwhile)["ExitCode"] == 6);
    assert_eq!(inspect(&host, &after), known);
    assert_eq!(
        (&known["Running"], &known["ProcessConfig"]["user"]),
        (&true.into(), &"root".into())
    );
    assert_eq!(host.inspect("subject")["ExecIDs"], json!([after]));
    fs::write(format!("{tmp}/two"), "").unwrap();
    eventually("its end is told", || inspect(&host, &after)["ExitCode"] == 7);
    let again = host.api().post(&format!("/exec/{after}/start"), json!({"Detach": true}));
    assert_eq!(again.error(409), format!("Error: Exec command {after} has already run"));
}

#[test]
fn an_exit_code_can_be_asked_for_when_the_container_has_ended() {
    let host = TestHost::new();
    host.busybox();
    let run = ["run", "-d", "--name", "subject", "busybox", "sleep", "1000"];
    host.barge(&run).ok();
    let (ended, killed) = (exec(&host, "exit 5"), exec(&host, "sleep 1000"));
    eventually("it ends", || inspect(&host, &ended)["Running"] == false);
    let body = json!({"Cmd": ["true"]});
    let made = host.api().post("/containers/subject/exec", body).is(201).json();
    let unused = made["Id"].as_str().unwrap();
    host.barge(&["kill", "subject"]).ok();
    eventually("it settles", || host.api().get(&format!("/exec/{unused}/json")).status == 404);
    for (id, code) in [(&ended, 5), (&killed, 137)] {
        let shown = inspect(&host, id);
        assert_eq!((&shown["Running"], &shown["ExitCode"]), (&json!(false), &json!(code)));
    }
    host.barge(&["start", "subject"]).ok();
    assert_eq!(host.inspect("subject")["ExecIDs"], Value::Null);
    let again = host.api().post(&format!("/exec/{ended}/start"), json!({"Detach": true}));
    assert_eq!(again.error(409), format!("Error: Exec command {ended} has already run"));
    host.barge(&["rm", "-f", "subject"]).ok();
    host.api().get(&format!("/exec/{ended}/json")).is(404);
}
