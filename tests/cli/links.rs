//! `--link`: containers on the default bridge under names that others give them, as dockerd has it.

use barge_testkit::{
    Client, Dockerd, HostOptions, Outcome, Process, Sharing, TestHost, busybox_tar, command,
    eventually, need,
};
use serde_json::{Value, json};

static HOST: Sharing = Sharing::new();

/// A daemon by one of its clients.
struct Side<'a> {
    run: &'a dyn Fn(&[&str]) -> Outcome,
    /// What stands for what differs from run to run.
    words: Vec<(String, String)>,
    said: Vec<String>,
}

impl<'a> Side<'a> {
    fn new(run: &'a dyn Fn(&[&str]) -> Outcome) -> Self {
        Self { run, words: Vec::new(), said: Vec::new() }
    }

    #[track_caller]
    fn ok(&self, words: &str) -> String {
        (self.run)(&words.split(' ').collect::<Vec<_>>()).text().to_owned()
    }

    fn inspect(&self, name: &str) -> Value {
        let all: Value = serde_json::from_str(&self.ok(&format!("inspect {name}"))).unwrap();
        all[0].clone()
    }

    fn address(&self, name: &str) -> String {
        self.inspect(name)["NetworkSettings"]["IPAddress"].as_str().unwrap().to_owned()
    }

    /// From here on the place of this container is written by its name.
    fn know(&mut self, name: &str) {
        let address = self.address(name);
        assert!(!address.is_empty(), "{name} has no address");
        let id = self.inspect(name)["Id"].as_str().unwrap()[..12].to_owned();
        self.words.retain(|(word, _)| *word != address);
        self.words.insert(0, (address, format!("<address of {name}>")));
        self.words.push((id, format!("<id of {name}>")));
    }

    fn note(&mut self, what: &str, text: &str) {
        let text = self.translated(text);
        self.said.push(format!("# {what}\n{text}"));
    }

    /// Without what differs from run to run.
    fn translated(&mut self, text: &str) -> String {
        let mut text = text.replace("fe00::0\t", "fe00::\t").replace("ff00::0\t", "ff00::\t");
        // Whole ones before what they begin with.
        self.words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        for (word, name) in &self.words {
            text = text.replace(word, name);
        }
        text
    }

    /// Notes what a command that works says.
    fn says(&mut self, words: &str) {
        let text = self.ok(words);
        self.note(words, &text);
    }

    /// The same where dockerd has an order of the moment: of links and of variables.
    fn says_in_any_order(&mut self, words: &str) {
        let text = self.ok(words);
        let text = self.translated(&text);
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        self.note(words, &lines.join("\n"));
    }

    /// Notes how a command fails: the first line, which the client does not add to.
    fn fails(&mut self, words: &str) {
        let outcome = (self.run)(&words.split(' ').collect::<Vec<_>>());
        assert!(outcome.code != 0, "{outcome}");
        let line = outcome.stderr.lines().next().unwrap_or_default().to_owned();
        self.note(words, &line);
    }

    /// Notes the links that `inspect` shows, which dockerd keeps in no order.
    fn links(&mut self, name: &str) {
        let links = self.inspect(name)["HostConfig"]["Links"].clone();
        let mut links: Option<Vec<String>> = serde_json::from_value(links).unwrap();
        links.iter_mut().for_each(|links| links.sort());
        self.note("links", &format!("{links:?}"));
    }
}

/// What is seen of links from their first day to their last.
fn life(run: &dyn Fn(&[&str]) -> Outcome) -> Vec<String> {
    let mut side = Side::new(run);
    side.ok("run -d --name target --hostname inner --expose 80-81 --expose 81/udp --expose 53/udp -e A=1=2 -e HOME=/x -e EMPTY= busybox sleep 1000");
    side.know("target");
    side.ok("run -d --name own --hostname web --add-host x:1.2.3.4 --link target:my-db --link target -e TARGET_NAME=mine busybox sleep 1000");
    side.know("own");
    side.says_in_any_order("exec own cat /etc/hosts");
    side.says_in_any_order("exec own env");
    side.ok("exec own ping -c 1 -W 60 my-db");
    side.links("own");
    side.says("ps --no-trunc --format {{.Names}}");
    side.says("ps --format {{.Names}}");
    side.says("inspect -f {{.Name}} own/my-db");

    // Elsewhere, it is found again.
    let before = side.address("target");
    side.ok("stop -t 0 target");
    side.ok("run -d --name filler busybox sleep 1000");
    side.ok("start target");
    assert_ne!(side.address("target"), before);
    side.know("target");
    side.says_in_any_order("exec own cat /etc/hosts");

    side.ok("rename own web");
    side.links("web");
    side.says("ps --no-trunc --format {{.Names}}");

    for name in ["nope", "web", "target", "web/nope"] {
        side.fails(&format!("rm --link {name}"));
    }
    side.says("rm --link web/my-db");
    side.links("web");
    side.says("exec web cat /etc/hosts");
    side.says("ps --no-trunc --format {{.Names}}");
    side.fails("inspect web/my-db");
    side.ok("rename target db");
    side.links("web");
    side.says("ps --no-trunc --format {{.Names}}");

    side.ok("stop -t 0 db web");
    side.fails("start web");
    side.note("error", side.inspect("web")["State"]["Error"].as_str().unwrap().to_owned().as_str());
    side.ok("start db web");
    side.know("db");
    side.know("web");
    side.says("exec web cat /etc/hosts");
    side.ok("rm -f -v web filler");
    side.says("ps --no-trunc --format {{.Names}}");
    side.ok("rm -f db");
    side.said
}

/// What cannot be linked, and what is in no network where links mean anything.
fn refusals(run: &dyn Fn(&[&str]) -> Outcome) -> Vec<String> {
    let mut side = Side::new(run);
    side.ok("run -d --name target busybox sleep 1000");
    side.ok("run -d --name joined --network container:target busybox sleep 1000");
    side.ok("run -d --name apart --network none busybox sleep 1000");
    side.ok("run -d --name hosts --network host busybox sleep 1000");
    for options in [
        "--link nope",
        "--link nope:x",
        "--link hosts",
        "--network host --link target",
        "--network container:target --link target",
    ] {
        side.fails(&format!("create {options} busybox true"));
    }
    side.ok("create --name others --link joined:j --link target:j --link apart:k busybox true");
    side.links("others");
    side.fails("start others");
    // The name of a link is no container's.
    side.ok("create --name jj busybox true");
    side.ok("create --name more --link target:jj busybox true");
    side.says("inspect -f {{.Name}} jj");
    side.ok("rm -f target joined apart hosts others jj more");
    side.said
}

/// Without a network there is nothing that a link could lead through: it is there, and tells nothing. (The client of 20.10
/// does not ask for that.)
fn without_network(run: &dyn Fn(&[&str]) -> Outcome) -> Vec<String> {
    let mut side = Side::new(run);
    side.ok("create --name target busybox true");
    side.ok("create --name own --network none --link target busybox true");
    side.links("own");
    side.ok("rm own");
    side.says_in_any_order("run --rm --network none --hostname h --link target busybox env");
    side.says("run --rm --network none --hostname h --link target busybox cat /etc/hosts");
    assert!(!side.said.join("").to_lowercase().contains("target_name"), "{:?}", side.said);
    side.ok("rm target");
    side.said
}

fn by<'h>(host: &'h TestHost, client: Client) -> impl Fn(&[&str]) -> Outcome + 'h {
    move |words| host.run(client, words)
}

#[test]
fn links_live_as_they_do_at_dockerd() {
    need!(docker, dockerd);
    let host = TestHost::new();
    host.busybox();
    let dockerd = Dockerd::start_with_bridge(&host);
    let archive = host.file("busybox.tar", busybox_tar());
    let path = "ENV PATH=/usr/local/bin:/bin";
    dockerd.run(&["import", "-c", path, &archive, "busybox:latest"]).ok();
    let theirs = |words: &[&str]| dockerd.run(words);
    let at_ours = |words: &[&str]| {
        let mut line = command(dockerd.client().get_program());
        line.env("HOME", host.scratch());
        line.arg("-H").arg(format!("unix://{}", host.socket().display()));
        Process::start(line.args(words)).wait()
    };
    for scenario in [life, refusals] {
        let theirs = scenario(&theirs);
        assert_eq!(scenario(&at_ours).join("\n"), theirs.join("\n"));
    }
}

#[test]
fn links_live_the_same_by_either_client() {
    need!(docker);
    let host = TestHost::new();
    host.busybox();
    for scenario in [life, refusals, without_network] {
        let ours = scenario(&by(&host, Client::Barge));
        assert_eq!(ours.join("\n"), scenario(&by(&host, Client::Docker)).join("\n"));
    }
    for text in ["a:b:c", ""] {
        let refused = host.barge(&["create", "--link", text, "busybox", "true"]);
        assert_ne!(refused.code, 0, "{refused}");
    }
    let create = |links: Value| {
        let body = json!({"Image": "busybox", "HostConfig": {"Links": links}});
        host.api().post("/containers/create", body).error(400)
    };
    assert_eq!(create(json!(["a:b:c"])), "bad format for links: a:b:c");
    assert_eq!(create(json!(["a:b c"])), "bad format for links: a:b c");
    assert_eq!(create(json!(["a:b\nc"])), "bad format for links: a:b\nc");
}

#[test]
fn a_link_goes_with_the_container_it_leads_to() {
    let host = HOST.host();
    let (target, own) = (host.unique("target"), host.unique("own"));
    host.barge(&["run", "-d", "--name", &target, "busybox", "sleep", "1000"]).ok();
    let link = format!("{target}:x");
    host.barge(&["run", "-d", "--name", &own, "--link", &link, "busybox", "sleep", "1000"]).ok();
    host.barge(&["stop", "-t", "0", &target]).ok();
    // Unlike at dockerd, one that has ended keeps nobody from looking.
    let env = host.barge(&["exec", &own, "env"]);
    assert!(!env.text().contains("X_NAME"), "{env}");
    host.barge(&["start", &target]).ok();
    let env = host.barge(&["exec", &own, "env"]);
    assert!(env.text().contains(&format!("X_NAME=/{own}/x")), "{env}");
    host.barge(&["rm", "-f", &target]).ok();
    assert_eq!(host.inspect(&own)["HostConfig"]["Links"], Value::Null);
    // Another one of that name is another one.
    host.barge(&["create", "--name", &target, "busybox", "true"]).ok();
    assert_eq!(host.inspect(&own)["HostConfig"]["Links"], Value::Null);
    host.barge(&["restart", "-t", "0", &own]).ok();
    let hosts = host.barge(&["exec", &own, "cat", "/etc/hosts"]);
    assert!(!hosts.text().contains("\tx "), "{hosts}");
    host.barge(&["rm", "-f", &target, &own]).ok();
}

#[test]
fn links_outlive_the_daemon_and_are_part_of_what_made_a_container() {
    let mut host = TestHost::new();
    host.busybox();
    host.barge(&["run", "-d", "--name", "target", "busybox", "sleep", "1000"]).ok();
    let run = ["run", "-d", "--name", "own", "--link", "target:one", "--link", "target:two"];
    host.barge(&[&run[..], &["busybox", "sleep", "1000"]].concat()).ok();
    host.kill9();
    host.start();
    assert_eq!(
        host.inspect("own")["HostConfig"]["Links"],
        json!(["/target:/own/one", "/target:/own/two"])
    );
    assert_eq!(host.inspect("own/two")["Name"], "/target");
    let names =
        host.barge(&["ps", "--no-trunc", "--filter", "name=target", "--format", "{{.Names}}"]);
    assert_eq!(names.text(), "own/one,own/two,target");
    let origin = host.barge(&["inspect", "--as", "run", "own"]);
    assert!(origin.text().contains("--link=target:one"), "{origin}");

    host.barge(&["rm", "--link", "own/one"]).ok();
    host.restart();
    assert_eq!(host.inspect("own")["HostConfig"]["Links"], json!(["/target:/own/two"]));
    let origin = host.barge(&["inspect", "--as", "run", "own"]);
    assert!(origin.text().contains("--link=target:two"), "{origin}");
    assert!(!origin.text().contains("target:one"), "{origin}");
    let origin = host.barge(&["inspect", "--as", "compose", "own"]);
    assert!(origin.text().contains("external_links"), "{origin}");
    // What it leads to may get another name, and may go.
    host.barge(&["rename", "target", "renamed"]).ok();
    let origin = host.barge(&["inspect", "--as", "run", "own"]);
    assert!(origin.text().contains("--link=renamed:two"), "{origin}");
    let request = host.barge(&["inspect", "--as", "request", "own"]);
    assert!(request.text().contains("target:one"), "{request}");
    host.barge(&["rm", "-f", "renamed"]).ok();
    let origin = host.barge(&["inspect", "--as", "run", "own"]);
    assert!(!origin.text().contains("--link"), "{origin}");
    host.barge(&["rm", "-f", "own"]).ok();
}

#[test]
fn what_starts_with_the_daemon_waits_for_what_it_is_linked_to() {
    let mut host = TestHost::new();
    host.busybox();
    let run = ["run", "-d", "--restart", "always"];
    let target = ["--name", "target", "busybox", "sleep", "1000"];
    let own = ["--name", "own", "--link", "target", "busybox", "sleep", "1000"];
    host.barge(&[&run[..], &target].concat()).ok();
    host.barge(&[&run[..], &own].concat()).ok();
    let ids = [host.id("target"), host.id("own")];
    let processes = [host.pid("target"), host.pid("own")];
    host.stop();
    for pid in processes {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    eventually("both have ended", || !ids.iter().any(|id| host.has_shim(id)));
    host.start();
    eventually("both run again", || {
        ["target", "own"]
            .iter()
            .all(|name| host.status(name) == "running" && host.inspect(name)["RestartCount"] == 1)
    });
    let line = format!("{}\ttarget ", host.address("target"));
    let hosts = host.barge(&["exec", "own", "cat", "/etc/hosts"]);
    assert!(hosts.text().contains(&line), "{hosts}");
    host.barge(&["rm", "-f", "own", "target"]).ok();
}

/// Asks a server in a container until it is there.
fn asks(host: &TestHost, container: &str, whom: &str) -> bool {
    let script = format!("nc -w 3 {whom} 80 </dev/null");
    host.barge(&["exec", container, "sh", "-c", &script]).stdout == "answer\n"
}

#[test]
fn without_icc_linked_containers_reach_each_other_as_long_as_both_run() {
    for bridged in ["0", "1"] {
        let mut host = TestHost::prepare(HostOptions {
            flags: vec!["--icc=false".to_owned()],
            ..HostOptions::default()
        });
        let path = "/proc/sys/net/bridge/bridge-nf-call-iptables";
        // Without the module they never meet the firewall.
        host.in_netns(|| std::fs::write(path, bridged)).ok();
        host.start();
        host.busybox();
        let server = "while true; do echo answer | nc -l -p 80; done";
        let serve =
            ["run", "-d", "--expose", "80", "--name", "target", "busybox", "sh", "-c", server];
        host.barge(&serve).ok();
        let run = ["run", "-d", "--name", "own", "--link", "target", "busybox", "sleep", "1000"];
        host.barge(&run).ok();
        host.barge(&["run", "-d", "--name", "other", "busybox", "sleep", "1000"]).ok();
        eventually("it answers who is linked to it", || asks(&host, "own", "target"));
        assert!(!asks(&host, "other", &host.address("target").to_string()), "{bridged}");
        // The next daemon, and the next run of either, let it through, too.
        host.restart();
        eventually("it answers after a restart", || asks(&host, "own", "target"));
        for name in ["target", "own"] {
            host.barge(&["restart", "-t", "0", name]).ok();
            eventually("it answers with its next run", || asks(&host, "own", "target"));
        }
        host.barge(&["rm", "--link", "own/target"]).ok();
        assert!(!asks(&host, "own", &host.address("target").to_string()), "{bridged}");
        host.barge(&["rm", "-f", "own", "target", "other"]).ok();
        host.assert_nothing_of_containers();
    }
}
