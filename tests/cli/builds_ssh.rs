//! `barge build --ssh`: agents and keys, with the OpenSSH that people have.

use std::fs;
use std::path::{Path, PathBuf};

use barge_testkit::{
    Client, Outcome, Process, Sharing, TestHost, Verdict, check, command, eventually,
};

static HOST: Sharing = Sharing::new();

/// Whether OpenSSH's programs are here.
fn has_openssh() -> bool {
    ["ssh-agent", "ssh-add", "ssh-keygen"].iter().all(|tool| check(tool) == Verdict::Present)
}

fn folder(host: &TestHost, stem: &str) -> PathBuf {
    let folder = host.scratch().join(host.unique(stem));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn key(folder: &Path, name: &str) -> String {
    let path = folder.join(name).to_str().unwrap().to_owned();
    let mut generate = command("ssh-keygen");
    generate.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &path]);
    Process::start(&mut generate).wait().ok();
    path
}

/// `ssh-add` of this machine with what it is linked to, as a folder.
fn tools(host: &TestHost) -> String {
    let tools = folder(host, "tools");
    let linked = Process::start(command("ldd").arg("/usr/bin/ssh-add")).wait();
    let libraries = linked.text().split_whitespace().filter(|word| word.starts_with('/'));
    let whole = libraries.map(|library| (library, library));
    for (file, to) in whole.chain([("/usr/bin/ssh-add", "/bin/ssh-add")]) {
        let to = tools.join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
    tools.to_str().unwrap().to_owned()
}

/// Builds a file whose steps have `ssh-add`.
fn build(host: &TestHost, (tools, steps): (&str, &str), agent: &str) -> Outcome {
    host.busybox();
    let context = folder(host, "context");
    let file = format!(
        "FROM busybox\nCOPY --from=tools / /\nRUN echo 'u:x:5:5::/:/bin/sh' >>/etc/passwd\n{steps}"
    );
    fs::write(context.join("Dockerfile"), file).unwrap();
    let tools = format!("tools={tools}");
    let context = context.to_str().unwrap();
    let flags = ["--progress=plain", "--build-context", &tools, "--ssh", agent, context];
    let all: Vec<&str> = ["build"].into_iter().chain(flags).collect();
    let temporary = folder(host, "temporary");
    let built = Process::start(host.client(Client::Barge, &all).env("TMPDIR", &temporary)).wait();
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0, "something is left of an agent");
    built
}

#[test]
fn an_agent_is_used_by_whom_its_mount_names_and_not_changed() {
    if !has_openssh() {
        return;
    }
    let host = HOST.host();
    let folder = folder(&host, "agent");
    let socket = folder.join("socket").to_str().unwrap().to_owned();
    let agent = Process::start(command("ssh-agent").args(["-D", "-a", &socket]));
    eventually("the agent listens", || Path::new(&socket).exists());
    let own = |arguments: &[&str]| {
        let mut add = command("ssh-add");
        Process::start(add.args(arguments).env("SSH_AUTH_SOCK", &socket)).wait()
    };
    own(&["-q", &key(&folder, "first-key")]).ok();
    let steps = "USER 5\n\
        RUN --mount=type=ssh,id=gh,required,uid=5,gid=5 ls -ln $SSH_AUTH_SOCK && ssh-add -l && ! ssh-add -D\n\
        RUN --mount=type=ssh,id=gh,required ! ssh-add -l\n\
        RUN test -z \"$SSH_AUTH_SOCK\" && test ! -e /run/buildkit\n";
    let built = build(&host, (&tools(&host), steps), &format!("gh={socket}"));
    built.ok();
    let said = &built.stderr;
    assert!(said.contains(" first-key (ED25519)\n") && said.contains("srw-------"), "{said}");
    assert!(own(&["-l"]).text().contains("first-key"));
    drop(agent);
}

#[test]
fn keys_are_in_an_agent_as_long_as_the_build() {
    if !has_openssh() {
        return;
    }
    let host = HOST.host();
    let folder = folder(&host, "keys");
    let (one, other) = (key(&folder, "one-key"), key(&folder, "other-key"));
    // Which OpenSSH itself would not take.
    std::process::Command::new("chmod").args(["0644", &one]).status().unwrap();
    let steps = "RUN --mount=type=ssh,id=gh,required ssh-add -l && exit 3\n";
    let tools = tools(&host);
    let built = build(&host, (&tools, steps), &format!("gh={one},{other}"));
    let said = built.fails(1);
    assert!(
        said.contains(" one-key (ED25519)\n") && said.contains(" other-key (ED25519)\n"),
        "{said}"
    );
    let secret = fs::read_to_string(&one).unwrap();
    assert!(!said.contains(secret.lines().nth(1).unwrap()));
    fs::write(&one, "no key").unwrap();
    build(&host, (&tools, steps), &format!("gh={one}")).fails_saying(1, "failed to parse");
}
