//! Mounts, masked paths, devices, and images that try to lead them astray.

use std::os::unix::fs::symlink;
use std::path::Path;

use barge_oci::runtime::Mount;
use barge_sys::mount::{self, Attributes, Change, Filesystem, Propagation, Reach};
use barge_sys::namespace::{self, Kinds, on_own_thread};
use rustix::fs::CWD;
use rustix::mount::UnmountFlags;

use crate::laboratory::Lab;

fn bind(source: &Path, destination: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: Some("bind".to_owned()),
        source: Some(source.to_str().unwrap().to_owned()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

#[test]
fn binds_are_made_with_their_mount_points_and_options() {
    let mut lab = Lab::shell(
        "cat /data/deep/in/file; cat /etc/single; touch /data/deep/in/new; touch /ro/x; cat /proc/self/mountinfo",
    );
    let host = tempfile::tempdir().unwrap();
    std::fs::write(host.path().join("file"), "content\n").unwrap();
    lab.spec.mounts.push(bind(host.path(), "/data/deep/in", &["rbind", "rprivate"]));
    lab.spec.mounts.push(bind(
        &host.path().join("file"),
        "/etc/single",
        &["rbind", "rprivate", "ro"],
    ));
    lab.spec.mounts.push(bind(
        host.path(),
        "/ro",
        &["rbind", "rprivate", "ro", "nosuid", "noexec"],
    ));
    let text = lab.run();
    assert!(text.starts_with("content\ncontent\ntouch: /ro/x: Read-only file system\n"), "{text}");
    assert!(host.path().join("new").exists());
    let line = text.lines().find(|line| line.contains(" /ro ")).unwrap();
    assert!(line.contains(" ro,nosuid,noexec"), "{line}");
    assert!(lab.rootfs.path().join("etc/single").is_file());
}

#[test]
fn a_read_only_bind_is_read_only_all_the_way_down_when_asked() {
    let mut lab = Lab::shell("touch /data/below/x; touch /data/y; true");
    let host = tempfile::tempdir().unwrap();
    std::fs::create_dir(host.path().join("below")).unwrap();
    // A bind that the specification itself stacks, then shows once more as a tree.
    lab.spec.mounts.push(bind(host.path(), "/data", &["rbind", "rro"]));
    let text = lab.run();
    assert_eq!(text.matches("Read-only file system").count(), 2, "{text}");
}

#[test]
fn masked_paths_are_empty_and_read_only_ones_refuse_writes() {
    let text = Lab::shell(
        "wc -c < /proc/interrupts; ls /sys/firmware | wc -l; wc -c < /proc/timer_list; \
         echo 1 > /proc/sys/kernel/panic; echo 1 > /proc/irq/default_smp_affinity; touch /sys/x; true",
    )
    .run();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "0");
    assert_eq!(lines[1], "0");
    assert_eq!(text.matches("Read-only file system").count(), 3, "{text}");
}

#[test]
fn a_null_device_that_is_a_link_does_not_expose_what_it_points_to() {
    let mut lab = Lab::shell("cat /proc/kcore | head -c 5");
    // No /dev of our own: the image's is used, with its trap.
    lab.spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
    std::fs::write(lab.rootfs.path().join("secret"), "secret").unwrap();
    symlink("/secret", lab.rootfs.path().join("dev/null")).unwrap();
    let error = lab.try_run().unwrap_err();
    assert!(error.message.contains("/dev/null"), "{error}");
}

#[test]
fn devices_and_links_of_dev_are_there() {
    let text = Lab::shell(
        "cd /dev; stat -c '%n %F %a %t:%T' null zero full random urandom tty; \
         for n in fd stdin stdout stderr ptmx core; do readlink $n; done; echo gone > /dev/null; head -c 3 /dev/zero | wc -c",
    )
    .run();
    // Not every kernel has one.
    let core = if Path::new("/proc/kcore").exists() { "/proc/kcore\n" } else { "" };
    assert_eq!(
        text.replace(core, ""),
        "null character special file 666 1:3\nzero character special file 666 1:5\n\
         full character special file 666 1:7\nrandom character special file 666 1:8\n\
         urandom character special file 666 1:9\ntty character special file 666 5:0\n\
         /proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n3"
    );
    assert!(text.contains(core), "{text}");
}

/// What is mounted inside, below a bind of something that the host shares with others; whether the host sees it.
fn is_seen_outside(word: &str) -> bool {
    on_own_thread(|| {
        namespace::unshare(Kinds::MOUNT).unwrap();
        let everything = Path::new("/");
        mount::change_at(CWD, everything, Reach::Tree, Change::PRIVATE).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let shared = folder.path().join("shared");
        let below = shared.join("below");
        for path in [&shared, &below] {
            std::fs::create_dir(path).unwrap();
            let fresh = Filesystem::open("tmpfs").unwrap().create(Attributes::empty()).unwrap();
            mount::attach_at(&fresh, CWD, path).unwrap();
            let change = Change { propagation: Some(Propagation::SHARED), ..Change::NONE };
            mount::change_at(CWD, path, Reach::One, change).unwrap();
        }
        std::fs::create_dir(below.join("deep")).unwrap();
        let script = "mount -t tmpfs none /shared/below/deep && touch /shared/below/deep/x";
        let mut lab = Lab::shell(script);
        lab.linux().seccomp = None;
        let all = lab.process().capabilities.as_mut().unwrap();
        for set in [&mut all.bounding, &mut all.effective, &mut all.permitted] {
            set.push("CAP_SYS_ADMIN".to_owned());
        }
        lab.spec.mounts.push(Mount {
            destination: "/shared".to_owned(),
            kind: Some("bind".to_owned()),
            source: Some(shared.to_str().unwrap().to_owned()),
            options: vec!["rbind".to_owned(), word.to_owned()],
            ..Mount::default()
        });
        lab.run();
        let is_seen = below.join("deep/x").exists();
        for path in [&below, &shared] {
            rustix::mount::unmount(path, UnmountFlags::DETACH).unwrap();
        }
        is_seen
    })
    .unwrap()
}

#[test]
fn what_is_mounted_below_a_bind_is_seen_outside_only_when_it_is_shared() {
    for word in ["rprivate", "private", "rslave", "slave"] {
        assert!(!is_seen_outside(word), "{word}");
    }
    assert!(is_seen_outside("rshared"));
}

#[test]
fn a_device_of_the_specification_has_its_mode_and_owner() {
    let mut lab = Lab::shell("stat -c '%F %a %u:%g %t:%T' /dev/net/tun");
    lab.linux().devices.push(barge_oci::runtime::LinuxDevice {
        path: "/dev/net/tun".to_owned(),
        kind: "c".to_owned(),
        major: 10,
        minor: 200,
        file_mode: Some(0o620),
        uid: Some(7),
        gid: Some(8),
    });
    assert_eq!(lab.run(), "character special file 620 7:8 a:c8");
}

#[test]
fn the_own_cgroup_is_the_root_of_what_is_seen_and_read_only() {
    let text = Lab::shell("ls /sys/fs/cgroup; cat /proc/self/cgroup; echo 1 > /sys/fs/cgroup/pids/cgroup.procs; touch /sys/fs/cgroup/x; true").run();
    assert!(text.contains("memory\n"), "{text}");
    assert!(text.contains("pids:/\n") || text.contains("pids:/"), "{text}");
    assert_eq!(text.matches("Read-only file system").count(), 2, "{text}");
}

#[test]
fn the_hosts_view_of_cgroups_shows_the_own_group_too() {
    let mut lab =
        Lab::shell("ls /sys/fs/cgroup/pids/cgroup.procs; ls /sys/fs/cgroup/memory | grep -c limit");
    lab.linux().namespaces.retain(|one| one.kind != barge_oci::runtime::NamespaceType::Cgroup);
    let text = lab.run();
    assert!(text.starts_with("/sys/fs/cgroup/pids/cgroup.procs\n"), "{text}");
}

#[test]
fn a_read_only_root_refuses_writes_and_its_mounts_do_not() {
    let mut lab = Lab::shell("touch /x; touch /dev/shm/y && echo fine; touch /dev/z && echo fine");
    lab.spec.root.as_mut().unwrap().readonly = true;
    assert_eq!(lab.run(), "touch: /x: Read-only file system\nfine\nfine");
}

#[test]
fn proc_that_is_a_link_is_refused() {
    let mut lab = Lab::new(&["/bin/true"]);
    std::fs::remove_dir(lab.rootfs.path().join("proc")).unwrap();
    symlink("/", lab.rootfs.path().join("proc")).unwrap();
    let error = lab.try_run().unwrap_err();
    assert!(error.message.starts_with("error mounting \"proc\" to rootfs at \"/proc\""), "{error}");
    // A link in the middle is no better.
    lab.spec.mounts[0].destination = "/linked/proc".to_owned();
    symlink("/tmp", lab.rootfs.path().join("linked")).unwrap();
    assert!(lab.try_run().is_err());
}

#[test]
fn links_in_destinations_stay_inside() {
    let mut lab = Lab::shell("cat /real/inner/file");
    let (host, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(host.path().join("file"), "from the host\n").unwrap();
    std::fs::create_dir(lab.rootfs.path().join("real")).unwrap();
    symlink("/real", lab.rootfs.path().join("link")).unwrap();
    let up = format!("../../../../../../..{}", outside.path().display());
    symlink(&up, lab.rootfs.path().join("escape")).unwrap();
    lab.spec.mounts.push(bind(host.path(), "/link/inner", &["rbind"]));
    assert_eq!(lab.run(), "from the host");
    lab.spec.mounts.push(bind(host.path(), "/escape/inner", &["rbind"]));
    assert!(lab.try_run().is_err());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn mounts_inside_proc_are_refused() {
    let mut lab = Lab::new(&["/bin/true"]);
    lab.spec.mounts.push(bind(lab.rootfs.path(), "/proc/self/attr", &["rbind"]));
    let error = lab.try_run().unwrap_err();
    assert_eq!(error.message, "\"/proc/self/attr\" cannot be mounted because it is inside /proc");
}

#[test]
fn a_folder_on_a_file_is_told_in_the_words_clients_know() {
    let mut lab = Lab::new(&["/bin/true"]);
    lab.spec.mounts.push(bind(lab.rootfs.path(), "/etc/passwd", &["rbind", "rprivate"]));
    let error = lab.try_run().unwrap_err();
    let source = lab.rootfs.path().display();
    assert_eq!(
        error.message,
        format!(
            "error mounting \"{source}\" to rootfs at \"/etc/passwd\": \
             mount src={source}, dst=/etc/passwd, flags=0x5000: not a directory"
        )
    );
}

#[test]
fn a_missing_source_is_told() {
    let mut lab = Lab::new(&["/bin/true"]);
    lab.spec.mounts.push(bind(Path::new("/nonexistent"), "/x", &["rbind"]));
    let error = lab.try_run().unwrap_err();
    assert!(error.message.ends_with("flags=0x5000: no such file or directory"), "{error}");
}

#[test]
fn options_of_a_tmpfs_reach_it() {
    let mut lab =
        Lab::shell("mount | grep ' /scratch '; mount | grep ' /dev/shm '; touch /sealed/x; true");
    let tmpfs = |destination: &str, options: &[&str]| Mount {
        destination: destination.to_owned(),
        kind: Some("tmpfs".to_owned()),
        source: Some("tmpfs".to_owned()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    };
    lab.spec.mounts.push(tmpfs("/scratch", &["nosuid", "nodev", "noexec", "rprivate", "size=64k"]));
    lab.spec.mounts.push(tmpfs("/sealed", &["ro"]));
    let text = lab.run();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].contains("nosuid,nodev,noexec") && lines[0].contains("size=64k"), "{text}");
    assert!(lines[1].contains("size=65536k"), "{text}");
    assert_eq!(lines[2], "touch: /sealed/x: Read-only file system");
    lab.spec.mounts.push(tmpfs("/bad", &["nonsense"]));
    let error = lab.try_run().unwrap_err();
    assert!(error.message.contains("\"/bad\""), "{error}");
}

#[test]
fn nothing_is_left_on_the_host() {
    let lab = Lab::new(&["/bin/true"]);
    lab.try_run().unwrap();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(lab.rootfs.path().to_str().unwrap()));
}
