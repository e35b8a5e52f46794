//! What a container sees of the host, and what it must not be able to do.

use std::collections::BTreeMap;
use std::fs;

use barge_testkit::{Client, Sharing};

static HOST: Sharing = Sharing::new();

const KINDS: [&str; 6] = ["mnt", "uts", "ipc", "pid", "net", "cgroup"];

fn namespaces(pid: &str) -> BTreeMap<&'static str, String> {
    let link = |kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    KINDS.into_iter().map(|kind| (kind, link(kind).to_string_lossy().into_owned())).collect()
}

/// Which namespaces two processes have in common.
fn shared(one: &str, other: &str) -> Vec<&'static str> {
    let (one, other) = (namespaces(one), namespaces(other));
    KINDS.into_iter().filter(|kind| one[kind] == other[kind]).collect()
}

#[test]
fn every_namespace_is_its_own() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("own");
        host.run(client, &["run", "-d", "--name", &name, "busybox", "sleep", "1000"]).ok();
        let pid = host.pid(&name).to_string();
        assert_eq!(shared(&pid, "self"), [""; 0]);
        assert_eq!(shared(&pid, &host.daemon_pid().to_string()), [""; 0]);
        let exec = host.start_client(client, &["exec", "-i", &name, "sh", "-c", "echo in; read x"]);
        exec.expect("in");
        let inside = host.processes(&name).into_iter().find(|other| other.to_string() != pid);
        assert_eq!(shared(&inside.unwrap().to_string(), &pid), KINDS);
        exec.wait().fails(1);
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn ps_in_a_fresh_container_shows_pid_1_the_shell_and_itself() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("ps");
        host.run(client, &["run", "-d", "--name", &name, "busybox", "sleep", "1000"]).ok();
        let listed = host.run(client, &["exec", &name, "sh", "-c", "ps -o comm; true"]);
        assert_eq!(listed.text(), "COMMAND\nsleep\nsh\nps", "{client:?}");
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn namespaces_are_shared_with_whom_the_flags_say() {
    let host = HOST.host();
    let first = host.unique("first");
    let start = ["run", "-d", "--name", &first, "--ipc", "shareable", "busybox", "sleep", "1000"];
    host.barge(&start).ok();
    let of_first = host.pid(&first).to_string();
    let container = format!("container:{first}");
    let daemon = host.daemon_pid().to_string();
    let with_first = [("--network", "net"), ("--pid", "pid"), ("--ipc", "ipc")];
    let with_host = [
        ("--network", "net"),
        ("--pid", "pid"),
        ("--ipc", "ipc"),
        ("--uts", "uts"),
        ("--cgroupns", "cgroup"),
    ];
    for client in Client::both() {
        for (partner, pid, flags) in
            [(container.as_str(), &of_first, &with_first[..]), ("host", &daemon, &with_host[..])]
        {
            for (flag, kind) in flags {
                let name = host.unique("partner");
                let arguments =
                    ["run", "-d", "--name", &name, flag, partner, "busybox", "sleep", "1000"];
                host.run(client, &arguments).ok();
                let own = host.pid(&name).to_string();
                assert_eq!(shared(&own, pid), [*kind], "{client:?} {flag} {partner}");
                host.run(client, &["rm", "-f", &name]).ok();
            }
        }
    }
    host.barge(&["rm", "-f", &first]).ok();
}

#[test]
fn an_exec_does_not_end_with_a_partner_of_a_shared_pid_namespace() {
    let host = HOST.host();
    let (first, second) = (host.unique("first"), host.unique("second"));
    host.barge(&["run", "-d", "--name", &first, "busybox", "sleep", "1000"]).ok();
    let partner = format!("container:{first}");
    host.barge(&["run", "-d", "--name", &second, "--pid", &partner, "busybox", "sleep", "2000"])
        .ok();
    let listed = host.barge(&["exec", &first, "ps", "-o", "args"]);
    assert!(listed.text().contains("sleep 2000"), "{listed}");
    host.barge(&["rm", "-f", &second]).ok();
    assert_eq!(host.status(&first), "running");
    host.barge(&["rm", "-f", &first]).ok();
}

#[test]
fn the_default_capabilities_are_dockers() {
    let host = HOST.host();
    for client in Client::both() {
        let outcome =
            host.run(client, &["run", "--rm", "busybox", "grep", "^Cap", "/proc/self/status"]);
        let expected = "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\n\
                        CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\n\
                        CapAmb:\t0000000000000000";
        assert_eq!(outcome.text(), expected);
        let user =
            ["run", "--rm", "-u", "worker", "busybox", "grep", "CapEff", "/proc/self/status"];
        assert_eq!(host.run(client, &user).text(), "CapEff:\t0000000000000000");
    }
}

#[test]
fn kernel_files_are_masked_or_read_only() {
    let host = HOST.host();
    let script = "
        for file in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts /proc/sched_debug; do
            [ ! -e $file ] || [ $(head -c 10 $file | wc -c) = 0 ] || echo $file is readable
        done
        for folder in /proc/acpi /proc/scsi /sys/firmware /sys/devices/virtual/powercap; do
            [ ! -e $folder ] || [ -z \"$(ls $folder)\" ] || echo $folder has files
        done
        for folder in /proc/bus /proc/fs /proc/irq /proc/sys /sys /sys/fs/cgroup; do
            [ ! -e $folder ] || ! touch $folder/x 2>/dev/null || echo $folder takes files
        done
        echo 1 2>/dev/null > /proc/sysrq-trigger && echo sysrq-trigger is writable
        echo 1 2>/dev/null > /proc/sys/kernel/panic && echo sysctls are writable
        echo over";
    for client in Client::both() {
        let outcome = host.run(client, &["run", "--rm", "busybox", "sh", "-c", script]);
        assert_eq!(outcome.text(), "over", "{client:?}");
    }
}

#[test]
fn forbidden_system_calls_are_refused_by_the_filter() {
    let host = HOST.host();
    let probe = barge_testkit::program("barge-probe");
    let volume = format!("{}:/probe:ro", probe.display());
    for client in Client::both() {
        let run = |flags: &[&str]| {
            let command = ["-v", &volume, "busybox", "/probe"];
            host.run(client, &[&["run", "--rm"], flags, &command].concat()).text().to_owned()
        };
        let filtered = run(&[]);
        // With all capabilities but the filter off, the same calls fail for another reason, or not at all: what was
        // refused above was refused by the filter or for want of a capability, and here by neither.
        let open = run(&["--privileged"]);
        let never = run(&["--cap-add", "ALL", "--security-opt", "seccomp=unconfined"]);
        for line in filtered.lines() {
            let (call, answer) = line.split_once(' ').unwrap();
            if call.starts_with("allowed-") {
                assert_ne!(answer, "EPERM", "{call}");
                continue;
            }
            assert_eq!(answer, "EPERM", "{client:?}: {call}");
            for unfiltered in [&open, &never] {
                let wanted = format!("{call} EPERM");
                assert!(!unfiltered.lines().any(|line| line == wanted), "{call} without a filter");
            }
        }
        assert!(filtered.lines().count() > 20, "{filtered}");
    }
}

#[test]
fn a_filter_is_in_force_also_in_an_exec() {
    let host = HOST.host();
    let name = host.unique("filter");
    host.barge(&["run", "-d", "--name", &name, "busybox", "sleep", "1000"]).ok();
    for client in Client::both() {
        let outcome = host.run(
            client,
            &["exec", &name, "grep", "-e", "^Seccomp:", "-e", "CapBnd", "/proc/self/status"],
        );
        assert_eq!(outcome.text(), "CapBnd:\t00000000a80425fb\nSeccomp:\t2");
        let open = host
            .run(client, &["exec", "--privileged", &name, "grep", "^CapEff", "/proc/self/status"]);
        assert_ne!(open.text(), "CapEff:\t00000000a80425fb");
    }
    host.barge(&["rm", "-f", &name]).ok();
}

#[test]
fn the_hosts_programs_cannot_be_written_through_proc_self_exe() {
    let host = HOST.host();
    let program = barge_testkit::program("barge-runtime");
    let before = fs::read(&program).unwrap();
    // The entry point is what the runtime itself would be: whoever becomes pid 1 first is the runtime's init.
    let script = "cat /proc/1/exe > /dev/null; (echo x >> /proc/self/exe); (echo x > /proc/1/exe); \
                  for exe in /proc/[0-9]*/exe; do (echo x >> $exe); done; echo tried";
    let outcome = host.barge(&["run", "--rm", "busybox", "sh", "-c", script]);
    assert!(outcome.stdout.ends_with("tried\n"), "{outcome}");
    // As in CVE-2019-5736: the container's program is a link to the runtime's own file.
    let exe =
        host.barge(&["run", "--rm", "--entrypoint", "/proc/self/exe", "busybox", "--version"]);
    assert_ne!(exe.code, 0, "{exe}");
    assert!(fs::read(&program).unwrap() == before, "the runtime's file is as it was");
}

#[test]
fn no_descriptor_of_the_engine_is_open_inside() {
    let host = HOST.host();
    let name = host.unique("fds");
    host.barge(&["run", "-d", "--name", &name, "busybox", "sleep", "1000"]).ok();
    let pid = host.pid(&name);
    let mut open: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    open.sort();
    assert_eq!(open, ["0", "1", "2"]);
    for client in Client::both() {
        let inside = host.run(client, &["exec", &name, "sh", "-c", "ls /proc/self/fd"]);
        assert_eq!(inside.text(), "0\n1\n2\n3", "the fourth is the folder that ls reads");
    }
    host.barge(&["rm", "-f", &name]).ok();
}

#[test]
fn nothing_of_the_hosts_environment_is_inside() {
    let host = HOST.host();
    for client in Client::both() {
        let outcome = host.run(client, &["run", "--rm", "busybox", "env"]);
        let mut names: Vec<&str> =
            outcome.text().lines().filter_map(|line| line.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["HOME", "HOSTNAME", "PATH"], "{client:?}");
    }
}
