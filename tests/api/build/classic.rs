//! Docker's classic stream, line by line, and its clients.

use barge_testkit::{Client, Process, Sharing, TarBuilder, need};
use serde_json::json;

use super::{build, dockerfile, encoded, failure, lines, post, said};

static HOST: Sharing = Sharing::new();

#[test]
fn the_lines_are_those_of_dockerd() {
    let host = HOST.host();
    host.busybox();
    let text = "FROM busybox AS one\nARG X\nRUN echo hi\nFROM busybox\nENV A=b\nCOPY --from=one /bin/busybox /x\nRUN echo two >&2\nCMD [\"true\"]\n";
    let reply = post(&host, "t=lines:1&t=other&rm=1&networkmode=none", &dockerfile(text)).is(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(reply.text().contains("\r\n"));
    let all = lines(&reply);
    let aux = all.iter().find(|line| line.get("aux").is_some()).unwrap();
    let id = aux["aux"]["ID"].as_str().unwrap();
    let short = &id["sha256:".len()..][..12];
    assert_eq!(
        said(&reply),
        format!(
            "Step 1/8 : FROM busybox AS one\nStep 2/8 : ARG X\nStep 3/8 : RUN echo hi\nhi\n\
             Step 4/8 : FROM busybox\nStep 5/8 : ENV A=b\n\
             Step 6/8 : COPY --from=one /bin/busybox /x\n\
             Step 7/8 : RUN echo two >&2\n\u{1b}[91mtwo\n\u{1b}[0mStep 8/8 : CMD [\"true\"]\n\
             Successfully built {short}\nSuccessfully tagged lines:1\n\
             Successfully tagged other:latest\n"
        )
    );
    let image = host.api().get("/images/lines:1/json").is(200).json();
    assert_eq!(image["Id"], id);
    assert_eq!(image["Config"]["Cmd"], json!(["true"]));
    let again = build(&host, "rm=1&networkmode=none", &dockerfile(text));
    assert_eq!(again.matches(" ---> Using cache\n").count(), 3, "{again}");
    let quiet = post(&host, "q=1&networkmode=none", &dockerfile(text)).is(200);
    assert_eq!(lines(&quiet), [json!({"stream": format!("{id}\n")})]);
}

#[test]
fn a_command_that_fails_is_the_last_line_with_its_code() {
    let host = HOST.host();
    host.busybox();
    let context = dockerfile("FROM busybox\nRUN echo why; exit 3\n");
    let reply = post(&host, "t=never&networkmode=none", &context).is(200);
    let text = "The command '/bin/sh -c echo why; exit 3' returned a non-zero code: 3";
    assert_eq!(failure(&reply), json!({"code": 3, "message": text}));
    assert!(said(&reply).ends_with("why\n"), "{}", reply.text());
    host.api().get("/images/never/json").is(404);
}

#[test]
fn what_is_wrong_before_the_first_step_is_an_error_of_the_request() {
    let host = HOST.host();
    host.busybox();
    let fine = dockerfile("FROM busybox\n");
    let error = |query: &str, context: &[u8], status| post(&host, query, context).error(status);
    let text = error("", &dockerfile("FROM busybox\nFOO x\n"), 400);
    assert!(text.contains("dockerfile parse error on line 2: unknown instruction: FOO"), "{text}");
    assert!(error("version=2", &fine, 400).contains("DOCKER_BUILDKIT=0"));
    assert!(error("t=UPPER", &fine, 400).contains("must be lowercase"));
    assert!(error("buildargs=%7B", &fine, 400).starts_with("error reading buildargs"));
    assert!(error("networkmode=container:x", &fine, 501).contains("container:x"));
    assert!(error("target=nope", &fine, 400).contains("nope"));
    assert!(error("dockerfile=None", &fine, 404).contains("None"));
    assert!(error("inputs=none", &fine, 404).contains("no inputs"));
    assert!(error("remote=file%3A%2F%2F%2Fetc", &[], 400).contains("invalid remote context"));
    let text = error("t=a%40sha256%3A", &fine, 400);
    assert!(text.contains("invalid reference format"), "{text}");
}

#[test]
fn the_stock_client_builds() {
    need!(docker);
    let host = HOST.host();
    host.busybox();
    let text = "FROM busybox\nARG WHO\nCOPY f /f\nRUN echo \"$WHO\" >> /f\nCMD [\"cat\", \"/f\"]\n";
    let folder = host.scratch().join(host.unique("context"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("Mine"), text).unwrap();
    std::fs::write(folder.join("f"), "from the context\n").unwrap();
    let docker = |arguments: &[&str]| {
        let mut line = host.client(Client::Docker, arguments);
        Process::start(line.env("DOCKER_BUILDKIT", "0").current_dir(&folder)).wait()
    };
    let base = ["build", "--network", "none"];
    let with = |more: &[&str]| docker(&[&base[..], more].concat());
    let built = with(&["-t", "stock:1", "-f", "Mine", "--build-arg", "WHO=me", "."]);
    assert!(built.text().contains("Successfully tagged stock:1"), "{built}");
    let ran = host.barge(&["run", "--rm", "--network", "none", "stock:1"]);
    assert_eq!(ran.text(), "from the context\nme");
    let quiet = with(&["-q", "-f", "Mine", "--build-arg", "WHO=me", "."]);
    assert!(quiet.text().starts_with("sha256:"), "{quiet}");
    // The client's exit code is the command's.
    std::fs::write(folder.join("Mine"), "FROM busybox\nRUN exit 7\n").unwrap();
    with(&["-f", "Mine", "."]).fails_saying(7, "returned a non-zero code: 7");
}

#[test]
fn contexts_come_packed_or_as_a_dockerfile_alone() {
    let host = HOST.host();
    host.busybox();
    let text = b"FROM busybox\nCOPY f /f\n";
    let archive = || TarBuilder::new().file("Dockerfile", 0o644, text).file("f", 0o644, b"x");
    for context in [archive().finish(), archive().gzip(), archive().zstd()] {
        build(&host, "networkmode=none", &context);
    }
    build(&host, "networkmode=none", b"FROM busybox\nENV ALONE=1\n");
    let refused = post(&host, "", &[0xff; 2000]);
    assert!(refused.status >= 400, "{}", refused.text());
}

#[test]
fn the_built_in_image_is_a_base() {
    let host = HOST.host();
    build(&host, "t=greeting&networkmode=none", &dockerfile("FROM hello\nLABEL mine=1\n"));
    let image = host.api().get("/images/greeting/json").is(200).json();
    assert_eq!(image["Config"]["Labels"]["mine"], "1");
    host.barge(&["run", "--rm", "--network", "none", "greeting"]).ok();
}

#[test]
fn names_are_told_of_as_events() {
    let host = HOST.host();
    host.busybox();
    let name = host.unique("told");
    build(&host, &format!("t={name}"), &dockerfile("FROM busybox\nENV TOLD=1\n"));
    let filters = encoded(&json!({"event": ["tag"], "type": ["image"]}).to_string());
    let until = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let path = format!("/events?since=1&until={}&filters={filters}", until.as_secs() + 1);
    let told = host.api().get(&path).is(200).text();
    assert!(told.contains(&format!("\"name\":\"{name}:latest\"")), "{told}");
}
