//! Whole command lines and the requests they become.

use clap::{Args as _, FromArgMatches as _};
use serde_json::{Value, json};

use super::*;
use crate::flags::{ARGUMENTS, Order, shape};

fn made(line: &[&str]) -> std::result::Result<Value, String> {
    Ok(serde_json::to_value(made_by(line)?).unwrap())
}

/// The request of a line of `run`.
pub(in crate::commands::container) fn made_by(
    line: &[&str],
) -> std::result::Result<ContainerCreateRequest, String> {
    let command = shape(ContainerFlags::augment_args(clap::Command::new("run")), Order::FlagsFirst);
    let matches = command.try_get_matches_from(line).map_err(|error| error.to_string())?;
    let arguments = matches.get_many::<String>(ARGUMENTS).into_iter().flatten().cloned().collect();
    let flags = ContainerFlags::from_arg_matches(&matches).unwrap();
    let input = Input { matches, arguments };
    request(&flags, &input).map_err(|error| error.to_string())
}

#[test]
fn flags_become_fields() {
    let value = made(&["-it", "--rm", "--name-is-not-here=x"]);
    assert!(value.is_err());
    let value = made(&[
        "-it",
        "--rm",
        "-m",
        "100m",
        "--cpus=0.1",
        "-e",
        "A=1",
        "-l",
        "x",
        "-u",
        "1:2",
        "-w",
        "/w",
        "-h",
        "host",
        "--init=false",
        "--stop-signal",
        "INT",
        "--stop-timeout",
        "3",
        "--restart",
        "no",
        "-v",
        "/a:/b:ro",
        "--tmpfs",
        "/t:size=1m",
        "-p",
        "8080:80",
        "--ulimit",
        "nofile=1:2",
        "--entrypoint",
        "",
        "--memory-swap",
        "-1",
        "img",
        "sh",
        "-c",
        "echo",
    ])
    .unwrap();
    for (path, expected) in [
        ("/Tty", json!(true)),
        ("/OpenStdin", json!(true)),
        ("/StdinOnce", json!(true)),
        ("/AttachStdin", json!(true)),
        ("/AttachStdout", json!(true)),
        ("/Cmd", json!(["sh", "-c", "echo"])),
        ("/Entrypoint", json!([""])),
        ("/Env", json!(["A=1"])),
        ("/Labels", json!({ "x": "" })),
        ("/User", json!("1:2")),
        ("/WorkingDir", json!("/w")),
        ("/Hostname", json!("host")),
        ("/StopSignal", json!("INT")),
        ("/StopTimeout", json!(3)),
        ("/ExposedPorts", json!({ "80/tcp": {} })),
        ("/HostConfig/Init", json!(false)),
        ("/HostConfig/AutoRemove", json!(true)),
        ("/HostConfig/Memory", json!(104_857_600)),
        ("/HostConfig/MemorySwap", json!(-1)),
        ("/HostConfig/NanoCpus", json!(100_000_000)),
        ("/HostConfig/Binds", json!(["/a:/b:ro"])),
        ("/HostConfig/Tmpfs", json!({ "/t": "size=1m" })),
        ("/HostConfig/PortBindings", json!({ "80/tcp": [{ "HostIp": "", "HostPort": "8080" }] })),
        ("/HostConfig/Ulimits", json!([{ "Name": "nofile", "Soft": 1, "Hard": 2 }])),
        ("/HostConfig/NetworkMode", json!("default")),
        ("/HostConfig/RestartPolicy", json!({ "Name": "no", "MaximumRetryCount": 0 })),
        ("/HostConfig/MemorySwappiness", json!(-1)),
    ] {
        assert_eq!(value.pointer(path), Some(&expected), "{path}");
    }
}

#[test]
fn what_is_not_said_is_not_sent() {
    let value = made(&["img"]).unwrap();
    assert_eq!(value["Cmd"], Value::Null);
    assert_eq!(value["Entrypoint"], Value::Null);
    assert_eq!(value["AttachStdin"], json!(false));
    assert_eq!(value["HostConfig"]["MaskedPaths"], Value::Null);
    for path in ["/HostConfig/Init", "/StopSignal", "/StopTimeout", "/Healthcheck"] {
        assert_eq!(value.pointer(path), None, "{path}");
    }
}

#[test]
fn health_checks_are_off_or_described() {
    let test = |line: &[&str]| made(line).map(|value| value["Healthcheck"].clone());
    assert_eq!(test(&["--no-healthcheck", "i"]), Ok(json!({ "Test": ["NONE"] })));
    assert_eq!(
        test(&["--health-cmd", "true", "--health-interval=2s", "--health-retries=3", "i"]),
        Ok(json!({ "Test": ["CMD-SHELL", "true"], "Interval": 2_000_000_000_i64, "Retries": 3 }))
    );
    assert_eq!(
        test(&["--health-cmd", "x", "--no-healthcheck", "i"]),
        Err("--no-healthcheck conflicts with --health-* options".to_owned())
    );
    assert_eq!(
        test(&["--health-interval", "-1s", "i"]),
        Err("--health-interval cannot be negative".to_owned())
    );
}

#[test]
fn wrong_combinations_are_refused_in_dockers_words() {
    for (line, message) in [
        (&["--pid", "foo", "i"][..], "--pid: invalid PID mode"),
        (&["--pid", "container:", "i"], "--pid: invalid PID mode"),
        (&["--uts", "foo", "i"], "--uts: invalid UTS mode"),
        (&["--userns", "foo", "i"], "--userns: invalid USER mode"),
        (&["--cgroupns", "x", "i"], "--cgroupns: invalid CGROUP mode"),
        (
            &["--rm", "--restart", "always", "i"],
            "conflicting options: cannot specify both --restart and --rm",
        ),
        (
            &["--restart", "on-failure:x", "i"],
            "invalid restart policy format: maximum retry count must be an integer",
        ),
        (
            &["--log-driver", "none", "--log-opt", "a=b", "i"],
            "invalid logging opts for driver none",
        ),
        (&["--storage-opt", "x", "i"], "invalid storage option"),
        (&["--mac-address", "x", "i"], "x is not a valid mac address"),
        (
            &["--memory-swappiness", "500", "i"],
            "invalid value: 500. Valid memory swappiness range is 0-100",
        ),
    ] {
        assert_eq!(made(line), Err(message.to_owned()), "{line:?}");
    }
}
