//! What the client says and how it ends without any daemon: Docker's words and exit codes, with our
//! name.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::process::{Command, Output, Stdio};

fn barge(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_barge"))
        .args(words)
        .env("BARGE_HOST", "unix:///nonexistent/barge.sock")
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn wrong_flags_end_with_125_and_the_usage() {
    for (words, error) in [
        (&["run", "--foo"][..], "unknown flag: --foo"),
        (&["run", "-iz", "img"], "unknown shorthand flag: 'z' in -z"),
        (&["run", "--memory"], "flag needs an argument: --memory"),
        (&["run", "-v"], "flag needs an argument: 'v' in -v"),
        (
            &["run", "-m", "x", "img"],
            "invalid argument \"x\" for \"-m, --memory\" flag: invalid size: 'x'",
        ),
        (
            &["run", "--mount", "a=b", "img"],
            "invalid argument \"a=b\" for \"--mount\" flag: unexpected key 'a' in 'a=b'",
        ),
    ] {
        let output = barge(words);
        assert_eq!(output.status.code(), Some(125), "{words:?}");
        assert_eq!(
            text(&output.stderr),
            format!(
                "{error}\n\nUsage:  barge run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n\
                 Run 'barge run --help' for more information\n"
            )
        );
        assert!(output.stdout.is_empty());
    }
    let output = barge(&["--bogus", "ps"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).starts_with("unknown flag: --bogus\n\nUsage:  barge [OPTIONS]"));
}

#[test]
fn wrong_numbers_of_arguments_end_with_1() {
    for (words, error, hint) in [
        (&["run"][..], "'barge run' requires at least 1 argument", "See"),
        (&["ps", "extra"], "'barge ps' accepts no arguments", "Run"),
        (&["rename", "a"], "'barge rename' requires 2 arguments", "Run"),
        (&["container", "stop"], "'barge container stop' requires at least 1 argument", "See"),
    ] {
        let output = barge(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.starts_with(&format!("barge: {error}\n\nUsage:  ")), "{stderr}");
        assert!(stderr.contains(&format!("\n\n{hint} 'barge ")), "{stderr}");
    }
}

#[test]
fn unknown_commands_are_named() {
    let output = barge(&["foo"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "barge: unknown command: barge foo\n\nRun 'barge --help' for more information\n"
    );
    let output = barge(&["container", "foo"]);
    assert_eq!(
        text(&output.stderr),
        "barge: unknown command: barge container foo\n\nUsage:  barge container\n\n\
         Run 'barge container --help' for more information\n"
    );
}

#[test]
fn mistyped_commands_have_a_proposal() {
    let output = barge(&["plul", "x"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "barge: unknown command: barge plul\n\nDid you mean this?\n\tpull\n\n\
         Run 'barge --help' for more information\n"
    );
    let output = barge(&["image", "prnue"]);
    assert!(text(&output.stderr).contains("Did you mean this?\n\tprune\n\nUsage:  barge image\n"));
}

#[test]
fn a_listed_command_has_one_line() {
    let output = barge(&["--help"]);
    let help = text(&output.stdout);
    assert!(help.contains("\n  login       Authenticate to a registry\n  logout "), "{help}");
    let output = barge(&["login", "--help"]);
    assert!(text(&output.stdout).starts_with(
        "Usage:  barge login [OPTIONS] [SERVER]\n\nAuthenticate to a registry.\n\
             Defaults to Docker Hub if no server is specified.\n\nOptions:\n"
    ));
}

#[test]
fn a_daemon_that_is_named_is_never_started() {
    let cannot = "Cannot connect to the barge daemon at unix:///nonexistent/barge.sock. \
                  Is the daemon running?";
    let output = barge(&["ps"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), format!("{cannot}\n"));
    let output = barge(&["run", "img"]);
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(
        text(&output.stderr),
        format!("barge: {cannot}\n\nRun 'barge run --help' for more information\n")
    );
    let output = barge(&["-H", "bogus://x", "ps"]);
    assert_eq!(
        text(&output.stderr),
        "Failed to initialize: unable to resolve barge endpoint: invalid bind address format: bogus://x\n"
    );
}

#[test]
fn what_cannot_be_run_is_told_before_the_daemon_is_asked() {
    for (words, error) in [
        (
            &["run", "--rm", "--restart", "always", "i"][..],
            "conflicting options: cannot specify both --restart and --rm",
        ),
        (&["run", "-p", "xx", "i"], "invalid containerPort: xx"),
        (
            &["run", "--env-file", "/nonexistent", "i"],
            "open /nonexistent: no such file or directory",
        ),
        (&["run", "--pid", "foo", "i"], "--pid: invalid PID mode"),
        (
            &["run", "--cidfile", "/etc/passwd", "i"],
            "container ID file found, make sure the other container isn't running or delete /etc/passwd",
        ),
    ] {
        let output = barge(words);
        assert_eq!(output.status.code(), Some(125), "{words:?}");
        assert_eq!(
            text(&output.stderr),
            format!("barge: {error}\n\nRun 'barge run --help' for more information\n")
        );
    }
    for (words, error) in [
        (&["run", "-it", "i"][..], "the input device is not a TTY"),
        (
            &["run", "-d", "-a", "stdin", "i"],
            "conflicting options: cannot specify both --attach and --detach",
        ),
        (&["start", "-a", "a", "b"], "you cannot start and attach multiple containers at once"),
        (&["events", "--since", "x"], "failed to parse value as time or duration: \"x\""),
        (
            &["inspect", "--type", "foo", "x"],
            "unknown type: \"foo\": must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\"",
        ),
        (&["--log-level", "foo", "ps"], "Unable to parse logging level: foo"),
    ] {
        let output = barge(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert_eq!(text(&output.stderr), format!("{error}\n"));
    }
}

#[test]
fn help_and_version_need_no_daemon() {
    let output = barge(&["run", "--help"]);
    assert!(output.status.success());
    let help = text(&output.stdout);
    assert!(help.starts_with(
        "Usage:  barge run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nCreate and run a new container from an image\n"
    ));
    assert!(
        help.contains("\n  -h, --hostname string                  Container host name\n"),
        "{help}"
    );
    assert!(help.lines().all(|line| line.len() <= 80), "{help}");
    assert_eq!(barge(&["help", "run"]).stdout, output.stdout);
    let output = barge(&["--version"]);
    assert_eq!(text(&output.stdout), concat!("Barge version ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = barge(&["--help"]).stdout;
    let help = text(&help);
    assert!(help.contains("\nManagement Commands:\n  builder     Manage builds\n"), "{help}");
    assert!(help.contains("\n  container   Manage containers\n"), "{help}");
    let output = barge(&["version"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("Client:\n Version: "));
}
