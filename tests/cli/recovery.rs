//! Restart policies after a user's hand, verbs that meet each other, and records that are lost or damaged.

use std::fs;
use std::path::PathBuf;

use barge_testkit::{Client, Sharing, TestHost, eventually};

static HOST: Sharing = Sharing::new();

fn own_host() -> TestHost {
    let host = TestHost::new();
    host.busybox();
    host
}

fn kill(pid: i32) {
    barge_sys::signal::kill(pid, libc::SIGKILL).unwrap();
}

fn record(host: &TestHost, container: &str, file: &str) -> PathBuf {
    host.data_root().join("containers").join(host.id(container)).join(file)
}

#[test]
fn a_policy_holds_again_after_a_stop_and_a_start() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("again");
        let flags = ["run", "-d", "--name", &name, "--restart", "always"];
        host.run(client, &[&flags[..], &["busybox", "sleep", "1000"]].concat()).ok();
        host.run(client, &["stop", "-t", "0", &name]).ok();
        assert_eq!(host.status(&name), "exited", "its user stopped it");
        host.run(client, &["start", &name]).ok();
        let pid = host.pid(&name);
        kill(pid);
        eventually("it is started again", || {
            let now = host.inspect(&name);
            now["State"]["Status"] == "running" && now["State"]["Pid"] != pid
        });
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn a_container_that_waits_for_its_restart_can_be_stopped_and_removed() {
    let host = HOST.host();
    for client in Client::both() {
        for verb in [&["stop"][..], &["rm", "-f"]] {
            let name = host.unique("loops");
            let flags = ["run", "-d", "--name", &name, "--restart", "always", "busybox", "false"];
            host.run(client, &flags).ok();
            eventually("it waits for a while", || {
                host.inspect(&name)["RestartCount"].as_u64() > Some(3)
                    && host.status(&name) == "restarting"
            });
            host.run(client, &[verb, &[&name]].concat()).ok();
            if verb == ["stop"] {
                let count = host.inspect(&name)["RestartCount"].clone();
                assert_eq!(host.status(&name), "exited");
                host.run(client, &["start", &name]).ok();
                assert_ne!(host.inspect(&name)["RestartCount"], count, "counted from zero again");
                host.run(client, &["rm", "-f", &name]).ok();
            }
        }
    }
}

#[test]
fn a_paused_container_can_be_killed_stopped_and_removed() {
    let host = HOST.host();
    for client in Client::both() {
        for verb in [&["kill"][..], &["stop", "-t", "5"], &["rm", "-f"]] {
            let name = host.unique("frozen");
            host.run(client, &["run", "-d", "--name", &name, "busybox", "sleep", "1000"]).ok();
            host.run(client, &["pause", &name]).ok();
            host.run(client, &[verb, &[&name]].concat()).ok();
            if verb[0] != "rm" {
                assert_eq!(host.status(&name), "exited", "after {verb:?}");
                host.run(client, &["rm", &name]).ok();
            }
        }
    }
}

#[test]
fn a_stop_that_waits_for_ever_ends_when_its_container_is_removed_by_force() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("deaf");
        let script = "trap 'echo heard' TERM; echo ready; while :; do sleep 0.1; done";
        host.run(client, &["run", "-d", "--name", &name, "busybox", "sh", "-c", script]).ok();
        eventually("it listens", || host.run(client, &["logs", &name]).text() == "ready");
        let stop = host.start_client(client, &["stop", "-t", "-1", &name]);
        eventually("it is asked", || host.run(client, &["logs", &name]).text().contains("heard"));
        host.run(client, &["rm", "-f", &name]).ok();
        stop.wait().ok();
    }
}

#[test]
fn a_volume_that_cannot_be_mounted_leaves_no_container_behind() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("whole");
        let options = "volume-opt=type=nosuchfs,volume-opt=device=none";
        let mount = format!("type=volume,src={name},dst=/bin,{options}");
        let create = ["create", "--name", &name, "--mount", &mount, "busybox", "true"];
        assert_ne!(host.run(client, &create).code, 0);
        assert_eq!(host.api().get(&format!("/containers/{name}/json")).status, 404);
        host.run(client, &["create", "--name", &name, "busybox", "true"]).ok();
        host.run(client, &["rm", &name]).ok();
        host.run(client, &["volume", "rm", &name]).ok();
    }
}

#[test]
fn a_damaged_record_costs_nobody_else_and_nothing_of_its_own() {
    let mut host = own_host();
    host.barge(&["create", "--name", "whole", "busybox", "true"]).ok();
    host.barge(&["run", "--name", "hurt", "busybox", "touch", "/kept"]).ok();
    let path = record(&host, "hurt", "container.json");
    let text = fs::read(&path).unwrap();
    for damage in [&b""[..], b"{", b"\0\0\0\0"] {
        host.kill9();
        fs::write(&path, damage).unwrap();
        host.start();
        assert_eq!(host.barge(&["ps", "-a", "--format", "{{.Names}}"]).text(), "whole");
    }
    host.kill9();
    fs::write(&path, text).unwrap();
    host.start();
    assert_eq!(host.status("hurt"), "exited");
    let upper = host.inspect("hurt")["GraphDriver"]["Data"]["UpperDir"].clone();
    let kept = PathBuf::from(upper.as_str().unwrap()).join("kept");
    assert!(kept.exists(), "{} survives", kept.display());
}

#[test]
fn after_a_reboot_what_ran_has_ended_and_its_policy_is_heeded() {
    let mut host = own_host();
    let run = |name: &str, flags: &[&str]| {
        let start = ["run", "-d", "--name", name];
        host.barge(&[&start[..], flags, &["busybox", "sleep", "1000"]].concat()).ok();
        (host.pid(name), host.shim(name))
    };
    let running = [
        run("never", &[]),
        run("always", &["--restart", "always"]),
        run("goes", &["--rm"]),
        run("damaged", &[]),
    ];
    let state = record(&host, "damaged", "state.json");
    host.kill9();
    for (pid, shim) in running {
        kill(shim);
        kill(pid);
    }
    fs::remove_dir_all(host.exec_root().join("containers")).unwrap();
    fs::remove_dir_all(host.exec_root().join("shims")).unwrap();
    fs::write(&state, "").unwrap();
    host.start();
    for name in ["never", "damaged"] {
        let shown = host.inspect(name)["State"].clone();
        assert_eq!((&shown["Status"], &shown["ExitCode"]), (&"exited".into(), &255.into()));
        host.barge(&["start", name]).ok();
        host.barge(&["rm", "-f", name]).ok();
    }
    eventually("always means always", || host.status("always") == "running");
    eventually("what goes with its end is gone", || {
        host.api().get("/containers/goes/json").status == 404
    });
    host.barge(&["rm", "-f", "always"]).ok();
    host.assert_nothing_of_containers();
}

#[test]
fn an_exit_that_no_record_tells_of_is_read_from_the_shims() {
    let mut host = own_host();
    host.barge(&["create", "-i", "--name", "quick", "busybox", "sh", "-c", "read x; exit 7"]).ok();
    let state = record(&host, "quick", "state.json");
    let before = fs::read(&state).ok();
    host.barge(&["start", "quick"]).ok();
    let (pid, shim) = (host.pid("quick"), host.shim("quick"));
    host.kill9();
    // As if the daemon had been killed between the start and its record.
    match before {
        Some(text) => fs::write(&state, text).unwrap(),
        None => fs::remove_file(&state).unwrap(),
    }
    let folder = host.exec_root().join("containers");
    kill(pid);
    eventually("the shim tells of the end", || {
        fs::read_dir(&folder).unwrap().any(|entry| entry.unwrap().path().join("exit.json").exists())
    });
    kill(shim);
    host.start();
    let shown = host.inspect("quick")["State"].clone();
    assert_eq!((&shown["Status"], &shown["ExitCode"]), (&"exited".into(), &137.into()), "{shown}");
}

#[test]
fn a_device_that_went_away_keeps_no_container_from_being_known() {
    let mut host = own_host();
    let device = host.scratch().join("disk");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &device,
        rustix::fs::FileType::BlockDevice,
        rustix::fs::Mode::RUSR,
        rustix::fs::makedev(7, 0),
    )
    .unwrap();
    let path = device.to_str().unwrap();
    let limits = serde_json::json!({"BlkioDeviceReadBps": [{"Path": path, "Rate": 1 << 20}]});
    let body = serde_json::json!({"Image": "busybox", "Cmd": ["true"], "HostConfig": limits});
    host.api().post("/containers/create?name=limited", body).is(201);
    fs::remove_file(&device).unwrap();
    host.restart();
    assert_eq!(host.status("limited"), "created");
    host.barge(&["update", "--restart", "on-failure", "limited"]).ok();
    host.barge(&["start", "limited"]).fails_saying(1, path);
    host.barge(&["rm", "limited"]).ok();
}
