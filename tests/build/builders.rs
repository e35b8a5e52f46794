//! The three that build a case, from the same context, on the same base images.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use barge_testkit::{
    ArchiveImage, Client, Dockerd, Layout, Process, TestHost, busybox_tar, command,
};
use serde_json::json;

use crate::case::{Case, Peers};
use crate::facts::Facts;
use crate::saved;

/// Who.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Builder {
    Barge,
    Classic,
    Buildkit,
}

impl Builder {
    /// Everybody who can build this case; barge first.
    pub(crate) fn of(case: &Case) -> &'static [Self] {
        match case.words.only {
            Peers::Both => &[Self::Barge, Self::Classic, Self::Buildkit],
            Peers::Classic => &[Self::Barge, Self::Classic],
            Peers::Buildkit => &[Self::Barge, Self::Buildkit],
            Peers::Expect => &[Self::Barge],
        }
    }

    fn image(self, case: &Case) -> String {
        let prefix = match self {
            Self::Barge => "barge",
            Self::Classic => "classic",
            Self::Buildkit => "buildkit",
        };
        format!("{prefix}-{}", case.name)
    }
}

/// Held by whoever builds with BuildKit: that of dockerd 20.10 has given one of two builds that came at once the Dockerfile
/// of the other.
static BUILDKIT: Mutex<()> = Mutex::new(());

/// The daemons with what they build from.
#[derive(Debug)]
pub(crate) struct Arena {
    // Dropped in this order: the host looks whether somebody is left in its network.
    /// `git daemon`, on the contexts; killed when it is dropped.
    _git: Process,
    dockerd: Dockerd,
    pub(crate) host: TestHost,
    contexts: PathBuf,
}

impl Arena {
    pub(crate) fn prepare() -> Self {
        let host = TestHost::new();
        let dockerd = Dockerd::start(&host);
        for image in bases() {
            let archive = image.save(Layout::Legacy);
            dockerd.load(Path::new(&host.file("base.tar", &archive)));
            host.api().send("POST", "/images/load", Some(("application/x-tar", &archive))).is(200);
        }
        let contexts = host.scratch().join("contexts");
        // What serves it does not start without it.
        std::fs::create_dir_all(&contexts).unwrap();
        let listener = host.in_netns(|| TcpListener::bind("127.0.0.1:8000").unwrap());
        let served = contexts.clone();
        // Ends with the test program.
        std::thread::spawn(move || serve(&listener, &served));
        let git = host.in_netns(|| Process::start(&mut git_daemon(&contexts)));
        Self { _git: git, dockerd, host, contexts }
    }

    /// Builds a case with everybody; says who could not and why.
    pub(crate) fn build(&self, case: &Case) -> Vec<(Builder, String)> {
        let context = case.unpack(&self.contexts);
        let failed = Builder::of(case).iter().filter_map(|builder| {
            let failure = self.build_with(*builder, case, &context)?;
            Some((*builder, failure))
        });
        failed.collect()
    }

    /// Builds a case with barge once more; says what is not as the first time.
    pub(crate) fn build_again(&self, case: &Case) -> Option<String> {
        let name = Builder::Barge.image(case);
        let id =
            || self.host.api().get(&format!("/images/{name}/json")).is(200).json()["Id"].clone();
        let first = id();
        let context = self.contexts.join(&case.name);
        if let Some(failure) = self.build_with(Builder::Barge, case, &context) {
            return Some(failure);
        }
        let second = id();
        (first != second).then(|| format!("{first} became {second}"))
    }

    fn build_with(&self, builder: Builder, case: &Case, context: &Path) -> Option<String> {
        let is_buildkit = builder == Builder::Buildkit;
        let _alone = is_buildkit.then(|| BUILDKIT.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(first) = &case.words.first {
            let name = format!("corpus-{}-base", case.name);
            let mut line = self.client(builder);
            line.args(["-f", first, "-t", &name, "."]).current_dir(context);
            let outcome = self.host.in_netns(|| Process::start(&mut line)).wait();
            if outcome.code != 0 {
                return Some(format!("{first}: {}", outcome.stderr));
            }
        }
        let mut line = self.client(builder);
        line.args(["-t", &builder.image(case)]).args(&case.words.flags).current_dir(context);
        line.envs(&case.words.environment).arg(case.words.context.as_deref().unwrap_or("."));
        // Some clients fetch a context of the network themselves.
        let mut process = self.host.in_netns(|| Process::start(&mut line));
        if let Some(source) = &case.words.stdin {
            process.feed(&output(source, context));
        }
        let outcome = process.wait();
        (outcome.code != 0).then_some(outcome.stderr)
    }

    /// `build` without a network for its steps, which none of them needs.
    pub(crate) fn client(&self, builder: Builder) -> Command {
        let mut line = match builder {
            Builder::Barge => self.host.client(Client::Barge, &["build"]),
            Builder::Classic | Builder::Buildkit => {
                let is_buildkit = if builder == Builder::Buildkit { "1" } else { "0" };
                let mut line = self.dockerd.client();
                line.env("DOCKER_BUILDKIT", is_buildkit).arg("build");
                line
            }
        };
        line.args(["--network", "none"]);
        line
    }

    /// The images of the cases with everybody that is not in `failed`.
    pub(crate) fn images(
        &self,
        cases: &[Case],
        mut failed: BTreeMap<(String, Builder), Facts>,
    ) -> BTreeMap<(String, Builder), Facts> {
        let mut wanted = Vec::new();
        for case in cases {
            for builder in Builder::of(case) {
                let key = (case.name.clone(), *builder);
                if !failed.contains_key(&key) {
                    wanted.push((key, builder.image(case)));
                }
            }
        }
        let (ours, theirs): (Vec<_>, Vec<_>) =
            wanted.iter().partition(|((_, builder), _)| *builder == Builder::Barge);
        let names = |list: &[&((String, Builder), String)]| -> Vec<String> {
            list.iter().map(|(_, name)| name.clone()).collect()
        };
        let mut images = saved::images(&self.dockerd.save(&names(&theirs)));
        images.extend(saved::images(&self.save_ours(&names(&ours))));
        for (key, name) in wanted {
            let image = images.get(&name).unwrap_or_else(|| panic!("{name} was not saved"));
            failed.insert(key, image.clone());
        }
        failed
    }

    fn save_ours(&self, names: &[String]) -> Vec<u8> {
        let archive = self.host.scratch().join("saved.tar");
        let mut line = self.host.client(Client::Barge, &["save", "-o"]);
        line.arg(&archive).args(names);
        Process::start(&mut line).wait().ok();
        std::fs::read(&archive).unwrap()
    }

    /// A daemon that has died refuses everything, right or wrong.
    pub(crate) fn assert_everybody_lives(&self) {
        Process::start(self.dockerd.client().arg("version")).wait().ok();
        self.host.barge(&["version"]).ok();
    }

    /// What a case is said to be built on.
    pub(crate) fn base(name: &str) -> Facts {
        let archives = bases().map(|image| image.save(Layout::Legacy));
        let mut images: BTreeMap<String, Facts> =
            archives.iter().flat_map(|archive| saved::images(archive)).collect();
        images.remove(name).unwrap_or_default()
    }
}

/// Small images that everybody has: one with next to no configuration, one with all that there is.
fn bases() -> [ArchiveImage; 2] {
    let second = json!({
        "User": "worker",
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Env": ["PATH=/usr/local/bin:/bin", "GREETING=hello world"],
        "Entrypoint": ["/bin/busybox", "env"],
        "Cmd": ["sh", "-c", "id"],
        "Volumes": {"/data": {}},
        "WorkingDir": "/home/worker",
        "Labels": {"kept": "yes", "org.example.name": "rich"},
        "StopSignal": "SIGUSR1",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5_000_000_000_u64, "Retries": 7},
        "Shell": ["/bin/sh", "-c"],
    });
    let first = json!({"Cmd": ["sh"], "Env": ["PATH=/usr/local/bin:/bin"]});
    [("busybox", first), ("rich", second)].map(|(name, config)| ArchiveImage {
        name: format!("{name}:latest"),
        layers: vec![busybox_tar().to_vec()],
        config,
    })
}

/// Serves every repository below the folder.
fn git_daemon(folder: &Path) -> Command {
    // Not by `git`, which would stand between it and whoever kills it.
    let folder_of_programs = Process::start(command("git").arg("--exec-path")).wait();
    let mut line = command(Path::new(folder_of_programs.text()).join("git-daemon"));
    line.args(["--export-all", "--listen=127.0.0.1", "--reuseaddr"]);
    line.arg(format!("--base-path={}", folder.display()));
    line
}

fn output(line: &str, folder: &Path) -> Vec<u8> {
    let mut shell = command("sh");
    let outcome = shell.args(["-ec", line]).current_dir(folder).output().unwrap();
    assert!(outcome.status.success(), "{line}");
    outcome.stdout
}

/// Answers `GET /<case>/<path>` with what is in the folder `served` of the case's context.
fn serve(listener: &TcpListener, contexts: &Path) {
    for stream in listener.incoming().flatten() {
        answer(stream, contexts).ok();
    }
}

fn answer(mut stream: TcpStream, contexts: &Path) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let path = request.split([' ', '?']).nth(1).unwrap_or_default().trim_start_matches('/');
    let (case, path) = path.split_once('/').unwrap_or_default();
    let content = std::fs::read(contexts.join(case).join("served").join(path));
    let status = if content.is_ok() { "200 OK" } else { "404 Not Found" };
    let content = content.unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        content.len()
    );
    stream.write_all(head.as_bytes())?;
    if !request.starts_with("HEAD") {
        stream.write_all(&content)?;
    }
    Ok(())
}
