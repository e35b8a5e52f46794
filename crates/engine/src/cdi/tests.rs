use barge_oci::runtime::{Linux, Process};

use super::*;

const GPU: &str = r#"{"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu",
    "devices": [
        {"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/gpu0", "hostPath": "/dev/null"}]}},
        {"name": "all", "containerEdits": {"env": ["GPUS=all"]}}],
    "containerEdits": {"env": ["VENDOR=yes"], "additionalGids": [44],
        "mounts": [{"hostPath": "/etc", "containerPath": "/etc/inner/x", "options": ["ro"]}]}}"#;

struct Folders(tempfile::TempDir);

impl Folders {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    fn cdi(&self) -> Cdi {
        let name = |name: &str| self.0.path().join(name).display().to_string();
        Cdi::new(&[name("etc"), name("run")])
    }

    fn inject(&self, request: DeviceRequest, hooks: HookSupport) -> Result<Spec> {
        let mut spec = Spec {
            process: Some(Process::default()),
            linux: Some(Linux::default()),
            ..Spec::default()
        };
        self.cdi().inject(&mut spec, &[request], hooks).map(|()| spec)
    }

    fn refusal(&self, request: DeviceRequest) -> String {
        self.inject(request, HookSupport::None).unwrap_err().message()
    }
}

fn named(names: &[&str]) -> DeviceRequest {
    DeviceRequest {
        driver: "cdi".into(),
        device_ids: names.iter().map(|&name| name.to_owned()).collect(),
        ..DeviceRequest::default()
    }
}

fn gpus(count: i64) -> DeviceRequest {
    let capabilities = vec![vec!["gpu".to_owned()]];
    DeviceRequest { count, capabilities, ..DeviceRequest::default() }
}

#[test]
fn a_device_brings_nodes_variables_mounts_and_groups() {
    let folders = Folders::with(&[("etc/gpu.json", GPU), ("etc/readme.txt", "no")]);
    let spec = folders.inject(named(&["nvidia.com/gpu=0"]), HookSupport::None).unwrap();
    let process = spec.process.unwrap();
    assert_eq!(process.env, ["VENDOR=yes"]);
    assert_eq!(process.user.additional_gids, [44]);
    let linux = spec.linux.unwrap();
    let node = &linux.devices[0];
    assert_eq!((node.path.as_str(), node.kind.as_str()), ("/dev/gpu0", "c"));
    assert_eq!((node.major, node.minor), (1, 3));
    assert_eq!(linux.resources.unwrap().devices[0].access.as_deref(), Some("rwm"));
    assert_eq!(spec.mounts[0].options, ["bind", "ro"]);
}

#[test]
fn gpus_are_devices_of_that_class() {
    let folders = Folders::with(&[("etc/gpu.json", GPU)]);
    let all = folders.inject(gpus(-1), HookSupport::None).unwrap();
    assert_eq!(all.process.unwrap().env, ["VENDOR=yes", "GPUS=all"]);
    let one = folders.inject(gpus(1), HookSupport::None).unwrap();
    assert_eq!(one.linux.unwrap().devices.len(), 1);
    assert_eq!(
        folders.refusal(gpus(2)),
        "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=1"
    );
    let none = Folders::with(&[]);
    assert_eq!(
        none.refusal(gpus(-1)),
        "could not select device driver \"\" with capabilities: [[gpu]]"
    );
}

#[test]
fn a_description_in_yaml_is_as_good() {
    const YAML: &str = r#"---
cdiVersion: 0.6.0
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - path: /dev/gpu0
      hostPath: /dev/null
      fileMode: 438
containerEdits:
  env:
  - VENDOR=yes
  mounts:
  - hostPath: /usr/lib
    containerPath: /usr/lib/gpu
    options: [ro, nosuid, nodev, bind]
"#;
    let folders = Folders::with(&[("etc/nvidia.yaml", YAML)]);
    let spec = folders.inject(named(&["nvidia.com/gpu=0"]), HookSupport::None).unwrap();
    let device = &spec.linux.unwrap().devices[0];
    assert_eq!((device.path.as_str(), device.file_mode), ("/dev/gpu0", Some(0o666)));
    assert_eq!(spec.process.unwrap().env, ["VENDOR=yes"]);
    assert_eq!(spec.mounts[0].destination, "/usr/lib/gpu");
}

#[test]
fn a_later_folder_wins_and_twice_in_one_is_nobody() {
    let other = GPU.replace("GPUS=all", "GPUS=other");
    let folders = Folders::with(&[("etc/gpu.json", GPU), ("run/gpu.json", &other)]);
    let spec = folders.inject(named(&["nvidia.com/gpu=all"]), HookSupport::None).unwrap();
    assert!(spec.process.unwrap().env.contains(&"GPUS=other".to_owned()));
    let twice = Folders::with(&[("etc/a.json", GPU), ("etc/b.json", GPU)]);
    assert!(twice.refusal(named(&["nvidia.com/gpu=0"])).contains("unresolvable CDI devices"));
}

#[test]
fn what_cannot_be_given_is_refused_by_name() {
    let with = |edits: &str| {
        format!(
            r#"{{"cdiVersion": "0.6.0", "kind": "v.com/x",
                "devices": [{{"name": "a", "containerEdits": {edits}}}]}}"#
        )
    };
    let hook = with(r#"{"hooks": [{"hookName": "createContainer", "path": "/bin/hook"}]}"#);
    let folders = Folders::with(&[("etc/x.json", &hook)]);
    assert!(folders.refusal(named(&["v.com/x=a"])).contains("hook createContainer (/bin/hook)"));
    let spec = folders.inject(named(&["v.com/x=a"]), HookSupport::Runs).unwrap();
    assert_eq!(spec.hooks.unwrap().create_container[0].path, "/bin/hook");
    for (name, text, said) in [
        (
            "etc/x.yaml",
            "cdiVersion: 0.6.0\nkind: x\ndevices: []".to_owned(),
            "x.yaml: invalid kind \"x\"",
        ),
        ("etc/x.yml", "kind: [".to_owned(), "x.yml: "),
        ("etc/x.json", "{".to_owned(), "x.json"),
        ("etc/x.json", with("{}").replace("v.com/x", "x"), "invalid kind \"x\""),
        ("etc/x.json", with(r#"{"env": ["A"]}"#), "invalid environment variable \"A\""),
        ("etc/x.json", with(r#"{"intelRdt": {}}"#), "intelRdt"),
        (
            "etc/x.json",
            with(r#"{"deviceNodes": [{"path": "/dev/none", "hostPath": "/etc/passwd"}]}"#),
            "/etc/passwd is not a device node",
        ),
    ] {
        let text = Folders::with(&[(name, &text)]).refusal(named(&["v.com/x=a"]));
        assert!(text.contains(said), "{text}");
    }
    let request = DeviceRequest { driver: "tpu".into(), ..DeviceRequest::default() };
    assert_eq!(
        check(&[request]).unwrap_err().message(),
        "could not select device driver \"tpu\" with capabilities: []"
    );
}

#[test]
fn a_dockerfile_names_a_device_its_class_or_all_of_it() {
    let folders = Folders::with(&[("etc/gpu.json", GPU)]);
    let named = |name: &str| folders.cdi().named(name).unwrap();
    assert_eq!(named("nvidia.com/gpu=all"), ["nvidia.com/gpu=all"]);
    assert_eq!(named("nvidia.com/gpu"), ["nvidia.com/gpu=0"]);
    assert_eq!(named("nvidia.com/gpu=*"), ["nvidia.com/gpu=0", "nvidia.com/gpu=all"]);
    assert!(named("nvidia.com/gpu=1").is_empty() && named("nvidia.com").is_empty());
}
