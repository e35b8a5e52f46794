//! Debian's `docker-compose`: a project of two services that need each other, from the first build to its end.

use std::fs;
use std::path::PathBuf;

use barge_testkit::{Outcome, Process, TestHost, Verdict, check, command, eventually};

const FILE: &str = r#"
version: "2.4"
services:
  web:
    build: web
    image: composed
    network_mode: bridge
    command: ["sh", "-c", "touch /ready; echo web is up; exec sleep 1000"]
    healthcheck: {test: ["CMD", "test", "-e", "/ready"], interval: 200ms, timeout: 60s, retries: 3}
    environment: {WORD: from the file}
    ports: ["127.0.0.1:18490:80"]
    volumes: ["data:/data", "./web:/context:ro"]
  job:
    image: busybox
    network_mode: none
    command: ["sh", "-c", "echo job runs; exec sleep 1000"]
    depends_on: {web: {condition: service_healthy}}
volumes:
  data: {labels: {of: compose}}
"#;

const LINKED: &str = r#"
version: "2.4"
services:
  db:
    image: busybox
    network_mode: bridge
    expose: ["5432"]
    environment: {WORD: from the db}
    command: ["sleep", "1000"]
  app:
    image: busybox
    network_mode: bridge
    links: ["db:store"]
    command: ["sleep", "1000"]
"#;

struct Project<'h> {
    host: &'h TestHost,
    folder: PathBuf,
}

impl<'h> Project<'h> {
    fn new(host: &'h TestHost, file: &str) -> Self {
        let folder = host.scratch().join("project");
        fs::create_dir_all(folder.join("web")).unwrap();
        fs::write(folder.join("docker-compose.yml"), file).unwrap();
        let dockerfile =
            "FROM busybox\nARG what=nothing\nRUN echo built > /built\nCOPY word /word\n";
        fs::write(folder.join("web/Dockerfile"), dockerfile).unwrap();
        fs::write(folder.join("web/word"), "copied\n").unwrap();
        Self { host, folder }
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> Outcome {
        let mut line = command("docker-compose");
        line.args(words)
            .current_dir(&self.folder)
            .env("DOCKER_HOST", format!("unix://{}", self.host.socket().display()))
            .env("HOME", self.host.scratch())
            // By the API itself, not by another client.
            .env("COMPOSE_DOCKER_CLI_BUILD", "0")
            .env("COMPOSE_HTTP_TIMEOUT", "180");
        Process::start(&mut line).wait()
    }

    fn count(&self, service: &str) -> usize {
        self.run(&["ps", "-q", service]).text().lines().count()
    }
}

#[test]
fn a_project_comes_up_is_used_and_goes_away() {
    if let Verdict::Absent(_) = check("docker-compose") {
        return;
    }
    let host = TestHost::new();
    host.busybox();
    let project = Project::new(&host, FILE);
    project.run(&["up", "-d", "--build"]).ok();
    let web = host.inspect("project_web_1");
    assert_eq!(web["State"]["Health"]["Status"], "healthy", "the other one has waited for it");
    assert_eq!(host.inspect("project_job_1")["HostConfig"]["NetworkMode"], "none");
    let shown = project.run(&["ps"]);
    assert!(shown.text().contains("Up (healthy)"), "{shown}");
    assert!(shown.text().contains("127.0.0.1:18490->80/tcp"), "{shown}");
    let script = "cat /built /word /context/word; echo $WORD; echo kept > /data/kept";
    let outcome = project.run(&["exec", "-T", "web", "sh", "-c", script]);
    assert_eq!(outcome.text(), "built\ncopied\ncopied\nfrom the file");
    eventually("both have logged", || {
        let logs = project.run(&["logs", "--no-color"]);
        logs.text().contains("web is up") && logs.text().contains("job runs")
    });

    project.run(&["up", "-d", "--scale", "job=3"]).ok();
    assert_eq!((project.count("job"), project.count("web")), (3, 1));
    let again = host.inspect("project_web_1");
    assert_eq!(again["Id"], web["Id"], "what has not changed is not made again");
    project.run(&["pause", "web"]).ok();
    assert_eq!(host.status("project_web_1"), "paused");
    project.run(&["unpause", "web"]).ok();
    project.run(&["stop", "-t", "0"]).ok();
    assert_eq!(host.status("project_web_1"), "exited");
    project.run(&["start"]).ok();
    project.run(&["restart", "-t", "0", "web"]).ok();
    assert_eq!(project.run(&["exec", "-T", "web", "cat", "/data/kept"]).text(), "kept");
    project.run(&["kill", "job"]).ok();
    project.run(&["rm", "-f", "job"]).ok();
    assert_eq!(project.count("job"), 0);
    let once = project.run(&["run", "--rm", "-T", "--no-deps", "job", "echo", "once"]);
    assert_eq!(once.text(), "once");

    let volumes = || host.barge(&["volume", "ls", "-q", "--filter", "label=of=compose"]);
    assert_eq!(volumes().text(), "project_data");
    project.run(&["down", "-v", "-t", "0", "--rmi", "local"]).ok();
    assert_eq!(host.barge(&["ps", "-aq"]).text(), "");
    assert_eq!(volumes().text(), "");
    host.assert_nothing_of_containers();
}

#[test]
fn a_service_finds_what_it_is_linked_to() {
    if let Verdict::Absent(_) = check("docker-compose") {
        return;
    }
    let host = TestHost::new();
    host.busybox();
    let project = Project::new(&host, LINKED);
    project.run(&["up", "-d"]).ok();
    let exec = |line: &str| {
        let words: Vec<&str> = ["exec", "-T", "app"].into_iter().chain(line.split(' ')).collect();
        project.run(&words).text().to_owned()
    };
    assert!(exec("env").contains("STORE_ENV_WORD=from the db"));
    let address = host.address("project_db_1").to_string();
    assert!(exec("env").contains(&format!("STORE_PORT_5432_TCP_ADDR={address}")));
    for name in ["store", "db_1", "project_db_1"] {
        let answer = exec(&format!("ping -c 1 -W 60 {name}"));
        assert!(answer.contains(&format!("({address})")), "{answer}");
    }
    // The one that is linked to first.
    project.run(&["stop", "-t", "0"]).ok();
    project.run(&["start"]).ok();
    assert!(exec("cat /etc/hosts").contains("\tstore "));
    project.run(&["down", "-t", "0"]).ok();
    host.assert_nothing_of_containers();
}
