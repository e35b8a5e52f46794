//! Whole command lines, there and back again.

use barge_api_types::ContainerOrigin;
use serde_json::Value;

use super::{compose, run};
use crate::commands::container::config::made_by;

fn origin(line: &[&str]) -> ContainerOrigin {
    let request = made_by(line).unwrap();
    ContainerOrigin { name: "cc".to_owned(), request, ..ContainerOrigin::default() }
}

/// Every flag of `run` that becomes a part of the request.
const LINES: [&[&str]; 7] = [
    &[
        "--device",
        "vendor.example/class=one",
        "--device",
        "/dev/null",
        "--device",
        "vendor.example/class=two",
        "--gpus",
        "all",
        "--gpus",
        "2",
        "--gpus",
        "\"device=0,1\",\"capabilities=compute,utility\",\"options=a=b,c=d\",driver=nvidia",
        "img",
    ],
    &["-it", "--rm", "busybox"],
    &[
        "-m",
        "100m",
        "--memory-swap=-1",
        "--cpus=0.25",
        "-e",
        "A=it's $HOME",
        "-e",
        "B=",
        "-l",
        "x",
        "-l",
        "y=z w",
        "-u",
        "1:2",
        "-w",
        "/w",
        "-h",
        "host",
        "--domainname",
        "d",
        "--init=false",
        "--stop-signal",
        "INT",
        "--stop-timeout",
        "3",
        "--restart",
        "on-failure:3",
        "--entrypoint",
        "",
        "img",
        "sh",
        "-c",
        "echo \"a b\" $x; exit 1",
    ],
    &[
        "-v",
        "/a:/b:ro",
        "-v",
        "/anonymous",
        "-v",
        "data:/d",
        "--tmpfs",
        "/t:size=1m",
        "--tmpfs",
        "/u",
        "--mount",
        "type=bind,src=/a,dst=/c,readonly,bind-propagation=rslave",
        "--mount",
        "type=volume,src=v,dst=/v,volume-nocopy,volume-label=k=v,volume-opt=type=tmpfs",
        "--mount",
        "\"type=tmpfs\",dst=/x,tmpfs-size=1m,tmpfs-mode=1770",
        "--volumes-from",
        "other:ro",
        "img",
    ],
    &[
        "-p",
        "8080:80",
        "-p",
        "127.0.0.1:53:53/udp",
        "-p",
        "90",
        "--expose",
        "91",
        "-P",
        "--network",
        "none",
        "--mac-address",
        "02:42:ac:11:00:09",
        "--add-host",
        "a:1.2.3.4",
        "--dns",
        "1.1.1.1",
        "--dns-search",
        "example.org",
        "--dns-option",
        "ndots:2",
        "img",
    ],
    &[
        "--cap-add",
        "NET_ADMIN",
        "--cap-drop",
        "ALL",
        "--privileged",
        "--read-only",
        "--security-opt",
        "no-new-privileges",
        "--security-opt",
        "systempaths=unconfined",
        "--ulimit",
        "nofile=1:2",
        "--device",
        "/dev/null:/dev/x:r",
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "--pid",
        "host",
        "--ipc",
        "host",
        "--uts",
        "host",
        "--cgroupns",
        "host",
        "--userns",
        "host",
        "--pids-limit",
        "7",
        "--cpu-shares",
        "9",
        "--cpuset-cpus",
        "0",
        "--shm-size",
        "65m",
        "--memory-reservation",
        "1000",
        "--memory-swappiness",
        "0",
        "--oom-score-adj",
        "5",
        "--oom-kill-disable",
        "--blkio-weight",
        "100",
        "--device-read-bps",
        "/dev/vda:1mb",
        "--device-cgroup-rule",
        "c 1:3 rwm",
        "--group-add",
        "7",
        "--cgroup-parent",
        "/p",
        "img",
    ],
    &[
        "--health-cmd",
        "test -e /x",
        "--health-interval",
        "1m30s",
        "--health-retries",
        "2",
        "--health-on-failure",
        "kill",
        "--log-driver",
        "json-file",
        "--log-opt",
        "max-size=1m",
        "--runtime",
        "r",
        "--annotation",
        "a=b",
        "--storage-opt",
        "size=1g",
        "--link",
        "a:b",
        "img",
    ],
];

#[test]
fn the_line_makes_the_same_request_again() {
    for line in LINES {
        let origin = origin(line);
        let (words, unsaid) = run::line(&origin).unwrap();
        assert_eq!(unsaid, Vec::<String>::new(), "{line:?}");
        // `run` has flags of its own beside those of the request.
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let own = |word: &&str| !word.starts_with("--name=") && *word != "--detach";
        let again = made_by(&words.iter().copied().filter(own).collect::<Vec<_>>()).unwrap();
        let value = |request| serde_json::to_value(request).unwrap();
        assert_eq!(value(&again), value(&origin.request), "{words:?}");
    }
}

#[test]
fn a_shell_reads_the_line_as_it_is() {
    let origin = origin(LINES[2]);
    let line = run::text(&origin).unwrap();
    let shell = std::process::Command::new("sh")
        .args(["-c", &format!("barge() {{ printf '%s\\0' \"$@\"; }}; {line}")])
        .output()
        .unwrap();
    let text = String::from_utf8(shell.stdout).unwrap();
    let read: Vec<&str> = text.split_terminator('\0').skip(1).collect();
    assert_eq!(read, run::line(&origin).unwrap().0);
}

#[test]
fn what_cannot_be_said_is_named() {
    let mut origin = origin(&["img"]);
    origin.request.host_config.resources.device_requests = vec![Default::default()];
    let line = run::text(&origin).unwrap();
    assert_eq!(line, "# cc: not said here: HostConfig.DeviceRequests\nbarge run --name=cc img\n");
}

#[test]
fn what_was_changed_is_in_it_and_the_request_stays_as_it_was() {
    let mut origin = origin(&["-e", "A=1", "img"]);
    let edited = self::origin(&["-e", "A=2", "-l", "x=y", "img"]).request;
    origin.edited = Some(edited);
    origin.differences = vec!["it has no label z".to_owned()];
    let line = run::text(&origin).unwrap();
    assert!(line.starts_with("# cc: changed since it was made, and so is this;"), "{line}");
    assert!(line.contains("\n# cc: other than this makes: it has no label z\n"), "{line}");
    assert!(line.ends_with("\nbarge run --name=cc --env=A=2 --label=x=y img\n"), "{line}");
    let file = compose::text(std::slice::from_ref(&origin)).unwrap();
    assert!(file.contains("      - \"A=2\"\n"), "{file}");
    let request = super::body(&origin).unwrap();
    assert!(request.contains("\"A=1\"") && !request.contains("\"A=2\""), "{request}");
}

#[test]
fn a_compose_file_says_the_same() {
    let text = compose::text(&[origin(LINES[2]), origin(&["-v", "data:/d", "-p", "80:80", "img"])])
        .unwrap();
    for line in [
        "services:\n  cc:\n",
        "    environment:\n      - \"A=it's $$HOME\"\n",
        "    restart: \"on-failure:3\"\n",
        "    mem_limit: \"100m\"\n",
        "    entrypoint:\n      - \"\"\n",
    ] {
        let first = compose::text(&[origin(LINES[2])]).unwrap();
        assert!(first.contains(line), "{line} is not in {first}");
    }
    assert!(text.contains("volumes:\n  data:\n    external: true\n"), "{text}");
    assert!(text.contains("    ports:\n      - \"80:80/tcp\"\n"), "{text}");
}

#[test]
fn devices_by_name_and_gpus_are_in_a_compose_file() {
    let file = compose::text(&[origin(LINES[0])]).unwrap();
    let devices = "    devices:\n      - \"/dev/null:/dev/null:rwm\"\n      - \"vendor.example/class=one\"\n      \
                   - \"vendor.example/class=two\"\n";
    assert!(file.contains(devices), "{file}");
    let reserved = "    deploy:\n      resources:\n        reservations:\n          devices:\n            \
                    - capabilities:\n                - gpu\n              count: all\n";
    assert!(file.contains(reserved), "{file}");
    for text in ["device_ids:\n                - \"0\"\n", "driver: nvidia\n", "count: 2\n"] {
        assert!(file.contains(text), "{text} is not in {file}");
    }
    assert!(!file.contains("not said here"), "{file}");
}

#[test]
fn a_yaml_reader_reads_what_was_written() {
    // JSON is YAML: each scalar that is quoted is JSON, and each that is not is a plain word.
    let text = compose::text(&[origin(LINES[5])]).unwrap();
    for line in text.lines() {
        let scalar = line.trim_start_matches([' ', '-']);
        let scalar = scalar.split_once(": ").map_or(scalar, |(_, value)| value);
        if scalar.starts_with('"') {
            let read: Result<Value, _> = serde_json::from_str(scalar.trim_end_matches(':'));
            assert!(read.is_ok(), "{line}");
        }
    }
}
