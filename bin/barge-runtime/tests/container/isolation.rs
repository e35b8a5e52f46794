//! Namespaces, process ids, descriptors.

use std::os::fd::AsFd as _;

use barge_oci::runtime::{LinuxIdMapping, Namespace, NamespaceType};
use barge_sys::namespace;

use crate::laboratory::Lab;

const NAMES: [&str; 6] = ["mnt", "uts", "ipc", "pid", "net", "cgroup"];
const SHOW: &str = "for n in mnt uts ipc pid net cgroup; do readlink /proc/self/ns/$n; done";

fn host(name: &str) -> String {
    let link = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    link.to_str().unwrap().to_owned()
}

#[test]
fn a_container_has_six_namespaces_of_its_own_and_its_command_is_process_1() {
    let text = Lab::shell(&format!("echo $$; hostname; {SHOW}")).run();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..2], ["1", "laboratory"]);
    assert_eq!(lines.len(), 8);
    for (line, name) in lines[2..].iter().zip(NAMES) {
        assert_ne!(*line, host(name));
    }
}

#[test]
fn the_seventh_namespace_is_made_when_asked_and_root_is_nobody_outside() {
    let mut lab = Lab::shell(
        "id -u; cat /proc/self/uid_map; readlink /proc/self/ns/user; ls -ln /dev/null; echo x > /dev/null && touch /file && hostname",
    );
    let mapping = |host_id| vec![LinuxIdMapping { container_id: 0, host_id, size: 65536 }];
    lab.linux().uid_mappings = mapping(100_000);
    lab.linux().gid_mappings = mapping(100_000);
    lab.linux().namespaces.push(Namespace { kind: NamespaceType::User, path: None });
    std::os::unix::fs::chown(lab.rootfs.path(), Some(100_000), Some(100_000)).unwrap();
    for folder in ["bin", "etc", "proc", "sys", "dev", "tmp", "root"] {
        std::os::unix::fs::chown(lab.rootfs.path().join(folder), Some(100_000), Some(100_000))
            .unwrap();
    }
    let text = lab.run();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "0", "{text}");
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536"]);
    assert_ne!(lines[2], host("user"));
    assert_eq!(lines[4], "laboratory", "{text}");
    let stat = std::fs::metadata(lab.rootfs.path().join("file")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&stat), 100_000);
}

#[test]
fn namespaces_that_are_not_listed_are_the_hosts() {
    let mut lab = Lab::shell(SHOW);
    lab.spec.hostname = None;
    lab.linux().namespaces = [NamespaceType::Mount, NamespaceType::Pid]
        .map(|kind| Namespace { kind, path: None })
        .to_vec();
    let text = lab.run();
    let lines: Vec<_> = text.lines().collect();
    for (line, name) in lines.iter().zip(NAMES) {
        assert_eq!(*line == host(name), !["mnt", "pid"].contains(&name), "{name}");
    }
}

#[test]
fn a_network_that_is_handed_over_is_joined() {
    let mut lab = Lab::shell("readlink /proc/self/ns/net");
    let netns = namespace::make_netns().unwrap();
    let inside = namespace::in_netns(netns.as_fd(), || {
        std::fs::read_link("/proc/thread-self/ns/net").unwrap()
    })
    .unwrap();
    lab.netns = Some(netns);
    assert_eq!(lab.run(), inside.to_str().unwrap());
}

#[test]
fn the_pid_namespace_of_another_container_is_joined_by_path() {
    let first = Lab::shell("echo ready; sleep 1000; echo never");
    let mut first = first.start();
    assert_eq!(first.line(), "ready");
    let mut lab = Lab::shell("echo $$; cat /proc/1/cmdline");
    for namespace in &mut lab.linux().namespaces {
        if namespace.kind == NamespaceType::Pid {
            namespace.path = Some(format!("/proc/{}/ns/pid", first.created.pid));
        }
    }
    let text = lab.run();
    assert!(!text.starts_with("1\n"), "{text}");
    assert!(text.ends_with("echo never\u{0}"), "{text:?}");
}

#[test]
fn the_command_has_stdin_stdout_and_stderr_and_no_other_descriptor() {
    // The shell opens the folder itself while it expands the pattern; `test` tells which numbers stay.
    let text = Lab::shell(
        "for n in 0 1 2 3 4 5 6 7 8 9 10 11; do test -e /proc/$$/fd/$n && echo $n; done",
    )
    .try_run();
    assert_eq!(text.unwrap().stdout, "0\n1\n2\n");
}

#[test]
fn the_mounts_of_the_host_are_gone() {
    let text = Lab::shell("cat /proc/self/mountinfo").run();
    let root: Vec<_> = text.lines().filter(|line| line.split(' ').nth(4) == Some("/")).collect();
    assert_eq!(root.len(), 1, "{text}");
    for line in text.lines() {
        let place = line.split(' ').nth(4).unwrap();
        let own = ["/", "/proc", "/dev", "/sys"];
        assert!(
            own.contains(&place)
                || own[1..].iter().any(|own| place.starts_with(&format!("{own}/"))),
            "{line}"
        );
    }
}

#[test]
fn a_container_that_is_dropped_before_its_start_ends() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let created = Lab::new(&["/bin/true"]).create(&writer).unwrap();
    let pidfd = created.pidfd.try_clone().unwrap();
    drop(created);
    assert_eq!(barge_sys::pidfd::wait(&pidfd).unwrap(), barge_sys::pidfd::Exit::Code(1));
}
