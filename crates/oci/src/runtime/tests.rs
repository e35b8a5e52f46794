//! `config.json` written by other engines reads, and what is written has the specification's names.

use super::*;

const SPEC: &str = r#"{
  "ociVersion": "1.2.0",
  "process": {
    "terminal": true, "consoleSize": {"height": 24, "width": 80},
    "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [5, 6]},
    "args": ["sh", "-c", "true"], "env": ["PATH=/bin"], "cwd": "/",
    "capabilities": {"bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"]},
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 512}],
    "noNewPrivileges": true, "oomScoreAdj": 100,
    "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 4},
    "execCPUAffinity": {"initial": "0-3", "final": "7"}
  },
  "root": {"path": "rootfs", "readonly": true},
  "hostname": "box", "domainname": "example",
  "mounts": [{"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]},
             {"destination": "/data", "source": "/srv", "options": ["rbind"],
              "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]}],
  "hooks": {"createRuntime": [{"path": "/bin/hook", "args": ["hook", "x"], "env": ["A=b"], "timeout": 5}]},
  "annotations": {"com.example.key": "value"},
  "linux": {
    "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
    "sysctl": {"net.ipv4.ip_forward": "1"},
    "resources": {
      "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "r"}],
      "memory": {"limit": 1048576, "swap": -1, "kernelTCP": 1, "swappiness": 0, "disableOOMKiller": false},
      "cpu": {"shares": 1024, "quota": -1, "period": 100000, "cpus": "0-1"},
      "pids": {"limit": 32},
      "blockIO": {"weight": 10, "weightDevice": [{"major": 8, "minor": 0, "weight": 500}],
                  "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}],
                  "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 300}]},
      "hugepageLimits": [{"pageSize": "2MB", "limit": 9223372036854772000}],
      "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]},
      "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
      "unified": {"hugetlb.1GB.max": "1073741824"}
    },
    "cgroupsPath": "/barge/x",
    "namespaces": [{"type": "pid"}, {"type": "network", "path": "/proc/1/ns/net"}, {"type": "time"}],
    "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0}],
    "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
      "syscalls": [{"names": ["personality"], "action": "SCMP_ACT_ALLOW",
                    "args": [{"index": 0, "value": 8, "valueTwo": 9, "op": "SCMP_CMP_MASKED_EQ"}]}]},
    "rootfsPropagation": "slave", "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
    "personality": {"domain": "LINUX"}, "timeOffsets": {"monotonic": {"secs": 5}}
  }
}"#;

#[test]
fn a_full_spec_survives_a_round_trip_field_for_field() {
    let before: serde_json::Value = serde_json::from_str(SPEC).unwrap();
    let spec: Spec = serde_json::from_str(SPEC).unwrap();
    assert_eq!(serde_json::to_value(&spec).unwrap(), before);
}

#[test]
fn nulls_read_as_absent() {
    let text = r#"{"ociVersion":"1.0.2","process":{"user":{"uid":0,"gid":0},"args":null,"env":null,"cwd":"/",
        "capabilities":{"bounding":null},"rlimits":null},"mounts":null,"linux":{"namespaces":null,"resources":null}}"#;
    let spec: Spec = serde_json::from_str(text).unwrap();
    assert!(spec.mounts.is_empty());
    assert_eq!(spec.linux, Some(Linux::default()));
}

#[test]
fn an_empty_linux_section_writes_no_fields() {
    assert_eq!(serde_json::to_string(&Linux::default()).unwrap(), "{}");
    assert_eq!(serde_json::to_string(&LinuxResources::default()).unwrap(), "{}");
}

#[test]
fn unknown_fields_are_ignored_and_unknown_namespaces_refused() {
    let text = r#"{"ociVersion":"1.3.0","linux":{"netDevices":{},"namespaces":[{"type":"ipc","x":1}]},"vm":{}}"#;
    serde_json::from_str::<Spec>(text).unwrap();
    let text = r#"{"ociVersion":"1.3.0","linux":{"namespaces":[{"type":"dream"}]}}"#;
    assert!(serde_json::from_str::<Spec>(text).is_err());
}

#[test]
fn state_has_the_words_hooks_read() {
    let state = State {
        oci_version: VERSION.to_owned(),
        id: "x".to_owned(),
        status: ContainerStatus::Stopped,
        pid: 0,
        bundle: "/b".to_owned(),
        annotations: BTreeMap::new(),
    };
    assert_eq!(
        serde_json::to_string(&state).unwrap(),
        format!(r#"{{"ociVersion":"{VERSION}","id":"x","status":"stopped","bundle":"/b"}}"#)
    );
}
