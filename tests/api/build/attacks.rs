//! Steps that reach for the host through their mounts, and for rights that nobody gave them: BuildKit's errors of
//! January 2024, each by its number. `outside` is a folder of the host that no build is told of.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use barge_testkit::api::Reply;
use barge_testkit::{Sharing, TarBuilder, TestHost};
use serde_json::{Value, json};

use super::events::{events, prepared};
use super::{build, dockerfile, failure, lines, output, post};

static HOST: Sharing = Sharing::new();

/// A folder of the host with a file and two folders of which nothing may be seen or changed.
fn outside(host: &TestHost) -> PathBuf {
    let path = host.scratch().join(host.unique("outside"));
    fs::create_dir_all(path.join("empty")).unwrap();
    fs::create_dir_all(path.join("secret")).unwrap();
    fs::write(path.join("secret/word"), "the-word-of-the-host\n").unwrap();
    fs::write(path.join("none"), "").unwrap();
    path
}

#[track_caller]
fn assert_untouched(outside: &Path) {
    let names = |path: &Path| {
        let entries = fs::read_dir(path).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(outside), ["empty", "none", "secret"]);
    assert_eq!(names(&outside.join("secret")), ["word"]);
    assert!(names(&outside.join("empty")).is_empty());
}

/// Builds whether that goes well or not; all of the answer.
fn attempt(host: &TestHost, text: &str) -> Reply {
    post(host, "nocache=1&networkmode=none", &dockerfile(text))
}

#[test]
fn cve_2024_23651_a_link_in_a_cache_mount_leads_no_mount_out_of_it() {
    let host = HOST.host();
    host.busybox();
    let outside = outside(&host);
    let (id, at) = (host.unique("links"), outside.display());
    let cache = format!("--mount=type=cache,id={id},target=/c");
    build(
        &host,
        "nocache=1&networkmode=none",
        &dockerfile(&format!("FROM busybox\nRUN {cache} ln -s {at} /c/sub\n")),
    );
    // A point to mount on is made below the link: by whom, and where?
    let below = format!(
        "FROM busybox\nRUN {cache} --mount=type=tmpfs,target=/c/sub/made ls -R /c; cat /c/sub/secret/word\n"
    );
    let reply = attempt(&host, &below);
    assert!(!reply.text().contains("the-word-of-the-host"), "{}", reply.text());
    assert_untouched(&outside);
    // A part of what others can change is not mounted at all.
    let part = format!(
        "FROM busybox\nRUN --mount=type=cache,id={id},source=/sub,target=/d cat /d/secret/word\n"
    );
    let error = failure(&attempt(&host, &part));
    assert!(error["message"].as_str().unwrap().contains("source"), "{error}");
}

#[test]
fn cve_2024_23651_links_in_stages_and_contexts_lead_no_mount_out_of_them() {
    let host = HOST.host();
    host.busybox();
    let outside = outside(&host);
    let at = outside.display();
    let links = format!(
        "FROM busybox AS links\nRUN ln -s {at} /link && mkdir /d && ln -s ../../../..{at} /d/up\n"
    );
    for (source, kind) in
        [("/link", "bind"), ("/link/secret", "bind"), ("/d/up", "bind"), ("/link", "cache")]
    {
        let mount = format!("--mount=type={kind},from=links,source={source},target=/m");
        let text = format!("{links}FROM busybox\nRUN {mount} cat /m/word /m/secret/word\n");
        let reply = attempt(&host, &text);
        let error = failure(&reply);
        assert!(error["message"].as_str().unwrap().contains("not found"), "{error}");
        assert!(!reply.text().contains("the-word-of-the-host"), "{}", reply.text());
    }
    assert_untouched(&outside);
}

#[test]
fn cve_2024_23651_who_changes_a_shared_cache_mount_gets_nothing_out_of_a_race() {
    let host = HOST.host();
    host.busybox();
    let outside = outside(&host);
    let (id, at) = (host.unique("race"), outside.display());
    let cache = format!("--mount=type=cache,id={id},target=/c");
    let swap = format!(
        "FROM busybox\nRUN {cache} touch /c/go; while [ -e /c/go ]; do rm -rf /c/sub; mkdir /c/sub; rm -rf /c/sub; \
         ln -s {at} /c/sub; done\n"
    );
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let reply = attempt(&host, &swap);
            ended.store(true, Ordering::SeqCst);
            reply
        });
        let race = format!(
            "FROM busybox\nRUN {cache} --mount=type=tmpfs,target=/c/sub/made cat /c/sub/secret/word; true\n"
        );
        for _ in 0..10 {
            let reply = attempt(&host, &race);
            assert!(!reply.text().contains("the-word-of-the-host"), "{}", reply.text());
            assert_untouched(&outside);
        }
        let end = format!("FROM busybox\nRUN {cache} until [ -e /c/go ]; do :; done; rm /c/go\n");
        attempt(&host, &end);
        assert!(said_nothing_wrong(&swapping.join().unwrap()));
    });
    assert!(ended.load(Ordering::SeqCst));
    assert_untouched(&outside);
}

fn said_nothing_wrong(reply: &Reply) -> bool {
    !reply.text().contains("the-word-of-the-host")
}

#[test]
fn cve_2024_23652_what_is_removed_after_a_step_is_not_behind_its_links() {
    let host = HOST.host();
    host.busybox();
    let outside = outside(&host);
    let at = outside.display();
    // The folder in which something is mounted is put aside, and a link to the host in its place.
    for (mount, name) in [
        ("type=tmpfs,target=/a/b/empty", "empty"),
        ("type=cache,target=/a/b/empty", "empty"),
        ("type=bind,from=busybox,target=/a/b/none,source=/etc/passwd", "none"),
    ] {
        let text = format!(
            "FROM busybox\nRUN --mount={mount} mv /a/b /a/old && ln -s {at} /a/b && ls /a/old && echo swapped\n\
             RUN readlink /a/b\n"
        );
        let said = build(&host, "nocache=1&networkmode=none", &dockerfile(&text));
        // It was as the attack has it.
        assert!(said.contains(&format!("{name}\nswapped\n")), "{said}");
        assert_eq!(output(&said).trim(), outside.to_str().unwrap());
        assert_untouched(&outside);
    }
}

#[test]
fn cve_2024_23652_the_files_that_every_step_gets_are_not_removed_behind_links_either() {
    let host = HOST.host();
    host.busybox();
    let outside = outside(&host);
    for name in ["hosts", "hostname", "resolv.conf"] {
        fs::write(outside.join(name), "").unwrap();
    }
    let at = outside.display();
    // Of nothing: the folder is made for the step, and can be put aside by it.
    let text = format!(
        "FROM scratch\nCOPY busybox /busybox\n\
         RUN [\"/busybox\", \"sh\", \"-c\", \"/busybox mv /etc /old && /busybox ln -s {at} /etc && /busybox echo swapped\"]\n"
    );
    let busybox = fs::read("/bin/busybox").or_else(|_| fs::read("/usr/bin/busybox")).unwrap();
    let context = TarBuilder::new()
        .file("Dockerfile", 0o644, text.as_bytes())
        .file("busybox", 0o755, &busybox)
        .finish();
    let said = build(&host, "nocache=1&networkmode=none", &context);
    assert_eq!(output(&said).trim(), "swapped");
    for name in ["hosts", "hostname", "resolv.conf"] {
        fs::remove_file(outside.join(name)).unwrap();
    }
    assert_untouched(&outside);
}

/// Effective capabilities that a step printed, and what the events said in the end.
fn rights(host: &TestHost, text: &str, allow: &[&str]) -> (Vec<String>, Value) {
    let inputs = json!({
        "context": {"kind": "none"},
        "dockerfile": {"name": "Dockerfile", "text": text},
        "allow": allow,
    });
    let reply = events(host, "networkmode=none", &prepared(host, inputs)).is(200);
    let all = lines(&reply);
    let printed = all.iter().filter(|event| event["event"] == "output");
    // Lines that come fast come together.
    let printed: String = printed.map(|event| event["text"].as_str().unwrap()).collect();
    (printed.lines().map(str::to_owned).collect(), all.last().unwrap().clone())
}

#[test]
fn cve_2024_23653_a_step_has_more_rights_only_when_its_client_allows_it() {
    let host = HOST.host();
    host.busybox();
    let show = "grep CapEff /proc/self/status";
    let insecure = format!("RUN --security=insecure {show}\n");
    let docker = "CapEff:\t00000000a80425fb";
    let mark = host.unique("mark");
    let text = format!("FROM busybox\nENV MARK={mark}\nRUN {show}\n{insecure}");
    let refused = |printed: &[String], last: &Value| {
        assert_eq!(last["event"], "failed", "{last}");
        let message = last["message"].as_str().unwrap();
        assert!(message.contains("security.insecure is not allowed"), "{message}");
        assert!(printed.iter().all(|line| line == docker), "{printed:?}");
    };
    // Before anything runs.
    let (printed, last) = rights(&host, &text, &[]);
    assert!(printed.is_empty(), "{printed:?}");
    refused(&printed, &last);
    let (printed, last) = rights(&host, &text, &["network.host"]);
    refused(&printed, &last);
    // Nor by Docker's API, which has no word for it.
    let error = attempt(&host, &text).is(400).json();
    assert!(error["message"].as_str().unwrap().contains("not allowed"), "{error}");
    // Allowed, it is for this step alone.
    let all = format!("{text}RUN {show}; echo after\n");
    let (printed, last) = rights(&host, &all, &["security.insecure"]);
    assert_eq!(last["event"], "image", "{last}");
    let many = printed.iter().find(|line| line.starts_with("CapEff") && *line != docker);
    assert!(many.is_some_and(|line| line.contains("ffffff")), "{printed:?}");
    assert!(printed.concat().ends_with(&format!("{docker}after")), "{printed:?}");
    // What the cache holds of it gives nobody leave.
    let (printed, last) = rights(&host, &text, &[]);
    refused(&printed, &last);
}

#[test]
fn cve_2024_23653_a_base_gives_its_triggers_no_rights() {
    let host = HOST.host();
    host.busybox();
    let name = host.unique("trigger");
    let base = "FROM busybox\nONBUILD RUN --security=insecure grep CapEff /proc/self/status\n";
    build(&host, &format!("t={name}"), &dockerfile(base));
    let (printed, last) = rights(&host, &format!("FROM {name}\nENV A=1\n"), &[]);
    assert!(printed.is_empty(), "{printed:?}");
    assert!(last["message"].as_str().unwrap().contains("not allowed"), "{last}");
    let quoted = "ARG MODE=insecure\nFROM busybox\nARG MODE\nRUN --security=$MODE true\n";
    let (_, last) = rights(&host, quoted, &[]);
    assert_eq!(last["event"], "failed", "{last}");
}
