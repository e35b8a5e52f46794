//! `--userns-remap`: a container's root is nobody's root on the host, and nobody else notices.

mod builds;
mod images;
mod rights;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use barge_testkit::{Client, HostOptions, Process, TestHost};

/// What the containers' root is on the host.
const ROOT: u32 = 1_000_000;

fn options(flag: &str, subordinate: &str) -> HostOptions {
    let passwd =
        fs::read_to_string("/etc/passwd").unwrap() + "mapped:x:64123:64123::/:/bin/false\n";
    let group = fs::read_to_string("/etc/group").unwrap() + "mapped:x:64123:\n";
    let files = [
        ("passwd", passwd.as_str()),
        ("group", &group),
        ("subuid", subordinate),
        ("subgid", subordinate),
    ];
    HostOptions {
        flags: vec![format!("--userns-remap={flag}")],
        etc: files.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec(),
        ..HostOptions::default()
    }
}

fn remapped() -> TestHost {
    remapped_with(&[])
}

fn remapped_with(flags: &[&str]) -> TestHost {
    // Two ranges, which follow each other inside.
    let ranges =
        format!("other:100000:65536\nmapped:{}:5000\nmapped:{ROOT}:60000\n", ROOT + 100_000);
    let mut options = options("mapped", &ranges);
    options.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
    let host = TestHost::with(options);
    host.busybox();
    host
}

/// Real, effective, saved and file system ids of a process, as the host counts.
fn ids(pid: i32, line: &str) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    line.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// A file of a container's layer or of a volume, as it is on the disk.
fn stored(host: &TestHost, below: &str) -> PathBuf {
    host.data_root().join(below)
}

fn upper(host: &TestHost, container: &str) -> PathBuf {
    stored(host, "overlay2").join(host.id(container)).join("diff")
}

fn owner(path: &Path) -> (u32, u32) {
    let stat = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (stat.uid(), stat.gid())
}

/// Runs a script in a new container with both clients; what it says has to be this.
fn says(host: &TestHost, flags: &[&str], (script, wanted): (&str, &str)) {
    for client in Client::both() {
        let words = [&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat();
        let outcome = host.run(client, &words);
        assert_eq!(outcome.text(), wanted, "{client:?} {flags:?} {script}: {outcome}");
    }
}

#[test]
fn root_of_a_container_is_nobody_on_the_host_and_so_is_everybody_else() {
    let host = remapped();
    for client in Client::both() {
        let name = host.unique("root");
        host.run(client, &["run", "-d", "--name", &name, "busybox", "sleep", "1000"]).ok();
        let pid = host.pid(&name);
        assert_eq!((ids(pid, "Uid:"), ids(pid, "Gid:")), (vec![ROOT; 4], vec![ROOT; 4]));
        assert!(ids(pid, "Groups:").iter().all(|group| *group >= ROOT));
        let map = host.run(client, &["exec", &name, "cat", "/proc/self/uid_map"]);
        let numbers: Vec<&str> = map.text().split_whitespace().collect();
        assert_eq!(numbers, ["0", "1000000", "60000", "60000", "1100000", "5000"], "{map}");
        let inside = host.run(client, &["exec", &name, "sh", "-c", "id -u; id -g"]);
        assert_eq!(inside.text(), "0\n0", "{client:?}");
        let words = ["exec", "-i", "-u", "7:8", &name, "sh", "-c", "id -u; id -g; read x"];
        let exec = host.start_client(client, &words);
        exec.expect("7\n8\n");
        let other = host.processes(&name).into_iter().find(|other| *other != pid).unwrap();
        assert_eq!(
            (ids(other, "Uid:"), ids(other, "Gid:")),
            (vec![ROOT + 7; 4], vec![ROOT + 8; 4])
        );
        exec.wait().fails(1);
        host.run(client, &["rm", "-f", &name]).ok();
        let info = host.run(client, &["info", "--format", "{{json .SecurityOptions}}"]);
        assert!(info.text().contains("\"name=userns\""), "{info}");
    }
    says(&host, &["--user", "60001"], ("id -u; cut -d' ' -f4 /proc/self/stat", "60001\n0"));
    let missing = host.barge(&["run", "--rm", "--user", "70000", "busybox", "true"]);
    assert!(missing.fails(125).contains("set user 70000"), "{missing}");
}

#[test]
fn files_are_the_containers_inside_and_stored_with_its_own_ids() {
    let host = remapped();
    let name = host.unique("files");
    let script = "mkdir /made && chown 7:8 /made && echo x > /file && echo y >> /etc/passwd && chmod 4755 /file && \
                  echo v > /data/own && chown 9 /data/own && stat -c %u:%g / /bin /etc/hosts /data /made /file";
    let words = ["run", "--name", &name, "-v", "named:/data", "-v", "/anonymous", "busybox"];
    let made = host.barge(&[&words[..], &["sh", "-c", script]].concat());
    assert_eq!(made.text(), "0:0\n0:0\n0:0\n0:0\n7:8\n0:0", "{made}");
    let upper = upper(&host, &name);
    assert_eq!((owner(&upper.join("made")), owner(&upper.join("file"))), ((7, 8), (0, 0)));
    assert_eq!(owner(&upper.join("etc/passwd")), (0, 0));
    assert_eq!(owner(&stored(&host, "volumes/named/_data/own")), (9, 0));
    let diff = host.barge(&["diff", &name]);
    assert!(diff.text().contains("A /file") && diff.text().contains("C /etc/passwd"), "{diff}");
    // An image of it is everybody's.
    host.barge(&["commit", &name, "committed"]).ok();
    let look = "stat -c %u:%g:%a /made /file; cat /data/own; stat -c %u /data/own";
    for mode in [&[][..], &["--userns=host"]] {
        let words = [&["run", "--rm", "-v", "named:/data"], mode, &["committed", "sh", "-c", look]];
        assert_eq!(host.barge(&words.concat()).text(), "7:8:755\n0:0:4755\nv\n9", "{mode:?}");
    }
    let tar = host.scratch().join("export.tar");
    host.barge(&["export", "-o", tar.to_str().unwrap(), &name]).ok();
    let mut list = std::process::Command::new("tar");
    let listed = Process::start(list.args(["--numeric-owner", "-tvf"]).arg(&tar)).wait();
    let line =
        |end: &str| listed.text().lines().find(|line| line.ends_with(end)).unwrap().to_owned();
    assert!(line(" made/").contains(" 7/8 ") && line(" file").contains(" 0/0 "), "{listed}");
    host.barge(&["rm", &name]).ok();
    host.barge(&["rmi", "committed"]).ok();
}

#[test]
fn files_of_the_host_are_out_of_reach() {
    let host = remapped();
    let folder = host.scratch().join("bound");
    fs::create_dir_all(folder.join("open")).unwrap();
    fs::write(folder.join("secret"), "secret").unwrap();
    fs::set_permissions(folder.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(folder.join("open"), fs::Permissions::from_mode(0o777)).unwrap();
    let bind = format!("{}:/bound", folder.display());
    let script = "cat /bound/secret || echo unread; touch /bound/new || echo unwritten; \
                  chown 0 /bound/secret || echo ungiven; echo x > /bound/open/file; stat -c %u /bound /bound/open/file";
    let outcome = host.barge(&["run", "--rm", "-v", &bind, "busybox", "sh", "-c", script]);
    assert_eq!(outcome.text(), "unread\nunwritten\nungiven\n65534\n0", "{outcome}");
    assert_eq!(owner(&folder.join("open/file")), (ROOT, ROOT));
    // Not by way of a volume that is a folder of the host, either.
    let device = format!("device={}", folder.display());
    let create =
        ["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device, "elsewhere"];
    host.barge(&create).ok();
    let words = ["run", "--rm", "-v", "elsewhere:/bound", "busybox", "sh", "-c", script];
    assert_eq!(host.barge(&words).text(), "unread\nunwritten\nungiven\n65534\n0");
    // A volume of another container by its path: its files are the host's root's.
    host.barge(&[
        "run",
        "--rm",
        "-v",
        "private:/data",
        "busybox",
        "sh",
        "-c",
        "umask 077; echo x > /data/f",
    ])
    .ok();
    let bind = format!("{}:/stolen", stored(&host, "volumes/private/_data").display());
    let outcome = host.barge(&["run", "--rm", "-v", &bind, "busybox", "cat", "/stolen/f"]);
    assert!(outcome.fails(1).contains("Permission denied"), "{outcome}");
    // Devices can be used and not made, and the mounts of the daemon are nobody's.
    let script = "echo x > /dev/null && mknod /tmp/sda b 8 0 || echo unmade; cat /proc/kcore /proc/1/root/dev/mem; \
                  echo b > /proc/sysrq-trigger || echo unasked; mount -o remount,rw /sys || echo kept";
    let outcome = host.barge(&["run", "--rm", "--cap-add=ALL", "busybox", "sh", "-c", script]);
    assert_eq!(outcome.text(), "unmade\nunasked\nkept", "{outcome}");
    let shown = fs::metadata(host.exec_root().join("remapped")).unwrap();
    assert_eq!(shown.permissions().mode() & 0o7777, 0o700);
}

#[test]
fn copies_in_and_out_know_the_containers_ids_whether_it_runs_or_not() {
    let host = remapped();
    let ours = host.file("ours", "ours");
    std::os::unix::fs::chown(&ours, Some(5), Some(6)).unwrap();
    for client in Client::both() {
        let name = host.unique("cp");
        let script = "mkdir /data && echo theirs > /data/f && chown 7:8 /data/f; echo v > /volume/v; echo up; sleep 1000";
        let words = ["run", "-d", "--name", &name, "-v", "/volume", "busybox", "sh", "-c", script];
        host.run(client, &words).ok();
        barge_testkit::eventually("the files are made", || {
            host.barge(&["logs", &name]).text() == "up"
        });
        // As an archive, which names owners; the header comes first.
        let out = |path: &str| {
            let archive = host.run(client, &["cp", &format!("{name}:{path}"), "-"]).stdout;
            let id = |at: usize| u32::from_str_radix(&archive[at..at + 7], 8).unwrap();
            (id(108), id(116))
        };
        for state in ["running", "stopped"] {
            assert_eq!((out("/data/f"), out("/volume/v")), ((7, 8), (0, 0)), "{client:?} {state}");
            assert_eq!(out("/etc/hosts"), (0, 0), "{client:?} {state}");
            let into = |path: &str| format!("{name}:{path}-{state}");
            host.run(client, &["cp", "-a", &ours, &into("/data/in")]).ok();
            host.run(client, &["cp", &ours, &into("/volume/in")]).ok();
            if state == "running" {
                let look = "stat -c %u:%g /data/in-running; cat /volume/in-running";
                let seen = host.run(client, &["exec", &name, "sh", "-c", look]);
                assert_eq!(seen.text(), "5:6\nours", "{client:?} {seen}");
                host.run(client, &["stop", "-t", "0", &name]).ok();
            }
            assert_eq!(owner(&upper(&host, &name).join(format!("data/in-{state}"))), (5, 6));
        }
        host.run(client, &["start", &name]).ok();
        let look = "stat -c %u:%g /data/in-stopped; cat /volume/in-stopped";
        let seen = host.run(client, &["exec", &name, "sh", "-c", look]);
        assert_eq!(seen.text(), "5:6\nours", "{client:?} {seen}");
        host.run(client, &["rm", "-fv", &name]).ok();
    }
}

#[test]
fn what_root_of_a_container_does_works_as_ever() {
    let host = remapped();
    says(
        &host,
        &[],
        ("echo out > /dev/stdout; echo err > /dev/stderr; hostname -i > /dev/null", "out"),
    );
    says(&host, &[], ("cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "0"));
    says(&host, &[], ("ping -c 1 -W 60 127.0.0.1 > /dev/null && echo pong", "pong"));
    says(
        &host,
        &["--cap-add=NET_ADMIN"],
        ("ip addr add 10.9.9.9/32 dev lo && ip route add 10.9.8.0/24 dev lo && echo up", "up"),
    );
    says(
        &host,
        &["--user", "7"],
        ("echo hi > /dev/stdout && echo shm > /dev/shm/f && cat /dev/shm/f", "hi\nshm"),
    );
    says(&host, &["--tmpfs", "/t:size=1m,uid=3"], ("stat -c %u /t", "3"));
    says(
        &host,
        &["--ipc=shareable"],
        ("touch /dev/shm/f && stat -c %u /dev/shm /dev/shm/f", "0\n0"),
    );
    says(&host, &["--sysctl", "net.ipv4.ip_forward=0"], ("cat /proc/sys/net/ipv4/ip_forward", "0"));
    says(&host, &["--ulimit", "nofile=900:1000"], ("ulimit -n; ulimit -Hn", "900\n1000"));
    says(&host, &["--oom-score-adj", "500"], ("cat /proc/self/oom_score_adj", "500"));
    says(&host, &["--read-only", "--init"], ("touch /f || echo read-only", "read-only"));
    says(
        &host,
        &["--hostname", "box", "-w", "/made/here"],
        ("hostname; pwd; stat -c %u .", "box\n/made/here\n0"),
    );
    says(&host, &["--device", "/dev/zero:/dev/nothing"], ("head -c 3 /dev/nothing | wc -c", "3"));
    says(&host, &["--group-add", "12"], ("id -G", "0 12"));
    says(&host, &["--network=none"], ("ip -o link | wc -l", "1"));
    // With the host's it is the host's folder that is written to.
    let shared = tempfile::Builder::new().prefix("barge-remap-").tempfile_in("/dev/shm").unwrap();
    fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o666)).unwrap();
    let script = format!("echo x > {} && id -u", shared.path().display());
    says(&host, &["--ipc=host"], (&script, "0"));
    assert_eq!(fs::read_to_string(shared.path()).unwrap(), "x\n");
    for flag in ["--uts=host", "--cgroupns=host"] {
        says(&host, &[flag], ("touch /dev/shm/f && id -u", "0"));
    }
    for client in Client::both() {
        let mut terminal = host.terminal(client, &["run", "--rm", "-it", "busybox", "sh"]);
        terminal.send("tty; stat -c owner=%u $(tty) /dev/console; exit\n");
        terminal.expect("/dev/pts/0");
        terminal.expect("owner=0");
        terminal.expect("owner=0");
        let name = host.unique("published");
        let words = ["run", "-d", "--name", &name, "-p", "127.0.0.1:8080:80", "busybox"];
        let serve = ["sh", "-c", "echo served > /index.html && exec httpd -f -p 80 -h /"];
        host.run(client, &[&words[..], &serve].concat()).ok();
        barge_testkit::eventually("the port answers", || {
            host.in_netns(|| {
                let mut get = std::process::Command::new("curl");
                Process::start(get.args(["-s", "http://127.0.0.1:8080/index.html"])).wait()
            })
            .stdout
                == "served\n"
        });
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn the_hosts_users_are_there_for_who_asks_and_what_needs_them_says_so() {
    let host = remapped();
    let refusals = [
        (
            "--privileged",
            "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode",
        ),
        (
            "--network=host",
            "cannot share the host's network namespace when user namespaces are enabled",
        ),
        ("--pid=host", "cannot share the host PID namespace when user namespaces are enabled"),
    ];
    for client in Client::both() {
        for (flag, wanted) in refusals {
            let refused = host.run(client, &["run", "--rm", flag, "busybox", "true"]);
            assert!(refused.fails(125).contains(wanted), "{client:?} {flag}: {refused}");
            let words =
                ["run", "--rm", flag, "--userns=host", "busybox", "cat", "/proc/self/uid_map"];
            let map = host.run(client, &words);
            let numbers: Vec<&str> = map.text().split_whitespace().collect();
            assert_eq!(numbers, ["0", "0", "4294967295"], "{client:?} {flag}: {map}");
        }
        let name = host.unique("hosts");
        let words = ["run", "-d", "--name", &name, "--userns=host", "busybox", "sleep", "1000"];
        host.run(client, &words).ok();
        assert_eq!(ids(host.pid(&name), "Uid:"), [0; 4]);
        assert_eq!(host.inspect(&name)["HostConfig"]["UsernsMode"], "host");
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn containers_share_namespaces_where_they_share_users() {
    let host = remapped();
    for client in Client::both() {
        let donor = host.unique("donor");
        let words = ["run", "-d", "--name", &donor, "--ipc=shareable", "busybox", "sleep", "1000"];
        host.run(client, &words).ok();
        let pid = host.pid(&donor);
        let with = format!("container:{donor}");
        for (flag, kind) in [("--network", "net"), ("--pid", "pid"), ("--ipc", "ipc")] {
            let name = host.unique("partner");
            let words = ["run", "-d", "--name", &name, flag, &with, "busybox", "sleep", "2000"];
            host.run(client, &words).ok();
            let own = host.pid(&name);
            for shared in [kind, "user"] {
                let link = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/{shared}")).unwrap();
                assert_eq!(link(own), link(pid), "{client:?} {flag} {shared}");
            }
            assert_eq!(ids(own, "Uid:"), [ROOT; 4]);
            let seen = host.run(client, &["exec", &name, "sh", "-c", "id -u && touch /dev/shm/x"]);
            assert_eq!(seen.text(), "0", "{client:?} {flag}");
            host.run(client, &["rm", "-f", &name]).ok();
        }
        assert_eq!(host.status(&donor), "running");
        // The host's root may look at everybody; nobody has the users of the host by joining.
        let words =
            ["run", "--rm", "--userns=host", "--pid", &with, "busybox", "cat", "/proc/1/comm"];
        assert_eq!(host.run(client, &words).text(), "sleep");
        let hosts = host.unique("hosts");
        let words = ["run", "-d", "--name", &hosts, "--userns=host", "busybox", "sleep", "1000"];
        host.run(client, &words).ok();
        let with = format!("container:{hosts}");
        let refused = host.run(client, &["run", "--rm", "--network", &with, "busybox", "true"]);
        let text = "cannot share a namespace of a container that has other users";
        assert!(refused.fails(125).contains(text), "{client:?} {refused}");
        for name in [&donor, &hosts] {
            host.run(client, &["rm", "-f", name]).ok();
        }
    }
}

#[test]
fn a_daemon_finds_its_containers_again_and_builds_for_them() {
    let mut host = remapped();
    let name = host.unique("again");
    host.barge(&["run", "-d", "--name", &name, "-v", "/data", "busybox", "sleep", "1000"]).ok();
    let pid = host.pid(&name);
    host.restart();
    assert_eq!(host.pid(&name), pid);
    let seen = host.barge(&["exec", &name, "sh", "-c", "touch /new /data/new && stat -c %u /new"]);
    assert_eq!(seen.text(), "0", "{seen}");
    host.kill9();
    host.start();
    host.barge(&["restart", "-t", "0", &name]).ok();
    let seen = host.barge(&["exec", &name, "stat", "-c", "%u", "/new", "/data/new"]);
    assert_eq!(seen.text(), "0\n0", "{seen}");
    assert_eq!(ids(host.pid(&name), "Uid:"), [ROOT; 4]);
    host.barge(&["rm", "-fv", &name]).ok();
    let context = host.scratch().join("context");
    fs::create_dir_all(&context).unwrap();
    fs::write(context.join("f"), "f").unwrap();
    fs::write(
        context.join("Dockerfile"),
        "FROM busybox\nCOPY f /f\nRUN chown 7 /f && touch /run-made && id -u > /id\n",
    )
    .unwrap();
    host.barge(&["build", "-q", "-t", "built", context.to_str().unwrap()]).ok();
    let seen =
        host.barge(&["run", "--rm", "built", "sh", "-c", "cat /id; stat -c %u /f /run-made /"]);
    assert_eq!(seen.text(), "0\n7\n0\n0", "{seen}");
    host.barge(&["rmi", "built"]).ok();
}

#[test]
fn a_daemon_with_other_users_takes_over_what_is_there() {
    let mut host = remapped();
    let mapped = host.flags().to_vec();
    let name = host.unique("over");
    let script = "mkdir /data && echo x > /data/f && chown 7:8 /data/f && echo up; exec sleep 1000";
    let words =
        ["run", "-d", "--name", &name, "-v", "named:/volume", "busybox", "sh", "-c", script];
    host.barge(&words).ok();
    barge_testkit::eventually("the file is made", || host.barge(&["logs", &name]).text() == "up");
    let look = "id -u; stat -c %u:%g /data/f / /volume";
    for (flags, root) in [(Vec::new(), 0), (mapped, ROOT)] {
        let before = ids(host.pid(&name), "Uid:");
        host.restart_with(flags);
        // What runs goes on as it is, for whoever comes in and for who copies.
        assert_eq!(ids(host.pid(&name), "Uid:"), before);
        let seen = host.barge(&["exec", &name, "sh", "-c", look]);
        assert_eq!(seen.text(), "0\n7:8\n0:0\n0:0", "{before:?} {seen}");
        let archive = host.barge(&["cp", &format!("{name}:/data/f"), "-"]).stdout;
        assert_eq!((&archive[108..115], &archive[116..123]), ("0000007", "0000010"), "{before:?}");
        // A new start is one of the new users.
        host.barge(&["restart", "-t", "0", &name]).ok();
        barge_testkit::eventually("it is up again", || {
            host.barge(&["exec", &name, "true"]).code == 0
        });
        assert_eq!(ids(host.pid(&name), "Uid:"), [root; 4]);
        let seen = host.barge(&["exec", &name, "sh", "-c", look]);
        assert_eq!(seen.text(), "0\n7:8\n0:0\n0:0", "{root} {seen}");
        assert_eq!(host.barge(&["run", "--rm", "busybox", "id", "-u"]).text(), "0");
    }
    host.barge(&["rm", "-f", &name]).ok();
}

#[test]
fn default_makes_a_range_of_its_own_and_who_has_none_is_told() {
    let mut host = TestHost::with(options("default", "other:2000000:65536\n"));
    host.busybox();
    says(&host, &[], ("cut -c1-60 /proc/self/uid_map | tr -s ' '", " 0 2065536 65536"));
    let added = fs::read_to_string(host.scratch().join("etc/subuid")).unwrap();
    assert_eq!(added, "other:2000000:65536\ndockremap:2065536:65536\n");
    host.restart();
    says(&host, &[], ("cut -c1-60 /proc/self/gid_map | tr -s ' '", " 0 2065536 65536"));
    for (flag, wanted) in [
        (
            "mapped",
            "/etc/subuid: no ranges of user mapped: add a line such as mapped:2065536:65536",
        ),
        (
            "nobody-knows",
            "error during uid lookup for \"nobody-knows\": no such user in /etc/passwd",
        ),
        ("64123:no-such-group", "error during groupname lookup for \"no-such-group\""),
    ] {
        let mut refused = TestHost::prepare(options(flag, "other:2000000:65536\n"));
        let said = refused.start_in_vain();
        assert!(said.contains(wanted), "{flag}: {said}");
        refused.give_up();
    }
}
