//! `barge build` as its users see it: what is built, what is said of it, what comes back.

use std::fs;
use std::path::PathBuf;

use barge_testkit::{Client, Outcome, Sharing, TarBuilder, TestHost};
use serde_json::Value;

static HOST: Sharing = Sharing::new();

/// A context of these files; gives its path.
fn context(host: &TestHost, files: &[(&str, &str)]) -> String {
    let folder = host.scratch().join(host.unique("context"));
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

fn build(host: &TestHost, arguments: &[&str]) -> Outcome {
    host.busybox();
    let all: Vec<&str> = ["build"].iter().chain(arguments).copied().collect();
    host.barge(&all)
}

fn inside(host: &TestHost, image: &str, script: &str) -> String {
    host.barge(&["run", "--rm", "--network=none", image, "sh", "-c", script]).text().to_owned()
}

fn path(host: &TestHost, stem: &str) -> String {
    host.scratch().join(host.unique(stem)).to_str().unwrap().to_owned()
}

#[test]
fn a_folder_becomes_an_image_with_its_id_in_files() {
    let host = HOST.host();
    let folder = context(
        &host,
        &[("Dockerfile", "FROM busybox\nCOPY a /a\nRUN cp /a /b\nENV X=1\n"), ("a", "text")],
    );
    let (name, ids, metadata) = (host.unique("built"), path(&host, "iid"), path(&host, "meta"));
    let arguments =
        ["-q", "-t", &name, "--iidfile", &ids, "--metadata-file", &metadata, folder.as_str()];
    let id = build(&host, &arguments).text().trim().to_owned();
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    assert_eq!(fs::read_to_string(&ids).unwrap(), id);
    let metadata: Value = serde_json::from_slice(&fs::read(&metadata).unwrap()).unwrap();
    assert_eq!(metadata["containerimage.config.digest"], id);
    assert_eq!(inside(&host, &name, "cat /b; echo $X"), "text1");
}

#[test]
fn a_push_needs_a_name_and_the_hosts_network_a_word() {
    let host = HOST.host();
    let folder = context(&host, &[("Dockerfile", "FROM busybox\nRUN --network=host ip link\n")]);
    for words in [&["--push"][..], &["-o", "type=registry"], &["-o", "type=image,push=true"]] {
        build(&host, &[words, &[&folder]].concat())
            .fails_saying(1, "tag is needed when pushing to registry");
    }
    build(&host, &[&folder]).fails_saying(1, "build with --allow network.host");
    build(&host, &["--allow=network.host", &folder]).ok();
    build(&host, &["--no-cache", "--network=host", &folder]).ok();
    let out = path(&host, "out");
    let output = format!("type=oci,dest={out},rewrite-timestamp=true");
    build(&host, &["--allow=network.host", "-o", &output, &folder]).ok();
    build(&host, &["-o", &output.replace("true", "false"), &folder])
        .fails_saying(1, "option rewrite-timestamp=false of an output of type oci");
}

#[test]
fn lines_say_what_was_done_and_what_was_there() {
    let host = HOST.host();
    let mark = host.unique("mark");
    let file = format!("ARG BASE=busybox\nFROM ${{BASE}}\nRUN echo {mark}; printf no-newline\n");
    let folder = context(&host, &[("Dockerfile", &file)]);
    let first = build(&host, &["--progress=plain", &folder]);
    first.ok();
    let lines = &first.stderr;
    assert!(lines.contains(&format!("[2/2] RUN echo {mark}")), "{lines}");
    assert!(lines.contains("#1 [1/2] FROM docker.io/library/busybox:latest\n"), "{lines}");
    let is_numbered = |line: &str| line.is_empty() || line.starts_with('#');
    assert!(lines.lines().all(is_numbered), "{lines}");
    assert!(lines.contains("#3 exporting to image\n#3 writing image sha256:"), "{lines}");
    let output = |line: &str| line.starts_with('#') && line.ends_with(&format!(" {mark}"));
    assert!(lines.lines().any(output), "{lines}");
    assert!(lines.contains(" no-newline\n") && lines.contains(" DONE "), "{lines}");
    assert_eq!(first.stdout, "");
    let second = build(&host, &["--progress=plain", &folder]);
    let cached = second.stderr.lines().filter(|line| line.ends_with(" CACHED")).count();
    assert!(cached >= 1, "{}", second.stderr);
    assert!(!second.stderr.lines().any(output), "{}", second.stderr);
    let raw = build(&host, &["--progress=rawjson", &folder]);
    raw.ok();
    for line in raw.stderr.lines() {
        let _: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn the_dockerfile_and_the_files_may_come_by_many_ways() {
    let host = HOST.host();
    host.busybox();
    let folder =
        context(&host, &[("a", "of the folder"), ("sub/Other", "FROM busybox\nCOPY a /\n")]);
    let outside = host.file(&host.unique("Outside"), "FROM busybox\nCOPY a /outside\n");
    let name = host.unique("ways");
    build(&host, &["-q", "-t", &name, "-f", &format!("{folder}/sub/Other"), &folder]).ok();
    assert_eq!(inside(&host, &name, "cat /a"), "of the folder");
    build(&host, &["-q", "-t", &name, "-f", &outside, &folder]).ok();
    assert_eq!(inside(&host, &name, "cat /outside"), "of the folder");
    let text = b"FROM busybox\nCOPY a /stdin\n";
    let arguments = ["build", "-q", "-t", &name, "-f", "-", &folder];
    host.run_with_input(Client::Barge, &arguments, text).ok();
    assert_eq!(inside(&host, &name, "cat /stdin"), "of the folder");
    let arguments = ["build", "-q", "-t", &name, "-"];
    host.run_with_input(Client::Barge, &arguments, b"FROM busybox\nENV ALONE=yes\n").ok();
    assert_eq!(inside(&host, &name, "echo $ALONE"), "yes");
    let tar = TarBuilder::new().file("Dockerfile", 0o644, b"FROM busybox\nCOPY a /tar\n").file(
        "a",
        0o644,
        b"of the archive",
    );
    for archive in [tar.clone().finish(), tar.clone().gzip(), tar.clone().zstd()] {
        host.run_with_input(Client::Barge, &arguments, &archive).ok();
        assert_eq!(inside(&host, &name, "cat /tar"), "of the archive");
    }
}

#[test]
fn an_image_that_cannot_be_had_is_told_before_any_step_and_with_what_may_be_meant() {
    let host = HOST.host();
    let base = "FROM busybox AS builder\nRUN echo ran\n";
    let copy = context(
        &host,
        &[("Dockerfile", &format!("{base}FROM builder\nRUN true\nCOPY --from=buildr /x /\n"))],
    );
    let outcome = build(&host, &["--progress=plain", &copy]);
    let error = outcome.fails(1);
    assert!(error.contains("(did you mean stage \"builder\"?)"), "{error}");
    assert!(error.contains("   5 | >>> COPY --from=buildr /x /"), "{error}");
    assert!(!error.contains(" ran\n"), "{error}");
    let checked = context(&host, &[("Dockerfile", base)]);
    build(&host, &["--check", "--target=biulder", &checked])
        .fails_saying(1, "target stage \"biulder\" could not be found (did you mean builder?)");
    let foreign = context(&host, &[("Dockerfile", base)]);
    let error = build(&host, &["--platform=linux/s390x", &foreign]);
    error.fails_saying(1, " only, not for linux/s390x");
    // The beginning of an id is a name.
    let id = host.barge(&["image", "inspect", "--format={{.Id}}", "busybox"]);
    let hex = id.text().trim().trim_start_matches("sha256:").to_owned();
    for (name, is_found) in [(&hex[..], true), (&hex[..12], true), (&hex[..5], false)] {
        let file = format!("FROM {name}\n");
        let outcome = build(&host, &["-q", &context(&host, &[("Dockerfile", &file)])]);
        assert_eq!(outcome.code == 0, is_found, "{name}: {outcome}");
    }
}

#[test]
fn a_step_that_cannot_start_says_why_in_a_sentence() {
    let host = HOST.host();
    for (file, said) in [
        (
            "RUN [\"/nosuch\"]\n",
            "failed to solve: cannot run \"/nosuch\": stat /nosuch: no such file or directory",
        ),
        (
            "RUN [\"nosuch\", \"x\"]\n",
            "failed to solve: cannot run \"nosuch x\": executable file not found in $PATH",
        ),
        (
            "USER nosuch\nRUN true\n",
            "failed to solve: cannot run \"/bin/sh -c true\": unable to find user nosuch: no matching entries in passwd file",
        ),
    ] {
        let folder = context(&host, &[("Dockerfile", &format!("FROM busybox\n{file}"))]);
        let outcome = build(&host, &["--network=none", &folder]);
        let error = outcome.fails(1);
        assert!(error.trim_end().ends_with(said), "{error}");
    }
}

#[test]
fn a_step_that_fails_is_shown_with_its_output_and_its_line() {
    let host = HOST.host();
    let file = "FROM busybox\nRUN echo last words; exit 7\nRUN true\n";
    let folder = context(&host, &[("Dockerfile", file)]);
    let outcome = build(&host, &["--progress=plain", &folder]);
    let error = outcome.fails(1);
    for part in [
        " > [2/3] RUN echo last words; exit 7:\n",
        " last words\n",
        "Dockerfile:2\n--------------------\n",
        "   2 | >>> RUN echo last words; exit 7\n",
        "ERROR: failed to build: failed to solve: ",
        "did not complete successfully: exit code: 7",
    ] {
        assert!(error.contains(part), "{part}\n---\n{error}");
    }
    build(&host, &["-q", &folder]).fails(1);
    let folder = context(&host, &[("Dockerfile", "FROM busybox\nRUNN true\n")]);
    build(&host, &["-q", &folder]).fails_saying(1, "did you mean RUN?");
}

#[test]
fn files_of_the_result_come_into_a_folder_or_an_archive() {
    let host = HOST.host();
    let file = "FROM busybox AS make\nRUN mkdir /out && echo made > /out/x && ln -s x /out/y\n\
                FROM scratch\nCOPY --from=make /out /\n";
    let folder = context(&host, &[("Dockerfile", file)]);
    let into = PathBuf::from(path(&host, "out"));
    build(&host, &["-o", into.to_str().unwrap(), &folder]).ok();
    assert_eq!(fs::read_to_string(into.join("x")).unwrap(), "made\n");
    assert_eq!(fs::read_link(into.join("y")).unwrap(), PathBuf::from("x"));
    let archive = path(&host, "files.tar");
    build(&host, &["-o", &format!("type=tar,dest={archive}"), &folder]).ok();
    let piped = build(&host, &["-o", "-", &folder]);
    piped.ok();
    let bytes = fs::read(&archive).unwrap();
    assert!(bytes.windows(5).any(|window| window == b"made\n"));
    assert!(piped.stdout.contains("made\n"));
    let image = path(&host, "image.tar");
    let name = host.unique("exported");
    build(&host, &["-t", &name, "-o", &format!("type=docker,dest={image}"), &folder]).ok();
    host.barge(&["load", "-q", "-i", &image]).ok();
    host.barge(&["image", "inspect", &name]).ok();
}

#[test]
fn what_is_loaded_stays_also_beside_other_outputs() {
    let host = HOST.host();
    let folder = context(&host, &[("Dockerfile", "FROM busybox\nRUN echo loaded > /loaded\n")]);
    let (first, second) = (host.unique("loaded"), host.unique("loaded"));
    build(&host, &["-q", "--load", "-t", &first, &folder]).ok();
    let into = path(&host, "out");
    build(&host, &["--load", "-o", &into, "-t", &second, &folder]).ok();
    for name in [first, second] {
        assert_eq!(inside(&host, &name, "cat /loaded"), "loaded");
    }
    assert!(PathBuf::from(into).join("loaded").exists());
}

#[test]
fn secrets_are_there_for_their_step_only() {
    let host = HOST.host();
    let file = "FROM busybox\nRUN --mount=type=secret,id=key cp /run/secrets/key /seen && wc -c < /seen \
                && rm /seen\nRUN test ! -e /run/secrets/key\n";
    let folder = context(&host, &[("Dockerfile", file)]);
    let secret = host.file(&host.unique("secret"), "hidden-words");
    let name = host.unique("secret");
    let flag = format!("id=key,src={secret}");
    let outcome = build(&host, &["--progress=plain", "-t", &name, "--secret", &flag, &folder]);
    outcome.ok();
    assert!(outcome.stderr.contains(" 12\n"), "{}", outcome.stderr);
    let history = host.barge(&["history", "--no-trunc", &name]);
    assert!(!history.text().contains("hidden-words"));
    assert!(!outcome.stderr.contains("hidden-words"));
}

#[test]
fn a_check_tells_its_findings_and_fails_on_them() {
    let host = HOST.host();
    let clean = context(&host, &[("Dockerfile", "FROM busybox\nCMD [\"sh\"]\n")]);
    let outcome = build(&host, &["--check", &clean]);
    assert_eq!(outcome.text(), "Check complete, no warnings found.");
    let file = "FROM busybox as x\nMAINTAINER me\nCMD sh\n";
    let found = context(&host, &[("Dockerfile", file)]);
    let outcome = build(&host, &["--check", &found]);
    outcome.fails(1);
    for part in [
        "Check complete, 3 warnings have been found!\n",
        "FromAsCasing",
        "MaintainerDeprecated",
        ">>> CMD sh",
    ] {
        assert!(outcome.stdout.contains(part), "{part}\n---\n{}", outcome.stdout);
    }
    let json = build(&host, &["--call=check,format=json", &found]);
    let value: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(value["warnings"].as_array().unwrap().len(), 3);
}

#[test]
fn what_there_is_not_is_refused_before_anything_is_done() {
    let host = HOST.host();
    let folder = context(&host, &[("Dockerfile", "FROM busybox\n")]);
    for (arguments, text) in [
        (&["--builder", "far"][..], "no builder \"far\" found"),
        (
            &["--provenance=mode=some"],
            "invalid provenance parameter mode=some: expected min or max",
        ),
        (&["--attest=type=vex"], "--attest type=vex: there are \"provenance\" and \"sbom\""),
        (
            &["--provenance=true", "-o", "type=docker,dest=-"],
            "an output of type docker has no place for attestations: expected type=oci",
        ),
        (&["--secret", "src=x"], "secret missing id"),
        (&["-o", "type=zip,dest=x"], "unknown output type \"zip\""),
        (&["--progress=fancy"], "invalid progress mode \"fancy\""),
        (&["-q", "--progress=plain"], "progress=plain and quiet cannot be used together"),
        (&["-f", "/nonexist"], "failed to read dockerfile: open /nonexist: no such file"),
    ] {
        let all: Vec<&str> = arguments.iter().copied().chain([folder.as_str()]).collect();
        let outcome = build(&host, &all);
        let error = outcome.fails(1);
        assert!(error.starts_with("ERROR: failed to build: ") && error.contains(text), "{error}");
    }
    build(&host, &["/nonexist"])
        .fails_saying(1, "unable to prepare context: path \"/nonexist\" not found");
    build(&host, &[]).fails_saying(1, "'barge build' requires 1 argument");
    build(&host, &["--nope", "."]).fails_saying(125, "unknown flag: --nope");
}

#[test]
fn the_cache_is_listed_and_pruned() {
    let host = TestHost::new();
    let folder = context(&host, &[("Dockerfile", "FROM busybox\nRUN echo x > /x\n")]);
    let id = build(&host, &["-q", &folder]).text().to_owned();
    let list = host.barge(&["buildx", "du"]);
    assert!(
        list.text().contains("RECLAIMABLE") && list.text().contains("Total:"),
        "{}",
        list.text()
    );
    let ids = host.barge(&["buildx", "du", "--format", "{{.ID}}"]);
    assert!(!ids.text().is_empty());
    host.barge(&["rmi", "-f", &id]).ok();
    let pruned = host.barge(&["buildx", "prune", "-a", "-f"]);
    assert!(pruned.text().contains("Total reclaimed space: "), "{}", pruned.text());
    assert_eq!(host.barge(&["buildx", "du", "--format", "{{.ID}}"]).text(), "");
}

#[test]
fn in_a_terminal_the_steps_are_drawn() {
    let host = HOST.host();
    host.busybox();
    let file = format!("FROM busybox\nRUN echo {}\n", host.unique("live"));
    let folder = context(&host, &[("Dockerfile", &file)]);
    let mut terminal = host.terminal(Client::Barge, &["build", &folder]);
    terminal.expect("[+] Building ").expect("FINISHED").expect("[2/2] RUN echo live");
    assert_eq!(terminal.wait(), 0, "{}", terminal.screen());
}

#[test]
fn a_shell_opens_in_the_state_of_the_step_that_failed() {
    // Of its own: the images are counted.
    let host = TestHost::new();
    let file = "FROM busybox\nENV LEFT=behind\nWORKDIR /work\nRUN echo half > done; false\n";
    let folder = context(&host, &[("Dockerfile", file)]);
    host.busybox();
    let before = host.barge(&["images", "-aq", "--no-trunc"]).text().to_owned();
    let arguments = ["build", "--progress=plain", "--on-failure", "shell", &folder];
    let script = b"cat done; echo $LEFT; pwd; exit 3\n";
    let outcome = host.run_with_input(Client::Barge, &arguments, script);
    outcome.fails(1);
    assert_eq!(outcome.stdout, "half\nbehind\n/work\n", "{}", outcome.stderr);
    assert_eq!(host.barge(&["images", "-aq", "--no-trunc"]).text(), before);
}
