//! Changing a container that there is, and the command that made it.

use std::io::Read as _;
use std::net::TcpStream;

use barge_testkit::{Client, TestHost, eventually};

/// What a container does that says something to whoever connects.
const SERVER: &str = "nc -ll -p 81 -e echo served & exec nc -ll -p 80 -e echo served";

/// Asks until it is answered: a server in a container starts listening in its own time.
fn ask(host: &TestHost, address: &str) {
    host.in_netns(|| {
        eventually("somebody answers", || {
            let mut text = String::new();
            TcpStream::connect(address).is_ok_and(|mut stream| {
                stream.read_to_string(&mut text).is_ok() && text == "served\n"
            })
        });
    });
}

fn is_refused(host: &TestHost, address: &str) -> bool {
    host.in_netns(|| TcpStream::connect(address).is_err())
}

fn ports(host: &TestHost, name: &str) -> String {
    let mut lines: Vec<String> =
        host.barge(&["port", name]).text().lines().map(str::to_owned).collect();
    lines.sort();
    lines.join("\n")
}

/// A container that runs, and a change of everything that an edit can change.
fn change_while_it_runs(host: &TestHost) -> String {
    let folder = host.scratch().join("data");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("file"), "from the host").unwrap();
    let run = ["run", "-d", "--name", "cc", "-e", "A=1", "-l", "old=1", "-p", "8080:80", "busybox"];
    host.barge(&[&run[..], &["sleep", "1000"]].concat()).ok();
    let id = host.id("cc");
    let mount = format!("type=bind,src={},dst=/data,readonly", folder.display());
    let update = host.barge(&[
        "container",
        "update",
        "--env-add",
        "A=2",
        "--env-add",
        "B=x y",
        "--label-add",
        "new=2",
        "--label-rm",
        "old",
        "--publish-add",
        "127.0.0.1:8081:81",
        "--mount-add",
        &mount,
        "--mount-add",
        "type=volume,src=kept,dst=/kept",
        "--hostname",
        "other",
        "--workdir",
        "/data",
        "--stop-timeout",
        "1",
        "cc",
    ]);
    update.ok();
    assert_eq!(update.text(), "cc");
    let note = "cc: --env-add, --mount-add, --hostname, --workdir: in force with the next start of the container";
    assert_eq!(update.stderr.trim(), note);
    id
}

#[test]
fn what_can_change_live_does_and_the_rest_waits_for_the_next_start() {
    let mut host = TestHost::new();
    host.busybox();
    let id = change_while_it_runs(&host);
    // At once.
    let shown = host.inspect("cc");
    assert_eq!(shown["Config"]["Labels"]["new"], "2");
    assert!(shown["Config"]["Labels"]["old"].is_null());
    assert_eq!(shown["Config"]["StopTimeout"], 1);
    assert_eq!(ports(&host, "cc"), "80/tcp -> 0.0.0.0:8080\n81/tcp -> 127.0.0.1:8081");
    // Later, and shown.
    assert_eq!(shown["Config"]["Env"][0], "A=1");
    assert_eq!(shown["Pending"][0]["EnvAdd"], serde_json::json!(["A=2", "B=x y"]));
    assert_eq!(shown["Pending"][0]["Hostname"], "other");
    assert_eq!(shown["Mounts"], serde_json::json!([]));
    // A new daemon knows all of it.
    host.kill9();
    host.start();
    assert_eq!(host.inspect("cc")["Pending"][0]["Hostname"], "other");
    host.barge(&["restart", "-t", "0", "cc"]).ok();
    assert_eq!(host.id("cc"), id);
    let shown = host.inspect("cc");
    assert!(shown.get("Pending").is_none(), "{shown}");
    let inside = "echo $A-$B; hostname; pwd; cat file; echo more > /kept/f; touch /data/no";
    let seen = host.barge(&["exec", "cc", "sh", "-c", inside]);
    assert_eq!(seen.stdout, "2-x y\nother\n/data\nfrom the host");
    assert!(seen.stderr.contains("Read-only file system"), "{}", seen.stderr);
    assert_eq!(ports(&host, "cc"), "80/tcp -> 0.0.0.0:8080\n81/tcp -> 127.0.0.1:8081");
    // And away again, of a container that does not run: at once.
    host.barge(&["stop", "-t", "0", "cc"]).ok();
    let update = host.barge(&[
        "update",
        "--env-rm",
        "B",
        "--mount-rm",
        "/data",
        "--mount-rm",
        "/kept/",
        "--publish-rm",
        "80",
        "--workdir",
        "/",
        "cc",
    ]);
    update.ok();
    assert_eq!(update.stderr, "");
    host.barge(&["start", "cc"]).ok();
    let seen = host.barge(&["exec", "cc", "sh", "-c", "echo $A-$B; pwd; ls /data /kept"]);
    assert_eq!(seen.stdout, "2-\n/\n/data:\n\n/kept:\n");
    assert_eq!(ports(&host, "cc"), "81/tcp -> 127.0.0.1:8081");
    // The volume is nobody's any more, and nothing of it is lost.
    let read = ["run", "--rm", "-v", "kept:/k", "busybox", "cat", "/k/f"];
    assert_eq!(host.barge(&read).text(), "more");
    host.barge(&["volume", "rm", "kept"]).ok();
}

#[test]
fn what_waits_gives_way_to_what_is_said_later() {
    let host = TestHost::new();
    host.busybox();
    let folder = host.scratch().join("gone");
    std::fs::create_dir(&folder).unwrap();
    host.barge(&["run", "-d", "--name", "cc", "busybox", "sleep", "1000"]).ok();
    let mount = format!("type=bind,src={},dst=/gone", folder.display());
    let update = ["update", "--env-add", "A=1", "--env-add", "B=1", "--mount-add", &mount, "cc"];
    host.barge(&update).ok();
    host.barge(&["stop", "-t", "0", "cc"]).ok();
    // A mount whose source is gone keeps it from starting; it can be taken back.
    std::fs::remove_dir(&folder).unwrap();
    host.barge(&["start", "cc"]).fails_saying(1, "bind source path does not exist");
    host.barge(&["update", "--env-add", "A=2", "--mount-rm", "/gone", "cc"]).ok();
    assert!(host.inspect("cc").get("Pending").is_none());
    host.barge(&["start", "cc"]).ok();
    let seen = host.barge(&["exec", "cc", "sh", "-c", "echo $A $B; ls -d /gone"]);
    assert_eq!(seen.stdout, "2 1\n");
}

#[test]
fn a_port_is_published_while_it_runs() {
    let host = TestHost::new();
    host.busybox();
    host.barge(&["run", "-d", "--name", "cc", "busybox", "sh", "-c", SERVER]).ok();
    assert!(is_refused(&host, "127.0.0.1:8080"));
    host.barge(&["update", "--publish-add", "8080:80", "--publish-add", "8081:81", "cc"]).ok();
    ask(&host, "127.0.0.1:8080");
    host.barge(&["update", "--publish-rm", "80/tcp", "cc"]).ok();
    assert!(is_refused(&host, "127.0.0.1:8080"));
    ask(&host, "127.0.0.1:8081");
}

#[test]
fn a_wrong_edit_changes_nothing() {
    let host = TestHost::new();
    host.busybox();
    host.barge(&["run", "-d", "--name", "taken", "-p", "8080:80", "busybox", "sleep", "1000"]).ok();
    host.barge(&["run", "-d", "--name", "cc", "-m", "64m", "busybox", "sleep", "1000"]).ok();
    let before = host.inspect("cc");
    for (flags, text) in [
        (&["--env-rm", "NONE"][..], "container cc has no variable NONE"),
        (&["--label-rm", "none"], "container cc has no label none"),
        (&["--mount-rm", "/none"], "container cc has no mount at /none"),
        (&["--publish-rm", "80"], "container cc does not publish 80/tcp"),
        (&["--publish-rm", "81:80"], "is named by the container's port alone, as 80 or 80/udp"),
        (
            &["--mount-add", "type=bind,src=/does/not/exist,dst=/x"],
            "bind source path does not exist",
        ),
        (&["--stop-signal", "NONE"], "invalid signal: NONE"),
        (&["--user", "nouser"], "unable to find user nouser: no matching entries in passwd file"),
        (&["--user", "0:strangers"], "unable to find group strangers"),
        (&["--workdir", "relative"], "it needs to be an absolute path"),
        (&["-m", "32m", "--publish-add", "8080:80"], "port is already allocated"),
        (&["--publish-add", "8081:80", "-m", "1k"], "Minimum memory limit"),
    ] {
        let update = host.barge(&[&["update"], flags, &["cc"]].concat());
        update.fails_saying(1, text);
        assert_eq!(host.inspect("cc"), before, "{flags:?}");
        assert_eq!(host.cgroup("cc", "memory", "memory.limit_in_bytes"), "67108864");
    }
    assert!(is_refused(&host, "127.0.0.1:8081"));
    let hosts = ["create", "--name", "hh", "--network", "host", "busybox", "true"];
    host.barge(&hosts).ok();
    let update = host.barge(&["update", "--publish-add", "80:80", "hh"]);
    update.fails_saying(1, "container hh has no ports to publish: its network is host");
}

#[test]
fn the_command_that_made_a_container_makes_it_again() {
    let mut host = TestHost::new();
    host.busybox();
    let script = "echo \"$A\"; hostname; cat /proc/self/limits | grep -c 'Max open files *77 '";
    for client in Client::both() {
        let run = [
            "run",
            "--name",
            "one",
            "-e",
            "A=it's $B",
            "-h",
            "box",
            "--ulimit",
            "nofile=77",
            "-v",
            "data:/d",
            "--tmpfs",
            "/t",
            "-m",
            "64m",
            "busybox",
            "sh",
            "-c",
            script,
        ];
        let first = host.run(client, &run);
        first.ok();
        host.kill9();
        host.start();
        let line = host.barge(&["inspect", "--as", "run", "one"]).text().to_owned();
        assert!(line.starts_with("barge run --name=one "), "{line}");
        let words = line.strip_prefix("barge ").unwrap().replace("--name=one", "--name=two");
        // As a shell reads it.
        let shell = std::process::Command::new("sh")
            .args(["-c", &format!("printf '%s\\0' {words}")])
            .output()
            .unwrap();
        let words = String::from_utf8(shell.stdout).unwrap();
        let second = host.barge(&words.split_terminator('\0').collect::<Vec<_>>());
        assert_eq!(second.stdout, first.stdout, "{line}");
        host.barge(&["rm", "one", "two"]).ok();
    }
    let wrong = host.barge(&["inspect", "--as", "kube", "three"]);
    wrong.fails_saying(125, "must be \"run\", \"compose\" or \"request\"");
    let both = host.barge(&["inspect", "--as", "run", "--format", "x", "three"]);
    let said = "conflicting options: --as and --format\n\nUsage:  barge inspect [OPTIONS] NAME|ID";
    both.fails_saying(125, said);
    host.barge(&["inspect", "--as", "run", "nobody"]).fails_saying(1, "No such container: nobody");
}

/// The words that a shell makes of what `inspect --as run` printed, for a container of this name.
fn words_of(host: &TestHost, line: &str, name: &str) -> Vec<String> {
    let line = line.lines().last().unwrap().strip_prefix("barge ").unwrap();
    let line = line.replace("--name=edited", &format!("--name={name}"));
    let shell = host.scratch().join("words.sh");
    std::fs::write(&shell, format!("printf '%s\\0' {line}")).unwrap();
    let words = std::process::Command::new("sh").arg(&shell).output().unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    words.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn the_command_of_an_edited_container_makes_it_as_it_is_now() {
    let mut host = TestHost::new();
    let change = "LABEL%20of-image%3Dx";
    let path = format!("/images/create?fromSrc=-&repo=labelled&changes={change}");
    let content = ("application/x-tar", barge_testkit::busybox_tar());
    host.api().send("POST", &path, Some(content)).is(200);
    let made = ["-e", "A=1", "-e", "B=2", "-l", "a=b", "-p", "80:80", "-m", "64m", "-v", "vol:/v"];
    let command = ["labelled", "sleep", "1000"];
    host.barge(&[&["run", "-d", "--name", "edited"], &made[..], &command].concat()).ok();
    let asked = host.barge(&["inspect", "--as", "request", "edited"]).text().to_owned();
    for change in [
        &["--env-add", "A=3", "--env-rm", "B", "--mount-rm", "/v"][..],
        &["--label-add", "c=d", "--label-rm", "a", "--label-rm", "of-image"],
        &["--publish-rm", "80", "--publish-add", "81:81", "--stop-timeout", "3"],
        &["--mount-add", "type=tmpfs,dst=/t", "--hostname", "box", "-m", "96m"],
        &["--restart", "on-failure:2", "--cpu-shares", "512", "--workdir", "/t", "--user", "7"],
    ] {
        host.barge(&[&["update"], change, &["edited"]].concat()).ok();
    }
    host.kill9();
    host.start();
    let line = host.barge(&["inspect", "--as", "run", "edited"]).text().to_owned();
    assert!(line.contains("# edited: changed since it was made"), "{line}");
    assert!(line.contains("# edited: other than this makes: it has no label of-image"), "{line}");
    assert_eq!(line.matches("other than this makes").count(), 1, "{line}");
    assert_eq!(host.barge(&["container", "inspect", "--as", "run", "edited"]).text(), line);
    let file = host.barge(&["inspect", "--as", "compose", "edited"]).text().to_owned();
    assert!(file.contains("    ports:\n      - \"81:81/tcp\""), "{file}");
    assert_eq!(host.barge(&["inspect", "--as", "request", "edited"]).text(), asked);

    host.barge(&["stop", "-t", "0", "edited"]).ok();
    host.barge(&["start", "edited"]).ok();
    host.barge(&["stop", "-t", "0", "edited"]).ok();
    let words = words_of(&host, &line, "again");
    host.barge(&words.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    let (edited, again) = (host.inspect("edited"), host.inspect("again"));
    let mut labels = again["Config"]["Labels"].clone();
    labels.as_object_mut().unwrap().remove("of-image").unwrap();
    assert_eq!(edited["Config"]["Labels"], labels);
    for field in ["Env", "Hostname", "User", "WorkingDir", "StopTimeout", "ExposedPorts", "Cmd"] {
        assert_eq!(edited["Config"][field], again["Config"][field], "{field}: {line}");
    }
    for field in
        ["PortBindings", "Memory", "MemorySwap", "CpuShares", "RestartPolicy", "Mounts", "Binds"]
    {
        assert_eq!(edited["HostConfig"][field], again["HostConfig"][field], "{field}: {line}");
    }
    host.barge(&["rm", "-f", "edited", "again"]).ok();
    host.barge(&["rmi", "labelled"]).ok();
}
