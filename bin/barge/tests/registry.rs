//! Registries, as far as the client has to do with them: who logs in where, where credentials are
//! kept and with which request they go; and what is printed of a pull and a push.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]
#![expect(clippy::panic, reason = "a failed helper is a failed test")]

mod daemon;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use daemon::Daemon;
use daemon::terminal::on_terminal;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A daemon, and a user's own folders.
struct User {
    daemon: Daemon,
    config: PathBuf,
    programs: PathBuf,
}

impl User {
    fn new(config: &Value) -> Self {
        let daemon = Daemon::start();
        let folder = daemon.folder();
        let (settings, programs) = (folder.join("docker"), folder.join("bin"));
        fs::create_dir_all(&settings).unwrap();
        fs::create_dir_all(&programs).unwrap();
        fs::write(settings.join("config.json"), config.to_string()).unwrap();
        Self { daemon, config: settings, programs }
    }

    /// A credential store that keeps one file, and notes what it was asked.
    fn has_store(&self) {
        let folder = self.daemon.folder();
        let script = format!(
            "#!/bin/sh\ncd {}\necho \"$1\" >> asked\ncase $1 in\n\
             store) cat > kept ;;\n\
             get) cat > which; if [ -e kept ]; then cat kept; else \
             echo credentials not found in native keychain; exit 1; fi ;;\n\
             erase) rm -f kept ;;\nesac\n",
            folder.display()
        );
        let path = self.programs.join("docker-credential-test");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self, words: &[&str], input: &str) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.programs.display());
        let mut child = self
            .daemon
            .barge(words)
            .env("DOCKER_CONFIG", &self.config)
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that does not read its input has ended.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        child.wait_with_output().unwrap()
    }

    fn config(&self) -> Value {
        serde_json::from_slice(&fs::read(self.config.join("config.json")).unwrap()).unwrap()
    }
}

#[test]
fn credentials_are_kept_in_the_file_and_go_with_a_push() {
    let user = User::new(&json!({ "psFormat": "x" }));
    let words = ["login", "-u", "alice", "--password-stdin", "https://h:5000/v2/"];
    let output = user.run(&words, "se:cret\n");
    assert_eq!(text(&output.stdout), "Login Succeeded\n", "{}", text(&output.stderr));
    let file = user.config.join("config.json");
    assert_eq!(
        text(&output.stderr),
        format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential \
             helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n\n",
            file.display()
        )
    );
    assert_eq!(
        user.config(),
        json!({ "psFormat": "x", "auths": { "h:5000": { "auth": "YWxpY2U6c2U6Y3JldA==" } } })
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let asked = &user.daemon.requests()[0];
    assert_eq!(asked.line, "POST /auth");
    assert_eq!(
        asked.body,
        json!({ "username": "alice", "password": "se:cret", "serveraddress": "h:5000" })
    );
    assert!(user.run(&["push", "h:5000/a"], "").status.success());
    let pushed = user.daemon.wait_for("POST /images/h:5000/a/push?tag=latest");
    assert_eq!(pushed.auth["username"], "alice");
    assert_eq!(pushed.auth["password"], "se:cret");
    // Another registry does not get them.
    assert!(user.run(&["pull", "other:5000/a"], "").status.success());
    let pulled = user.daemon.wait_for("POST /images/create?fromImage=other%3A5000%2Fa");
    assert_eq!(pulled.auth, json!({}));
    let output = user.run(&["logout", "h:5000"], "");
    assert_eq!(text(&output.stdout), "Removing login credentials for h:5000\n");
    assert_eq!(user.config(), json!({ "psFormat": "x", "auths": {} }));
}

#[test]
fn a_store_keeps_them_instead_of_the_file() {
    let user = User::new(&json!({ "credHelpers": { "h:5000": "test" } }));
    user.has_store();
    let output = user.run(&["login", "-u", "bob", "--password-stdin", "h:5000"], "pass");
    assert_eq!(text(&output.stdout), "Login Succeeded\n", "{}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "nothing lies open: {}", text(&output.stderr));
    let folder = user.daemon.folder();
    let kept: Value = serde_json::from_slice(&fs::read(folder.join("kept")).unwrap()).unwrap();
    assert_eq!(kept, json!({ "ServerURL": "h:5000", "Username": "bob", "Secret": "pass" }));
    assert_eq!(user.config()["auths"], json!({ "h:5000": {} }));
    assert!(user.run(&["pull", "-q", "h:5000/a:1"], "").status.success());
    let pulled = user.daemon.wait_for("POST /images/create?fromImage=h%3A5000%2Fa&tag=1");
    assert_eq!(pulled.auth["username"], "bob");
    assert_eq!(fs::read_to_string(folder.join("which")).unwrap(), "h:5000");
    assert!(user.run(&["logout", "h:5000"], "").status.success());
    assert!(!folder.join("kept").exists());
}

#[test]
fn a_token_is_kept_in_place_of_the_password() {
    let user = User::new(&json!({ "credsStore": "test" }));
    user.has_store();
    assert!(user.run(&["login", "-u", "token", "--password-stdin", "h"], "p").status.success());
    let kept = fs::read(user.daemon.folder().join("kept")).unwrap();
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    assert_eq!(kept, json!({ "ServerURL": "h", "Username": "<token>", "Secret": "t0ken" }));
    assert!(user.run(&["manifest", "inspect", "h.io/a"], "").status.success());
    let asked = user.daemon.wait_for("GET /distribution/h.io/a:latest/json");
    assert_eq!(asked.auth["identitytoken"], "t0ken");
    assert_eq!(asked.auth["password"], Value::Null);
}

#[test]
fn what_is_kept_will_do_for_the_next_login() {
    let user = User::new(&json!({ "auths": { "h": { "auth": "YTpi" } } }));
    let output = user.run(&["login", "h"], "");
    assert_eq!(text(&output.stdout), "Login Succeeded\n");
    assert!(
        text(&output.stderr)
            .starts_with("Authenticating with existing credentials... [Username: a]\n")
    );
    assert_eq!(user.daemon.requests()[0].body["password"], "b");
}

#[test]
fn a_login_that_cannot_be_is_told_in_dockers_words() {
    let user = User::new(&json!({}));
    for (words, input, error) in [
        (&["login"][..], "", "Error: Cannot perform an interactive login from a non TTY device\n"),
        (
            &["login", "--password-stdin"],
            "x",
            "the --password-stdin option requires --username to be set\n",
        ),
        (
            &["login", "-u", "a", "-p", "b", "--password-stdin"],
            "x",
            "conflicting options: cannot specify both --password and --password-stdin\n",
        ),
        (
            &["login", "-u", "a", "--password-stdin", "h"],
            "wrong",
            "Error response from daemon: no such user\n",
        ),
    ] {
        let output = user.run(words, input);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert_eq!(text(&output.stderr), error, "{words:?}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(user.config(), json!({}), "nothing is kept of what failed");
}

#[test]
fn a_broken_configuration_is_told_and_not_overwritten() {
    let user = User::new(&json!({}));
    let file = user.config.join("config.json");
    fs::write(&file, "{oops").unwrap();
    let output = user.run(&["login", "-u", "a", "--password-stdin", "h"], "b");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("loading config file: "), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(&file).unwrap(), "{oops");
}

#[test]
fn without_a_terminal_a_pull_is_dockers_lines() {
    let user = User::new(&json!({}));
    let output = user.run(&["pull", "h:5/a"], "");
    assert_eq!(
        text(&output.stdout),
        "Using default tag: latest\nlatest: Pulling from a\n1709f09e5343: Pulling fs layer\n\
         1709f09e5343: Pull complete\nDigest: sha256:0\nh:5/a:latest\n"
    );
    assert!(output.stderr.is_empty());
    let output = user.run(&["pull", "-q", "a"], "");
    assert_eq!(text(&output.stdout), "docker.io/library/a:latest\n");
    let output = user.run(&["pull", "-a", "--platform", "linux/arm64", "b"], "");
    assert!(output.status.success());
    user.daemon.wait_for("POST /images/create?fromImage=b&platform=linux%2Farm64");
    let output = user.run(&["pull", "-a", "b:1"], "");
    assert_eq!(text(&output.stderr), "tag can't be used with --all-tags/-a\n");
}

#[test]
fn an_error_in_the_stream_ends_with_1() {
    let user = User::new(&json!({}));
    for words in [&["pull", "broken"][..], &["push", "broken:1"], &["push", "-q", "broken:1"]] {
        let output = user.run(words, "");
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert_eq!(text(&output.stderr), "it broke\n", "{words:?}");
    }
    let output = user.run(&["push", "a@sha256:0"], "");
    assert_eq!(text(&output.stderr), "invalid reference format\n");
    let output = user.run(&["pull", "--disable-content-trust=false", "a"], "");
    assert!(text(&output.stderr).contains("content trust is not supported"));
}

#[test]
fn a_missing_image_is_looked_for_in_its_registry() {
    let user =
        User::new(&json!({ "auths": { "https://index.docker.io/v1/": { "auth": "YTpi" } } }));
    let output = user.run(&["run", "missing"], "");
    assert_eq!(output.status.code(), Some(125));
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with("Unable to find image 'missing:latest' locally\n"), "{stderr}");
    let asked = user.daemon.wait_for("POST /images/create?fromImage=missing&tag=latest");
    assert_eq!(asked.auth["username"], "a");
    // Told not to, it is not.
    let before = user.daemon.lines().len();
    let output = user.run(&["run", "--pull", "never", "missing"], "");
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(user.daemon.lines().len(), before + 1);
    // Told to, it is before anything else; what is shown of it is not the container's output.
    let output = user.run(&["create", "--pull", "always", "a"], "");
    assert_eq!(text(&output.stdout), "a\n");
    assert!(text(&output.stderr).contains("1709f09e5343: Pull complete\n"));
    let output = user.run(&["create", "--pull", "always", "-q", "a"], "");
    assert_eq!(text(&output.stderr), "WARNING: mind the gap\n");
}

#[test]
fn a_container_becomes_an_image() {
    let user = User::new(&json!({}));
    let words = ["commit", "-a", "me", "-m", "why", "-c", "CMD x", "--no-pause", "c1", "h:5/a:1"];
    assert_eq!(text(&user.run(&words, "").stdout), "sha256:made\n");
    assert_eq!(
        user.daemon.lines(),
        ["POST /commit?container=c1&repo=h%3A5%2Fa&tag=1&comment=why&author=me&pause=0\
          &changes=CMD%20x"]
    );
    assert_eq!(text(&user.run(&["diff", "c1"], "").stdout), "A /a\nC /b\nD /c\n");
}

#[test]
fn what_the_distribution_endpoint_cannot_give_is_refused() {
    let user = User::new(&json!({}));
    let output = user.run(&["manifest", "inspect", "a"], "");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["Descriptor"]["digest"], "sha256:1");
    assert_eq!(shown["Platforms"][0]["os"], "linux");
    for flag in ["--verbose", "--insecure"] {
        let output = user.run(&["manifest", "inspect", flag, "a"], "");
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).starts_with(&format!("{flag} is not supported: ")));
    }
}

#[test]
fn a_terminal_shows_bars_and_an_interrupt_ends_the_pull() {
    let daemon = Daemon::start();
    let mut terminal = on_terminal(daemon.barge(&["pull", "slow"]));
    let bar = terminal.read_until("512B/1.024kB");
    assert!(
        bar.contains(
            "1709f09e5343: Downloading [=========================>                        ]"
        ),
        "{bar}"
    );
    let pid = Pid::from_raw(i32::try_from(terminal.child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let status = terminal.child.wait().unwrap();
    // A shell makes 130 of it.
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2));
    assert_eq!(daemon.wait_for_end("slow"), 0);
}

#[test]
fn a_finished_pull_leaves_its_rows_on_the_terminal() {
    let daemon = Daemon::start();
    let mut terminal = on_terminal(daemon.barge(&["pull", "a:latest"]));
    let shown = terminal.read_until("docker.io/library/a:latest");
    assert!(
        shown.contains("1709f09e5343: Pull complete\x1b[K\r\n\x1b[JDigest: sha256:0\r\n"),
        "{shown:?}"
    );
    assert!(terminal.child.wait().unwrap().success());
}

#[test]
fn a_password_is_not_shown_while_it_is_typed() {
    let user = User::new(&json!({}));
    let client = || {
        let mut client = user.daemon.barge(&["login", "h"]);
        client.env("DOCKER_CONFIG", &user.config);
        client
    };
    let mut terminal = on_terminal(client());
    terminal.read_until("Username: ");
    terminal.ours.write_all(b"alice\n").unwrap();
    terminal.read_until("Password: ");
    // The prompt comes when nothing is echoed any more.
    assert!(terminal.is_raw());
    terminal.ours.write_all(b"s3cret\r").unwrap();
    let shown = terminal.read_until("Login Succeeded");
    assert!(!shown.contains("s3cret"), "{shown:?}");
    assert!(terminal.child.wait().unwrap().success());
    assert!(!terminal.is_raw(), "the terminal is given back");
    assert_eq!(user.daemon.requests()[0].body["password"], "s3cret");
    // Interrupted, it gives the terminal back too.
    assert!(user.run(&["logout", "h"], "").status.success());
    let mut terminal = on_terminal(client());
    terminal.read_until("Username: ");
    terminal.ours.write_all(b"alice\n").unwrap();
    terminal.read_until("Password: ");
    terminal.ours.write_all(b"s3c\x03").unwrap();
    assert_eq!(terminal.child.wait().unwrap().code(), Some(130));
    assert!(!terminal.is_raw());
}
