//! `_ping`, versions, `info`, and what is not there.

use barge_testkit::Sharing;

static HOST: Sharing = Sharing::new();

#[test]
fn ping_tells_what_clients_negotiate_with() {
    let host = HOST.host();
    for method in ["GET", "HEAD"] {
        let reply = host.api().send(method, "/_ping", None).is(200);
        assert_eq!(reply.text(), if method == "GET" { "OK" } else { "" });
        let version = reply.header("api-version").unwrap();
        assert!(version.starts_with("1."), "{version}");
        assert_eq!(reply.header("ostype"), Some("linux"));
        assert_eq!(reply.header("docker-experimental"), Some("false"));
        assert_eq!(reply.header("cache-control"), Some("no-cache, no-store, must-revalidate"));
        assert!(reply.header("server").unwrap().contains("(linux)"));
    }
}

#[test]
fn a_version_that_is_too_new_or_too_old_is_refused_in_dockers_words() {
    let host = HOST.host();
    let version = host.api().get("/version").is(200).json();
    let (newest, oldest) =
        (version["ApiVersion"].as_str().unwrap(), version["MinAPIVersion"].as_str().unwrap());
    let refused = host.api().get("/v9.99/info").error(400);
    assert_eq!(
        refused,
        format!("client version 9.99 is too new. Maximum supported API version is {newest}")
    );
    // Clients before 1.24 are told in plain text: they knew no JSON errors.
    let refused = host.api().get("/v1.11/info").is(400);
    assert_eq!(
        refused.text().trim_end(),
        format!(
            "client version 1.11 is too old. Minimum supported API version is {oldest}, \
             please upgrade your client to a newer version"
        )
    );
    for path in [format!("/v{newest}/version"), format!("/v{oldest}/version")] {
        assert_eq!(host.api().get(&path).is(200).header("api-version"), Some(newest));
    }
}

#[test]
fn version_says_what_runs() {
    let host = HOST.host();
    let version = host.api().get("/version").is(200).json();
    assert_eq!(version["Os"], "linux");
    assert_eq!(version["Arch"], "amd64");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(version["KernelVersion"], kernel.trim());
    assert!(version["Components"].as_array().is_some_and(|components| !components.is_empty()));
}

#[test]
fn info_counts_and_names() {
    let host = HOST.host();
    let info = host.api().get("/info").is(200).json();
    assert_eq!(info["OSType"], "linux");
    assert_eq!(info["Driver"], "overlay2");
    assert_eq!(info["DockerRootDir"], host.data_root().to_str().unwrap());
    assert!(info["Images"].as_u64() >= Some(1), "{info}");
    assert!(info["NCPU"].as_u64() >= Some(1) && info["MemTotal"].as_u64() > Some(0));
    let sum = ["ContainersRunning", "ContainersPaused", "ContainersStopped"]
        .map(|state| info[state].as_u64().unwrap());
    assert_eq!(info["Containers"].as_u64(), Some(sum.iter().sum()));
    assert!(info["Plugins"]["Log"].as_array().unwrap().contains(&"json-file".into()));
}

#[test]
fn a_path_is_the_same_with_and_without_a_version() {
    let host = HOST.host();
    for path in ["/images/json", "/volumes", "/networks"] {
        let plain = host.api().get(path).is(200).json();
        assert_eq!(host.api().get(&format!("/v1.44{path}")).is(200).json(), plain);
    }
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let host = HOST.host();
    let mut connection = host.api().connect();
    for _ in 0..3 {
        connection.write(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
        let (status, headers) = connection.head();
        assert_eq!(status, 200);
        let length = headers.iter().find(|(name, _)| name == "content-length").unwrap();
        let body = connection.exact(length.1.parse().unwrap());
        assert_eq!(body, b"OK");
    }
}
