//! `cp` with both clients: what is copied where, and what is refused. What the daemon makes of attacks is in the tests
//! of the API.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use barge_testkit::{Client, Sharing, TarBuilder, TestHost};

static HOST: Sharing = Sharing::new();

/// A folder of our own with `f`, `dir/sub/a` and the link `link` to `f`.
fn ours(host: &TestHost) -> PathBuf {
    let folder = host.scratch().join(host.unique("ours"));
    std::fs::create_dir_all(folder.join("dir/sub")).unwrap();
    std::fs::write(folder.join("f"), "hi").unwrap();
    std::fs::write(folder.join("dir/sub/a"), "a").unwrap();
    std::os::unix::fs::symlink("f", folder.join("link")).unwrap();
    folder
}

/// A container with `/data/f`, `/data/sub/deep` and links to the folder and to the file.
fn theirs(host: &TestHost, stem: &str) -> String {
    let name = host.unique(stem);
    let script = "mkdir -p /data/sub && echo -n theirs > /data/f && echo -n deep > /data/sub/deep && \
                  ln -s /data /abs && ln -s data/f /rel && ln -s nowhere/x /broken && chmod 750 /data";
    host.barge(&["run", "--name", &name, "busybox", "sh", "-c", script]).ok();
    name
}

/// Copies, in the folder `at`.
fn cp(host: &TestHost, client: Client, (at, words): (&Path, &[&str])) -> barge_testkit::Outcome {
    let mut line = host.client(client, &[&["cp"], words].concat());
    barge_testkit::Process::start(line.current_dir(at)).wait()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn what_goes_into_a_container_lands_where_the_manual_says() {
    let host = HOST.host();
    let at = ours(&host);
    for client in Client::both() {
        let name = theirs(&host, "into");
        for (source, target, found) in [
            ("f", "/data/", "/data/f"),
            ("f", "/data/new", "/data/new"),
            ("f", "/abs/through", "/data/through"),
            ("f", "/rel", "/data/f"),
            ("dir", "/data/newdir", "/data/newdir/sub/a"),
            ("dir", "/data/newdir", "/data/newdir/dir/sub/a"),
            ("dir/.", "/data/newdir", "/data/newdir/sub/a"),
            ("dir/.", "/content", "/content/sub/a"),
            ("dir/", "/slash", "/slash/sub/a"),
            ("f", "relative", "/relative"),
        ] {
            // What is relative is so to the root, which Docker's client does not manage for a new name.
            if target == "relative" && client == Client::Docker {
                continue;
            }
            cp(&host, client, (&at, &[source, &format!("{name}:{target}")])).ok();
            let got = host.run_with_input(client, &["cp", &format!("{name}:{found}"), "-"], b"");
            let wanted = if source == "f" { "hi" } else { "\0a\0" };
            assert!(got.text().contains(wanted), "{source} to {target}");
        }
        cp(&host, client, (&at, &["link", &format!("{name}:/data/l")])).ok();
        cp(&host, client, (&at, &["-L", "link", &format!("{name}:/data/followed")])).ok();
        let out = at.join(host.unique("out"));
        cp(&host, client, (&at, &[&format!("{name}:/data"), out.to_str().unwrap()])).ok();
        assert_eq!(std::fs::read_link(out.join("l")).unwrap(), Path::new("f"));
        assert!(!out.join("followed").is_symlink() && read(out.join("followed")) == "hi");
        host.barge(&["rm", &name]).ok();
    }
}

#[test]
fn what_comes_out_of_a_container_lands_where_the_manual_says() {
    let host = HOST.host();
    for client in Client::both() {
        let (at, name) = (ours(&host), theirs(&host, "out"));
        let copy = |words: &[&str]| {
            let words: Vec<String> =
                words.iter().map(|word| word.replace("c:", &format!("{name}:"))).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let copied = cp(&host, client, (&at, &words));
            copied.ok();
            assert_eq!(copied.stdout, "");
        };
        copy(&["c:/data/f", "got"]);
        assert_eq!(read(at.join("got")), "theirs");
        copy(&["c:/data/f", "f"]);
        assert_eq!(read(at.join("f")), "theirs");
        copy(&["c:/data", "."]);
        assert_eq!(read(at.join("data/sub/deep")), "deep");
        assert_eq!(std::fs::metadata(at.join("data")).unwrap().permissions().mode() & 0o777, 0o750);
        copy(&["c:/data", "fresh"]);
        assert_eq!(read(at.join("fresh/sub/deep")), "deep");
        copy(&["c:/data/.", "dir"]);
        assert_eq!(read(at.join("dir/f")) + &read(at.join("dir/sub/a")), "theirsa");
        copy(&["c:/abs", "."]);
        assert_eq!(std::fs::read_link(at.join("abs")).unwrap(), Path::new("/data"));
        copy(&["-L", "c:/abs", "followed"]);
        assert_eq!(read(at.join("followed/f")), "theirs");
        copy(&["-L", "c:/rel", "dir"]);
        assert_eq!(read(at.join("dir/rel")), "theirs");
        copy(&["c:/broken", "b"]);
        assert_eq!(std::fs::read_link(at.join("b")).unwrap(), Path::new("nowhere/x"));
        // A link of ours is followed at its end, and stays.
        copy(&["-q", "c:/data/sub/deep", "link"]);
        assert!(at.join("link").is_symlink() && read(at.join("f")) == "deep");
        host.barge(&["rm", &name]).ok();
    }
}

#[test]
fn archives_go_through_standard_streams() {
    let host = HOST.host();
    let tar = TarBuilder::new().folder("x/", 0o700).file("x/y", 0o640, b"in").gzip();
    for client in Client::both() {
        let name = theirs(&host, "stream");
        let place = format!("{name}:/data");
        host.run_with_input(client, &["cp", "-", &place], &tar).ok();
        let got = host.run(client, &["cp", &format!("{name}:/data/x"), "-"]);
        assert!(got.text().starts_with("x/") && got.text().contains("x/y"), "{got}");
        let refused = host.run_with_input(client, &["cp", "-", &format!("{place}/f")], &tar);
        let text = format!("destination \"{place}/f\" must be a directory");
        assert_eq!(refused.fails(1), text);
        host.barge(&["rm", &name]).ok();
    }
}

#[test]
fn wrong_copies_are_refused_in_dockers_words() {
    let host = HOST.host();
    let at = ours(&host);
    let name = theirs(&host, "refused");
    for client in Client::both() {
        let there = |path: &str| format!("{name}:{path}");
        for (source, target, text) in [
            ("dir".to_owned(), there("/data/f"), "cannot copy directory".to_owned()),
            ("f".to_owned(), there("/data/nodir/"), "no such directory".to_owned()),
            ("none".to_owned(), there("/"), "no such file or directory".to_owned()),
            (
                "f".to_owned(),
                "f2".to_owned(),
                "must specify at least one container source".to_owned(),
            ),
            (
                "-".to_owned(),
                "-".to_owned(),
                "must specify at least one container source".to_owned(),
            ),
            (there("/a"), there("/b"), "copying between containers is not supported".to_owned()),
            (
                there("/none"),
                ".".to_owned(),
                format!("Could not find the file /none in container {name}"),
            ),
            (there("/data"), "f".to_owned(), "cannot copy directory".to_owned()),
            (there("/data/f"), "f/".to_owned(), "not a directory".to_owned()),
            (there("/data/f"), "no/x".to_owned(), "invalid output path: directory".to_owned()),
            ("f".to_owned(), "nobody:/x".to_owned(), "No such container: nobody".to_owned()),
            ("f".to_owned(), there("/broken"), "Could not find the file /nowhere".to_owned()),
        ] {
            let refused = cp(&host, client, (&at, &[&source, &target]));
            assert!(refused.fails(1).contains(&text), "{source} to {target}: {refused}");
        }
    }
    assert_eq!(read(at.join("f")), "hi");
    host.barge(&["rm", &name]).ok();
}

#[test]
fn owners_are_ours_unless_they_are_to_be_kept() {
    let host = HOST.host();
    let (at, name) = (ours(&host), host.unique("owners"));
    let script = "echo x > /f && chown 1000:50 /f";
    host.barge(&["run", "--name", &name, "-u", "0", "busybox", "sh", "-c", script]).ok();
    let from = format!("{name}:/f");
    let owner = |file: &str| {
        let found = std::fs::metadata(at.join(file)).unwrap();
        (found.uid(), found.gid())
    };
    cp(&host, Client::Barge, (&at, &[&from, "plain"])).ok();
    cp(&host, Client::Barge, (&at, &["-a", &from, "kept"])).ok();
    assert_eq!((owner("plain"), owner("kept")), ((0, 0), (1000, 50)));
    host.barge(&["rm", &name]).ok();
    // What goes in with -a belongs to the container's user.
    host.barge(&["run", "-d", "--name", &name, "-u", "worker", "busybox", "sleep", "1000"]).ok();
    for client in Client::both() {
        cp(&host, client, (&at, &["-a", "f", &format!("{name}:/home/worker/f")])).ok();
        let seen = host.barge(&["exec", &name, "stat", "-c", "%u:%g", "/home/worker/f"]);
        assert_eq!(seen.text(), "1000:1000");
    }
    host.barge(&["rm", "-f", &name]).ok();
}

#[test]
fn an_archive_of_a_container_touches_nothing_outside_of_its_place() {
    let host = HOST.host();
    let (at, name) = (ours(&host), host.unique("escape"));
    std::fs::create_dir(at.join("to")).unwrap();
    std::os::unix::fs::symlink(at.join("dir"), at.join("to/data")).unwrap();
    host.barge(&["run", "--name", &name, "busybox", "sh", "-c", "mkdir /data; echo x > /data/new"])
        .ok();
    // Our own link in the way is neither followed nor replaced.
    let refused = cp(&host, Client::Barge, (&at, &[&format!("{name}:/data"), "to"]));
    assert!(refused.fails(1).contains("cannot overwrite non-directory"), "{refused}");
    assert!(!at.join("dir/new").exists() && at.join("to/data").is_symlink());
    host.barge(&["rm", &name]).ok();
}
