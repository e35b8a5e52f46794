//! Builds that are refused before their first step, that are broken off, and that are to be quiet.

use std::fs;

use barge_testkit::{Client, Outcome, Sharing, TestHost};

static HOST: Sharing = Sharing::new();

/// A context with this Dockerfile; gives its path.
fn context(host: &TestHost, dockerfile: &str) -> String {
    let folder = host.scratch().join(host.unique("refused"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    folder.to_str().unwrap().to_owned()
}

fn build(host: &TestHost, arguments: &[&str]) -> Outcome {
    host.busybox();
    let all: Vec<&str> = ["build"].iter().chain(arguments).copied().collect();
    host.barge(&all)
}

#[test]
fn what_cannot_be_written_is_told_before_the_first_step() {
    let host = HOST.host();
    let folder = context(&host, "FROM busybox\nRUN true\n");
    let file = format!("{folder}/Dockerfile");
    let local = format!("type=local,dest={file}/sub");
    for (arguments, text) in [
        (["--iidfile", "/nonexist/iid"], "open /nonexist/iid: no such file or directory"),
        (["--metadata-file", "/nonexist/m"], "open /nonexist/m: no such file or directory"),
        (["--iidfile", &folder], "is a directory"),
        (["-o", "type=local"], "dest is required for local output"),
        (["-o", "type=tar,dest=/nonexist/x"], "\"/nonexist\" does not exist"),
        (["-o", "type=oci,dest=/nonexist/x"], "\"/nonexist\" does not exist"),
        (["-o", "type=docker,dest=/nonexist/x"], "\"/nonexist\" does not exist"),
        (["-o", &local], "is not a directory"),
        (["-o", "type=zip"], "unknown output type \"zip\""),
        (["--cache-from", "type=local,src=/tmp,foo=bar"], "type=local,foo=bar is not supported"),
        (["--annotation", "index:a=b"], "index is not supported: "),
    ] {
        let all = [&["--progress=plain"], &arguments[..], &[&folder]].concat();
        let outcome = build(&host, &all);
        let error = outcome.fails(1);
        assert!(error.starts_with("ERROR: failed to build: ") && error.contains(text), "{error}");
        assert_eq!(outcome.stderr.trim_end().lines().count(), 1, "{error}");
    }
    let error = format!("unable to prepare context: context must be a directory: {file}");
    build(&host, &[&file]).fails_saying(1, &error);
}

#[test]
fn a_frontend_of_its_own_is_an_error_with_its_line() {
    let host = HOST.host();
    let folder = context(&host, "# escape=`\n# syntax=foo/bar:1\nFROM busybox\n");
    for more in ["--check", "--progress=plain"] {
        let outcome = build(&host, &[more, &folder]);
        let error = outcome.fails(1);
        assert!(error.contains("line 2: foo/bar:1 is a frontend of its own"), "{error}");
        assert!(error.contains("   2 | >>> # syntax=foo/bar:1"), "{error}");
    }
    let mirrored = "# syntax=mirror.example:5000/docker/dockerfile-upstream:1\nFROM busybox\n";
    build(&host, &["-q", &context(&host, mirrored)]).ok();
}

#[test]
fn quiet_leaves_room_for_errors_only() {
    let host = HOST.host();
    let folder = context(&host, "FROM busybox\nMAINTAINER me\n");
    assert!(build(&host, &[&folder]).stderr.contains("1 warning found"));
    for flag in ["-q", "--progress=quiet"] {
        let outcome = build(&host, &[flag, "--cache-from=type=local,src=/nonexist", &folder]);
        outcome.ok();
        assert_eq!(outcome.stderr, "", "{flag}");
        assert!(outcome.stdout.starts_with("sha256:"), "{outcome}");
    }
    let wrong = context(&host, "FROM busybox\nMAINTAINER me\nRUN echo why; false\n");
    let error = build(&host, &["-q", &wrong]);
    assert!(error.fails(1).contains("why\n") && !error.stderr.contains("warning"), "{error}");
}

#[test]
fn ctrl_c_says_that_the_build_was_cancelled() {
    let host = HOST.host();
    host.busybox();
    // What it writes is not in its name.
    let folder = context(&host, "FROM busybox\nRUN echo be\"gun\"; tail -f /dev/null\n");
    for (view, step) in [("plain", "#2 CANCELED"), ("tty", "CANCELED [2/2] RUN echo")] {
        let view = format!("--progress={view}");
        let mut terminal = host.terminal(Client::Barge, &["build", &view, &folder]);
        terminal.expect("begun").send("\x03");
        terminal.expect(step).expect("ERROR: failed to build: context canceled");
        assert_eq!(terminal.wait(), 130, "{}", terminal.screen());
    }
}
