//! What barged says before it serves anything, as a user sees it.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail it")]

use std::fs;
use std::process::{Command, Output};

/// Runs it in a folder of its own, in which it finds and leaves nothing.
fn barged(file: &str, arguments: &[&str]) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("daemon.json"), file).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_barged"))
        .current_dir(folder.path())
        .args(["--config-file=daemon.json", "--data-root=data", "--exec-root=exec"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(!folder.path().join("data").exists());
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    (output, errors)
}

#[test]
fn version_is_printed() {
    let (output, _) = barged("", &["-v"]);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("Barge version "));
}

#[test]
fn unknown_flags_end_with_125() {
    let (output, errors) = barged("", &["--nope"]);
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(errors, "unknown flag: --nope\nSee 'barged --help'.\n");
    let (output, errors) = barged("", &["--tlsverify"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(errors.starts_with("flag --tlsverify of dockerd is not supported by barged\n"));
}

#[test]
fn validate_checks_flags_file_and_values() {
    let (output, errors) = barged(r#"{"debug":true}"#, &["--validate", "--bip=10.1.0.1/24"]);
    assert!(output.status.success());
    assert_eq!(errors, "configuration OK\n");
    let (output, errors) = barged("", &["--validate", "--bip=10.1.0.1"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(errors, "bip: invalid CIDR address: 10.1.0.1\n");
    let (output, errors) = barged(r#"{"nope":1}"#, &["--validate"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("don't match any configuration option: nope"), "{errors}");
    for (flags, wrong) in [
        (&["--dns=foo"][..], "dns: foo is not an ip address"),
        (&["--storage-driver=floppy"], "unknown storage driver \"floppy\""),
        (&["--storage-opt=nothing"], "nothing"),
        (&["--log-driver=paper"], "paper"),
        (&["--log-opt=max-size=x"], "invalid size: 'x'"),
        (&["--default-runtime=nosuch"], "specified default runtime 'nosuch' does not exist"),
        (&["--cgroup-parent=../x"], "../x"),
    ] {
        let (output, errors) = barged("", &[&["--validate"], flags].concat());
        assert_eq!(output.status.code(), Some(1), "{flags:?}");
        assert!(errors.contains(wrong), "{flags:?}: {errors}");
    }
}

#[test]
fn what_flag_and_file_both_say_is_refused() {
    let (output, errors) = barged(r#"{"debug":true}"#, &["--debug=false"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("debug: (from flag: false, from file: true)"), "{errors}");
}

#[test]
fn a_missing_file_that_was_named_is_an_error() {
    let (output, errors) = barged("", &["--config-file=/does/not/exist", "--validate"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors.starts_with("unable to configure the Docker daemon with file /does/not/exist: "),
        "{errors}"
    );
}

#[test]
fn a_bad_host_is_refused_before_anything_is_opened() {
    for (host, text) in [("fd://", "socket activation"), ("x", "invalid bind address (x)")] {
        let (output, errors) = barged("", &["-H", host]);
        assert_eq!(output.status.code(), Some(1));
        assert!(errors.contains(text), "{errors}");
    }
}
