use barge_api_types::{
    DeviceMapping, HostConfig, ImageOptions, Mount, PortBinding, Resources, Ulimit, VolumeOptions,
};

use super::*;
use crate::containers::record::{Access, MountSource, Origin};

const MACHINE: Host = Host::plain(2);

fn parse(host: &HostConfig) -> Result<Settings> {
    Settings::parse_request(&ContainerConfig::default(), host, &MACHINE)
}

fn with(resources: Resources) -> HostConfig {
    HostConfig { resources, ..HostConfig::default() }
}

fn refusal(host: &HostConfig) -> String {
    parse(host).unwrap_err().message()
}

#[test]
fn the_source_of_a_bind_is_read_without_dots() {
    for host in [
        serde_json::json!({"Binds": ["/none/../etc/./x:/x"]}),
        serde_json::json!({"Mounts": [{"Type": "bind", "Source": "/none/../etc/./x", "Target": "/x"}]}),
    ] {
        let host: HostConfig = serde_json::from_value(host).unwrap();
        let mounts = parse_mounts(&ContainerConfig::default(), &host).unwrap();
        let MountSource::Bind { path, .. } = &mounts[0].source else { panic!("{mounts:?}") };
        assert_eq!(path, std::path::Path::new("/etc/x"));
    }
}

#[test]
fn a_tenth_of_a_processor_and_100_mb_are_what_the_kernel_gets() {
    let host =
        with(Resources { nano_cpus: 100_000_000, memory: 104_857_600, ..Resources::default() });
    let limits = parse(&host).unwrap().resources;
    let cpu = limits.cpu.unwrap();
    assert_eq!((cpu.quota, cpu.period), (Some(10_000), Some(100_000)));
    let memory = limits.memory.unwrap();
    assert_eq!((memory.limit, memory.swap), (Some(104_857_600), Some(209_715_200)));
}

#[test]
fn zero_means_no_limit() {
    let limits = parse(&HostConfig::default()).unwrap().resources;
    assert_eq!(limits, LinuxResources::default());
}

#[test]
fn limits_out_of_range_are_refused_in_dockers_words() {
    let cases = [
        (
            Resources { memory: 1 << 20, ..Resources::default() },
            "Minimum memory limit allowed is 6MB",
        ),
        (
            Resources { memory_swap: 1 << 30, ..Resources::default() },
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        (
            Resources { memory: 1 << 30, memory_swap: 1 << 20, ..Resources::default() },
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (
            Resources { nano_cpus: 3_000_000_000, ..Resources::default() },
            "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
        ),
        (
            Resources { cpuset_cpus: "0-9".into(), ..Resources::default() },
            "Requested CPUs are not available - requested 0-9, available: 0-1",
        ),
        (
            Resources { cpuset_cpus: "x".into(), ..Resources::default() },
            "Invalid value x for cpuset cpus",
        ),
        (
            Resources { cpu_period: 1, ..Resources::default() },
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ),
    ];
    for (resources, text) in cases {
        assert_eq!(refusal(&with(resources)), text);
    }
}

#[test]
fn ulimits_are_checked_by_name_and_order() {
    let limit = |name: &str, soft, hard| {
        with(Resources {
            ulimits: vec![Ulimit { name: name.into(), soft, hard }],
            ..Resources::default()
        })
    };
    assert_eq!(parse(&limit("nofile", 10, 20)).unwrap().rlimits[0].kind, "RLIMIT_NOFILE");
    assert_eq!(refusal(&limit("files", 1, 1)), "invalid ulimit type: files");
    assert!(
        refusal(&limit("nofile", 20, 10))
            .starts_with("ulimit soft limit must be less than or equal to hard limit")
    );
    assert_eq!(parse(&limit("core", -1, -1)).unwrap().rlimits[0].hard, u64::MAX);
}

#[test]
fn capabilities_add_and_drop_as_in_docker() {
    let caps = |add: &[&str], drop: &[&str]| {
        let host = HostConfig {
            cap_add: add.iter().map(|&name| name.to_owned()).collect(),
            cap_drop: drop.iter().map(|&name| name.to_owned()).collect(),
            ..HostConfig::default()
        };
        parse(&host).map(|settings| settings.security.capabilities)
    };
    assert_eq!(caps(&[], &[]).unwrap().len(), 14);
    assert_eq!(caps(&[], &["all"]).unwrap(), Vec::<String>::new());
    assert_eq!(caps(&["NET_ADMIN"], &["ALL"]).unwrap(), ["CAP_NET_ADMIN"]);
    assert_eq!(caps(&["ALL"], &["CAP_SYS_ADMIN"]).unwrap().len(), 40);
    assert_eq!(
        caps(&["fly"], &[]).unwrap_err().message(),
        "invalid CapAdd: unknown capability: \"CAP_FLY\""
    );
}

#[test]
fn modes_that_contradict_each_other_are_refused() {
    let host = HostConfig { network_mode: "container:x".into(), ..HostConfig::default() };
    let config = ContainerConfig { hostname: "a".into(), ..ContainerConfig::default() };
    assert_eq!(
        Settings::parse_request(&config, &host, &MACHINE).unwrap_err().message(),
        "conflicting options: hostname and the network mode"
    );
    let host = HostConfig { pid_mode: "mine".into(), ..HostConfig::default() };
    assert_eq!(refusal(&host), "invalid PID mode: mine");
    let mut host = HostConfig { auto_remove: true, ..HostConfig::default() };
    host.restart_policy.name = "always".into();
    assert_eq!(refusal(&host), "can't create 'AutoRemove' container with restart policy");
}

#[test]
fn what_barge_does_not_have_is_refused_by_name() {
    let host = HostConfig { userns_mode: "keep-id".into(), ..HostConfig::default() };
    let error = parse(&host).unwrap_err();
    assert_eq!(error.message(), "invalid USER mode: keep-id");
}

#[test]
fn ports_are_ranges_and_may_be_left_to_us() {
    let mut host = HostConfig::default();
    let binding = |port: &str| {
        Some(vec![PortBinding { host_ip: "127.0.0.1".into(), host_port: port.into() }])
    };
    host.port_bindings.insert("80/tcp".into(), binding("8000-8010"));
    host.port_bindings.insert("53/udp".into(), binding(""));
    assert_eq!(parse(&host).unwrap().ports.len(), 2);
    host.port_bindings.insert("81/tcp".into(), binding("10-9"));
    assert_eq!(refusal(&host), "invalid port specification: \"10-9\"");
}

fn mounts(binds: &[&str], mounts: Vec<Mount>) -> Result<Vec<WantedMount>> {
    let binds = binds.iter().map(|&bind| bind.to_owned()).collect();
    parse_mounts(
        &ContainerConfig::default(),
        &HostConfig { binds, mounts, ..HostConfig::default() },
    )
}

#[test]
fn binds_volumes_and_modes_are_told_apart() {
    let all = mounts(&["/srv:/a:ro", "data:/b/../c", "/anonymous"], Vec::new()).unwrap();
    assert!(matches!(&all[0].source, MountSource::Bind { path, .. } if path.as_os_str() == "/srv"));
    assert_eq!(all[0].access, Access::ReadOnly);
    assert_eq!(all[1].destination, "/c");
    assert!(
        matches!(&all[1].source, MountSource::Volume { name, origin: Origin::Named, .. } if name == "data")
    );
    assert!(matches!(&all[2].source, MountSource::Volume { origin: Origin::Anonymous, .. }));
}

#[test]
fn bad_mounts_are_refused_in_dockers_words() {
    for (bind, text) in [
        ("/a:b", "invalid mount path: 'b' mount path must be absolute"),
        ("/a:/", "invalid volume specification: destination can't be '/'"),
        ("/a:/b:sideways", "invalid mode: sideways in volume specification '/a:/b:sideways'"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("a:b:c:d", "invalid volume specification: 'a:b:c:d'"),
        (":/x", "invalid volume specification: ':/x'"),
    ] {
        assert_eq!(mounts(&[bind], Vec::new()).unwrap_err().message(), text);
    }
    assert_eq!(
        mounts(&["/a:/x", "/b:/x"], Vec::new()).unwrap_err().message(),
        "Duplicate mount point: /x"
    );
    let bind = Mount { kind: "bind".into(), target: "/x".into(), ..Mount::default() };
    assert_eq!(
        mounts(&[], vec![bind]).unwrap_err().message(),
        "invalid mount config for type \"bind\": field Source must not be empty"
    );
}

#[test]
fn images_are_mounted_to_be_read_wherever_they_are_asked_for() {
    let image = |source: &str, subpath: &str| Mount {
        kind: "image".into(),
        source: source.into(),
        target: "/tools/".into(),
        image_options: Some(ImageOptions { subpath: subpath.into() }),
        ..Mount::default()
    };
    let all = mounts(&[], vec![image("busybox:1", "usr/../bin")]).unwrap();
    assert_eq!((all[0].destination.as_str(), all[0].access), ("/tools", Access::ReadOnly));
    let MountSource::Image { name, subpath, made } = &all[0].source else { panic!("{all:?}") };
    assert_eq!((name.as_str(), subpath.as_str(), made), ("busybox:1", "usr/../bin", &None));
    let with_volume = Mount { volume_options: Some(VolumeOptions::default()), ..image("x", "") };
    for (mount, text) in [
        (image("", ""), "field Source must not be empty"),
        (image("x", "/bin"), "subpath must be a relative path within the volume"),
        (image("x", "bin/../.."), "subpath must be a relative path within the volume"),
        (with_volume, "field VolumeOptions must not be specified"),
    ] {
        let error = mounts(&[], vec![mount]).unwrap_err().message();
        assert_eq!(error, format!("invalid mount config for type \"image\": {text}"));
    }
}

#[test]
fn device_rules_have_three_parts() {
    assert!(device_rule("c 1:3 rwm").is_ok());
    assert_eq!(device_rule("a *:* r").unwrap().major, None);
    for text in ["c 1:3", "x 1:3 r", "c 1 r", "c 1:3 x"] {
        assert!(device_rule(text).is_err(), "{text}");
    }
    assert_eq!(DeviceMapping::default().cgroup_permissions, "");
}
