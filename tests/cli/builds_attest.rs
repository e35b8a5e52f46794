//! What `barge build` says of what it makes, when it is asked to: provenance and SBOMs, in images, registries and beside
//! files.

use std::fs;
use std::path::{Path, PathBuf};

use barge_testkit::{Outcome, Process, Sharing, TestHost, command, need};
use serde_json::{Value, json};

use super::registry::{self, Registry, Users};

static HOST: Sharing = Sharing::new();

fn path(host: &TestHost, stem: &str) -> PathBuf {
    host.scratch().join(host.unique(stem))
}

/// A context of these files; gives its path.
fn context(host: &TestHost, files: &[(&str, &str)]) -> String {
    let folder = path(host, "context");
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

fn build(host: &TestHost, arguments: &[&str]) -> Outcome {
    host.busybox();
    let all: Vec<&str> = ["build"].iter().chain(arguments).copied().collect();
    host.barge(&all)
}

fn read(path: impl AsRef<Path>) -> Value {
    let path = path.as_ref();
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

/// A blob of an OCI layout.
fn blob(layout: &Path, digest: &Value) -> Value {
    read(layout.join("blobs").join(digest.as_str().unwrap().replace(':', "/")))
}

/// Builds an OCI layout; gives its one index.
fn layout(host: &TestHost, arguments: &[&str]) -> (PathBuf, Value) {
    let into = path(host, "layout");
    let output = format!("type=oci,dest={},tar=false", into.display());
    let all: Vec<&str> = ["-o", output.as_str()].iter().chain(arguments).copied().collect();
    build(host, &all).ok();
    let listed = read(into.join("index.json"));
    let index = blob(&into, &listed["manifests"][0]["digest"]);
    (into, index)
}

/// The statements about the first image of an index.
fn statements(layout: &Path, index: &Value) -> Vec<Value> {
    let manifests = index["manifests"].as_array().unwrap();
    let about = &manifests[0]["digest"];
    let is_about = |entry: &&Value| entry["annotations"]["vnd.docker.reference.digest"] == *about;
    let manifest = blob(layout, &manifests.iter().find(is_about).unwrap()["digest"]);
    let layers = manifest["layers"].as_array().unwrap();
    layers.iter().map(|layer| blob(layout, &layer["digest"])).collect()
}

#[test]
fn nothing_is_said_unless_it_is_asked_for() {
    let host = HOST.host();
    let folder = context(&host, &[("Dockerfile", "FROM busybox\nRUN echo plain > /x\n")]);
    for flags in [&[][..], &["--provenance=false", "--sbom=false"]] {
        let all: Vec<&str> = flags.iter().copied().chain([folder.as_str()]).collect();
        let (_, manifest) = layout(&host, &all);
        assert!(manifest["layers"].is_array(), "{manifest}");
    }
}

#[test]
fn provenance_says_what_an_image_was_made_from() {
    let host = HOST.host();
    let file = "FROM busybox AS base\nARG WORD\nRUN --network=none \
                --mount=type=secret,id=key cat /run/secrets/key > /dev/null; echo $WORD > /word\n";
    let folder = context(&host, &[("Dockerfile", file)]);
    let secret = host.file(&host.unique("secret"), "hidden-words");
    let secret = format!("id=key,src={secret}");
    let name = host.unique("said");
    let flags = ["-t", &name, "--build-arg", "WORD=argument", "--secret", &secret];
    let with = |provenance: &str| {
        let provenance = format!("--provenance={provenance}");
        let all = flags.iter().copied().chain([provenance.as_str(), folder.as_str()]);
        let (layout, index) = layout(&host, &all.collect::<Vec<_>>());
        let [statement] = statements(&layout, &index).try_into().unwrap();
        (statement, index)
    };
    let (least, index) = with("true");
    assert_eq!(least["predicateType"], "https://slsa.dev/provenance/v0.2");
    let subject = &least["subject"][0];
    let expected = format!("pkg:docker/{name}@latest?platform=linux%2F");
    assert!(subject["name"].as_str().unwrap().starts_with(&expected), "{subject}");
    let digest = format!("sha256:{}", subject["digest"]["sha256"].as_str().unwrap());
    assert_eq!(index["manifests"][0]["digest"], digest);
    let predicate = &least["predicate"];
    let material = &predicate["materials"][0];
    let uri = material["uri"].as_str().unwrap();
    assert!(uri.starts_with("pkg:docker/busybox@latest?platform=linux%2F"), "{uri}");
    assert_eq!(material["digest"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(predicate["invocation"]["configSource"], json!({"entryPoint": "Dockerfile"}));
    let metadata = &predicate["metadata"];
    assert_eq!(metadata["https://mobyproject.org/buildkit@v1#hermetic"], true);
    assert!(metadata["buildFinishedOn"].as_str() >= metadata["buildStartedOn"].as_str());
    assert!(!least.to_string().contains("argument"), "{least}");
    let (most, _) = with("mode=max,version=v1,builder-id=https://ci.example/7");
    assert_eq!(most["predicateType"], "https://slsa.dev/provenance/v1");
    let request = &most["predicate"]["buildDefinition"]["externalParameters"]["request"];
    assert_eq!(request["args"]["build-arg:WORD"], "argument");
    assert_eq!(request["secrets"], json!([{"id": "key", "optional": true}]));
    assert_eq!(most["predicate"]["runDetails"]["builder"]["id"], "https://ci.example/7");
    for statement in [least, most] {
        assert!(!statement.to_string().contains("hidden-words"));
    }
}

#[test]
fn with_an_epoch_the_same_is_said_each_time() {
    let host = HOST.host();
    let folder = context(&host, &[("Dockerfile", "FROM busybox\nRUN echo same > /same\n")]);
    let build = || {
        let epoch = ["--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--no-cache"];
        let all = epoch.iter().copied().chain(["--provenance=mode=max", folder.as_str()]);
        let (layout, index) = layout(&host, &all.collect::<Vec<_>>());
        let [statement] = statements(&layout, &index).try_into().unwrap();
        (index, statement)
    };
    let (index, statement) = build();
    let metadata = &statement["predicate"]["metadata"];
    assert_eq!(metadata["buildStartedOn"], "2023-11-14T22:13:20Z");
    assert_eq!(metadata["buildFinishedOn"], "2023-11-14T22:13:20Z");
    assert_eq!(build(), (index, statement));
}

#[test]
fn beside_files_it_is_a_document_about_them() {
    let host = HOST.host();
    let file = "FROM busybox AS make\nRUN mkdir /out && echo made > /out/x && ln /out/x /out/y\n\
                FROM scratch\nCOPY --from=make /out /\n";
    let folder = context(&host, &[("Dockerfile", file)]);
    let into = path(&host, "files");
    let output = into.to_str().unwrap();
    build(&host, &["--provenance=true", "-o", output, &folder]).ok();
    let statement = read(into.join("provenance.json"));
    // Of `made` and a line feed.
    let digest =
        json!({"sha256": "9ccbd3f1b19a1cdfd8d7c6ae48e9e822e2345f5be1a6187b19e41486c6941004"});
    let names: Vec<&str> = statement["subject"]
        .as_array()
        .unwrap()
        .iter()
        .map(|subject| subject["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["x", "y"]);
    assert_eq!(statement["subject"][0]["digest"], digest);
    assert_eq!(statement["subject"][0]["digest"], statement["subject"][1]["digest"]);
    let into = path(&host, "inline");
    let output = into.to_str().unwrap();
    build(&host, &["--provenance=inline-only=true", "-o", output, &folder]).ok();
    assert!(into.join("x").exists() && !into.join("provenance.json").exists());
    let clash = context(&host, &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /p.json\n")]);
    build(&host, &["--provenance=filename=p.json", "-o", output, &clash])
        .fails_saying(1, "cannot write p.json beside the files of the result");
}

#[test]
fn a_registry_takes_what_is_said_and_gives_the_image_back() {
    if registry::there_is_no_registry() {
        return;
    }
    need!(skopeo);
    let host = registry::host();
    let _registry = Registry::start(&host, Users::Anybody);
    let folder = context(&host, &[("Dockerfile", "FROM busybox\nRUN echo pushed > /pushed\n")]);
    let name = format!("{}/said:1", Registry::NAME);
    let written = path(&host, "metadata.json");
    let metadata = ["--metadata-file", written.to_str().unwrap()];
    let flags = ["--progress=plain", "--provenance=true", "--push", "-t", &name, &folder];
    let built = build(&host, &[&metadata[..], &flags].concat());
    built.ok();
    assert!(built.stderr.contains(&format!(" pushing {name}\n")), "{}", built.stderr);
    let tree = host.barge(&["images", "--tree"]);
    let pushed = host.barge(&["image", "inspect", "--format", "{{index .RepoDigests 0}}", &name]);
    let pushed = pushed.text().to_owned();
    let raw = host.in_netns(|| {
        let reference = format!("docker://{name}");
        let arguments = ["inspect", "--raw", "--tls-verify=false", &reference];
        Process::start(command("skopeo").args(arguments)).wait()
    });
    let index: Value = serde_json::from_str(raw.text()).unwrap();
    let [image, said] = index["manifests"].as_array().unwrap().as_slice() else {
        panic!("{index}");
    };
    assert_eq!(said["platform"], json!({"architecture": "unknown", "os": "unknown"}));
    assert_eq!(said["annotations"]["vnd.docker.reference.type"], "attestation-manifest");
    assert_eq!(said["annotations"]["vnd.docker.reference.digest"], image["digest"]);
    let digest = said["digest"].as_str().unwrap();
    assert!(tree.text().contains(&digest["sha256:".len()..][..12]), "{tree}");
    assert!(tree.text().contains("attestation"), "{tree}");
    let other = context(&host, &[("Dockerfile", &format!("FROM {name}\n"))]);
    build(&host, &["--pull", "--platform=linux/riscv64", &other])
        .fails_saying(1, "it is there for other platforms, not for linux/riscv64");
    // The tag alone was pushed once more: nothing has changed.
    let again = host.barge(&["push", &name]);
    let (_, of_index) = pushed.split_once('@').unwrap();
    assert!(again.text().contains(&format!("1: digest: {of_index} size: ")), "{again}");
    // The digest that others ask the registry for.
    assert!(built.stderr.contains(&format!(" 1: digest: {of_index} size: ")), "{}", built.stderr);
    assert_eq!(read(written)["containerimage.digest"], of_index);
    host.barge(&["rmi", &name]).ok();
    let pulled = host.barge(&["pull", &name]);
    assert!(pulled.text().contains(&format!("Digest: {of_index}\n")), "{pulled}");
    let found = host.barge(&["run", "--rm", "--network=none", &name, "cat", "/pushed"]);
    assert_eq!(found.text(), "pushed");
}

#[test]
fn an_image_keeps_what_is_said_of_it_when_it_is_saved_and_loaded() {
    let host = TestHost::new();
    let folder = context(&host, &[("Dockerfile", "FROM busybox\nRUN echo kept > /kept\n")]);
    build(&host, &["--provenance=true", "-t", "said:1", &folder]).ok();
    let digest = |host: &TestHost| {
        let listed = host.barge(&["images", "--digests", "--format", "{{json .}}", "said"]);
        let tree = host.barge(&["images", "--tree", "said:1"]);
        assert!(tree.text().contains("attestation"), "{tree}\n{listed}");
        tree.text().to_owned()
    };
    let before = digest(&host);
    let archive = path(&host, "saved.tar");
    let archive = archive.to_str().unwrap();
    host.barge(&["save", "-o", archive, "said:1"]).ok();
    host.barge(&["rmi", "said:1"]).ok();
    host.barge(&["load", "-q", "-i", archive]).ok();
    assert_eq!(digest(&host), before);
}

#[test]
fn a_build_without_statements_has_none_of_an_earlier_one() {
    let host = TestHost::new();
    let folder = context(&host, &[("Dockerfile", "FROM busybox\nRUN echo once > /once\n")]);
    let is_attested = |flag: &str| {
        build(&host, &[flag, "-t", "said:1", &folder]).ok();
        host.barge(&["images", "--tree", "said:1"]).text().contains("attestation")
    };
    // The same image each time.
    assert!(is_attested("--provenance=true"));
    assert!(!is_attested("--provenance=false"));
}

#[test]
fn a_scanner_finds_what_an_image_consists_of() {
    let host = HOST.host();
    let scanner = host.unique("scanner");
    let script = "echo '{\"_type\":\"https://in-toto.io/Statement/v0.1\",\
                  \"predicateType\":\"https://spdx.dev/Document\",\"predicate\":{\"name\":\"'\
                  $(cat $BUILDKIT_SCAN_SOURCE/found)'\"}}' \
                  > $BUILDKIT_SCAN_DESTINATION/sbom.spdx.json; touch $BUILDKIT_SCAN_SOURCE/x || \
                  echo read only";
    let file = "FROM busybox\nCOPY scan /scan\nENTRYPOINT [\"sh\", \"/scan\"]\n";
    let folder = context(&host, &[("Dockerfile", file), ("scan", script)]);
    build(&host, &["-q", "-t", &scanner, &folder]).ok();
    let word = host.unique("word");
    let file = format!("FROM busybox\nRUN echo {word} > /found\n");
    let folder = context(&host, &[("Dockerfile", &file)]);
    let flag = format!("--sbom=generator={scanner}");
    let (into, index) = layout(&host, &[&flag, "--provenance=true", &folder]);
    let [sbom, provenance] = statements(&into, &index).try_into().unwrap();
    assert_eq!(sbom["predicateType"], "https://spdx.dev/Document");
    assert_eq!(sbom["predicate"]["name"], word);
    let materials = provenance["predicate"]["materials"].to_string();
    assert!(materials.contains(&format!("pkg:docker/{scanner}@latest?")), "{materials}");
    let files = path(&host, "files");
    let output = files.to_str().unwrap();
    let again = build(&host, &["--progress=plain", &flag, "-o", output, &folder]);
    again.ok();
    assert_eq!(read(files.join("sbom.spdx.json"))["predicate"]["name"], word);
    // The same result is looked at once.
    assert!(!again.stderr.contains("read only"), "{}", again.stderr);
    let more = "FROM busybox AS other\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nRUN echo o > /o\n\
                FROM busybox\nCOPY --from=other /o /\n";
    let more = context(&host, &[("Dockerfile", more)]);
    build(&host, &[&flag, &more]).fails_saying(1, "BUILDKIT_SBOM_SCAN_STAGE is not supported");
    let fails = "FROM busybox\nENTRYPOINT [\"false\"]\n";
    let folder_of_other = context(&host, &[("Dockerfile", fails)]);
    build(&host, &["-q", "-t", &scanner, &folder_of_other]).ok();
    build(&host, &[&flag, &folder]).fails_saying(1, "did not complete successfully: exit code: 1");
}
