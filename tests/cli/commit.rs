//! What a container changed: shown, taken out as an archive, made an image. Both clients.

use barge_testkit::{Client, Sharing};

static HOST: Sharing = Sharing::new();

const CHANGES: &str = "mkdir /new && echo one > /new/file && echo x >> /etc/passwd && rm /etc/group && \
                       ln -s file /new/link && mkfifo /new/pipe && chmod 4711 /new/file";

#[test]
fn diff_shows_what_changed() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("diff");
        host.run(client, &["run", "--name", &name, "busybox", "sh", "-c", CHANGES]).ok();
        let shown = host.run(client, &["diff", &name]);
        let mut lines: Vec<&str> = shown.text().lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "A /new",
                "A /new/file",
                "A /new/link",
                "A /new/pipe",
                "C /etc",
                "C /etc/passwd",
                "D /etc/group"
            ]
        );
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn a_container_that_changed_nothing_has_no_diff() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("same");
        host.run(client, &["run", "--name", &name, "busybox", "true"]).ok();
        assert_eq!(host.run(client, &["diff", &name]).text(), "");
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn a_commit_is_an_image_with_the_changes_and_the_containers_settings() {
    let host = HOST.host();
    for client in Client::both() {
        let (name, image) = (host.unique("source"), host.unique("committed"));
        let run = |arguments: &[&str]| host.run(client, arguments).text().to_owned();
        run(&["run", "--name", &name, "-e", "A=b", "-w", "/tmp", "busybox", "sh", "-c", CHANGES]);
        let id = run(&[
            "commit",
            "-a",
            "Me <me@example>",
            "-m",
            "what I did",
            "-c",
            "CMD [\"cat\", \"/new/file\"]",
            "-c",
            "ENV C=d",
            "-c",
            "LABEL l=1",
            &name,
            &format!("{image}:v1"),
        ]);
        let reference = format!("{image}:v1");
        assert_eq!(run(&["run", "--rm", &reference]), "one");
        let script = "pwd; echo $A$C; stat -c %a /new/file; readlink /new/link; ls /etc/group; test -p /new/pipe";
        let seen = host
            .run(client, &["run", "--rm", &reference, "sh", "-c", &format!("{script}; echo end")]);
        assert!(seen.stdout.starts_with("/tmp\nbd\n4711\nfile\n"), "{}", seen.stdout);
        assert!(seen.stderr.contains("/etc/group"), "{}", seen.stderr);
        let format = "{{.Id}} {{.Author}} {{.Comment}} {{.Config.Labels.l}} {{len .RootFS.Layers}}";
        let shown = run(&["image", "inspect", "-f", format, &reference]);
        assert_eq!(shown, format!("{id} Me <me@example> what I did 1 2"));
        assert!(run(&["history", "--no-trunc", &reference]).contains("what I did"));
        run(&["rm", &name]);
        let gone = run(&["rmi", &reference]);
        assert!(
            gone.contains(&format!("Untagged: {reference}"))
                && gone.contains(&format!("Deleted: {id}")),
            "{gone}"
        );
    }
}

#[test]
fn a_running_container_is_committed_and_goes_on() {
    let host = HOST.host();
    for client in Client::both() {
        let (name, image) = (host.unique("running"), host.unique("snapshot"));
        let run = |arguments: &[&str]| host.run(client, arguments).text().to_owned();
        run(&["run", "-d", "--name", &name, "busybox", "sh", "-c", "echo 1 > /a; sleep 1000"]);
        run(&["exec", &name, "sh", "-c", "until test -s /a; do :; done; echo 2 > /b"]);
        run(&["commit", &name, &image]);
        assert_eq!(run(&["inspect", "-f", "{{.State.Status}}", &name]), "running");
        assert_eq!(run(&["exec", &name, "cat", "/b"]), "2");
        assert_eq!(run(&["run", "--rm", &image, "cat", "/a", "/b"]), "1\n2");
        run(&["rm", "-f", &name]);
        run(&["rmi", &image]);
    }
}

#[test]
fn an_export_has_the_files_and_not_what_is_mounted() {
    let host = HOST.host();
    let secret = host.file("secret", "not in the archive");
    for client in Client::both() {
        let (name, image) = (host.unique("exported"), host.unique("imported"));
        let run = |arguments: &[&str]| host.run(client, arguments).text().to_owned();
        let bind = format!("{secret}:/mounted");
        run(&[
            "run",
            "-d",
            "--name",
            &name,
            "-v",
            &bind,
            "busybox",
            "sh",
            "-c",
            &format!("{CHANGES}; sleep 1000"),
        ]);
        run(&["exec", &name, "sh", "-c", "until test -u /new/file; do :; done"]);
        let archive = host.scratch().join(&name);
        let path = archive.to_str().unwrap();
        run(&["export", "-o", path, &name]);
        run(&["import", path, &image]);
        let script = "cat /new/file; stat -c %a /new/file; stat -c %s /mounted; ls /etc/group";
        let seen = host.run(client, &["run", "--rm", &image, "sh", "-c", script]);
        assert_eq!(seen.stdout, "one\n4711\n0\n", "{}", seen.stderr);
        run(&["rm", "-f", &name]);
        run(&["rmi", &image]);
    }
}

#[test]
fn wrong_names_are_told() {
    let host = HOST.host();
    let out = host.scratch().join("nobody.tar").display().to_string();
    for client in Client::both() {
        for arguments in
            [&["diff", "nobody"][..], &["commit", "nobody"], &["export", "-o", &out, "nobody"]]
        {
            host.run(client, arguments).fails_saying(1, "No such container: nobody");
        }
        let name = host.unique("named");
        host.run(client, &["create", "--name", &name, "busybox", "true"]).ok();
        host.run(client, &["commit", &name, "Upper/Case"]).fails_saying(1, "must be lowercase");
        host.run(client, &["commit", "-c", "RUN x", &name]).fails_saying(1, "RUN");
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn a_commit_need_not_stop_what_runs() {
    let host = HOST.host();
    let (name, image) = (host.unique("runs"), host.unique("taken"));
    host.barge(&["run", "-d", "--name", &name, "busybox", "sleep", "1000"]).ok();
    let pauses = || {
        let filter = format!("container={name}");
        let words = ["events", "--since", "1", "--until", "0s", "--filter", &filter];
        let events = host.barge(&[&words[..], &["--filter", "event=pause"]].concat());
        events.text().lines().count()
    };
    host.barge(&["commit", "--no-pause", &name, &image]).ok();
    let old = host.barge(&["commit", "--pause=false", &name, &image]);
    assert!(old.stderr.contains("Flag --pause has been deprecated"), "{old}");
    assert_eq!((old.code, pauses()), (0, 0));
    host.barge(&["rm", "-f", &name]).ok();
    host.barge(&["rmi", &image]).ok();
}
