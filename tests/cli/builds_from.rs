//! What `barge build` takes beside its main context, and gives beside an image: named contexts of every kind as bases,
//! files of several platforms.

use std::fs;

use barge_testkit::{Outcome, Sharing, TestHost};

static HOST: Sharing = Sharing::new();

fn folder(host: &TestHost, stem: &str) -> String {
    let folder = host.scratch().join(host.unique(stem));
    fs::create_dir_all(&folder).unwrap();
    folder.to_str().unwrap().to_owned()
}

/// A context with this Dockerfile alone.
fn context(host: &TestHost, dockerfile: &str) -> String {
    let folder = folder(host, "context");
    fs::write(format!("{folder}/Dockerfile"), dockerfile).unwrap();
    folder
}

fn build(host: &TestHost, arguments: &[&str]) -> Outcome {
    host.busybox();
    let all: Vec<&str> = ["build"].iter().chain(arguments).copied().collect();
    host.barge(&all)
}

#[test]
fn a_folder_stands_for_an_image() {
    let host = HOST.host();
    let files = folder(&host, "files");
    fs::write(format!("{files}/kept"), "of the folder").unwrap();
    fs::write(format!("{files}/left"), "out").unwrap();
    fs::write(format!("{files}/.dockerignore"), "left\n.dockerignore\n").unwrap();
    let into = folder(&host, "into");
    // The name of an image that is there: the folder takes its place.
    let file = context(&host, "FROM busybox\nENV X=1\n");
    let named = format!("busybox={files}");
    build(&host, &["-o", &into, "--build-context", &named, &file]).ok();
    assert_eq!(fs::read_to_string(format!("{into}/kept")).unwrap(), "of the folder");
    assert_eq!(fs::read_dir(&into).unwrap().count(), 1);
}

#[test]
fn an_oci_layout_is_a_base_by_its_tag() {
    let host = HOST.host();
    let layout = folder(&host, "layout");
    let name = format!("{}:v1", host.unique("layout"));
    let file = context(&host, "FROM busybox\nRUN echo of the layout > /which\n");
    let output = format!("type=oci,dest={layout},tar=false");
    build(&host, &["-t", &name, "-o", &output, &file]).ok();
    let file = context(&host, "FROM there\nRUN cat /which\n");
    let text = |end: &str| {
        let named = format!("there=oci-layout://{layout}{end}");
        build(&host, &["--progress=plain", "--no-cache", "--build-context", &named, &file])
    };
    for end in ["", ":v1"] {
        let built = text(end);
        built.ok();
        assert!(built.stderr.contains(" of the layout\n"), "{}", built.stderr);
    }
    text(&format!("@sha256:{}", "0".repeat(64))).fails_saying(1, "cannot get the OCI layout there");
    let named = format!("there=oci-layout://{}", folder(&host, "empty"));
    build(&host, &["--build-context", &named, &file]).fails_saying(1, "is no OCI layout");
}

#[test]
fn files_of_several_platforms_come_into_a_folder_each() {
    let host = HOST.host();
    let file = context(&host, "FROM scratch\nARG TARGETARCH\nCOPY <<f /of-$TARGETARCH\nx\nf\n");
    let both = "--platform=linux/amd64,linux/arm64";
    let names = |folder: &str| {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let into = folder(&host, "split");
    build(&host, &[both, "-o", &into, &file]).ok();
    assert_eq!(names(&into), ["linux_amd64", "linux_arm64"]);
    assert_eq!(names(&format!("{into}/linux_arm64")), ["of-arm64"]);
    let into = folder(&host, "together");
    let output = format!("type=local,dest={into},platform-split=false");
    build(&host, &[both, "-o", &output, &file]).ok();
    assert_eq!(names(&into), ["of-amd64", "of-arm64"]);
    let output = format!("type=local,dest={into},mode=delete");
    build(&host, &["-o", &output, &file])
        .fails_saying(1, "option mode=delete of an output of type local is not supported");
}

#[test]
fn what_a_dockerfile_offers_is_told_without_a_build() {
    let host = HOST.host();
    let file = context(
        &host,
        "# V of everything\nARG V=1\nFROM none-such:$V AS base\nRUN --mount=type=secret,id=key,required true\n\
         # app the program\nFROM base AS app\n",
    );
    let targets = build(&host, &["--call=targets", &file]);
    assert_eq!(
        targets.stdout,
        "TARGET          DESCRIPTION\nbase            \napp (default)   the program\n"
    );
    let outline = build(&host, &["--call", "outline", "--build-arg", "V=2", &file]);
    assert_eq!(
        outline.stdout,
        "TARGET:      app\nDESCRIPTION: the program\n\nBUILD ARG   VALUE   DESCRIPTION\n\
         V           2       of everything\n\nSECRET   REQUIRED\nkey      true\n\n"
    );
    let json = build(&host, &["--call=outline,format=json", "--target=base", &file]);
    let value: serde_json::Value = serde_json::from_str(json.text()).unwrap();
    assert_eq!(value["name"], "base");
    assert_eq!(value["args"][0]["value"], "1");
    assert_eq!(value["secrets"][0]["required"], true);
    build(&host, &["--call=outline", "--target=bas", &file]).fails_saying(1, "did you mean base?");
    build(&host, &["--call=nothing", &file]).fails_saying(1, "--call=nothing: there are");
}
