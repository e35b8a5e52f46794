//! Bodies as the stock docker 28.2.2 client sends them, and answers as it must be able to read them.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail it")]

use barge_api_types::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Reads `text` as a `T` and gives the typed value with what it is written as.
fn round_trip<T: DeserializeOwned + Serialize>(text: &str) -> (T, Value) {
    let typed: T = serde_json::from_str(text).unwrap();
    let written = serde_json::to_value(&typed).unwrap();
    (typed, written)
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn create_with_every_flag_round_trips() {
    let text = include_str!("docker-28.2.2/create_full.json");
    let (request, written) = round_trip::<ContainerCreateRequest>(text);
    let mut sent = value(text);
    // An empty volume set is written as null, which is what dockerd's inspect shows for it.
    sent["Volumes"] = Value::Null;
    assert_eq!(written, sent);
    assert_eq!(request.config.hostname, "hh");
    assert_eq!(**request.config.cmd.as_ref().unwrap(), ["sh", "-c", "a b"]);
    assert_eq!(request.config.stop_timeout, Some(3));
    let host = &request.host_config;
    assert_eq!(host.resources.nano_cpus, 500_000_000);
    assert_eq!(host.resources.memory, 104_857_600);
    assert_eq!(host.resources.pids_limit, Some(10));
    assert_eq!(host.resources.ulimits[0], Ulimit { name: "nofile".into(), hard: 20, soft: 10 });
    assert_eq!(host.resources.devices[0].path_in_container, "/dev/n");
    assert_eq!(host.resources.blkio_device_read_bps[0].rate, 1_048_576);
    assert_eq!(host.port_bindings["80/tcp"].as_ref().unwrap()[0].host_port, "8080");
    assert_eq!(host.tmpfs["/t"], "size=1m");
    assert_eq!(host.init, Some(true));
    assert_eq!(host.masked_paths, None);
    assert_eq!(host.mounts[1].tmpfs_options.as_ref().unwrap().size_bytes, 1_048_576);
    assert_eq!(host.mounts.len(), 2);
    let endpoint = request.networking_config.endpoints_config["bridge"].as_ref().unwrap();
    assert_eq!(endpoint.ipam_config.as_ref().unwrap().ipv4_address, "1.2.3.4");
}

#[test]
fn plain_create_round_trips() {
    let text = include_str!("docker-28.2.2/create_plain.json");
    let (request, written) = round_trip::<ContainerCreateRequest>(text);
    let mut sent = value(text);
    sent["Volumes"] = Value::Null;
    assert_eq!(written, sent);
    assert_eq!(request.config.entrypoint, None);
    assert!(request.host_config.auto_remove);
}

#[test]
fn exec_bodies_round_trip() {
    let text = include_str!("docker-28.2.2/exec_create.json");
    let (request, written) = round_trip::<ExecCreateRequest>(text);
    assert_eq!(written, value(text));
    assert_eq!(*request.cmd, ["sh"]);
    let text = include_str!("docker-28.2.2/exec_start.json");
    assert_eq!(round_trip::<ExecStartRequest>(text).1, value(text));
}

#[test]
fn update_reads_its_resources() {
    let (request, _) =
        round_trip::<ContainerUpdateRequest>(include_str!("docker-28.2.2/update.json"));
    assert_eq!(request.resources.nano_cpus, 1_000_000_000);
    assert_eq!(request.resources.pids_limit, None);
    assert_eq!(request.restart_policy.name, "");
}

#[test]
fn network_and_volume_bodies_are_read() {
    let text = include_str!("docker-28.2.2/network_create.json");
    let (request, _) = round_trip::<NetworkCreateRequest>(text);
    assert_eq!(request.ipam.unwrap().config[0].subnet, "10.0.0.0/8");
    let text = include_str!("docker-28.2.2/volume_create.json");
    assert_eq!(round_trip::<VolumeCreateRequest>(text).1, value(text));
}

#[test]
fn null_is_accepted_for_every_kind_of_field() {
    let (request, _) = round_trip::<ContainerCreateRequest>(
        r#"{"Image":"x","Hostname":null,"Tty":null,"Cmd":null,"Entrypoint":null,"Env":null,"Labels":null,
            "Volumes":null,"ExposedPorts":{"80/tcp":null},"Healthcheck":null,"StopTimeout":null,
            "NetworkingConfig":null,
            "HostConfig":{"Memory":null,"Binds":null,"PortBindings":{"80/tcp":null},"Ulimits":null,
                          "RestartPolicy":null,"LogConfig":{"Type":null,"Config":null},"ConsoleSize":null}}"#,
    );
    let mut expected = ContainerCreateRequest::default();
    expected.config.image = "x".into();
    expected.config.exposed_ports.insert("80/tcp".into(), EmptyObject);
    expected.host_config.port_bindings.insert("80/tcp".into(), None);
    assert_eq!(request, expected);
    serde_json::from_str::<ContainerCreateRequest>(r#"{"HostConfig":null}"#).unwrap();
}

#[test]
fn a_command_may_be_one_string() {
    let (config, _) =
        round_trip::<ContainerConfig>(r#"{"Cmd":"true","Entrypoint":["a","b"],"Unknown":{"x":1}}"#);
    assert_eq!(*config.cmd.unwrap(), ["true"]);
    assert_eq!(*config.entrypoint.unwrap(), ["a", "b"]);
    assert!(serde_json::from_str::<ContainerConfig>(r#"{"Cmd":1}"#).is_err());
}

#[test]
fn a_type_mismatch_is_an_error() {
    for text in [r#"{"Image":1}"#, r#"{"HostConfig":{"Memory":"1g"}}"#, r#"{"HostConfig":[]"#] {
        assert!(serde_json::from_str::<ContainerCreateRequest>(text).is_err(), "{text}");
    }
}

#[test]
fn emptiness_is_written_as_docker_writes_it() {
    let host = serde_json::to_value(HostConfig::default()).unwrap();
    assert_eq!(host["Binds"], Value::Null);
    assert_eq!(host["Dns"], json!([]));
    assert_eq!(host["PortBindings"], json!({}));
    assert_eq!(host["MaskedPaths"], Value::Null);
    assert_eq!(host["PidsLimit"], Value::Null);
    assert!(host.get("Tmpfs").is_none());
    assert!(host.get("Init").is_none());
    let masked = HostConfig { masked_paths: Some(Vec::new()), ..HostConfig::default() };
    assert_eq!(serde_json::to_value(masked).unwrap()["MaskedPaths"], json!([]));
    let summary = serde_json::to_value(ContainerSummary::default()).unwrap();
    assert!(summary.get("SizeRw").is_none());
    assert_eq!(summary["Ports"], json!([]));
    let inspect = serde_json::to_value(ContainerInspect::default()).unwrap();
    assert_eq!(inspect["ExecIDs"], Value::Null);
    assert_eq!(inspect["State"]["OOMKilled"], json!(false));
    assert!(inspect["State"].get("Health").is_none());
}

#[test]
fn irregular_names_are_dockers() {
    let endpoint = serde_json::to_value(EndpointSettings::default()).unwrap();
    for key in ["IPAMConfig", "IPAddress", "IPPrefixLen", "GlobalIPv6PrefixLen", "DNSNames"] {
        assert!(endpoint.get(key).is_some(), "{key}");
    }
    let info = serde_json::to_value(SystemInfo::default()).unwrap();
    for key in
        ["ID", "NCPU", "CPUShares", "CpuCfsQuota", "OSType", "NFd", "NGoroutines", "HttpProxy"]
    {
        assert!(info.get(key).is_some(), "{key}");
    }
    let host = serde_json::to_value(HostConfig::default()).unwrap();
    for key in ["UTSMode", "ContainerIDFile", "BlkioDeviceReadIOps", "IOMaximumBandwidth"] {
        assert!(host.get(key).is_some(), "{key}");
    }
    let version = serde_json::to_value(SystemVersion::default()).unwrap();
    assert!(version.get("MinAPIVersion").is_some() && version.get("ApiVersion").is_some());
    assert_eq!(
        serde_json::to_value(ContainerWaitResponse::default()).unwrap(),
        json!({"StatusCode": 0})
    );
    assert_eq!(serde_json::to_value(ErrorResponse::new("x")).unwrap(), json!({"message": "x"}));
}

#[test]
fn an_event_has_new_and_old_fields() {
    let text = r#"{"status":"start","id":"abc","from":"busybox","Type":"container","Action":"start",
        "Actor":{"ID":"abc","Attributes":{"image":"busybox","name":"x"}},
        "scope":"local","time":1700000000,"timeNano":1700000000123456789}"#;
    assert_eq!(round_trip::<EventMessage>(text).1, value(text));
}
