//! `--mount type=image`: the files of another image, to be read.

use std::path::Path;

use barge_testkit::{Client, HostOptions, TarBuilder, TestHost};

/// A host that also has the image `tools`: two layers, a file of 7:8, a link to its folder and one that leads up.
fn host() -> TestHost {
    let host = TestHost::new();
    host.busybox();
    tools(&host);
    host
}

pub(super) fn tools(host: &TestHost) {
    let base = TarBuilder::new().folder("tools/", 0o755).file("tools/version", 0o644, b"1\n");
    let base = base.symlink("link", "/tools").symlink("out", "../../../../etc");
    let path = "/images/create?fromSrc=-&repo=tools&tag=base";
    let content = ("application/x-tar", &base.finish()[..]);
    host.api().send("POST", path, Some(content)).is(200);
    std::fs::write(host.scratch().join("own"), "own\n").unwrap();
    let text = "FROM tools:base\nCOPY --chown=7:8 own /tools/own\n";
    std::fs::write(host.scratch().join("Dockerfile"), text).unwrap();
    host.barge(&["build", "-q", "-t", "tools", host.scratch().to_str().unwrap()]).ok();
}

/// Where the daemon has something mounted for containers: below the mount that the folder of the layers is.
fn mounted(host: &TestHost) -> Vec<String> {
    let table = std::fs::read_to_string(format!("/proc/{}/mountinfo", host.daemon_pid())).unwrap();
    let root = host.data_root().join("overlay2/").to_str().unwrap().to_owned();
    let targets = table.lines().filter_map(|line| line.split(' ').nth(4));
    targets.filter(|target| target.starts_with(&root)).map(str::to_owned).collect()
}

#[test]
fn an_image_is_there_to_be_read_and_so_is_a_part_of_it() {
    let host = host();
    let look = "cat /mnt/tools/version /mnt/tools/own; stat -c %u:%g /mnt/tools/own /mnt; \
                touch /mnt/new || echo kept; mount -o remount,rw /mnt || echo locked";
    for client in Client::both() {
        for more in ["", ",readonly", ",readonly=false"] {
            let mount = format!("type=image,source=tools,target=/mnt{more}");
            let words = ["run", "--rm", "--mount", &mount, "busybox", "sh", "-c", look];
            let seen = host.run(client, &words);
            assert_eq!(seen.text(), "1\nown\n7:8\n0:0\nkept\nlocked", "{client:?} {more}: {seen}");
            assert!(seen.stderr.contains("Read-only file system"), "{seen}");
        }
        for part in ["tools", "link", "./tools/../link"] {
            let mount = format!("type=image,src=tools,dst=/a/b,image-subpath={part}");
            let words = ["run", "--rm", "--mount", &mount, "busybox", "cat", "/a/b/own"];
            assert_eq!(host.run(client, &words).text(), "own", "{client:?} {part}");
        }
        // Two of one image, over each other, and what the image of the container has is covered.
        let words = ["run", "--rm", "--mount", "type=image,src=tools,dst=/bin/there"];
        let more = ["--mount", "type=image,src=tools:base,dst=/home", "busybox"];
        let script = ["sh", "-c", "cat /bin/there/tools/own; ls /home /home/tools"];
        let seen = host.run(client, &[&words[..], &more, &script].concat());
        assert_eq!(seen.text(), "own\n/home:\nlink\nout\ntools\n\n/home/tools:\nversion", "{seen}");
        let refusals = [
            ("type=image,src=none:1,dst=/x", "No such image: none:1"),
            ("type=image,src=tools,dst=/x,image-subpath=none", "does not exist in the image"),
            ("type=image,src=tools,dst=/x,image-subpath=out", "does not exist in the image"),
            (
                "type=image,src=tools,dst=/x,image-subpath=../etc",
                "subpath must be a relative path within the volume",
            ),
            ("type=image,dst=/x", "field Source must not be empty"),
        ];
        for (mount, wanted) in refusals {
            let refused = host.run(client, &["run", "--rm", "--mount", mount, "busybox", "true"]);
            assert!(refused.stderr.contains(wanted), "{client:?} {mount}: {refused}");
            assert!(refused.code != 0 && !refused.stderr.contains("Unable to find"), "{refused}");
        }
    }
    host.assert_nothing_of_containers();
}

#[test]
fn other_drivers_mount_images_too() {
    let flags = vec!["--storage-driver=vfs".to_owned()];
    let host = TestHost::with(HostOptions { flags, ..HostOptions::default() });
    host.busybox();
    tools(&host);
    let layers = || std::fs::read_dir(host.data_root().join("vfs/dir")).unwrap().count();
    let before = layers();
    let mount = "type=image,source=tools,target=/image";
    let words = ["run", "--name", "subject", "--mount", mount, "busybox", "sh", "-c"];
    let seen =
        host.barge(&[&words[..], &["cat /image/tools/own; touch /image/x || echo kept"]].concat());
    assert_eq!(seen.text(), "own\nkept", "{seen}");
    host.barge(&["rm", "subject"]).ok();
    // One of mount points stays with the image.
    barge_testkit::eventually("its layers are gone", || layers() <= before + 1);
    host.assert_nothing_of_containers();
}

#[test]
fn inspect_shows_the_image_and_the_command_that_mounts_it() {
    let host = host();
    let mount = "type=image,source=tools:latest,target=/mnt,image-subpath=tools";
    for client in Client::both() {
        host.run(client, &["create", "--name", "shown", "--mount", mount, "busybox"]).ok();
        let shown = host.inspect("shown");
        let point = &shown["Mounts"][0];
        for (key, value) in [
            ("Type", "image".into()),
            ("Name", "tools:latest".into()),
            ("Destination", "/mnt".into()),
            ("Mode", "".into()),
            ("RW", serde_json::Value::Bool(false)),
            ("Propagation", "rprivate".into()),
        ] {
            assert_eq!(point[key], value, "{key}: {point}");
        }
        let source = point["Source"].as_str().unwrap();
        assert!(Path::new(source).starts_with(host.data_root()), "{source}");
        let asked = &shown["HostConfig"]["Mounts"][0];
        assert_eq!((&asked["Type"], &asked["Source"]), (&"image".into(), &"tools:latest".into()));
        assert_eq!(asked["ImageOptions"]["Subpath"], "tools");
        let found = host.run(client, &["ps", "-aq", "--filter", "volume=/mnt"]);
        assert_eq!(found.text().len(), 12, "{found}");
        host.run(client, &["rm", "shown"]).ok();
    }
    host.barge(&["create", "--name", "shown", "--mount", mount, "busybox"]).ok();
    let line = host.barge(&["inspect", "--as", "run", "shown"]);
    assert!(line.text().contains(&format!("--mount={mount}")), "{line}");
    let file = host.barge(&["inspect", "--as", "compose", "shown"]);
    let wanted = ["type: \"image\"", "source: \"tools:latest\"", "subpath: \"tools\""];
    for wanted in wanted.map(|text| text.replace('"', "")) {
        assert!(file.text().replace('"', "").contains(&wanted), "{wanted}: {file}");
    }
    host.barge(&["rm", "shown"]).ok();
}

#[test]
fn an_image_that_is_mounted_is_in_use() {
    let host = host();
    let mount = "type=image,source=tools,target=/mnt";
    let words = ["run", "-d", "--name", "user", "--mount", mount, "busybox", "sleep", "1000"];
    host.barge(&words).ok();
    let id = host.barge(&["images", "-q", "tools:latest"]).text().to_owned();
    for words in [&["rmi", "tools"][..], &["rmi", "-f", &id]] {
        let refused = host.barge(words);
        assert!(refused.stderr.contains("conflict") && refused.code == 1, "{refused}");
    }
    let listed = host.api().get("/images/json").is(200).json();
    for image in listed.as_array().unwrap() {
        let users = i64::from(!image["RepoTags"].to_string().contains("tools:base"));
        assert_eq!(image["Containers"], users, "{image}");
    }
    host.barge(&["image", "prune", "-af"]).ok();
    host.barge(&["exec", "user", "cat", "/mnt/tools/own"]).ok();
    host.barge(&["stop", "-t", "0", "user"]).ok();
    let refused = host.barge(&["rmi", "tools"]);
    assert!(refused.stderr.contains("conflict"), "{refused}");
    // By force, as with the container's own: its layers stay as long as somebody needs them.
    host.barge(&["rmi", "-f", "tools"]).ok();
    host.barge(&["builder", "prune", "-af"]).ok();
    let sharing = ["run", "--rm", "--volumes-from", "user", "busybox", "cat", "/mnt/tools/own"];
    assert_eq!(host.barge(&sharing).text(), "own");
    host.barge(&["start", "user"]).ok();
    assert_eq!(host.barge(&["exec", "user", "cat", "/mnt/tools/version"]).text(), "1");
    host.barge(&["rm", "-f", "user"]).ok();
    host.assert_nothing_of_containers();
}

#[test]
fn the_mount_is_what_it_was_after_every_kind_of_restart_and_gone_with_the_container() {
    let mut host = host();
    let mount = "type=image,source=tools,target=/mnt";
    let words = ["run", "-d", "--name", "stays", "--mount", mount, "busybox", "sleep", "1000"];
    host.barge(&words).ok();
    // Another image of the name is not this one's.
    host.barge(&["tag", "busybox", "tools"]).ok();
    let own = |host: &TestHost| host.barge(&["exec", "stays", "cat", "/mnt/tools/own"]);
    host.kill9();
    host.start();
    assert_eq!(own(&host).text(), "own");
    host.barge(&["restart", "-t", "0", "stays"]).ok();
    assert_eq!(own(&host).text(), "own");
    host.restart();
    assert_eq!(own(&host).text(), "own");
    host.barge(&["stop", "-t", "0", "stays"]).ok();
    barge_testkit::eventually("it is taken down", || mounted(&host).is_empty());
    host.restart();
    host.barge(&["start", "stays"]).ok();
    assert_eq!(own(&host).text(), "own");
    assert_eq!(mounted(&host).len(), 2);
    // It ends while nobody looks.
    let pid = host.pid("stays");
    host.kill9();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    host.start();
    barge_testkit::eventually("it is taken down", || mounted(&host).is_empty());
    host.barge(&["rm", "stays"]).ok();
    host.assert_nothing_of_containers();
}

#[test]
fn copies_come_out_of_it_and_nothing_goes_in_or_into_an_image() {
    let host = host();
    let mount = "type=image,source=tools,target=/image";
    let file = host.file("word", "word");
    for client in Client::both() {
        let words =
            ["run", "-d", "--name", "subject", "--mount", mount, "busybox", "sleep", "1000"];
        host.run(client, &words).ok();
        for state in ["running", "stopped"] {
            let out = host.scratch().join(format!("{}-{state}", client.name()));
            let copy = ["cp", "subject:/image/tools/own", out.to_str().unwrap()];
            host.run(client, &copy).ok();
            assert_eq!(std::fs::read_to_string(out).unwrap(), "own\n", "{state}");
            let refused = host.run(client, &["cp", &file, "subject:/image/tools/"]);
            assert!(refused.stderr.contains("mounted volume is marked read-only"), "{refused}");
            host.run(client, &["stop", "-t", "0", "subject"]).ok();
        }
        assert_eq!(host.run(client, &["diff", "subject"]).text(), "A /image");
        host.run(client, &["commit", "subject", "committed"]).ok();
        let seen = host.run(client, &["run", "--rm", "committed", "ls", "/image"]);
        assert_eq!(seen.text(), "", "{seen}");
        host.run(client, &["rm", "subject"]).ok();
        host.run(client, &["rmi", "committed"]).ok();
        host.assert_nothing_of_containers();
    }
}

#[test]
fn a_container_that_there_is_gets_and_loses_such_a_mount() {
    let mut host = host();
    host.barge(&["run", "-d", "--name", "edited", "busybox", "sleep", "1000"]).ok();
    let missing = host.barge(&["update", "--mount-add", "type=image,src=none,dst=/x", "edited"]);
    assert!(missing.stderr.contains("No such image: none:latest"), "{missing}");
    let mount = "type=image,source=tools,target=/mnt,image-subpath=tools";
    host.barge(&["update", "--mount-add", mount, "edited"]).ok();
    assert_ne!(host.barge(&["exec", "edited", "cat", "/mnt/own"]).code, 0);
    host.barge(&["restart", "-t", "0", "edited"]).ok();
    assert_eq!(host.barge(&["exec", "edited", "cat", "/mnt/own"]).text(), "own");
    host.kill9();
    host.start();
    host.barge(&["update", "--mount-rm", "/mnt", "edited"]).ok();
    assert_eq!(host.barge(&["exec", "edited", "cat", "/mnt/own"]).text(), "own");
    host.barge(&["restart", "-t", "0", "edited"]).ok();
    assert_eq!(host.inspect("edited")["Mounts"], serde_json::json!([]));
    // Nothing of the container needs it any more, and builds keep what they made.
    host.barge(&["rmi", "tools"]).ok();
    host.barge(&["builder", "prune", "-af"]).ok();
    host.barge(&["rm", "-f", "edited"]).ok();
    host.assert_nothing_of_containers();
}
