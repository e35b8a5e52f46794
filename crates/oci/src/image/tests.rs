//! Images of other engines read, and nothing they wrote gets lost.

use serde_json::json;

use super::*;

#[test]
fn a_docker_config_with_unknown_fields_survives_a_round_trip() {
    let before = json!({
        "architecture": "amd64", "os": "linux", "created": "2024-01-02T03:04:05.678901234Z", "author": "someone",
        "container": "abc", "docker_version": "20.10.24", "moby.buildkit.cache.v0": "AAAA", "os.version": "10",
        "config": {
            "Hostname": "h", "AttachStdin": false, "User": "1000:1000", "ExposedPorts": {"80/tcp": {}},
            "Env": ["PATH=/bin"], "Entrypoint": ["/e"], "Cmd": ["a"], "Volumes": {"/data": {}}, "WorkingDir": "/w",
            "Labels": {"k": "v"}, "StopSignal": "SIGQUIT", "OnBuild": ["RUN x"], "Shell": ["/bin/bash", "-c"],
            "Healthcheck": {"Test": ["CMD", "x"], "Interval": 30_000_000_000_i64, "Retries": 3},
            "Tomorrow": {"deep": [1, 2.5, null]}
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:00"]},
        "history": [{"created": "2024-01-02T03:04:05Z", "created_by": "ADD", "x": 1}, {"created_by": "CMD", "empty_layer": true}]
    });
    let config: ImageConfig = serde_json::from_value(before.clone()).unwrap();
    assert_eq!(config.config.as_ref().unwrap().healthcheck.as_ref().unwrap().retries, 3);
    assert_eq!(serde_json::to_value(&config).unwrap(), before);
}

#[test]
fn null_lists_read_as_empty_and_absent_commands_stay_absent() {
    let config: ContainerConfig = serde_json::from_value(
        json!({"Cmd": null, "Entrypoint": [], "Env": null, "Volumes": null, "OnBuild": null}),
    )
    .unwrap();
    assert_eq!(config.cmd, None);
    assert_eq!(config.entrypoint, Some(Vec::new()));
    assert!(config.env.is_empty());
}

#[test]
fn empty_configs_write_what_go_writes() {
    let text = serde_json::to_string(&ImageConfig::default()).unwrap();
    assert_eq!(text, r#"{"architecture":"","os":"","rootfs":{"type":"layers","diff_ids":[]}}"#);
    assert_eq!(serde_json::to_string(&ContainerConfig::default()).unwrap(), "{}");
}

#[test]
fn manifest_and_index_keep_unknown_fields() {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "future": true,
        "config": {"mediaType": media_type::OCI_CONFIG, "digest": "sha256:1", "size": 7, "more": "x"},
        "layers": [{"mediaType": media_type::OCI_LAYER, "digest": "sha256:2", "size": 9, "urls": ["https://x"]}],
        "annotations": {"a": "b"}
    });
    let read: Manifest = serde_json::from_value(manifest.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), manifest);

    let index = json!({
        "schemaVersion": 2, "manifests": [{"mediaType": media_type::OCI_MANIFEST, "digest": "sha256:1", "size": 7,
            "platform": {"architecture": "arm64", "os": "linux", "variant": "v8", "os.features": ["x"]}}], "later": [1]
    });
    let read: Index = serde_json::from_value(index.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), index);
}

#[test]
fn a_layout_marker_names_the_version() {
    let text = serde_json::to_string(&ImageLayout::default()).unwrap();
    assert_eq!(text, r#"{"imageLayoutVersion":"1.0.0"}"#);
}

#[test]
fn media_types_are_told_apart() {
    assert!(media_type::is_index(media_type::DOCKER_MANIFEST_LIST));
    assert!(media_type::is_manifest(media_type::OCI_MANIFEST));
    assert!(!media_type::is_manifest(media_type::OCI_INDEX));
}
