//! Real processes in real namespaces.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::Path;

use super::*;
use crate::exe;
use crate::pidfd::Exit;

/// What differs between the tests.
#[derive(Default)]
struct Place<'a> {
    namespaces: Option<Kinds>,
    join: &'a [(BorrowedFd<'a>, Kinds)],
    user_maps: Option<&'a UserMaps>,
    cgroup: Option<&'a [BorrowedFd<'a>]>,
}

/// Runs a shell script of busybox with its output on descriptor 1; the text and how it ended.
fn run(script: &str, place: &Place<'_>) -> (String, Exit) {
    let program = exe::open_read_only(Path::new("/bin/busybox")).unwrap();
    let arguments = ["sh", "-c", script].map(|text| CString::new(text).unwrap());
    let null = std::fs::File::open("/dev/null").unwrap();
    let (mut output, writer) = io::pipe().unwrap();
    let child = spawn(&SpawnOptions {
        namespaces: place.namespaces.unwrap_or(Kinds::empty()),
        join: place.join,
        user_maps: place.user_maps,
        cgroup: place.cgroup.map_or(Cgroup::Inherit, Cgroup::Enter),
        fds: &[null.as_fd(), writer.as_fd(), writer.as_fd()],
        ..options(program.as_fd(), &arguments)
    })
    .unwrap();
    child.executed().unwrap();
    drop(writer);
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    (text.trim().to_owned(), pidfd::wait(&child.pidfd).unwrap())
}

#[test]
fn a_program_has_only_the_files_it_was_given() {
    // ls itself has the folder open as 3.
    let (text, exit) = run("echo /proc/self/fd/*; exit 5", &Place::default());
    assert_eq!(exit, Exit::Code(5));
    let fds: Vec<_> = text.split_whitespace().collect();
    assert_eq!(fds[..3], ["/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"]);
    assert!(fds.len() <= 4, "{text}");
}

/// Mounts its own /proc without showing it to the host.
const OWN_PROC: &str = "busybox mount --make-rprivate / && busybox mount -t proc proc /proc && ";
const NAMES: [&str; 6] = ["mnt", "uts", "ipc", "pid", "net", "cgroup"];

fn own(name: &str) -> String {
    let link = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    link.to_str().unwrap().to_owned()
}

const SHOW: &str =
    "for n in mnt uts ipc pid net cgroup; do busybox readlink /proc/self/ns/$n; done";

#[test]
fn all_new_namespaces_and_pid_one() {
    let (text, exit) = run(
        &format!("{OWN_PROC} echo $$; {SHOW}"),
        &Place { namespaces: Some(namespace::CONTAINER), ..Place::default() },
    );
    assert_eq!(exit, Exit::Code(0), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 7, "{text}");
    assert_eq!(lines[0], "1");
    for (line, name) in lines[1..].iter().zip(NAMES) {
        assert_ne!(*line, own(name));
    }
}

fn identity(inside: u32) -> UserMaps {
    let map = |outside| vec![IdMap { inside, outside, count: 1000 }];
    UserMaps { uids: map(100_000), gids: map(200_000) }
}

#[test]
fn root_of_a_user_namespace_is_nobody_special_outside() {
    let maps = identity(0);
    let script = format!("{OWN_PROC} busybox id -u; busybox id -g; busybox cat /proc/self/uid_map");
    let (text, exit) = run(
        &script,
        &Place {
            namespaces: Some(namespace::CONTAINER | Kinds::USER),
            user_maps: Some(&maps),
            ..Place::default()
        },
    );
    assert_eq!(exit, Exit::Code(0), "{text}");
    let words: Vec<_> = text.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "0", "100000", "1000"]);
}

#[test]
fn a_network_is_shared_and_the_rest_is_not() {
    let netns = namespace::make_netns().unwrap();
    let inside =
        namespace::in_netns(&netns, || std::fs::read_link("/proc/thread-self/ns/net").unwrap())
            .unwrap();
    let join = [(netns.as_fd(), Kinds::NETWORK)];
    let (text, _) = run(
        &format!("{OWN_PROC} {SHOW}"),
        &Place {
            namespaces: Some(namespace::CONTAINER - Kinds::NETWORK),
            join: &join,
            ..Place::default()
        },
    );
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[4], inside.to_str().unwrap());
    assert_ne!(lines[3], own("pid"));
}

#[test]
fn a_network_is_shared_by_a_user_namespace_that_may_not_join_it_itself() {
    let netns = namespace::make_netns().unwrap();
    let join = [(netns.as_fd(), Kinds::NETWORK)];
    let maps = identity(0);
    let (text, exit) = run(
        "busybox readlink /proc/self/ns/net",
        &Place {
            namespaces: Some(Kinds::USER),
            user_maps: Some(&maps),
            join: &join,
            ..Place::default()
        },
    );
    assert_eq!(exit, Exit::Code(0));
    assert_ne!(text, own("net"));
}

#[test]
fn a_process_joins_all_namespaces_of_another() {
    let (mut ready, writer) = io::pipe().unwrap();
    let (hold, release) = io::pipe().unwrap();
    let program = exe::open_read_only(Path::new("/bin/busybox")).unwrap();
    let script = format!("{OWN_PROC} echo ready; read x");
    let arguments = ["sh", "-c", &script].map(|text| CString::new(text).unwrap());
    let first = spawn(&SpawnOptions {
        program: program.as_fd(),
        arguments: &arguments,
        environment: &[],
        namespaces: namespace::CONTAINER,
        join: &[],
        user_maps: None,
        cgroup: Cgroup::Inherit,
        fds: &[hold.as_fd(), writer.as_fd(), writer.as_fd()],
    })
    .unwrap();
    let mut text = [0; 6];
    ready.read_exact(&mut text).unwrap();
    let join = [(first.pidfd.as_fd(), namespace::CONTAINER)];
    let (text, exit) = run(&format!("echo $$; {SHOW}"), &Place { join: &join, ..Place::default() });
    assert_eq!(exit, Exit::Code(0), "{text}");
    let lines: Vec<_> = text.lines().collect();
    // After the shell (1) and its two mounts.
    assert_eq!(lines[0], "4");
    for (line, name) in lines[1..].iter().zip(NAMES) {
        let theirs = std::fs::read_link(format!("/proc/{}/ns/{name}", first.pid)).unwrap();
        assert_eq!(*line, theirs.to_str().unwrap());
    }
    drop(release);
    assert_eq!(pidfd::wait(&first.pidfd).unwrap(), Exit::Code(1));
}

#[test]
fn new_namespaces_can_belong_to_the_users_of_another_process() {
    let (hold, release) = io::pipe().unwrap();
    let program = exe::open_read_only(Path::new("/bin/busybox")).unwrap();
    let arguments = ["sh", "-c", "read x"].map(|text| CString::new(text).unwrap());
    let maps = identity(0);
    let first = spawn(&SpawnOptions {
        namespaces: Kinds::USER | namespace::CONTAINER,
        user_maps: Some(&maps),
        fds: &[hold.as_fd()],
        ..options(program.as_fd(), &arguments)
    })
    .unwrap();
    first.executed().unwrap();
    let join = [(first.pidfd.as_fd(), Kinds::USER | Kinds::NETWORK | Kinds::PROCESS_ID)];
    let script = format!(
        "{OWN_PROC} busybox hostname joined && busybox hostname && busybox cat /proc/self/uid_map && \
         busybox id -u && echo $$ && busybox readlink /proc/self/ns/user && {SHOW}"
    );
    let made = Kinds::MOUNT | Kinds::HOST_NAME_AND_NIS_DOMAIN_NAME;
    let place = Place { namespaces: Some(made), join: &join, ..Place::default() };
    let (text, exit) = run(&script, &place);
    assert_eq!(exit, Exit::Code(0), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines[0], lines[2]), ("joined", "0"), "{text}");
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["0", "100000", "1000"]);
    // Not the first one there.
    assert_ne!(lines[3], "1");
    let theirs = |name: &str| {
        let link = std::fs::read_link(format!("/proc/{}/ns/{name}", first.pid)).unwrap();
        link.to_str().unwrap().to_owned()
    };
    assert_eq!(lines[4], theirs("user"));
    for (line, name) in lines[5..].iter().zip(NAMES) {
        assert_eq!(*line == theirs(name), ["pid", "net"].contains(&name), "{name}: {text}");
    }
    drop(release);
    pidfd::wait(&first.pidfd).unwrap();
}

#[test]
fn a_second_process_that_fails_is_reaped_whoever_tells_first() {
    let holder = crate::user_namespace::make(&identity(0)).unwrap();
    let uts = std::fs::File::open("/proc/self/ns/uts").unwrap();
    // Not what it says: only the second one joins it, and fails.
    let join = [(holder.as_fd(), Kinds::USER), (uts.as_fd(), Kinds::NETWORK)];
    let program = exe::open_read_only(Path::new("/bin/busybox")).unwrap();
    let arguments = [CString::new("true").unwrap()];
    for _ in 0..20 {
        let options = SpawnOptions {
            namespaces: Kinds::HOST_NAME_AND_NIS_DOMAIN_NAME,
            join: &join,
            ..options(program.as_fd(), &arguments)
        };
        let error = spawn(&options).and_then(|child| child.executed()).unwrap_err();
        assert_eq!(error.step, "join a namespace");
        let children = std::fs::read_to_string("/proc/thread-self/children").unwrap();
        assert_eq!(children, "");
    }
}

fn options<'a>(program: BorrowedFd<'a>, arguments: &'a [CString]) -> SpawnOptions<'a> {
    SpawnOptions {
        program,
        arguments,
        environment: &[],
        namespaces: Kinds::empty(),
        join: &[],
        user_maps: None,
        cgroup: Cgroup::Inherit,
        fds: &[],
    }
}

#[test]
fn a_file_that_is_no_program_is_reported_with_its_step() {
    let file = std::fs::File::open("/etc/passwd").unwrap();
    let arguments = [CString::new("x").unwrap()];
    let child = spawn(&options(file.as_fd(), &arguments)).unwrap();
    let error = child.executed().unwrap_err();
    assert_eq!(error.step, "execute the runtime");
    assert_eq!(error.source.kind(), io::ErrorKind::PermissionDenied);
}

#[test]
fn a_cgroup_is_entered_before_its_namespace_is_made() {
    let folder =
        std::path::PathBuf::from(format!("/sys/fs/cgroup/pids/barge-sys-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let door = std::fs::OpenOptions::new().write(true).open(folder.join("cgroup.procs")).unwrap();
    let (text, exit) = run(
        &format!("{OWN_PROC} busybox grep pids: /proc/self/cgroup"),
        &Place {
            namespaces: Some(namespace::CONTAINER),
            cgroup: Some(&[door.as_fd()]),
            ..Place::default()
        },
    );
    std::fs::remove_dir(&folder).unwrap();
    assert_eq!(exit, Exit::Code(0), "{text}");
    assert!(text.ends_with("pids:/"), "{text}");
}

#[test]
fn a_closed_door_of_a_cgroup_is_reported() {
    let program = exe::open_read_only(Path::new("/bin/busybox")).unwrap();
    let read_only = std::fs::File::open("/dev/null").unwrap();
    let child = spawn(&SpawnOptions {
        cgroup: Cgroup::Enter(&[read_only.as_fd()]),
        ..options(program.as_fd(), &[])
    })
    .unwrap();
    assert_eq!(child.executed().unwrap_err().step, "enter the cgroup");
}
