//! More processes of a running container.

use std::io::Read as _;
use std::os::fd::AsFd as _;

use barge_oci::runtime::Process;
use barge_runtime_core::{ExecOptions, Failure, StartError, exec};
use barge_sys::pidfd::{self, Exit};

use crate::laboratory::{Lab, Running, program};

fn run(container: &Running, process: &Process) -> Result<(String, Exit), StartError> {
    let null = std::fs::File::open("/dev/null").unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let started = exec(&ExecOptions {
        pid: container.created.pid,
        pidfd: container.created.pidfd.as_fd(),
        process,
        stdio: [null.as_fd(), writer.as_fd(), writer.as_fd()],
        cgroup: None,
        runtime: program().as_fd(),
        seccomp_filter: None,
        seccomp_flags: 0,
    })?;
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    Ok((text.trim_end().to_owned(), pidfd::wait(&started.pidfd).unwrap()))
}

fn sleeper() -> (Lab, Running) {
    let lab = Lab::shell("echo ready; exec sleep 1000");
    let mut running = lab.start();
    assert_eq!(running.line(), "ready");
    (lab, running)
}

fn shell(lab: &Lab, script: &str) -> Process {
    let mut process = lab.spec.process.clone().unwrap();
    process.args = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    process
}

#[test]
fn it_lives_in_every_namespace_of_the_container() {
    let (lab, running) = sleeper();
    let show = "for n in mnt uts ipc pid net cgroup user; do readlink /proc/self/ns/$n; done";
    let (text, exit) = run(&running, &shell(&lab, show)).unwrap();
    assert_eq!(exit, Exit::Code(0));
    let names = ["mnt", "uts", "ipc", "pid", "net", "cgroup", "user"];
    assert_eq!(text.lines().count(), names.len());
    for (line, name) in text.lines().zip(names) {
        let theirs = format!("/proc/{}/ns/{name}", running.created.pid);
        assert_eq!(line, std::fs::read_link(theirs).unwrap().to_str().unwrap());
    }
}

#[test]
fn it_sees_process_1_itself_and_its_children_alone() {
    let (lab, running) = sleeper();
    let (text, _) = run(&running, &shell(&lab, "ps -o pid,args; true")).unwrap();
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].trim().starts_with("1 sleep 1000"), "{text}");
}

#[test]
fn it_has_dockers_rights_and_only_its_three_descriptors() {
    let (lab, running) = sleeper();
    let script = "grep CapEff /proc/self/status; \
        for n in 0 1 2 3 4 5 6 7 8 9 10; do test -e /proc/$$/fd/$n && echo $n; done; hostname";
    let (text, _) = run(&running, &shell(&lab, script)).unwrap();
    assert_eq!(text, "CapEff:\t00000000a80425fb\n0\n1\n2\nlaboratory");
}

#[test]
fn its_user_code_and_errors_are_its_own() {
    let (lab, running) = sleeper();
    let mut process = shell(&lab, "id -un; exit 42");
    process.user.username = Some("jane".to_owned());
    assert_eq!(run(&running, &process).unwrap(), ("jane".to_owned(), Exit::Code(42)));
    process.args = vec!["nonsense".to_owned()];
    let error = run(&running, &process).unwrap_err();
    assert_eq!(error.message, "exec: \"nonsense\": executable file not found in $PATH");
    assert_eq!(error.kind(), Failure::CommandNotFound);
    process.args = vec!["/etc/passwd".to_owned()];
    assert_eq!(run(&running, &process).unwrap_err().kind(), Failure::CommandNotExecutable);
    process.cwd = "/etc/passwd".to_owned();
    assert_eq!(run(&running, &process).unwrap_err().kind(), Failure::BadWorkingDirectory);
}

#[test]
fn a_user_namespace_is_joined_too() {
    use barge_oci::runtime::{LinuxIdMapping, Namespace, NamespaceType};
    let mut lab = Lab::shell("echo ready; exec sleep 1000");
    let mapping = || vec![LinuxIdMapping { container_id: 0, host_id: 100_000, size: 65536 }];
    lab.linux().uid_mappings = mapping();
    lab.linux().gid_mappings = mapping();
    lab.linux().namespaces.push(Namespace { kind: NamespaceType::User, path: None });
    let mut running = lab.start();
    assert_eq!(running.line(), "ready");
    let (text, _) = run(&running, &shell(&lab, "id -u; readlink /proc/self/ns/user")).unwrap();
    let theirs = std::fs::read_link(format!("/proc/{}/ns/user", running.created.pid)).unwrap();
    assert_eq!(text, format!("0\n{}", theirs.to_str().unwrap()));
}

#[test]
fn a_container_that_is_gone_is_an_error() {
    let (lab, running) = sleeper();
    pidfd::send_signal(&running.created.pidfd, 9).unwrap();
    pidfd::wait(&running.created.pidfd).unwrap();
    assert!(run(&running, &shell(&lab, "true")).is_err());
}
