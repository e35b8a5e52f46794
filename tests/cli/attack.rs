//! Attacks from inside a container and by a hostile image: what must not work, tried for real.

use std::fs;
use std::path::Path;

use barge_testkit::{Client, Sharing, TarBuilder, TestHost, busybox_rootfs, eventually};

static HOST: Sharing = Sharing::new();

/// Stops every process that it may, again and again, as fast as one can.
const STOPPER: &str = "trap '' TERM; while :; do kill -STOP -1; done";

/// Imports an image made of these entries on top of busybox.
fn image(host: &TestHost, name: &str, rootfs: TarBuilder, changes: &[&str]) {
    let path = host.file(&format!("{name}.tar"), rootfs.finish());
    let changes: Vec<&str> = changes.iter().flat_map(|change| ["--change", change]).collect();
    let set_path = ["--change", "ENV PATH=/bin"];
    host.barge(&[&["import"], &changes[..], &set_path, &[&path, name]].concat()).ok();
}

/// Removes a container with a client that must come back by itself.
fn remove(host: &TestHost, name: &str) {
    host.barge(&["rm", "-f", name]).ok();
}

#[test]
fn no_descriptor_leads_out_by_the_working_directory() {
    let host = HOST.host();
    let name = host.unique("cwd");
    host.barge(&["run", "-d", "--name", &name, "busybox", "sleep", "1000"]).ok();
    for client in Client::both() {
        for number in 3..20 {
            let folder = format!("/proc/self/fd/{number}");
            // CVE-2024-21626: a folder of the host that someone forgot to close.
            let run = ["run", "--rm", "-w", &folder, "busybox", "ls", "../../../../.."];
            let outcome = host.run(client, &run);
            assert_ne!(outcome.code, 0, "{folder}: {outcome}");
            let outcome = host.run(client, &["exec", "-w", &folder, &name, "pwd"]);
            assert_ne!(outcome.code, 0, "{folder}: {outcome}");
        }
        // These lead to folders of the container itself.
        let outcome = host.run(client, &["exec", "-w", "/proc/1/root/../..", &name, "pwd"]);
        assert_eq!(outcome.text(), "/", "{client:?}");
    }
    remove(&host, &name);
}

#[test]
fn links_of_an_image_never_lead_a_mount_to_the_host() {
    let host = HOST.host();
    let outside = host.scratch().join("outside");
    fs::create_dir_all(&outside).unwrap();
    let target = outside.to_str().unwrap();
    let climbing = format!("../../../../../../../../../..{target}");
    let busybox =
        ["/bin/busybox", "/usr/bin/busybox"].into_iter().find_map(|path| fs::read(path).ok());
    let busybox = busybox.unwrap();
    let places = [
        "proc",
        "sys",
        "dev",
        "dev/pts",
        "dev/shm",
        "dev/mqueue",
        "dev/null",
        "dev/console",
        "etc",
        "etc/hosts",
        "etc/hostname",
        "etc/resolv.conf",
        "etc/passwd",
        "work",
        "sys/fs/cgroup",
    ];
    for (number, place) in places.iter().enumerate() {
        for (kind, link) in [("absolute", target), ("climbing", &climbing)] {
            let name = format!("links-{number}-{kind}");
            let rootfs = TarBuilder::new()
                .folder("bin", 0o755)
                .file("bin/busybox", 0o755, &busybox)
                .symlink("bin/sh", "busybox")
                .symlink(place, link);
            image(&host, &name, rootfs, &[]);
            let flags = [
                "run",
                "--rm",
                "-w",
                "/work/in",
                "-v",
                "/usr:/work/usr",
                "--tmpfs",
                "/work/tmp",
                "--device",
                "/dev/null:/work/null",
                &name,
                "sh",
                "-c",
                "echo written > /work/file; echo written > /etc/hosts; echo ran",
            ];
            // It runs, inside, or does not run at all.
            let outcome = host.barge(&flags);
            assert!(
                matches!(outcome.code, 125 | 127) || outcome.stdout.contains("ran"),
                "{place}: {outcome}"
            );
            let found: Vec<_> = fs::read_dir(&outside).unwrap().flatten().collect();
            assert!(found.is_empty(), "{place} {kind}: {found:?}");
            host.barge(&["rmi", &name]).ok();
        }
    }
}

#[test]
fn what_is_hidden_is_hidden_also_when_an_image_takes_dev_away() {
    let host = HOST.host();
    // The cover of hidden files is /dev/null, and a volume of the image is where it would be.
    image(&host, "no-dev", busybox_rootfs(), &["VOLUME /dev"]);
    let script = "head -c 1 /proc/keys; head -c 1 /proc/timer_list; head -c 1 /proc/kcore; true";
    let outcome = host.barge(&["run", "--rm", "no-dev", "sh", "-c", script]);
    assert!(outcome.code == 125 || outcome.stdout.is_empty(), "{outcome}");
    image(&host, "no-proc", busybox_rootfs(), &["VOLUME /proc"]);
    let flags = ["run", "--rm", "--network", "host", "no-proc", "true"];
    host.barge(&flags).fails_saying(125, "because it is not of type proc");
    host.barge(&["rmi", "no-dev", "no-proc"]).ok();
}

#[test]
fn with_the_hosts_network_the_hosts_kernel_files_stay_out_of_reach() {
    let host = HOST.host();
    let script = "
        grep -E ' /sys/(kernel|fs/bpf|fs/pstore|firmware/efi)' /proc/mounts
        for file in $(find /sys -type f -maxdepth 4 2>/dev/null | head -2000); do
            [ ! -w $file ] || (echo > $file) 2>/dev/null && echo $file is writable
        done
        touch /sys/kernel/tracing/x /sys/kernel/debug/x 2>/dev/null && echo files can be made
        echo over";
    for client in Client::both() {
        let flags = ["run", "--rm", "--network", "host", "busybox", "sh", "-c", script];
        let said = host.run(client, &flags);
        assert_eq!(said.text(), "over", "{client:?}");
    }
}

#[test]
fn devices_of_the_host_cannot_be_used_through_nodes_of_ones_own() {
    let host = HOST.host();
    // The numbers of a disk of the host, of its memory, of its kernel's log, of a kvm.
    let disk = fs::read_to_string("/proc/partitions").unwrap();
    let disk: Vec<&str> = disk.lines().nth(2).unwrap().split_whitespace().collect();
    let script = format!(
        "mknod /disk b {} {} && head -c 1 /disk && echo read a disk
         for numbers in '1 1' '1 4' '1 11' '10 232' '10 200' '5 3'; do
             rm -f /node; mknod /node c $numbers && head -c 1 /node && echo read $numbers
             (: > /node) && echo opened $numbers
         done
         echo over",
        disk[0], disk[1]
    );
    for client in Client::both() {
        let outcome = host.run(client, &["run", "--rm", "busybox", "sh", "-c", &script]);
        assert_eq!(outcome.stdout.trim(), "over", "{client:?}");
    }
}

#[test]
fn the_host_is_not_changed_from_inside() {
    let host = HOST.host();
    let script = "
        mount -t cgroup -o memory cgroup /mnt && echo mounted a cgroup
        mount -t proc proc /mnt && echo mounted a proc
        mount -o remount,rw /sys && echo made /sys writable
        mount -o remount,rw /proc/sys && echo made /proc/sys writable
        umount /proc/sys && echo uncovered /proc/sys
        for group in /sys/fs/cgroup/*; do
            mkdir $group/child && echo made a group
            if [ -e $group/release_agent ]; then
                (echo /x > $group/release_agent) && echo release agent
            fi
        done
        unshare -m true && echo made a mount namespace
        unshare -U true && echo made a user namespace
        nsenter -t 1 -m true && echo joined a namespace
        chroot /proc/1/root/../../.. test -e /run/barge && echo left by chroot
        hostname other && echo renamed
        dmesg && echo read the log of the kernel
        (echo x > /proc/sys/kernel/core_pattern) && echo core pattern
        (echo x > /proc/sys/kernel/modprobe) && echo modprobe
        (echo b > /proc/sysrq-trigger) && echo sysrq
        (echo -1000 > /proc/self/oom_score_adj) && echo oom score
        (echo 1 > /proc/1/oom_adj) && (echo -17 > /proc/1/oom_adj) && echo oom
        renice -n -10 $$ && echo reniced
        ip link add dummy0 type dummy && echo made a link
        ls /proc/[0-9]*/root/run/barge && echo saw the host
        echo over";
    for client in Client::both() {
        let outcome = host.run(client, &["run", "--rm", "busybox", "sh", "-c", script]);
        assert_eq!(outcome.stdout.trim(), "over", "{client:?}");
    }
}

#[test]
fn mounts_inside_are_not_seen_outside() {
    let host = HOST.host();
    let folder = host.scratch().join("propagation");
    fs::create_dir_all(&folder).unwrap();
    let volume = format!("{}:/mnt", folder.display());
    let name = host.unique("mounts");
    let flags = ["run", "-d", "--name", &name, "--privileged", "-v", &volume];
    host.barge(&[&flags[..], &["busybox", "sleep", "1000"]].concat()).ok();
    host.barge(&["exec", &name, "mount", "-t", "tmpfs", "inside", "/mnt"]).ok();
    host.barge(&["exec", &name, "touch", "/mnt/file"]).ok();
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!table.contains(folder.to_str().unwrap()), "{table}");
    assert!(!folder.join("file").exists());
    remove(&host, &name);
}

#[test]
fn there_is_nothing_below_a_containers_root() {
    let host = HOST.host();
    let name = host.unique("below");
    let mut flags = vec!["run", "-d", "--name", &name, "--cap-add", "SYS_ADMIN"];
    flags.extend(["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"]);
    host.barge(&[&flags[..], &["busybox", "sleep", "1000"]].concat()).ok();
    let exec = |script: &str| host.barge(&["exec", &name, "/bin/busybox", "sh", "-c", script]);
    exec("echo mine > /mark; mkdir -p /jail/bin; cp /bin/busybox /jail/bin").ok();

    // A folder outside of one's root leads up as far as the container's own, and no further.
    let climb = exec("nsenter -t 1 -m -r/jail -w/ /bin/busybox cat ../../../mark");
    assert_eq!(climb.text(), "mine");
    // The kernel does not take it for a chroot: in one nobody may make a user namespace.
    exec("unshare -r true").ok();
    exec("mkdir /jail/proc; ! chroot /jail /bin/busybox unshare -r /bin/busybox true").ok();
    // Its mounts are its own, from the root down.
    let first = exec("head -n1 /proc/self/mountinfo");
    let first: Vec<&str> = first.text().split(' ').collect();
    assert_eq!(first.get(3..5), Some(&["/", "/"][..]), "{first:?}");

    // Who takes the root away finds an empty folder.
    exec("umount -l /").ok();
    let outcome = exec("ls /");
    assert_eq!(outcome.code, 127, "{outcome}");
    remove(&host, &name);
}

#[test]
fn another_container_is_not_reached_through_a_shared_process_namespace() {
    let host = HOST.host();
    let (first, second) = (host.unique("first"), host.unique("second"));
    host.barge(&["run", "-d", "--name", &first, "busybox", "sleep", "1000"]).ok();
    let partner = format!("container:{first}");
    // Its processes are seen; its rights are not more than ours. Another user reaches nothing of root's.
    let script = "ls /proc/1/root/etc > /dev/null && echo root; cat /proc/1/environ && echo environ; \
                  ls -l /proc/1/fd/0 && echo fd; kill -9 1 && echo killed; echo over";
    let flags = ["run", "--rm", "--name", &second, "--pid", &partner, "-u", "worker"];
    let outcome = host.barge(&[&flags[..], &["busybox", "sh", "-c", script]].concat());
    assert_eq!(outcome.stdout.trim(), "over");
    assert_eq!(host.status(&first), "running");
    remove(&host, &first);
}

#[test]
fn a_container_that_stops_what_joins_it_hangs_nobody() {
    let host = HOST.host();
    let name = host.unique("stopper");
    let start = ["run", "-d", "--name", &name, "busybox", "sh", "-c"];
    let several = format!("({STOPPER}) & ({STOPPER}) & echo ready; {STOPPER}");
    host.barge(&[&start[..], &[&several]].concat()).ok();
    eventually("it is at work", || host.barge(&["logs", &name]).stdout.contains("ready"));
    let bystander = host.unique("bystander");
    host.barge(&["run", "-d", "--name", &bystander, "busybox", "sleep", "1000"]).ok();
    // Whether the command gets to run is a matter of luck; that everybody comes back is not.
    let execs: Vec<_> =
        (0..3).map(|_| host.start_client(Client::Barge, &["exec", &name, "true"])).collect();
    host.barge(&["exec", &bystander, "true"]).ok();
    remove(&host, &name);
    for exec in execs {
        drop(exec.wait());
    }
    remove(&host, &bystander);
}

#[test]
fn an_exec_whose_interpreter_is_itself_does_not_hand_out_the_runtime() {
    let host = HOST.host();
    let program = barge_testkit::program("barge-runtime");
    let before = fs::read(&program).unwrap();
    let name = host.unique("self");
    // CVE-2019-5736: the exec runs the runtime's own file, which the container waits to open for writing.
    let script = "printf '#!/proc/self/exe' > /bin/evil; chmod 755 /bin/evil; echo ready
        while :; do
            for exe in /proc/[0-9]*/exe; do
                case $exe in /proc/1/exe) continue;; esac
                (echo x >> $exe) 2>/dev/null && readlink $exe
            done
        done";
    host.barge(&["run", "-d", "--name", &name, "busybox", "sh", "-c", script]).ok();
    eventually("it lies in wait", || host.barge(&["logs", &name]).stdout.contains("ready"));
    for _ in 0..20 {
        let outcome = host.barge(&["exec", &name, "/bin/evil"]);
        assert_ne!(outcome.code, 0, "{outcome}");
    }
    let said = host.barge(&["logs", &name]);
    assert!(!said.stdout.contains("barge"), "{said}");
    assert!(fs::read(&program).unwrap() == before, "the runtime's file is as it was");
    remove(&host, &name);
}

#[test]
fn accounts_that_are_no_files_are_refused() {
    let host = HOST.host();
    for (make, what) in [
        ("mkfifo /etc/passwd", "a pipe would be waited for"),
        ("ln -s /dev/zero /etc/passwd", "a device has no end"),
        ("mkdir /etc/passwd", "a folder is no file"),
    ] {
        let name = host.unique("accounts");
        let script = format!("rm /etc/passwd && {make} && echo made && exec sleep 1000");
        host.barge(&["run", "-d", "--name", &name, "busybox", "sh", "-c", &script]).ok();
        eventually("it is made", || host.barge(&["logs", &name]).text() == "made");
        let outcome = host.barge(&["exec", "-u", "worker", &name, "true"]);
        assert_ne!(outcome.code, 0, "{what}");
        remove(&host, &name);
    }
}

#[test]
fn a_hostile_configuration_is_refused_or_harmless() {
    let host = HOST.host();
    let api = host.api();
    let create = |body: serde_json::Value| api.post("/containers/create", body);
    let base = || serde_json::json!({ "Image": "busybox", "Cmd": ["true"] });
    let changed = |key: &str, value: serde_json::Value| {
        let mut body = base();
        body[key] = value;
        body
    };
    let of_host = |key: &str, value: serde_json::Value| {
        let mut body = base();
        body["HostConfig"] = serde_json::json!({ key: value });
        body
    };
    let long = "x".repeat(3 << 20);
    let wrong = [
        changed("Env", serde_json::json!(["A=b\0c"])),
        changed("Env", serde_json::json!([format!("A={long}")])),
        changed("Cmd", serde_json::json!(["true", "a\0b"])),
        changed("User", serde_json::json!("root\0")),
        changed("User", serde_json::json!("-1")),
        changed("User", serde_json::json!("4294967296")),
        changed("WorkingDir", serde_json::json!("/a\0b")),
        changed("WorkingDir", serde_json::json!("../../etc")),
        changed("Hostname", serde_json::json!("x".repeat(65))),
        changed("Hostname", serde_json::json!("a\nb /etc")),
        of_host("Binds", serde_json::json!(["/tmp:/proc/self/attr"])),
        of_host("Binds", serde_json::json!(["/tmp:/"])),
        of_host("Binds", serde_json::json!(["/tmp:/x\0"])),
        of_host("Sysctls", serde_json::json!({ "kernel.core_pattern": "x" })),
        of_host("Sysctls", serde_json::json!({ "net.../../kernel.panic": "1" })),
        of_host("CgroupParent", serde_json::json!("../../../escape")),
        of_host("Devices", serde_json::json!([{ "PathOnHost": "/etc/passwd" }])),
        of_host("DeviceCgroupRules", serde_json::json!(["a *:* rwm\nb *:* rwm"])),
        of_host("ExtraHosts", serde_json::json!(["a:1.2.3.4\n6.6.6.6 b"])),
        of_host("Dns", serde_json::json!(["1.1.1.1\noptions x"])),
        of_host("PidsLimit", serde_json::json!(i64::MAX)),
        of_host("ShmSize", serde_json::json!(-1)),
        of_host("LogConfig", serde_json::json!({ "Type": "../../x" })),
    ];
    let mut accepted = Vec::new();
    for body in wrong {
        let reply = create(body.clone());
        if reply.status != 201 {
            assert!((400..500).contains(&reply.status), "{}: {body}", reply.status);
            continue;
        }
        // What is found out only at the start.
        let id = reply.json()["Id"].as_str().unwrap().to_owned();
        let started = api.post(&format!("/containers/{id}/start"), serde_json::Value::Null);
        if started.status == 204 {
            let text = body.to_string();
            accepted.push(text.get(..200).unwrap_or(&text).to_owned());
        }
        remove(&host, &id);
    }
    let harmless = |text: &String| text.contains("PidsLimit");
    accepted.retain(|text| !harmless(text));
    assert!(accepted.is_empty(), "{}", accepted.join("\n"));
    assert!(!Path::new("/sys/fs/cgroup/memory/escape").exists());
}

#[test]
fn a_terminal_does_not_type_for_its_user() {
    let host = HOST.host();
    // TIOCSTI puts bytes into a terminal's input, TIOCLINUX into a console's: the filter leaves the first to the
    // kernel, where the container's terminal is its own, and whoever attached has another.
    let outcome =
        host.barge(&["run", "--rm", "-t", "busybox", "sh", "-c", "tty; ls -l /dev/console"]);
    assert!(
        outcome.stdout.contains("/dev/console") || outcome.stdout.contains("/dev/pts"),
        "{outcome}"
    );
    let name = host.unique("tty");
    host.barge(&["run", "-d", "-t", "--name", &name, "busybox", "sleep", "1000"]).ok();
    // Nothing of the host's terminals is there.
    let listed = host.barge(&["exec", &name, "ls", "/dev/pts"]);
    assert_eq!(listed.text().split_whitespace().collect::<Vec<_>>(), ["0", "ptmx"]);
    remove(&host, &name);
}

#[test]
fn a_line_without_end_costs_no_memory() {
    let host = HOST.host();
    let name = host.unique("bomb");
    let script = "read x; head -c 100000000 /dev/zero; echo; echo over; read x";
    let flags = ["run", "-d", "-i", "--name", &name, "busybox", "sh", "-c", script];
    host.barge(&flags).ok();
    let mut attached = host.start_client(Client::Barge, &["attach", &name]);
    attached.send(b"go\n");
    eventually("all of it is logged", || {
        host.barge(&["logs", "--tail", "1", &name]).stdout.trim_end() == "over"
    });
    for (who, pid) in [("barged", host.daemon_pid()), ("the shim", host.shim(&name))] {
        let peak = peak_memory(pid);
        assert!(peak < 200 << 10, "{who} had {peak} KiB");
    }
    attached.send(b"end\n");
    assert_eq!(host.barge(&["wait", &name]).text(), "0");
    attached.close_stdin();
    drop(attached.wait());
    remove(&host, &name);
}

/// The most memory that a process ever had, in KiB.
fn peak_memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_folder_of_a_volume_is_looked_up_inside_of_it() {
    let host = TestHost::new();
    host.busybox();
    let make =
        "mkdir -p /v/sub/deep; echo inside > /v/sub/file; ln -s / /v/root; ln -s ../.. /v/sub/up";
    host.barge(&["run", "--rm", "-v", "data:/v", "busybox", "sh", "-c", make]).ok();
    let list = |subpath: &str| {
        let mount = format!("type=volume,src=data,dst=/x,volume-subpath={subpath}");
        host.barge(&["run", "--rm", "--mount", &mount, "busybox", "ls", "/x"])
    };
    assert_eq!(list("sub").text(), "deep\nfile\nup");
    assert_eq!(list("sub/deep").text(), "");
    // Wherever they point to, links end at the volume's root.
    assert_eq!(list("root").text(), "root\nsub");
    assert_eq!(list("sub/up").text(), "root\nsub");
    list("none").fails_saying(125, "subpath \"none\" does not exist in the volume");
}
