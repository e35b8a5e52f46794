//! Images from archives of every kind, and archives that want more than to be images.

use std::fs;

use barge_testkit::{
    ArchiveImage, Client, Layout, Process, Sharing, TarBuilder, TestHost, busybox_rootfs,
    busybox_tar, command, eventually, need,
};
use serde_json::json;

static HOST: Sharing = Sharing::new();

/// Two layers on busybox's: the second takes away and replaces what the first has.
fn layered(name: &str) -> ArchiveImage {
    let second = TarBuilder::new()
        .folder("data/", 0o755)
        .file("data/kept", 0o640, b"kept")
        .file("data/gone", 0o644, b"gone")
        .folder("data/opaque/", 0o755)
        .file("data/opaque/old", 0o644, b"old");
    let third = TarBuilder::new()
        .folder("data/", 0o755)
        .file("data/.wh.gone", 0o644, b"")
        .folder("data/opaque/", 0o755)
        .file("data/opaque/.wh..wh..opq", 0o644, b"")
        .file("data/opaque/new", 0o644, b"new")
        .hard_link("data/twin", "data/opaque/new");
    ArchiveImage {
        name: name.to_owned(),
        layers: vec![busybox_tar().to_vec(), second.finish(), third.finish()],
        config: json!({
            "Cmd": ["sh", "-c", "find /data -type f | sort; echo $GREETING"],
            "Env": ["PATH=/bin", "GREETING=hello"],
            "WorkingDir": "/data", "User": "worker", "Labels": {"made.for": name},
            "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/home": {}},
        }),
    }
}

const SEEN: &str = "/data/kept\n/data/opaque/new\n/data/twin\nhello";

#[test]
fn a_root_file_system_is_imported_from_a_file_of_any_compression_and_from_stdin() {
    let host = HOST.host();
    let tar = busybox_rootfs().file("etc/mark", 0o644, b"mine\n");
    let files = [
        host.file("rootfs.tar", tar.clone().finish()),
        host.file("rootfs.tar.gz", tar.clone().gzip()),
        host.file("rootfs.tar.zst", tar.clone().zstd()),
    ];
    for client in Client::both() {
        for file in &files {
            let name = host.unique("imported");
            let id = host.run(client, &["import", file, &name]).text().to_owned();
            assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
            let outcome = host.run(client, &["run", "--rm", &name, "cat", "/etc/mark"]);
            assert_eq!(outcome.text(), "mine", "{client:?} {file}");
            host.run(client, &["rmi", &name]).ok();
        }
        let name = host.unique("imported");
        let arguments =
            ["import", "-m", "message", "-c", "CMD [\"cat\",\"/etc/mark\"]", "-", &name];
        host.run_with_input(client, &arguments, &tar.clone().gzip()).ok();
        assert_eq!(host.run(client, &["run", "--rm", &name]).text(), "mine");
        host.run(client, &["rmi", &name]).ok();
    }
}

#[test]
fn archives_of_docker_save_are_loaded_in_both_layouts() {
    let host = HOST.host();
    for client in Client::both() {
        for (layout, tag) in [(Layout::Legacy, "legacy"), (Layout::Oci, "oci")] {
            let name = format!("{}:{tag}", host.unique("loaded"));
            let image = layered(&name);
            let file = host.file("saved.tar", image.save(layout));
            let loaded = host.run(client, &["load", "-i", &file]);
            assert_eq!(loaded.text(), format!("Loaded image: {name}"));
            let inspected = host.run(
                client,
                &[
                    "image",
                    "inspect",
                    "-f",
                    "{{.Id}} {{.Config.User}} {{len .RootFS.Layers}}",
                    &name,
                ],
            );
            assert_eq!(inspected.text(), format!("{} worker 3", image.id()), "{layout:?}");
            assert_eq!(host.run(client, &["run", "--rm", &name]).text(), SEEN, "{layout:?}");
            let again = host.run_with_input(client, &["load"], &image.save(layout));
            assert_eq!(again.text(), format!("Loaded image: {name}"), "a second time, from stdin");
            let removed = host.run(client, &["rmi", &name]);
            assert!(removed.text().starts_with(&format!("Untagged: {name}\n")), "{removed}");
            assert!(removed.text().contains(&format!("Deleted: {}", image.id())), "{removed}");
        }
    }
}

#[test]
fn archives_of_skopeo_are_loaded() {
    need!(skopeo);
    let host = HOST.host();
    let name = "from-skopeo:1";
    let source = host.file("skopeo-source.tar", layered(name).save(Layout::Legacy));
    for (kind, suffix) in
        [("docker-archive", format!(":{name}")), ("oci-archive", format!(":{name}"))]
    {
        for client in Client::both() {
            let target = host.scratch().join(host.unique("skopeo"));
            let mut copy = command("skopeo");
            copy.args(["--insecure-policy", "--tmpdir"]).arg(host.scratch());
            copy.arg("copy").arg(format!("docker-archive:{source}"));
            copy.arg(format!("{kind}:{}{suffix}", target.display()));
            Process::start(&mut copy).wait().ok();
            let loaded = host.run(client, &["load", "-q", "-i", target.to_str().unwrap()]);
            assert_eq!(loaded.text(), format!("Loaded image: {name}"), "{kind}");
            assert_eq!(host.run(client, &["run", "--rm", name]).text(), SEEN, "{kind}");
            host.run(client, &["rmi", name]).ok();
        }
    }
}

#[test]
fn images_are_listed_tagged_and_removed_by_name_and_by_id() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("listed");
        let tar = TarBuilder::new().file("only", 0o644, name.as_bytes()).finish();
        let id = host.run_with_input(client, &["import", "-", &name], &tar).text().to_owned();
        host.run(client, &["tag", &name, &format!("{name}:second")]).ok();
        let format = "{{.Repository}}:{{.Tag}} {{.ID}}";
        let listed = host.run(client, &["images", "--no-trunc", "--format", format, &name]);
        let mut lines: Vec<&str> = listed.text().lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, [format!("{name}:latest {id}"), format!("{name}:second {id}")]);
        let short = &id["sha256:".len()..][..12];
        host.run(client, &["rmi", short]).fails_saying(1, "must be forced");
        let one = host.run(client, &["rmi", &name]);
        assert_eq!(one.text(), format!("Untagged: {name}:latest"));
        assert!(host.run(client, &["rmi", short]).text().contains(&format!("Deleted: {id}")));
        host.run(client, &["image", "inspect", &name]).fails_saying(1, "o such image");
    }
}

#[test]
fn an_image_in_use_is_not_removed() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("used");
        host.run_with_input(client, &["import", "-", &name], busybox_tar()).ok();
        let holder = host.unique("holder");
        host.run(client, &["create", "--name", &holder, &name, "true"]).ok();
        let refused = host.run(client, &["rmi", &name]);
        refused.fails_saying(1, "unable to remove repository reference");
        host.run(client, &["rm", &holder]).ok();
        host.run(client, &["rmi", &name]).ok();
    }
}

#[test]
fn an_image_is_saved_and_loaded_again_as_the_same() {
    let host = HOST.host();
    for client in Client::both() {
        let name = format!("{}:1", host.unique("saved"));
        let image = layered(&name);
        host.run_with_input(client, &["load"], &image.save(Layout::Oci)).ok();
        let file = host.scratch().join(host.unique("again.tar"));
        host.run(client, &["save", "-o", file.to_str().unwrap(), &name]).ok();
        host.run(client, &["rmi", &name]).ok();
        host.run(client, &["load", "-i", file.to_str().unwrap()]).ok();
        let inspected = host.run(client, &["image", "inspect", "-f", "{{.Id}}", &name]);
        assert_eq!(inspected.text(), image.id(), "{client:?}");
        assert_eq!(host.run(client, &["run", "--rm", &name]).text(), SEEN);
        host.run(client, &["rmi", &name]).ok();
    }
}

/// Archives that are cut off, damaged or hostile, each with what it would do on a careless host.
fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let whole = busybox_rootfs().gzip();
    let cut = whole[..whole.len() / 2].to_vec();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0x55);
    let mut header = TarBuilder::new().file("a", 0o644, b"x").finish();
    header[0] = b'b';
    vec![
        ("cut off", cut),
        ("damaged", damaged),
        ("cut off in a file", busybox_tar()[..busybox_tar().len() / 2].to_vec()),
        ("a header's sum is wrong", header),
        ("text", b"this is no archive, whatever its name says\n".repeat(100)),
        ("a name with ..", TarBuilder::new().file("../../escaped", 0o644, b"x").finish()),
        (
            "a name with .. inside",
            TarBuilder::new().file("a/../../../escaped", 0o644, b"x").finish(),
        ),
        (
            "a hard link to the host",
            TarBuilder::new().hard_link("passwd", "../../../../../../../etc/passwd").finish(),
        ),
    ]
}

#[test]
fn damaged_and_hostile_archives_are_refused_and_leave_nothing() {
    let host = TestHost::new();
    let entries = |folder: &str| {
        let entries = fs::read_dir(host.data_root().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| !["l", "trash", "backingFsBlockDev"].contains(&name.as_str()))
            .collect::<Vec<String>>()
    };
    let mut wrong = Vec::new();
    for (what, archive) in refused() {
        for client in Client::both() {
            let imported = host.run_with_input(client, &["import", "-", "hostile"], &archive);
            if imported.code != 1 || imported.stderr.is_empty() {
                wrong.push(format!("{what}: {imported}"));
            }
            // The same as a layer of an image that is otherwise right.
            let image = ArchiveImage {
                name: "hostile:1".to_owned(),
                layers: vec![archive.clone()],
                config: json!({"Cmd": ["sh"]}),
            };
            for layout in [Layout::Legacy, Layout::Oci] {
                let loaded = host.run_with_input(client, &["load"], &image.save(layout));
                if loaded.code != 1 || loaded.stderr.is_empty() {
                    wrong.push(format!("{what} as a layer, {layout:?}: {loaded}"));
                }
            }
            let whole = layered("cut:1").save(Layout::Oci);
            let cut = host.run_with_input(client, &["load"], &whole[..whole.len() / 2]);
            if cut.code != 1 {
                wrong.push(format!("half of a saved image: {cut}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(host.barge(&["images", "-aq"]).text(), "");
    eventually("nothing is left", || {
        ["overlay2", "overlay2/l", "overlay2/trash", "content/blobs/sha256"]
            .iter()
            .all(|folder| entries(folder).is_empty())
    });
    for place in ["/escaped", "/var/escaped", "/var/tmp/escaped"] {
        assert!(!std::path::Path::new(place).exists(), "{place}");
    }
}

#[test]
fn links_in_an_archive_are_resolved_inside_the_image() {
    let host = HOST.host();
    let victim = host.scratch().join(host.unique("victim"));
    fs::create_dir(&victim).unwrap();
    let target = victim.to_str().unwrap();
    // The link is harmless; what comes through it must not be.
    let tar = busybox_rootfs()
        .symlink("trap", target)
        .file("trap/planted", 0o644, b"x")
        .symlink("up", "../../../../../../..")
        .file(&format!("up{target}/planted-too"), 0o644, b"x")
        .finish();
    for client in Client::both() {
        let name = host.unique("links");
        // Refused or kept inside: both are safe, and the daemon may choose.
        host.run_with_input(client, &["import", "-", &name], &tar);
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0, "{client:?}: nothing is planted");
    }
}

#[test]
fn a_device_in_an_archive_gives_no_access_to_the_hosts() {
    let host = HOST.host();
    let tar = busybox_rootfs().entry("dev/disk", (b'4', 0o666), "", b"").entry(
        "disk",
        (b'4', 0o666),
        "",
        b"",
    );
    host.run_with_input(Client::Barge, &["import", "-", "devices"], &tar.finish()).ok();
    for client in Client::both() {
        let read = ["run", "--rm", "devices", "head", "-c", "1", "/disk"];
        let outcome = host.run(client, &read);
        assert!(outcome.code != 0 && outcome.stdout.is_empty(), "{outcome}");
    }
}

#[test]
fn a_manifest_that_names_files_outside_is_refused() {
    let host = HOST.host();
    let manifest = |config: &str, layer: &str| {
        json!([{"Config": config, "RepoTags": ["evil:1"], "Layers": [layer]}]).to_string()
    };
    for (config, layer) in [
        ("/etc/passwd", "x"),
        ("../../etc/passwd", "x"),
        ("c.json", "/etc/passwd"),
        ("c.json", "missing"),
    ] {
        let description = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:".to_owned() + &"0".repeat(64)]},
        });
        let archive = TarBuilder::new()
            .file("manifest.json", 0o644, manifest(config, layer).as_bytes())
            .file("c.json", 0o644, description.to_string().as_bytes())
            .finish();
        for client in Client::both() {
            let outcome = host.run_with_input(client, &["load"], &archive);
            assert_eq!(outcome.code, 1, "{config} {layer}: {outcome}");
            assert!(!outcome.stderr.contains("root:x:0"), "{outcome}");
        }
    }
}

#[test]
fn files_of_the_engine_are_not_committed_to_the_layer() {
    let host = HOST.host();
    let name = host.unique("layer");
    let script =
        "echo x >> /etc/hosts; echo x >> /etc/resolv.conf; echo x >> /etc/hostname; echo y > /y";
    host.barge(&["run", "--name", &name, "busybox", "sh", "-c", script]).ok();
    let upper = host.inspect(&name)["GraphDriver"]["Data"]["UpperDir"].as_str().unwrap().to_owned();
    let mut written: Vec<String> = Vec::new();
    for entry in fs::read_dir(&upper).unwrap() {
        written.push(entry.unwrap().file_name().to_string_lossy().into_owned());
    }
    assert_eq!(written, ["y"]);
    let hosts = host.inspect(&name)["HostsPath"].as_str().unwrap().to_owned();
    assert!(fs::read_to_string(hosts).unwrap().ends_with("x\n"));
    host.barge(&["rm", &name]).ok();
}

#[test]
fn images_that_share_layers_come_and_go_at_once() {
    let host = HOST.host();
    let images: Vec<_> =
        (0..4).map(|_| layered(&format!("{}:1", host.unique("sharing")))).collect();
    std::thread::scope(|scope| {
        for image in &images {
            let host = &host;
            scope.spawn(move || {
                for layout in [Layout::Legacy, Layout::Oci, Layout::Oci, Layout::Legacy] {
                    host.run_with_input(Client::Barge, &["load"], &image.save(layout)).ok();
                    let outcome = host.barge(&["run", "--rm", &image.name]);
                    assert_eq!(outcome.text(), SEEN);
                    host.barge(&["rmi", &image.name]).ok();
                }
            });
        }
    });
}
