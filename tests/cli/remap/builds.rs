//! Steps of builds: their root is nobody on the host either, and what they leave is what they would leave without that.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use barge_testkit::{Client, Outcome, Process, TestHost};

use super::{owner, remapped, remapped_with, stored};

/// What `/proc/self/uid_map` says in a step.
const MAPPED: &str = "0 1000000 60000 60000 1100000 5000";
const HOSTS: &str = "0 0 4294967295";

/// A context with `f`, a script and this Dockerfile.
fn context(host: &TestHost, text: &str) -> String {
    let folder = host.scratch().join(host.unique("context"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("f"), "f").unwrap();
    fs::write(folder.join("Dockerfile"), text).unwrap();
    folder.to_str().unwrap().to_owned()
}

fn build(host: &TestHost, flags: &[&str], text: &str) -> Outcome {
    let context = context(host, text);
    host.barge(&[&["build", "--progress=plain"], flags, &[&context]].concat())
}

/// What steps wrote behind `said:`, each on a line of its own.
fn said(outcome: &Outcome) -> Vec<String> {
    outcome.ok();
    let lines = outcome.stdout.lines().chain(outcome.stderr.lines());
    let said = lines.filter_map(|line| line.split_once(" said: ").map(|(_, said)| said.to_owned()));
    // The instructions are told, too.
    said.map(|said| said.trim().to_owned()).filter(|said| !said.contains(['$', '"'])).collect()
}

#[test]
fn steps_have_the_users_of_containers_but_for_what_only_the_hosts_can_have() {
    let host = remapped();
    let map = "echo \" said: \"$(cat /proc/self/uid_map)";
    let text = format!(
        "FROM busybox\nRUN {map}\nRUN --network=none {map}; echo \" said: \"$(ip -o link | wc -l); ping -c 1 -W 60 127.0.0.1 \
         >/dev/null && echo \" said: \"up\nRUN --network=host {map}\nRUN --security=insecure {map}\n\
         RUN echo \" said: \"$(ip -o link | wc -l)$(hostname) && cat /etc/hosts /etc/resolv.conf >/dev/null && \
         mount -t tmpfs none /mnt 2>/dev/null || echo \" said: \"confined; mknod /dev/sda b 8 0 || echo \" said: \"unmade\n"
    );
    let allowed = ["--allow=network.host", "--allow=security.insecure"];
    let built = build(&host, &allowed, &text);
    let wanted =
        [MAPPED, MAPPED, "1", "up", HOSTS, HOSTS, "2buildkitsandbox", "confined", "unmade"];
    assert_eq!(said(&built), wanted, "{built}");
    // The stock client's builder.
    let context = context(&host, &format!("FROM busybox\nRUN {map}; id -u\nUSER 7:8\nRUN {map}\n"));
    let mut docker = host.client(Client::Docker, &["build", "--no-cache", &context]);
    let built = Process::start(docker.env("DOCKER_BUILDKIT", "0")).wait();
    built.ok();
    assert_eq!(built.stdout.matches(MAPPED).count(), 2, "{built}");
    host.assert_nothing_of_containers();
}

#[test]
fn mounts_of_steps_belong_to_whom_they_say() {
    let host = remapped();
    let secret = host.file("word", "word");
    let socket = host.scratch().join("agent");
    let _agent = UnixListener::bind(&socket).unwrap();
    let agent = format!("default={}", socket.display());
    let secret = format!("id=word,src={secret}");
    let owner_of = |path: &str| format!("echo \" said: \"$(stat -c %u:%g:%a {path})");
    let cache = "--mount=type=cache,target=/cache,uid=5,gid=6,mode=0750";
    let text = format!(
        "FROM busybox AS other\nRUN mkdir /own && echo x >/own/f && chown -R 7:8 /own && chmod 600 /own/f\n\
         FROM busybox\n\
         RUN {cache} {} && echo c >/cache/c && chown 9:10 /cache/c\n\
         RUN {cache} --mount=type=tmpfs,target=/cache/below {} && {} && {}\n\
         RUN --mount=type=bind,source=.,target=/context {} && cat /context/f >/dev/null; touch /context/no || echo \" said: \"kept\n\
         RUN --mount=type=bind,from=other,target=/made/here,rw {} && touch /made/here/own/new && {} && cat /made/here/own/f\n\
         RUN --mount=type=bind,from=other,source=/own,target=/own {}\n\
         RUN --mount=type=secret,id=word,uid=3,gid=4 {}\n\
         USER 3\n\
         RUN --mount=type=secret,id=word,uid=3 --mount=type=ssh,uid=3 \
         echo \" said: \"$(cat /run/secrets/word) && echo \" said: \"$(stat -c %u:%g:%a $SSH_AUTH_SOCK)\n\
         USER 0\n\
         RUN <<SCRIPT\n#!/bin/sh\n{}\nSCRIPT\n\
         RUN {} || echo \" said: \"gone\n",
        owner_of("/cache"),
        owner_of("/cache/c"),
        owner_of("/cache/below"),
        owner_of("/cache"),
        owner_of("/context/f"),
        owner_of("/made/here/own"),
        owner_of("/made/here/own/new"),
        owner_of("/own/f"),
        owner_of("/run/secrets/word"),
        owner_of("/dev/pipes/SCRIPT"),
        "ls -d /made /own /context 2>/dev/null",
    );
    let built = build(&host, &["--secret", &secret, "--ssh", &agent, "-t", "built"], &text);
    let wanted = [
        "5:6:750", "9:10:644", "0:0:1777", "5:6:750", "0:0:644", "kept", "7:8:755", "0:0:644",
        "7:8:600", "3:4:400", "word", "3:0:600", "0:0:755", "gone",
    ];
    assert_eq!(said(&built), wanted, "{built}");
    // On the disk they are whose they are without users of their own.
    let mounts = stored(&host, "builds/mounts");
    let data: Vec<PathBuf> =
        fs::read_dir(&mounts).unwrap().map(|entry| entry.unwrap().path().join("data")).collect();
    assert_eq!((owner(&data[0]), owner(&data[0].join("c"))), ((5, 6), (9, 10)));
    let nobody = "FROM busybox\nRUN --mount=type=secret,id=word,uid=70000 true\n";
    let refused = build(&host, &["--secret", &secret], nobody);
    assert!(refused.stderr.contains("70000:0 cannot own a mount"), "{refused}");
    host.assert_nothing_of_containers();
}

#[test]
fn layers_and_cache_are_the_same_with_and_without() {
    let mut host = remapped();
    let text = "FROM busybox\nCOPY --chown=7:8 f /d/f\nRUN chown 9:10 /d && mkfifo /d/pipe && ln f /d/g; rm /bin/ping\n\
                RUN echo me:x:1234:1234::/home/me:/bin/sh >>/etc/passwd && mkdir -p /srv/a /home/me && \
                chown -R me /srv /home/me && chmod 4711 /bin/busybox\n\
                USER me\nRUN touch /home/me/own\nFROM scratch\nCOPY --from=0 / /\nRUN echo x > /new\n";
    let text = text.replace("FROM scratch\n", "FROM scratch\nWORKDIR /made\n");
    let context = context(&host, &text);
    let flags = ["-q", "--build-arg", "SOURCE_DATE_EPOCH=1000000000"];
    let layers = |host: &TestHost, name: &str| {
        let image = host.api().get(&format!("/images/{name}/json")).is(200).json();
        image["RootFS"]["Layers"].clone()
    };
    let make = |host: &TestHost, name: &str, more: &[&str]| {
        host.barge(&[&["build", "-t", name], &flags[..], more, &[&context]].concat()).ok();
        let whole = format!("{name}-0");
        let first = ["--target", "0", "-t", &whole];
        host.barge(&[&["build"], &flags[..], more, &first, &[&context]].concat()).ok();
        (layers(host, name), layers(host, &whole))
    };
    let mapped = make(&host, "mapped", &[]);
    let look = "stat -c %u:%g /d /d/f /srv/a /home/me/own /bin/busybox";
    let seen = host.barge(&["run", "--rm", "mapped-0", "sh", "-c", look]);
    assert_eq!(seen.text(), "9:10\n7:8\n1234:0\n1234:1234\n0:0", "{seen}");
    host.restart_with(Vec::new());
    let again = host.barge(&["build", "--progress=plain", flags[1], flags[2], &context]);
    let done = again.stderr.matches("RUN").count();
    assert!(again.stderr.matches("CACHED").count() >= 5 && done > 0, "{again}");
    assert_eq!(make(&host, "again", &[]), mapped);
    assert_eq!(make(&host, "without", &["--no-cache"]), mapped);
    host.assert_nothing_of_containers();
}

#[test]
fn a_step_of_a_daemon_that_was_killed_leaves_nothing() {
    let mut host = remapped();
    let context = context(&host, "FROM busybox\nRUN echo up; sleep 1000\n");
    let building = host.start_client(Client::Barge, &["build", "--progress=plain", &context]);
    barge_testkit::eventually("the step runs", || {
        fs::read_dir(host.exec_root().join("builds/steps")).is_ok_and(|steps| {
            steps.flatten().any(|step| {
                let group = format!("{}/{}", host.cgroup_parent(), step.file_name().display());
                !barge_testkit::processes_of(&group).is_empty()
            })
        })
    });
    host.kill9();
    host.start();
    drop(building);
    host.assert_nothing_of_containers();
}

#[test]
fn a_scanner_reads_what_only_its_owner_may_and_other_drivers_build_too() {
    let script = "echo '{\"spdxVersion\":\"2\",\"name\":\"'$(cat $BUILDKIT_SCAN_SOURCE/kept)'-'$(stat -c %u:%g $BUILDKIT_SCAN_SOURCE/kept)\
                  '-'$(cat /proc/self/uid_map | wc -l)'\"}' >$BUILDKIT_SCAN_DESTINATION/a.spdx.json";
    for driver in ["overlay2", "vfs"] {
        let host = remapped_with(&[&format!("--storage-driver={driver}")]);
        let words = serde_json::json!(["sh", "-c", script]);
        build(&host, &["-t", "scanner"], &format!("FROM busybox\nENTRYPOINT {words}\n")).ok();
        let text = "FROM busybox AS made\nRUN echo word >/kept && chown 7:8 /kept && chmod 600 /kept && mkdir /empty\n\
                    FROM scratch\nCOPY --from=made / /\nRUN touch /new\n\
                    FROM scratch\nCOPY --from=1 /kept /kept\n";
        let into = host.scratch().join("into");
        let output = format!("type=local,dest={}", into.display());
        build(&host, &["--sbom=generator=scanner", "-o", &output], text).ok();
        let found = fs::read_to_string(into.join("a.spdx.json")).unwrap();
        assert!(found.contains("\"word-7:8-2\""), "{driver} {found}");
        host.assert_nothing_of_containers();
    }
}
