//! Files of containers through the API: told of, taken out and put in, as dockerd does it, and never the host's.

use std::collections::BTreeSet;
use std::path::Path;

use barge_testkit::api::{Connection, Reply};
use barge_testkit::{Process, Sharing, TarBuilder, TestHost, command, eventually};
use serde_json::{Value, json};

static HOST: Sharing = Sharing::new();

/// Makes what the tests look at, in a container's layer.
const FILES: &str = "mkdir -p /data/sub && echo hi > /data/f && ln /data/f /data/hard && chmod 4755 /data/f && \
                     mkfifo /data/pipe && ln -s /data /abs && ln -s data/f /rel && ln -s nowhere/x /broken && \
                     ln -s ../../../../../etc /data/up";

fn url(container: &str, rest: &str) -> String {
    format!("/containers/{container}/archive?{rest}")
}

fn put(host: &TestHost, container: &str, (rest, tar): (&str, TarBuilder)) -> Reply {
    let tar = tar.finish();
    host.api().send("PUT", &url(container, rest), Some(("application/x-tar", &tar)))
}

/// What a header says: standard base64 of JSON.
fn stat(reply: &Reply) -> Value {
    let text = reply.header("x-docker-container-path-stat").expect("the header is there");
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.trim_end_matches('=').chars() {
        bits = bits << 6 | u32::try_from(letters.find(letter).expect("base64")).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    serde_json::from_slice(&bytes).expect("JSON")
}

/// GNU tar's view of an archive.
fn tar(flags: &str, archive: &[u8]) -> String {
    let mut tar = Process::start(command("tar").arg(flags).args(["-P", "-f", "-"]));
    tar.feed(archive);
    tar.wait().text().to_owned()
}

fn names(reply: &Reply) -> Vec<String> {
    tar("-t", &reply.body).lines().map(str::to_owned).collect()
}

/// The content of the only file in an archive.
fn content(reply: &Reply) -> String {
    tar("-xO", &reply.body)
}

/// A container with [`FILES`] that has ended.
fn ended(host: &TestHost, stem: &str, flags: &[&str]) -> String {
    let name = host.unique(stem);
    let line = [&["run", "--name", &name], flags, &["busybox", "sh", "-c", FILES]].concat();
    host.barge(&line).ok();
    name
}

#[test]
fn paths_are_told_of_as_by_docker() {
    let host = HOST.host();
    let name = ended(&host, "told", &[]);
    for (path, wanted) in [
        ("/", ("/", 2_147_484_141_u64, "")),
        (".", (".", 2_147_484_141, "")),
        ("data", ("data", 2_147_484_141, "")),
        ("/data/.", (".", 2_147_484_141, "")),
        ("/abs", ("abs", 134_218_239, "/data")),
        ("/abs/", ("abs", 2_147_484_141, "")),
        ("/rel", ("rel", 134_218_239, "/data/f")),
        ("/broken", ("broken", 134_218_239, "/nowhere/x")),
        ("/data/up", ("up", 134_218_239, "/etc")),
        ("/data/up/../f", ("f", 8_389_101, "")),
        ("/data/pipe", ("pipe", 33_554_852, "")),
        ("/../data/f", ("f", 8_389_101, "")),
    ] {
        let head = host.api().send("HEAD", &url(&name, &format!("path={path}")), None).is(200);
        let told = stat(&head);
        assert_eq!(told["name"], wanted.0, "{path}");
        assert_eq!((&told["mode"], &told["linkTarget"]), (&json!(wanted.1), &json!(wanted.2)));
        assert_eq!(told.as_object().unwrap().len(), 5, "{told}");
        // The same comes with the archive.
        let got = host.api().get(&url(&name, &format!("path={path}"))).is(200);
        assert_eq!(stat(&got), told);
        assert_eq!(got.header("content-type"), Some("application/x-tar"));
    }
    host.barge(&["rm", &name]).ok();
}

#[test]
fn archives_have_dockers_names() {
    let host = HOST.host();
    let name = ended(&host, "names", &[]);
    let get = |path: &str| host.api().get(&url(&name, &format!("path={path}"))).is(200);
    let below = |root: &str| {
        let parts = ["", "f", "hard", "pipe", "sub/", "up"];
        parts.iter().map(|part| format!("{root}/{part}")).collect::<Vec<_>>()
    };
    assert_eq!(names(&get("/data")), below("data"));
    assert_eq!(names(&get("/data/")), below("data"));
    assert_eq!(names(&get("/data/.")), below("."));
    assert_eq!(names(&get("/abs/")), below("abs"));
    assert_eq!(names(&get("/abs")), ["abs"]);
    assert_eq!(names(&get("/data/f")), ["f"]);
    assert!(tar("-tv", &get("/data").body).contains("data/hard link to data/f"));
    assert!(tar("-tv", &get("/data").body).contains("prw-r--r--"));
    let all = names(&get("/"));
    assert!(all.contains(&"/data/f".to_owned()) && all[0] == "/", "{all:?}");
    host.barge(&["rm", &name]).ok();
}

#[test]
fn wrong_requests_are_refused_in_dockers_words() {
    let host = HOST.host();
    let name = ended(&host, "wrong", &["-v", "/vol"]);
    let get = |path: &str, status: u16| host.api().get(&url(&name, path)).error(status);
    assert_eq!(get("path=", 400), "bad parameter: pathcannot be empty");
    let missing = format!("Could not find the file /nope/x in container {name}");
    assert_eq!(get("path=/nope/x", 404), missing);
    assert_eq!(get("path=/data/f/", 400), "lstat /data/f/: not a directory");
    let head = host.api().send("HEAD", &url(&name, "path=/nope"), None).is(404);
    assert!(head.header("x-docker-container-path-stat").is_none() && head.body.is_empty());
    let put = |rest: &str, tar| put(&host, &name, (rest, tar));
    let file = || TarBuilder::new().file("x", 0o644, b"x");
    let missing = format!("Could not find the file /nope in container {name}");
    assert_eq!(put("path=/nope", file()).error(404), missing);
    assert_eq!(put("path=/data/f", file()).error(400), "extraction point is not a directory");
    assert_eq!(
        put("path=/&noOverwriteDirNonDir=true", TarBuilder::new().file("data", 0o644, b""))
            .error(400),
        "cannot overwrite directory \"/data\" with non-directory \"/\""
    );
    assert_eq!(
        put("path=/data&noOverwriteDirNonDir=1", TarBuilder::new().folder("f", 0o755)).error(400),
        "cannot overwrite non-directory \"/data/f\" with directory \"/data\""
    );
    let climbing = put("path=/data", TarBuilder::new().file("../x", 0o644, b"x")).error(400);
    assert!(climbing.contains("outside"), "{climbing}");
    let junk =
        host.api().send("PUT", &url(&name, "path=/"), Some(("application/x-tar", b"junk\n")));
    assert!(junk.error(400).contains("unexpected EOF"));
    // Nothing is an archive of nothing.
    host.api().send("PUT", &url(&name, "path=/"), Some(("application/x-tar", b""))).is(200);
    let nobody = host.api().get(&url("nobody", "path=/")).error(404);
    assert_eq!(nobody, "No such container: nobody");
    host.barge(&["rm", "-v", &name]).ok();
}

#[test]
fn what_is_read_only_stays_as_it_is() {
    let host = HOST.host();
    let folder = host.scratch().join("ro-source");
    std::fs::create_dir_all(&folder).unwrap();
    let bind = format!("{}:/bound:ro", folder.display());
    let flags = ["--read-only", "-v", "/vol", "-v", &bind];
    let (stopped, running) = (host.unique("ro"), host.unique("ro"));
    host.barge(&[&["create", "--name", &stopped], &flags[..], &["busybox"]].concat()).ok();
    host.barge(
        &[&["run", "-d", "--name", &running], &flags[..], &["busybox", "sleep", "1000"]].concat(),
    )
    .ok();
    let file = || TarBuilder::new().file("x", 0o644, b"x");
    for name in [&stopped, &running] {
        let refused = |path: &str| put(&host, name, (&format!("path={path}"), file())).error(400);
        assert_eq!(refused("/root"), "container rootfs is marked read-only");
        assert_eq!(refused("/bound"), "mounted volume is marked read-only");
        put(&host, name, ("path=/vol", file())).is(200);
        assert_eq!(content(&host.api().get(&url(name, "path=/vol/x"))), "x");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    host.barge(&["rm", "-f", "-v", &stopped, &running]).ok();
}

#[test]
fn a_running_container_shows_what_its_processes_see_and_a_stopped_one_what_stays() {
    let host = HOST.host();
    let name = host.unique("seen");
    let file = host.file("bound-file", "bound");
    let script =
        "echo memory > /mem/f; echo volume > /vol/f; echo layer > /f; echo ready; sleep 1000";
    host.barge(&[
        "run",
        "-d",
        "--name",
        &name,
        "--tmpfs",
        "/mem",
        "-v",
        "/vol",
        "-v",
        &format!("{file}:/bound"),
        "busybox",
        "sh",
        "-c",
        script,
    ])
    .ok();
    eventually("the files are there", || host.barge(&["logs", &name]).text() == "ready");
    let get = |path: &str| host.api().get(&url(&name, &format!("path={path}")));
    for (path, text) in
        [("/mem/f", "memory"), ("/vol/f", "volume"), ("/f", "layer"), ("/bound", "bound")]
    {
        assert_eq!(content(&get(path).is(200)), text, "{path}");
    }
    let hosts = content(&get("/etc/hosts").is(200));
    assert!(hosts.contains("localhost"), "{hosts}");
    // What the kernel tells of itself is not content, nor are the devices that everybody gets.
    let all = names(&get("/").is(200));
    for (folder, shown) in [("/proc/", 1), ("/sys/", 1), ("/dev/", 1), ("/mem/", 2)] {
        let found = all.iter().filter(|name| name.starts_with(folder)).count();
        assert_eq!(found, shown, "{folder} in {all:?}");
    }
    assert!(names(&get("/dev/null").is(200)) == ["null"]);
    put(&host, &name, ("path=/mem", TarBuilder::new().file("in", 0o600, b"put"))).is(200);
    assert_eq!(host.barge(&["exec", &name, "cat", "/mem/in"]).text(), "put");
    host.barge(&["kill", &name]).ok();
    host.barge(&["wait", &name]).ok();
    let get = |path: &str| host.api().get(&url(&name, &format!("path={path}")));
    for (path, text) in [("/vol/f", "volume"), ("/f", "layer"), ("/bound", "bound")] {
        assert_eq!(content(&get(path).is(200)), text, "{path}");
    }
    assert_eq!(content(&get("/etc/hosts").is(200)), hosts);
    get("/mem/f").is(404);
    put(&host, &name, ("path=/vol", TarBuilder::new().file("in", 0o600, b"put"))).is(200);
    host.barge(&["start", &name]).ok();
    assert_eq!(host.barge(&["exec", &name, "cat", "/vol/in"]).text(), "put");
    host.barge(&["rm", "-f", "-v", &name]).ok();
}

#[test]
fn files_get_the_containers_user_when_that_is_asked_for() {
    let host = HOST.host();
    let name = host.unique("user");
    host.barge(&["create", "--name", &name, "--user", "worker:staff", "busybox"]).ok();
    let tar = || TarBuilder::new().file("x", 0o640, b"x").gzip();
    let send = |rest: &str| {
        let path = url(&name, &format!("path=/mnt{rest}"));
        host.api().send("PUT", &path, Some(("application/x-tar", &tar()))).is(200);
        tar_line(&host.api().get(&url(&name, "path=/mnt/x")))
    };
    assert!(send("").starts_with("-rw-r----- 0/0"));
    assert!(send("&copyUIDGID=true").starts_with("-rw-r----- 1000/50"));
    // The names are the container's, and what is not there is not: a link out of it leads nowhere.
    let passwd = host.file("passwd", "worker:x:7:7::/:/bin/sh\n");
    let link = TarBuilder::new().symlink("passwd", &passwd);
    put(&host, &name, ("path=/etc", link)).is(200);
    let again =
        put(&host, &name, ("path=/mnt&copyUIDGID=true", TarBuilder::new().file("x", 0o640, b"x")));
    assert!(again.error(400).contains("worker"));
    host.barge(&["rm", &name]).ok();
}

fn tar_line(reply: &Reply) -> String {
    let numeric = tar("-tv", &reply.body);
    numeric.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn holes_are_no_bytes_on_the_way() {
    let host = HOST.host();
    let name = host.unique("holes");
    let script = "truncate -s 64G /big && echo end >> /big";
    host.barge(&["run", "--name", &name, "busybox", "sh", "-c", script]).ok();
    let got = host.api().get(&url(&name, "path=/big")).is(200);
    assert!(got.body.len() < 1 << 20, "{}", got.body.len());
    assert_eq!(stat(&got)["size"], (64_u64 << 30) + 4);
    let path = url(&name, "path=/mnt");
    host.api().send("PUT", &path, Some(("application/x-tar", &got.body))).is(200);
    let copied = host.api().send("HEAD", &url(&name, "path=/mnt/big"), None).is(200);
    assert_eq!(stat(&copied)["size"], (64_u64 << 30) + 4);
    host.barge(&["rm", &name]).ok();
}

#[test]
fn copies_are_told_as_by_docker() {
    let host = HOST.host();
    let name = host.unique("events");
    host.barge(&["create", "--name", &name, "busybox"]).ok();
    put(&host, &name, ("path=/", TarBuilder::new().file("x", 0o644, b"x"))).is(200);
    let _archive = host.api().get(&url(&name, "path=/x")).is(200);
    let filters = json!({"container": [name], "event": ["extract-to-dir", "archive-path"]});
    let filters: String = filters.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let path = format!("/events?since=1&until={}&filters={filters}", now.as_secs() + 1);
    let told = host.api().get(&path).is(200).text();
    let actions: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["Action"].take())
        .collect();
    assert_eq!(actions, ["extract-to-dir", "archive-path"]);
    host.barge(&["rm", &name]).ok();
}

/// Mounts of the machine that have to do with a container.
fn mounts_of(id: &str) -> usize {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().filter(|line| line.contains(id)).count()
}

/// Begins to take a folder of eight megabytes out, and does not read it.
fn begin(host: &TestHost, name: &str) -> Connection {
    let mut connection = host.api().connect();
    let path = url(name, "path=/large");
    connection
        .write(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
    assert_eq!(connection.head().0, 200);
    connection
}

const LARGE: &str =
    "mkdir /large && dd if=/dev/urandom of=/large/f bs=1M count=8 2>/dev/null && echo y > /large/z";

#[test]
fn a_container_is_started_stopped_and_removed_while_it_is_read() {
    let host = TestHost::new();
    host.busybox();
    let script = format!("test -e /large || {{ {LARGE}; exit; }}; sleep 1000");
    host.barge(&["run", "--name", "busy", "-v", "/vol", "busybox", "sh", "-c", &script]).ok();
    let id = host.id("busy");
    let layer = host.data_root().join("overlay2").join(&id);
    let mut reading = begin(&host, "busy");
    host.barge(&["start", "busy"]).ok();
    let mut also = begin(&host, "busy");
    host.barge(&["rm", "-f", "-v", "busy"]).ok();
    for connection in [&mut reading, &mut also] {
        let mut body = Vec::new();
        while let Some(chunk) = connection.chunk() {
            body.extend_from_slice(&chunk);
        }
        assert_eq!(tar("-t", &body).lines().collect::<Vec<_>>(), ["large/", "large/f", "large/z"]);
    }
    eventually("nothing of it is left", || mounts_of(&id) == 0 && !layer.exists());
}

#[test]
fn a_daemon_that_dies_in_a_copy_leaves_no_mounts() {
    let mut host = TestHost::new();
    host.busybox();
    host.barge(&["run", "--name", "read", "-v", "/vol", "busybox", "sh", "-c", LARGE]).ok();
    let id = host.id("read");
    let reading = begin(&host, "read");
    host.kill9();
    drop(reading);
    host.start();
    assert_eq!(mounts_of(&id), 0);
    assert_eq!(names(&host.api().get(&url("read", "path=/large")).is(200)).len(), 3);
    eventually("the mount is let go of", || mounts_of(&id) == 0);
    host.barge(&["rm", "-v", "read"]).ok();
}

/// What the attacks want to read and write: a folder that is at the same path on the host.
fn prey(host: &TestHost, stem: &str) -> std::path::PathBuf {
    let folder = host.scratch().join(host.unique(stem));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("secret"), "the host's").unwrap();
    folder
}

fn entries(folder: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(folder).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A container that makes a folder a link to the same path of the host and back, as fast as it can (CVE-2018-15664).
fn swapping(host: &TestHost, name: &str, prey: &Path) {
    let script = format!(
        "mkdir -p /t/dir && echo inside > /t/dir/secret && echo ready; \
         while :; do mv /t/dir /t/away; ln -s {} /t/dir; rm /t/dir; mv /t/away /t/dir; done",
        prey.display()
    );
    host.barge(&["run", "-d", "--name", name, "busybox", "sh", "-c", &script]).ok();
    eventually("it has begun", || host.barge(&["logs", name]).text() == "ready");
}

#[test]
fn a_path_that_becomes_a_link_while_it_is_read_never_leads_to_the_host() {
    let host = HOST.host();
    let (name, prey) = (host.unique("reader"), prey(&host, "prey"));
    swapping(&host, &name, &prey);
    let mut seen = BTreeSet::new();
    let mut count = 0;
    eventually("both have been met, many times", || {
        for path in ["/t/dir/secret", "/t/dir/", "/t"] {
            let got = host.api().get(&url(&name, &format!("path={path}")));
            seen.insert((path, got.status));
            if got.status == 200 {
                let content = String::from_utf8_lossy(&got.body).into_owned();
                assert!(!content.contains("the host's"), "{path}");
            }
            count += 1;
        }
        let met = |status| seen.contains(&("/t/dir/secret", status));
        met(200) && met(404) && count >= 150
    });
    host.barge(&["rm", "-f", &name]).ok();
}

#[test]
fn a_path_that_becomes_a_link_while_it_is_written_never_leads_to_the_host() {
    let host = HOST.host();
    let (name, prey) = (host.unique("writer"), prey(&host, "prey"));
    swapping(&host, &name, &prey);
    let mut seen = BTreeSet::new();
    let mut count = 0;
    eventually("both have been met, many times", || {
        let into =
            TarBuilder::new().file("secret", 0o644, b"planted").file("new", 0o644, b"planted");
        seen.insert(put(&host, &name, ("path=/t/dir", into)).status);
        let below =
            TarBuilder::new().file("dir/secret", 0o644, b"planted").file("dir/new", 0o644, b"p");
        let reply = put(&host, &name, ("path=/t", below));
        assert!(matches!(reply.status, 200 | 400 | 404 | 500), "{}", reply.text());
        count += 1;
        seen.contains(&200) && seen.contains(&404) && count >= 100
    });
    assert_eq!(entries(&prey), BTreeSet::from(["secret".to_owned()]));
    assert_eq!(std::fs::read_to_string(prey.join("secret")).unwrap(), "the host's");
    host.barge(&["rm", "-f", &name]).ok();
}

#[test]
fn what_is_made_is_dressed_even_when_a_link_has_taken_its_name() {
    let host = HOST.host();
    let (name, prey) = (host.unique("dresser"), prey(&host, "prey"));
    let secret = prey.join("secret");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let script = format!(
        "mkdir /t && echo ready; while :; do ln -sfn {} /t/pipe; rm /t/pipe; done",
        secret.display()
    );
    host.barge(&["run", "-d", "--name", &name, "busybox", "sh", "-c", &script]).ok();
    eventually("it has begun", || host.barge(&["logs", &name]).text() == "ready");
    for _ in 0..100 {
        let mut pipes = TarBuilder::new();
        for _ in 0..20 {
            pipes = pipes.entry("pipe", (b'6', 0o4777), "", b"");
        }
        let reply = put(&host, &name, ("path=/t", pipes));
        assert!(matches!(reply.status, 200 | 500), "{}", reply.text());
    }
    let mode = std::fs::metadata(&secret).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions());
    assert_eq!(mode & 0o7777, 0o600);
    host.barge(&["rm", "-f", &name]).ok();
}

#[test]
fn links_of_a_stopped_container_never_lead_to_the_host() {
    let host = HOST.host();
    let (name, prey) = (host.unique("links"), prey(&host, "prey"));
    let prey_text = prey.display().to_string();
    host.barge(&["create", "--name", &name, "-v", "/vol", "busybox"]).ok();
    let climbing = format!("../../../../../../..{prey_text}");
    let links = TarBuilder::new().symlink("abs", &prey_text).symlink("rel", &climbing);
    put(&host, &name, ("path=/vol", links)).is(200);
    for link in ["abs", "rel"] {
        for path in [format!("/vol/{link}/"), format!("/vol/{link}/secret")] {
            host.api().get(&url(&name, &format!("path={path}"))).is(404);
        }
        let file = || TarBuilder::new().file("new", 0o644, b"planted");
        put(&host, &name, (&format!("path=/vol/{link}"), file())).is(404);
        let through = TarBuilder::new().file(&format!("{link}/new"), 0o644, b"planted");
        let refused = put(&host, &name, ("path=/vol", through));
        assert!(refused.status >= 400, "{}", refused.text());
    }
    assert_eq!(entries(&prey), BTreeSet::from(["secret".to_owned()]));
    host.barge(&["rm", "-v", &name]).ok();
}

#[test]
fn nothing_of_the_container_is_run_or_waited_for() {
    let host = HOST.host();
    let name = host.unique("trap");
    // Libraries that a program in its root would load (CVE-2019-14271), and accounts that whoever reads them waits for.
    let script = "mkdir -p /lib/x86_64-linux-gnu && \
                  echo junk > /lib/x86_64-linux-gnu/libnss_files.so.2 && echo junk > /lib/x86_64-linux-gnu/libc.so.6 && \
                  echo 'passwd: files' > /etc/nsswitch.conf && mv /etc/group /etc/old && mkfifo /etc/group && \
                  ln -s /proc/1/root /etc/self && sleep 1000";
    host.barge(&["run", "-d", "--name", &name, "--user", "0", "busybox", "sh", "-c", script]).ok();
    eventually("it is set", || {
        host.api().send("HEAD", &url(&name, "path=/etc/self"), None).status == 200
    });
    let file = || TarBuilder::new().file("x", 0o644, b"x");
    put(&host, &name, ("path=/mnt", file())).is(200);
    let refused = put(&host, &name, ("path=/mnt&copyUIDGID=1", file()));
    assert!(refused.error(500).contains("/etc/group"));
    // A magic link is a way out of every root.
    let magic = host.api().get(&url(&name, "path=/etc/self/etc/hostname"));
    assert_eq!(magic.status, 400, "{}", magic.text());
    host.barge(&["rm", "-f", &name]).ok();
}
