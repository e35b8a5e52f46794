//! Docker's classic stream, line by line, and its clients.

use barge_testkit::{Client, Process, Sharing, TarBuilder, Verdict, check_python, command, need};
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
        shapes(&said(&reply)),
        "Step 1/8 : FROM busybox AS one\n ---> ID\nStep 2/8 : ARG X\n ---> ID\n\
         Step 3/8 : RUN echo hi\n ---> Running in ID\nhi\n\
         Removing intermediate container ID\n ---> ID\n\
         Step 4/8 : FROM busybox\n ---> ID\nStep 5/8 : ENV A=b\n ---> ID\n\
         Step 6/8 : COPY --from=one /bin/busybox /x\n ---> ID\n\
         Step 7/8 : RUN echo two >&2\n ---> Running in ID\n\u{1b}[91mtwo\n\u{1b}[0m\
         Removing intermediate container ID\n ---> ID\nStep 8/8 : CMD [\"true\"]\n ---> ID\n\
         Successfully built ID\nSuccessfully tagged lines:1\nSuccessfully tagged other:latest\n"
    );
    let base = host.api().get("/images/busybox/json").is(200).json();
    let base = &base["Id"].as_str().unwrap()["sha256:".len()..][..12];
    let text_of = said(&reply);
    let named: Vec<&str> = text_of.lines().filter_map(|line| line.strip_prefix(" ---> ")).collect();
    assert_eq!((named[0], named[named.len() - 1]), (base, short));
    let image = host.api().get("/images/lines:1/json").is(200).json();
    assert_eq!(image["Id"], id);
    assert_eq!(image["Config"]["Cmd"], json!(["true"]));
    let again = build(&host, "rm=1&networkmode=none", &dockerfile(text));
    assert_eq!(again.matches(" ---> Using cache\n").count(), 3, "{again}");
    let quiet = post(&host, "q=1&networkmode=none", &dockerfile(text)).is(200);
    assert_eq!(lines(&quiet), [json!({"stream": format!("{id}\n")})]);
}

/// The same with each short id as `ID`.
fn shapes(text: &str) -> String {
    let is_id = |word: &str| word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let line = |line: &str| {
        let words: Vec<&str> =
            line.split(' ').map(|word| if is_id(word) { "ID" } else { word }).collect();
        words.join(" ")
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn arguments_that_nobody_declares_and_triggers_are_told_as_by_dockerd() {
    let host = HOST.host();
    host.busybox();
    let arguments = encoded(r#"{"zed":"1","used":"2","early":"3","abc":"4","HTTP_PROXY":"x"}"#);
    let text =
        "ARG early\nFROM busybox\nARG used\nONBUILD RUN echo from the base\nONBUILD ARG later\n";
    let query = format!("t=triggers&networkmode=none&buildargs={arguments}");
    let said = build(&host, &query, &dockerfile(text));
    let end = " ---> ID\n[Warning] One or more build-args [abc zed] were not consumed\n\
               Successfully built ID\nSuccessfully tagged triggers:latest\n";
    assert!(shapes(&said).ends_with(end), "{said}");
    let arguments = encoded(r#"{"later":"1"}"#);
    let query = format!("networkmode=none&buildargs={arguments}");
    let said = build(&host, &query, &dockerfile("FROM triggers\nENV A=b\n"));
    assert_eq!(
        shapes(&said),
        "Step 1/2 : FROM triggers\n ---> ID\n# Executing 2 build triggers\n ---> Running in ID\n\
         from the base\nRemoving intermediate container ID\n ---> ID\n ---> ID\n\
         Step 2/2 : ENV A=b\n ---> ID\nSuccessfully built ID\n"
    );
}

#[test]
fn docker_py_builds() {
    if check_python("docker") != Verdict::Present {
        return;
    }
    let host = HOST.host();
    host.busybox();
    let script = r#"
import io, sys, docker
client = docker.DockerClient(base_url="unix://" + sys.argv[1])
text = b"FROM busybox\nARG WHO\nRUN echo hello $WHO > /who\nCMD [\"cat\", \"/who\"]\n"
image, lines = client.images.build(
    fileobj=io.BytesIO(text), tag="py:1", buildargs={"WHO": "py"}, network_mode="none", rm=True)
streams = "".join(line.get("stream", "") for line in lines)
assert "Step 3/4 : RUN" in streams and " ---> Running in " in streams, streams
assert image.tags == ["py:1"], image.tags
again, _ = client.images.build(fileobj=io.BytesIO(text), buildargs={"WHO": "py"}, network_mode="none")
assert again.id == image.id
try:
    client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 5\n"), network_mode="none")
    sys.exit("built what cannot be")
except docker.errors.BuildError as error:
    assert "returned a non-zero code: 5" in str(error), error
"#;
    let socket = host.socket();
    Process::start(command("python3").args(["-c", script]).arg(socket)).wait().ok();
    let ran = host.barge(&["run", "--rm", "--network", "none", "py:1"]);
    assert_eq!(ran.text(), "hello py");
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
    assert_eq!(error("dockerfile=None", &fine, 500), "Cannot locate specified Dockerfile: None");
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
