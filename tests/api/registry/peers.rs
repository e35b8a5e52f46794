//! Other programs on the other side: what skopeo and dockerd push is pulled, what we push is pulled by them; the stock
//! client as ours.

use barge_testkit::{
    ArchiveImage, Client, Layout, Outcome, Process, Sharing, TarBuilder, TestHost, busybox_tar,
    command, eventually, need,
};
use serde_json::json;

use super::server::{Registry, RegistryOptions};
use super::{inspect, pulled, pushed, remove, tag};

static HOST: Sharing = Sharing::new();

/// An image of two layers that runs; neither of them is that of another image.
fn image(host: &TestHost) -> ArchiveImage {
    let name = host.unique("peer");
    let first = TarBuilder::new().file("first", 0o644, name.as_bytes()).finish();
    ArchiveImage {
        layers: vec![first, busybox_tar().to_vec()],
        config: json!({"Cmd": ["cat", "/first"], "Env": ["PATH=/bin"]}),
        name: format!("{name}:1"),
    }
}

/// Runs skopeo in the host's network.
fn skopeo(host: &TestHost, arguments: &[&str]) -> Outcome {
    host.in_netns(|| Process::start(command("skopeo").args(arguments)).wait())
}

/// The image runs and prints what its first layer holds.
#[track_caller]
fn runs(host: &TestHost, name: &str, image: &ArchiveImage) {
    let ran = host.barge(&["run", "--rm", "--network", "none", name]);
    assert_eq!(format!("{}:1", ran.text()), image.name);
}

/// A dockerd in the host's network, without networks of its own.
struct Dockerd {
    process: Process,
    socket: String,
}

impl Dockerd {
    fn start(host: &TestHost) -> Self {
        let root = host.scratch().join(host.unique("dockerd"));
        std::fs::create_dir_all(&root).unwrap();
        let path = |name: &str| root.join(name).display().to_string();
        let socket = path("d.sock");
        let mut line = command("/usr/sbin/dockerd");
        line.args(["--data-root", &path("data"), "--exec-root", &path("exec")])
            .args(["--pidfile", &path("pid"), "-H", &format!("unix://{socket}")])
            .args([
                "--bridge=none",
                "--iptables=false",
                "--ip-forward=false",
                "--storage-driver=vfs",
            ]);
        let process = host.in_netns(|| Process::start(&mut line));
        let dockerd = Self { process, socket };
        eventually("dockerd answers", || dockerd.run(&["version"]).code == 0);
        dockerd
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let host = format!("unix://{}", self.socket);
        Process::start(command("docker").args(["-H", &host]).args(arguments)).wait()
    }

    /// It takes its containerd with it.
    fn stop(self) {
        self.process.signal(libc::SIGTERM);
        self.process.wait().ok();
    }
}

#[test]
fn what_skopeo_pushes_is_pulled_in_every_form_and_compression() {
    need!(skopeo);
    let host = HOST.host();
    let registry = Registry::start(&host);
    let image = image(&host);
    let archive = host.file(&host.unique("archive"), image.save(Layout::Legacy));
    for (format, compression) in [("v2s2", "gzip"), ("oci", "gzip"), ("oci", "zstd")] {
        let name = registry.image(&format!("{format}-{compression}:1"));
        let pushed = skopeo(
            &host,
            &[
                "copy",
                "--format",
                format,
                "--dest-compress-format",
                compression,
                "--dest-compress",
                "--dest-tls-verify=false",
                &format!("docker-archive:{archive}"),
                &format!("docker://{name}"),
            ],
        );
        pushed.ok();
        pulled(&host, &name);
        // Skopeo writes a configuration of its own for the other form.
        assert!(format == "oci" || inspect(&host, &name)["Id"] == image.id());
        runs(&host, &name, &image);
        remove(&host, &name);
    }
}

#[test]
fn what_we_push_is_pulled_by_skopeo_with_the_same_digest() {
    need!(skopeo);
    let host = HOST.host();
    let registry = Registry::start(&host);
    let image = image(&host);
    let content = image.save(Layout::Legacy);
    host.api().send("POST", "/images/load", Some(("application/x-tar", &content))).is(200);
    let name = registry.image("ours:1");
    tag(&host, &image.name, &name);
    let digest = pushed(&host, &name);
    let source = format!("docker://{name}");
    let seen =
        skopeo(&host, &["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &source]);
    assert_eq!(seen.text(), digest);
    let copy = format!("dir:{}", host.scratch().join(host.unique("copy")).display());
    skopeo(&host, &["copy", "--src-tls-verify=false", &source, &copy]).ok();
    remove(&host, &name);
    remove(&host, &image.name);
}

#[test]
fn dockerd_and_we_exchange_images() {
    need!(dockerd, docker, skopeo);
    let host = HOST.host();
    let registry = Registry::start(&host);
    let dockerd = Dockerd::start(&host);
    let image = image(&host);
    let archive = host.file(&host.unique("archive"), image.save(Layout::Legacy));
    let theirs = registry.image("theirs:1");
    dockerd.run(&["load", "-i", &archive]).ok();
    dockerd.run(&["tag", &image.name, &theirs]).ok();
    dockerd.run(&["push", &theirs]).ok();
    pulled(&host, &theirs);
    assert_eq!(inspect(&host, &theirs)["Id"], image.id());
    let digest = inspect(&host, &theirs)["RepoDigests"][0].clone();
    let format = "{{index .RepoDigests 0}}";
    assert_eq!(dockerd.run(&["inspect", "-f", format, &theirs]).text(), digest.as_str().unwrap());
    runs(&host, &theirs, &image);
    let ours = registry.image("ours:1");
    tag(&host, &theirs, &ours);
    let pushed = pushed(&host, &ours);
    assert!(digest.as_str().unwrap().ends_with(&pushed), "{digest} {pushed}");
    dockerd.run(&["rmi", &theirs, &image.name]).ok();
    dockerd.run(&["pull", &ours]).ok();
    assert_eq!(dockerd.run(&["inspect", "-f", "{{.Id}}", &ours]).text(), image.id());
    // What came packed goes out packed, and everyone reads that.
    let saved = host.scratch().join(host.unique("saved")).display().to_string();
    host.barge(&["save", "-o", &saved, &ours]).ok();
    dockerd.run(&["rmi", &ours]).ok();
    assert!(dockerd.run(&["load", "-i", &saved]).text().contains("Loaded image"));
    assert_eq!(dockerd.run(&["inspect", "-f", "{{.Id}}", &ours]).text(), image.id());
    for form in ["docker-archive", "oci-archive"] {
        let source = format!("{form}:{saved}");
        let copy = format!("oci:{}", host.scratch().join(host.unique("copy")).display());
        skopeo(&host, &["copy", &source, &copy]).ok();
    }
    let source = format!("oci-archive:{saved}");
    let seen = skopeo(&host, &["inspect", "--format", "{{.Digest}}", &source]);
    assert_eq!(seen.text(), pushed);
    for name in [&ours, &theirs] {
        remove(&host, name);
    }
    host.barge(&["load", "-i", &saved]).ok();
    runs(&host, &ours, &image);
    remove(&host, &ours);
    dockerd.stop();
}

#[test]
fn the_stock_client_pulls_pushes_logs_in_and_runs_what_is_not_here() {
    need!(docker);
    let host = HOST.host();
    let users = RegistryOptions { has_users: true, ..RegistryOptions::default() };
    let registry = Registry::with(&host, &users);
    let docker = |arguments: &[&str]| host.run(Client::Docker, arguments);
    let name = registry.image("mine:1");
    tag(&host, "busybox:latest", &name);
    docker(&["push", &name]).fails_saying(1, "no basic auth credentials");
    let login = |password: &str| {
        let line = ["login", "-u", "tester", "--password-stdin", &registry.name];
        host.run_with_input(Client::Docker, &line, password.as_bytes())
    };
    login("wrong").fails_saying(1, "401 Unauthorized");
    assert!(login("secret").text().contains("Login Succeeded"));
    let pushed = docker(&["push", &name]);
    assert!(pushed.text().contains("1: digest: sha256:"), "{pushed}");
    remove(&host, &name);
    let pulled = docker(&["pull", &name]);
    assert!(
        pulled.text().contains(&format!("Status: Downloaded newer image for {name}")),
        "{pulled}"
    );
    remove(&host, &name);
    let ran = docker(&["run", "--rm", "--network", "none", &name, "echo", "hi"]);
    assert_eq!(ran.text(), "hi");
    let unable = format!("Unable to find image '{name}' locally");
    assert!(ran.stderr.contains(&unable), "{ran}");
    let quiet = docker(&["pull", "-q", &name]);
    assert_eq!(quiet.text(), name);
    remove(&host, &name);
}
