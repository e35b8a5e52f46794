use super::*;

fn load(flags: Flags, file: &str) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("daemon.json");
    std::fs::write(&path, file).unwrap();
    let flags = Flags { config_file: Some(path.clone()), ..flags };
    Settings::load(flags).map_err(|error| {
        let mut text = error.to_string();
        if let Some(cause) = std::error::Error::source(&error) {
            text = format!("{text}: {cause}");
        }
        text.replace(path.to_str().unwrap(), "FILE")
    })
}

#[test]
fn defaults_are_below_the_two_roots() {
    let settings = load(Flags::default(), "{}").unwrap();
    assert_eq!(settings.hosts, [Endpoint::Unix("/run/barge/barge.sock".into())]);
    assert_eq!(settings.data_root, Path::new("/var/lib/barge"));
    assert_eq!(settings.pidfile, Path::new("/run/barge/barge.pid"));
    assert_eq!(settings.log_level, LevelFilter::INFO);
    assert_eq!(settings.containers.log.kind, "json-file");
    assert_eq!(settings.containers.shm_size, 64 << 20);
    let own = Flags { exec_root: Some("/x".into()), ..Flags::default() };
    let settings = load(own, "{}").unwrap();
    assert_eq!(settings.hosts, [Endpoint::Unix("/x/barge.sock".into())]);
    assert_eq!(settings.pidfile, Path::new("/x/barge.pid"));
}

#[test]
fn file_and_flags_complete_each_other() {
    let flags = Flags { bip: Some("10.9.0.1/24".into()), ..Flags::default() };
    let file = r#"{"hosts":["unix:///a","unix:///b"],"debug":true,"log-driver":"none",
        "log-opts":{"a":"b=c"},"default-shm-size":"1m",
        "default-ulimits":{"nofile":{"Name":"nofile","Soft":1,"Hard":2}}}"#;
    let settings = load(flags, file).unwrap();
    assert_eq!(settings.hosts.len(), 2);
    assert_eq!(settings.log_level, LevelFilter::DEBUG);
    assert_eq!(settings.network.bip.as_deref(), Some("10.9.0.1/24"));
    assert_eq!(settings.containers.log.config["a"], "b=c");
    assert_eq!(settings.containers.shm_size, 1 << 20);
    assert_eq!(settings.containers.ulimits, [Ulimit { name: "nofile".into(), soft: 1, hard: 2 }]);
}

#[test]
fn what_both_say_is_refused_in_dockerds_words() {
    let flags = Flags { hosts: vec!["unix:///x".into()], debug: Some(true), ..Flags::default() };
    assert_eq!(
        load(flags, r#"{"hosts":["unix:///y"],"debug":true}"#).unwrap_err(),
        "unable to configure the Docker daemon with file FILE: the following directives are specified both as a flag \
         and in the configuration file: hosts: (from flag: [unix:///x], from file: [unix:///y]), \
         debug: (from flag: true, from file: true)"
    );
}

#[test]
fn a_bad_file_is_named() {
    assert_eq!(
        load(Flags::default(), r#"{"nope":1}"#).unwrap_err(),
        "unable to configure the Docker daemon with file FILE: the following directives don't match any \
         configuration option: nope"
    );
    assert!(load(Flags::default(), "{").unwrap_err().contains("cannot read FILE"));
}

#[test]
fn values_that_cannot_be_are_refused() {
    for (file, text) in [
        (r#"{"userland-proxy":true}"#, "userland-proxy"),
        (r#"{"live-restore":false}"#, "live-restore"),
        (r#"{"exec-opts":["native.cgroupdriver=systemd"]}"#, "systemd is not supported"),
        (r#"{"exec-opts":["x=y"]}"#, "invalid exec-opt: x=y"),
        (r#"{"labels":["x"]}"#, "bad attribute format: x"),
        (r#"{"labels":["x=1","x=2"]}"#, "conflict labels for x=2 and x=1"),
        (r#"{"log-level":"loud"}"#, "invalid logging level: loud"),
        (r#"{"hosts":["fd://"]}"#, "cannot use -H"),
        (r#"{"group":"no such group"}"#, "group no such group not found"),
        (r#"{"default-shm-size":"big"}"#, "default-shm-size"),
        (r#"{"max-concurrent-downloads":-1}"#, "invalid max concurrent downloads: -1"),
        (r#"{"max-download-attempts":0}"#, "invalid max download attempts: 0"),
        (r#"{"default-ulimits":{"nope":{"Soft":1,"Hard":1}}}"#, "invalid ulimit type: nope"),
    ] {
        let error = load(Flags::default(), file).unwrap_err();
        assert!(error.contains(text), "{file}: {error}");
    }
    for file in [
        r#"{"userland-proxy":false,"live-restore":true}"#,
        r#"{"exec-opts":["native.cgroupdriver=cgroupfs"],"labels":["x=1","x=1"]}"#,
    ] {
        load(Flags::default(), file).unwrap();
    }
}

#[test]
fn registries_are_read_from_flags_and_file() {
    let flags = Flags {
        insecure_registries: vec!["reg:5000".into()],
        max_concurrent_uploads: Some(0),
        ..Flags::default()
    };
    let file = r#"{"registry-mirrors":["https://m"],"max-concurrent-downloads":7,
        "proxies":{"http-proxy":"http://p:1","no-proxy":"a,b"},"storage-opts":["size=1m"]}"#;
    let settings = load(flags, file).unwrap();
    let registries = &settings.registries;
    assert_eq!(registries.mirrors, ["https://m"]);
    assert_eq!(registries.insecure, ["reg:5000"]);
    assert_eq!((registries.downloads, registries.uploads, registries.attempts), (7, 0, 5));
    assert_eq!(
        (registries.http_proxy.as_str(), registries.no_proxy.as_str()),
        ("http://p:1", "a,b")
    );
    assert_eq!(settings.storage_opts, ["size=1m"]);
    let new = load(Flags::default(), r#"{"registry-mirrors":["https://n"]}"#).unwrap();
    let reloaded = settings.reloaded(&new).registries;
    assert_eq!((reloaded.mirrors, reloaded.downloads), (vec!["https://n".to_owned()], 3));
    assert_eq!(reloaded.http_proxy, "http://p:1");
}

#[test]
fn a_reload_takes_over_only_what_can_change() {
    let old = load(Flags::default(), "{}").unwrap();
    let new = load(Flags::default(), r#"{"debug":true,"bip":"10.0.0.1/8","shutdown-timeout":3}"#);
    let new = new.unwrap();
    let reloaded = old.reloaded(&new);
    assert_eq!(reloaded.log_level, LevelFilter::DEBUG);
    assert_eq!(reloaded.shutdown_timeout, Duration::from_secs(3));
    assert_eq!(reloaded.network, old.network);
    assert_ne!(reloaded, new);
}
