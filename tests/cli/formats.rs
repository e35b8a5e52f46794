//! What listings and inspections print in every format, beside the stock client against the same daemon, byte for byte.

use barge_testkit::{Client, Outcome, Process, Sharing, TestHost, need};

static HOST: Sharing = Sharing::new();

/// Four containers, three names of one image and two volumes. No object has two labels: the stock client prints them
/// in a random order.
fn filled() -> TestHost {
    let host = TestHost::new();
    host.busybox();
    for line in [
        "tag busybox other:1",
        "tag busybox localhost:5000/team/x:v2",
        "volume create --label a=b vol1",
        "volume create vol2",
        "run -d --name web -p 127.0.0.1:8080:80 --expose 443 -v vol1:/data -v /tmp:/host --label role=web busybox sleep 1000",
        "run --name ended --label role=job busybox false",
        "create --name made busybox echo a very long command line indeed <x>",
        "run --name talker --log-opt labels=role --label role=talk busybox sh -c 'echo out; echo err >&2'",
    ] {
        let words = words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let code = host.barge(&words).code;
        assert_eq!(code, i32::from(words[2] == "ended"), "{line}");
    }
    host
}

/// Words separated by blanks; quotes keep them together.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (position, part) in line.split('\'').enumerate() {
        let mut pieces = if position % 2 == 0 { part.split(' ').collect() } else { vec![part] };
        let first = pieces.remove(0);
        words.last_mut().unwrap().push_str(first);
        words.extend(pieces.into_iter().map(str::to_owned));
    }
    words.retain(|word| !word.is_empty());
    // The one word that may be empty.
    if line.ends_with("''") {
        words.push(String::new());
    }
    words
}

/// What is compared: the clients' names do not count.
fn seen(outcome: &Outcome, is_sorted: bool) -> String {
    let mut lines: Vec<&str> = outcome.stdout.split('\n').collect();
    if is_sorted {
        lines.sort_unstable();
    }
    let stderr = outcome.stderr.replace("docker", "barge");
    format!("code {}\n{}\n--- stderr\n{stderr}", outcome.code, lines.join("\n"))
}

/// Where the two differ; asked again where only time may have passed between them.
fn difference(host: &TestHost, line: &str) -> Option<String> {
    let (line, is_sorted) = line.strip_prefix("~ ").map_or((line, false), |line| (line, true));
    let words = words(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut last = None;
    for _ in 0..4 {
        let [ours, theirs] = [Client::Barge, Client::Docker]
            .map(|client| seen(&host.run(client, &words), is_sorted));
        if ours == theirs {
            return None;
        }
        last = Some(format!("=== {line}\nbarge: {ours}\ndocker: {theirs}"));
    }
    last
}

#[test]
fn every_format_prints_what_the_stock_client_prints() {
    need!(docker);
    let host = filled();
    let lines: Vec<&str> =
        include_str!("formats.txt").lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines.len() > 200, "{}", lines.len());
    let different: Vec<String> = lines.iter().filter_map(|line| difference(&host, line)).collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn formats_of_the_clients_configuration_hold_where_no_flag_says_otherwise() {
    let host = HOST.host();
    let name = host.unique("configured");
    host.barge(&["create", "--name", &name, "busybox"]).ok();
    let folder = host.scratch().join(&name);
    std::fs::create_dir(&folder).unwrap();
    let config = r#"{"psFormat":"P {{.Names}}","imagesFormat":"I {{.Tag}}","networksFormat":"N {{.Name}}",
        "volumesFormat":"V {{.Name}}","statsFormat":"S {{.Name}}"}"#;
    std::fs::write(folder.join("config.json"), config).unwrap();
    let filter = format!("name={name}");
    for client in Client::both() {
        let run = |words: &[&str]| {
            let mut line = host.client(client, words);
            Process::start(line.env("DOCKER_CONFIG", &folder)).wait().text().to_owned()
        };
        assert_eq!(run(&["ps", "-a", "--filter", &filter]), format!("P {name}"));
        assert_eq!(run(&["ps", "-a", "--filter", &filter, "--format", ""]), format!("P {name}"));
        assert_eq!(run(&["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"]), name);
        assert_eq!(run(&["ps", "-aq", "--no-trunc", "--filter", &filter]), host.id(&name));
        assert_eq!(run(&["images", "busybox"]), "I latest");
        assert_eq!(run(&["network", "ls"]), "N bridge\nN host\nN none");
        assert_eq!(run(&["volume", "ls", "--filter", "name=nothing"]), "");
        assert_eq!(run(&["stats", "--no-stream", &name]), format!("S {name}"));
    }
}
