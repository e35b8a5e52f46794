//! Devices by name (Container Device Interface): `--device vendor/class=name`, and `--gpus`.

use std::fs;

use barge_testkit::{Client, HostOptions, TestHost};
use serde_json::json;

/// A daemon with a folder of descriptions: a device, and GPUs of an invented vendor.
fn host() -> (TestHost, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let described = json!({
        "cdiVersion": "0.6.0", "kind": "example.com/widget",
        "containerEdits": {"env": ["WIDGETS=yes"]},
        "devices": [
            {"name": "one", "containerEdits": {
                "deviceNodes": [{"path": "/dev/widget", "hostPath": "/dev/loop-control", "permissions": "r"}],
                "mounts": [{"hostPath": folder.path(), "containerPath": "/opt/widget", "options": ["ro"]}],
                "additionalGids": [4321]}},
            {"name": "hooked", "containerEdits": {
                "hooks": [{"hookName": "createContainer", "path": "/bin/true"}]}}]
    });
    let gpus = json!({
        "cdiVersion": "0.6.0", "kind": "example.com/gpu",
        "devices": [
            {"name": "0", "containerEdits": {"env": ["GPU=first"]}},
            {"name": "all", "containerEdits": {"env": ["GPU=all"]}}]
    });
    for (name, text) in [("widget.json", described), ("gpu.json", gpus)] {
        fs::write(folder.path().join(name), text.to_string()).unwrap();
    }
    let flags = vec![format!("--cdi-spec-dir={}", folder.path().display())];
    let host = TestHost::with(HostOptions { flags, ..HostOptions::default() });
    host.busybox();
    (host, folder)
}

#[test]
fn a_named_device_is_there_with_all_that_it_needs() {
    let (host, folder) = host();
    let script = "echo $WIDGETS; (: < /dev/widget) && echo opened; \
                  (: > /dev/widget) 2>/dev/null || echo read only; \
                  ls /opt/widget | head -1; touch /opt/widget/x 2>/dev/null || echo protected; \
                  grep Groups: /proc/self/status | tr -d '\\t '";
    for client in Client::both() {
        let flags = ["run", "--rm", "--network", "none", "--device", "example.com/widget=one"];
        let seen = host.run(client, &[&flags[..], &["busybox", "sh", "-c", script]].concat());
        assert_eq!(
            seen.text(),
            "yes\nopened\nread only\ngpu.json\nprotected\nGroups:04321",
            "{client:?}"
        );
    }
    let info = host.api().get("/info").is(200).json();
    assert_eq!(info["CDISpecDirs"], json!([folder.path()]));
}

#[test]
fn gpus_are_looked_up_by_class() {
    let (host, _folder) = host();
    for client in Client::both() {
        for (asked, seen) in
            [("all", "all"), ("1", "first"), ("device=0", "first"), ("\"device=0,all\"", "all")]
        {
            let flags = ["run", "--rm", "--network", "none", "--gpus", asked];
            let outcome =
                host.run(client, &[&flags[..], &["busybox", "sh", "-c", "echo $GPU"]].concat());
            assert_eq!(outcome.text(), seen, "{client:?} {asked}");
        }
    }
}

#[test]
fn what_nobody_describes_is_refused_in_dockers_words() {
    let (host, _folder) = host();
    let run =
        |flags: &[&str]| host.barge(&[&["run", "--rm"], flags, &["busybox", "true"]].concat());
    run(&["--device", "example.com/widget=two"]).fails_saying(
        125,
        "CDI device injection failed: unresolvable CDI devices example.com/widget=two",
    );
    run(&["--device", "example.com/widget=hooked"])
        .fails_saying(125, "hook createContainer (/bin/true) is not supported");
    run(&["--gpus", "driver=tpu"])
        .fails_saying(125, "could not select device driver \"tpu\" with capabilities: [[gpu]]");
    run(&["--gpus", "5"]).fails_saying(125, "unresolvable CDI devices example.com/gpu=1");
}

#[test]
fn a_build_step_has_the_devices_that_it_names_and_leaves_nothing_of_them() {
    let (host, _folder) = host();
    let text = "FROM busybox\nRUN --device=example.com/widget=one,required --device=example.com/none=x \
                (echo $WIDGETS; (: < /dev/widget) && echo opened; ls /opt/widget | head -1) >/seen\n";
    let build = |allow: &[&str], text: &str| {
        let arguments =
            [&["build", "-q", "--network=none", "-t", "device"], allow, &["-"]].concat();
        host.run_with_input(Client::Barge, &arguments, text.as_bytes())
    };
    let all = ["--allow", "device"];
    build(&["--allow", "device=example.com/widget=one"], text)
        .fails_saying(1, "device example.com/none=x is not allowed");
    build(&all, text).ok();
    let run = ["run", "--rm", "--network", "none", "device", "sh", "-c"];
    let seen = host.barge(&[&run[..], &["cat /seen; ls -d /opt /dev/widget 2>/dev/null"]].concat());
    assert_eq!(seen.stdout, "yes\nopened\ngpu.json\n");
    let text = "FROM busybox\nRUN --device=example.com/widget=two,required true\n";
    build(&all, text).fails_saying(1, "unresolvable CDI devices example.com/widget=two");
}
