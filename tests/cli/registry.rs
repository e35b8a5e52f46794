//! Registries as people use them: push, pull, log in, run what is not here yet. What our client prints is what the
//! stock one prints, line for line.

use barge_testkit::{
    ArchiveImage, Client, HostOptions, Layout, Process, TarBuilder, TestHost, Verdict, busybox_tar,
    check, command, eventually, need,
};
use serde_json::{Value, json};

/// `tester` with the password `secret`, as `htpasswd -nbB` writes it.
const HTPASSWD: &str = "tester:$2y$05$eHpov9.kV5YPUAO6PrFlx.3lUijXxgLyrLeEgBsSPzb0Cc0PRrlKa\n";

/// Who may use a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Users {
    Anybody,
    Tester,
}

/// A docker-registry in a host's network, at 127.0.0.1:5000.
pub(crate) struct Registry {
    _process: Process,
}

impl Registry {
    pub(crate) const NAME: &'static str = "127.0.0.1:5000";

    pub(crate) fn start(host: &TestHost, users: Users) -> Self {
        let folder = host.scratch().join("registry");
        let mut config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{}\"}}\n",
            folder.display(),
            Self::NAME
        );
        if users == Users::Tester {
            let users = host.file("htpasswd", HTPASSWD);
            config.push_str(&format!("auth: {{htpasswd: {{realm: r, path: {users}}}}}\n"));
        }
        let config = host.file("registry.yml", config);
        let process = host.in_netns(|| {
            Process::start(command("docker-registry").args(["serve", config.as_str()]))
        });
        eventually("the registry listens", || {
            host.in_netns(|| std::net::TcpStream::connect(Self::NAME)).is_ok()
        });
        Self { _process: process }
    }
}

/// Said by [`check`], too; its name is no word for [`need!`].
pub(crate) fn there_is_no_registry() -> bool {
    matches!(check("docker-registry"), Verdict::Absent(_))
}

pub(crate) fn host() -> TestHost {
    TestHost::with(HostOptions {
        flags: vec!["--insecure-registry=127.0.0.0/8".to_owned()],
        ..HostOptions::default()
    })
}

/// Loads an image of busybox and a layer of its own under `name`.
fn load(host: &TestHost, name: &str) {
    let own = TarBuilder::new().file("mark", 0o644, name.as_bytes());
    let image = ArchiveImage {
        name: name.to_owned(),
        layers: vec![busybox_tar().to_vec(), own.finish()],
        config: json!({ "Cmd": ["cat", "/mark"], "Env": ["PATH=/bin"] }),
    };
    let archive = host.file("image.tar", image.save(Layout::Oci));
    host.barge(&["load", "-q", "-i", &archive]).ok();
}

/// The lines with the names of layers made equal: which layer is first done is chance.
fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn both_clients_push_and_pull_in_the_same_words() {
    need!(docker);
    if there_is_no_registry() {
        return;
    }
    let host = host();
    let _registry = Registry::start(&host, Users::Anybody);
    load(&host, "127.0.0.1:5000/a:1");
    host.barge(&["tag", "127.0.0.1:5000/a:1", "127.0.0.1:5000/b:1"]).ok();
    host.barge(&["tag", "127.0.0.1:5000/a:1", "127.0.0.1:5000/b"]).ok();
    let pushed = Client::both().into_iter().zip(["a", "b"]).map(|(client, name)| {
        let name = format!("127.0.0.1:5000/{name}:1");
        let outcome = host.run(client, &["push", &name]);
        outcome.text().replace("5000/b", "5000/a").replace("Mounted from a", "Pushed")
    });
    let pushed: Vec<String> = pushed.collect();
    assert_eq!(sorted(&pushed[0]), sorted(&pushed[1]));
    assert!(
        pushed[0].starts_with("The push refers to repository [127.0.0.1:5000/a]\n"),
        "{}",
        pushed[0]
    );
    let last = pushed[0].lines().last().unwrap();
    let digest = last.strip_prefix("1: digest: ").and_then(|rest| rest.split(' ').next()).unwrap();

    let all = host.run(Client::Barge, &["push", "-a", "127.0.0.1:5000/b"]);
    assert!(all.text().contains(": Layer already exists\n"), "{all}");
    assert_eq!(all.text().matches(digest).count(), 2, "two tags: {all}");

    let mut pulled = Vec::new();
    for client in Client::both() {
        host.barge(&["image", "prune", "-af"]).ok();
        let outcome = host.run(client, &["pull", "127.0.0.1:5000/a:1"]);
        let text = outcome.text().to_owned();
        assert!(
            text.ends_with(&format!(
                "\nDigest: {digest}\nStatus: Downloaded newer image for 127.0.0.1:5000/a:1\n\
                 127.0.0.1:5000/a:1"
            )),
            "{text}"
        );
        assert!(text.starts_with("1: Pulling from a\n"), "{text}");
        pulled.push(
            text.lines()
                // Whether a checksum's line is sent depends on how fast the download was.
                .filter(|line| !line.contains("Verifying") && !line.ends_with(": Waiting"))
                .collect::<Vec<_>>()
                .join("\n"),
        );
        let again = host.run(client, &["pull", "127.0.0.1:5000/a:1"]);
        assert!(again.text().contains("Status: Image is up to date for 127.0.0.1:5000/a:1"));
        let quiet = host.run(client, &["pull", "-q", "127.0.0.1:5000/a:1"]);
        assert_eq!(quiet.text(), "127.0.0.1:5000/a:1");
        host.run(client, &["pull", "127.0.0.1:5000/a:none"])
            .fails_saying(1, "manifest for 127.0.0.1:5000/a:none not found");
    }
    assert_eq!(sorted(&pulled[0]), sorted(&pulled[1]));
}

#[test]
fn who_may_not_push_logs_in_first() {
    if there_is_no_registry() {
        return;
    }
    let host = host();
    let _registry = Registry::start(&host, Users::Tester);
    load(&host, "127.0.0.1:5000/a:1");
    for client in Client::both() {
        host.run(client, &["push", "127.0.0.1:5000/a:1"])
            .fails_saying(1, "no basic auth credentials");
        let login = ["login", "-u", "tester", "--password-stdin", Registry::NAME];
        host.run_with_input(client, &login, b"wrong").fails_saying(1, "401 Unauthorized");
        let outcome = host.run_with_input(client, &login, b"secret\n");
        assert_eq!(outcome.text(), "Login Succeeded");
        // Either finds what the other has kept.
        for other in Client::both() {
            host.run(other, &["push", "-q", "127.0.0.1:5000/a:1"]).ok();
        }
        host.run(client, &["logout", Registry::NAME]).ok();
        host.run(client, &["pull", "127.0.0.1:5000/a:1"]).fails(1);
    }
}

#[test]
fn an_image_that_is_not_here_is_fetched_for_a_container() {
    if there_is_no_registry() {
        return;
    }
    let host = host();
    let _registry = Registry::start(&host, Users::Anybody);
    load(&host, "127.0.0.1:5000/a:1");
    host.barge(&["push", "-q", "127.0.0.1:5000/a:1"]).ok();
    for client in Client::both() {
        host.barge(&["rmi", "127.0.0.1:5000/a:1"]).ok();
        let run = ["run", "--rm", "--network=none", "--pull=never", "127.0.0.1:5000/a:1"];
        host.run(client, &run).fails_saying(125, "No such image: 127.0.0.1:5000/a:1");
        let outcome = host.run(client, &["run", "--rm", "--network=none", "127.0.0.1:5000/a:1"]);
        assert_eq!(outcome.text(), "127.0.0.1:5000/a:1");
        let begin = "Unable to find image '127.0.0.1:5000/a:1' locally\n1: Pulling from a\n";
        assert!(outcome.stderr.starts_with(begin), "{outcome}");
        assert!(outcome.stderr.contains(": Pull complete\n"), "{outcome}");
    }
    let always = ["run", "--rm", "--network=none", "--pull=always", "-q", "127.0.0.1:5000/a:1"];
    let outcome = host.barge(&always);
    assert_eq!((outcome.text(), outcome.stderr.as_str()), ("127.0.0.1:5000/a:1", ""));
}

#[test]
fn a_registry_tells_what_a_name_stands_for() {
    if there_is_no_registry() {
        return;
    }
    let host = host();
    let _registry = Registry::start(&host, Users::Anybody);
    load(&host, "127.0.0.1:5000/a:1");
    let pushed = host.barge(&["push", "127.0.0.1:5000/a:1"]);
    let found = host.barge(&["manifest", "inspect", "127.0.0.1:5000/a:1"]);
    let found: Value = serde_json::from_str(found.text()).unwrap();
    let digest = found["Descriptor"]["digest"].as_str().unwrap();
    assert!(pushed.text().contains(&format!("1: digest: {digest} size: ")), "{pushed}");
    assert_eq!(found["Platforms"][0]["os"], "linux");
    host.barge(&["manifest", "inspect", "127.0.0.1:5000/none"])
        .fails_saying(1, "no such manifest: 127.0.0.1:5000/none");
}

#[test]
fn a_terminal_shows_every_layer_of_a_pull() {
    if there_is_no_registry() {
        return;
    }
    let host = host();
    let _registry = Registry::start(&host, Users::Anybody);
    load(&host, "127.0.0.1:5000/a:1");
    host.barge(&["push", "-q", "127.0.0.1:5000/a:1"]).ok();
    host.barge(&["rmi", "127.0.0.1:5000/a:1"]).ok();
    let mut terminal = host.terminal(Client::Barge, &["pull", "127.0.0.1:5000/a:1"]);
    terminal.expect("Pulling from a");
    terminal.expect("Status: Downloaded newer image for 127.0.0.1:5000/a:1");
}
