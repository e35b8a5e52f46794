use std::path::Path;

use barge_api_types::{ContainerConfig, DeviceMapping, HostConfig};
use barge_types::{ContainerId, Digest, ImageId};

use super::*;
use crate::containers::record::{Access, MountSource};
use crate::containers::settings::Host;

const MACHINE: Host = Host::plain(2);

fn record(config: ContainerConfig, host_config: HostConfig) -> ContainerRecord {
    ContainerRecord {
        version: ContainerRecord::VERSION,
        id: ContainerId::from_bytes([7; 32]),
        name: "box".parse().unwrap(),
        created: String::new(),
        image: ImageId::new(Digest::from_bytes([1; 32])),
        driver: "overlay2".into(),
        config,
        host_config,
        endpoints: std::collections::BTreeMap::new(),
        mounts: Vec::new(),
        pending: Vec::new(),
        edited: None,
    }
}

fn spec_with(host: HostConfig, mounts: Vec<(MountRecord, PathBuf)>) -> Spec {
    let config = ContainerConfig {
        cmd: Some(vec!["sh".to_owned()].into()),
        hostname: "box".into(),
        ..ContainerConfig::default()
    };
    let record = record(config, host);
    let settings = Settings::parse(&record.config, &record.host_config, &MACHINE).unwrap();
    build(&Start {
        record: &record,
        settings: &settings,
        rootfs: Path::new("/r"),
        files: Path::new("/f"),
        mounts,
        shm: None,
        groups: Vec::new(),
        linked: Vec::new(),
        remap: None,
        own_volumes: Vec::new(),
        joins: Joins { network: Some(9), ..Joins::default() },
        cgroup: "barge/x".into(),
    })
    .unwrap()
}

fn spec(host: HostConfig) -> Spec {
    spec_with(host, Vec::new())
}

#[test]
fn six_namespaces_are_own_by_default() {
    let namespaces = spec(HostConfig::default()).linux.unwrap().namespaces;
    assert_eq!(namespaces.len(), 6);
    assert!(namespaces.iter().all(|namespace| namespace.path.is_none()));
}

#[test]
fn the_hosts_and_anothers_namespaces_are_used_when_asked() {
    let host = HostConfig {
        network_mode: "container:x".into(),
        pid_mode: "host".into(),
        ..HostConfig::default()
    };
    let namespaces = spec(host).linux.unwrap().namespaces;
    let network =
        namespaces.iter().find(|namespace| namespace.kind == NamespaceType::Network).unwrap();
    assert_eq!(network.path.as_deref(), Some("/proc/9/ns/net"));
    assert!(!namespaces.iter().any(|namespace| namespace.kind == NamespaceType::Pid));
}

#[test]
fn a_privileged_container_hides_nothing_and_may_use_every_device() {
    let linux = spec(HostConfig { privileged: true, ..HostConfig::default() }).linux.unwrap();
    assert!(linux.masked_paths.is_empty() && linux.readonly_paths.is_empty());
    assert!(linux.devices.iter().any(|device| device.path == "/dev/null"));
    assert_eq!(linux.resources.unwrap().devices.len(), 1);
}

#[test]
fn the_users_mount_takes_the_place_of_a_default_one() {
    let mount = MountRecord {
        destination: "/dev/shm".into(),
        source: MountSource::Tmpfs { options: vec!["exec".into(), "size=1m".into()] },
        access: Access::ReadWrite,
        mode: String::new(),
        propagation: String::new(),
    };
    let mounts = spec_with(HostConfig::default(), vec![(mount, PathBuf::new())]).mounts;
    let shm: Vec<_> = mounts.iter().filter(|mount| mount.destination == "/dev/shm").collect();
    assert_eq!(shm.len(), 1);
    assert_eq!(shm[0].options, ["nosuid", "nodev", "rw", "exec", "size=1m"]);
}

#[test]
fn a_device_is_a_node_and_a_rule() {
    let mut host = HostConfig::default();
    host.resources.devices = vec![DeviceMapping {
        path_on_host: "/dev/null".into(),
        path_in_container: "/dev/mine".into(),
        cgroup_permissions: "r".into(),
    }];
    let linux = spec(host).linux.unwrap();
    assert_eq!(
        (linux.devices[0].path.as_str(), linux.devices[0].major, linux.devices[0].minor),
        ("/dev/mine", 1, 3)
    );
    assert_eq!(linux.resources.unwrap().devices.last().unwrap().access.as_deref(), Some("r"));
}
