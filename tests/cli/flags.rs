//! The flags of `run`, each looked at from inside the container, and from the host where it shows there.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use barge_testkit::{Client, SharedHost, Sharing};

static HOST: Sharing = Sharing::new();

/// Flags, a script in the container, what it prints.
const INSIDE: [(&[&str], &str, &str); 44] = [
    (&[], "echo $PATH; pwd; id -u; hostname | wc -c", "/usr/local/bin:/bin\n/\n0\n13"),
    (&["-e", "A=1", "-e", "B=two words"], "echo $A,$B", "1,two words"),
    (&["-e", "EMPTY="], "echo ${EMPTY-unset}.", "."),
    (&[], "tr -s ' ' < /proc/self/status | grep Groups: | tr -d ' '", "Groups:\t0"),
    (&["-w", "/some/new/folder"], "pwd", "/some/new/folder"),
    (&["-w", "/../some/./other/../folder"], "pwd", "/some/folder"),
    (&["-u", "worker"], "id -u; id -g; echo $HOME", "1000\n1000\n/home/worker"),
    (&["-u", "worker"], "id -G", "1000 50"),
    (&["-u", "1234:4321"], "id -u; id -g; echo $HOME", "1234\n4321\n/"),
    (&["-u", "worker:staff"], "id -u; id -g", "1000\n50"),
    (
        &["--group-add", "staff", "--group-add", "77"],
        "grep Groups: /proc/self/status",
        "Groups:\t0 50 77",
    ),
    (&["-h", "box"], "hostname; grep -c box /etc/hosts; cat /etc/hostname", "box\n1\nbox"),
    (
        &["--hostname", "box", "--domainname", "example.org"],
        "hostname -f; grep -o 'box.*' /etc/hosts",
        "box.example.org\nbox.example.org box",
    ),
    (&["--network", "none"], "ls /sys/class/net", "lo"),
    (&["--network", "none"], "ping -c 1 -W 1 127.0.0.1 >/dev/null && echo up", "up"),
    (&["--add-host", "there:10.1.2.3"], "grep there /etc/hosts", "10.1.2.3\tthere"),
    (&["--add-host", "gate:host-gateway"], "grep -c 'gate$' /etc/hosts", "1"),
    (
        &["--dns", "10.9.8.7", "--dns-search", "example.org", "--dns-option", "ndots:3"],
        "grep -v '^#' /etc/resolv.conf | sort",
        "nameserver 10.9.8.7\noptions ndots:3\nsearch example.org",
    ),
    (&["--read-only"], "touch /x 2>&1; echo $?", "touch: /x: Read-only file system\n1"),
    (&["--read-only", "--tmpfs", "/work"], "touch /work/x && echo fine", "fine"),
    (
        &["--tmpfs", "/work:size=1m,mode=1770"],
        "stat -c %a /work; df -k /work | tail -1 | awk '{print $2}'; awk '$2==\"/work\"{print $3}' /proc/mounts",
        "1770\n1024\ntmpfs",
    ),
    (
        &["--mount", "type=tmpfs,dst=/work,tmpfs-size=2097152,tmpfs-mode=700"],
        "stat -c %a /work; df -k /work | tail -1 | awk '{print $2}'",
        "700\n2048",
    ),
    (&["--shm-size", "8m"], "df -k /dev/shm | tail -1 | awk '{print $2}'", "8192"),
    (&[], "df -k /dev/shm | tail -1 | awk '{print $2}'", "65536"),
    (
        &["--ulimit", "nofile=100:200", "--ulimit", "core=0"],
        "ulimit -Sn; ulimit -Hn; ulimit -c",
        "100\n200\n0",
    ),
    (
        &["--sysctl", "net.ipv4.ip_forward=0", "--sysctl", "kernel.msgmax=9000"],
        "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax",
        "0\n9000",
    ),
    (
        &["--device", "/dev/loop-control:/dev/control"],
        "test -c /dev/control && echo device",
        "device",
    ),
    (
        &["--security-opt", "no-new-privileges"],
        "grep NoNewPrivs /proc/self/status",
        "NoNewPrivs:\t1",
    ),
    (&[], "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t0"),
    (&["--cap-drop", "ALL"], "grep CapEff /proc/self/status", "CapEff:\t0000000000000000"),
    (
        &["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"],
        "grep CapEff /proc/self/status",
        "CapEff:\t0000000000001000",
    ),
    (
        &["--cap-add", "SYS_TIME", "--cap-drop", "CAP_CHOWN"],
        "grep CapBnd /proc/self/status",
        "CapBnd:\t00000000aa0425fa",
    ),
    (&["--init"], "echo $$", "2"),
    (&["--entrypoint", "echo"], "said", "said"),
    (&["--pids-limit", "50"], "cat /sys/fs/cgroup/pids/pids.max", "50"),
    (&["-m", "64m"], "cat /sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864"),
    (&["--cpus", "0.5"], "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000"),
    (&["--cgroupns", "private"], "cut -d: -f3 /proc/self/cgroup | sort -u", "/"),
    (&["--oom-score-adj", "321"], "cat /proc/self/oom_score_adj", "321"),
    (&["--label", "a=b", "--log-driver", "none"], "echo fine", "fine"),
    (&["--stop-signal", "SIGQUIT", "--stop-timeout", "3"], "echo fine", "fine"),
    (&["--ipc", "none"], "grep -c /dev/shm /proc/mounts; true", "0"),
    (
        &["--mac-address", "02:42:ac:11:00:99"],
        "cat /sys/class/net/eth0/address",
        "02:42:ac:11:00:99",
    ),
    (&["--env-file", "/dev/null"], "echo fine", "fine"),
];

#[test]
fn what_each_flag_does_inside() {
    let host = HOST.host();
    let mut wrong = Vec::new();
    for client in Client::both() {
        for (flags, script, expected) in INSIDE {
            let command: &[&str] = match flags {
                ["--entrypoint", _] => &["busybox", script],
                _ => &["busybox", "sh", "-c", script],
            };
            let outcome = host.run(client, &[&["run", "--rm"], flags, command].concat());
            if outcome.code != 0 || outcome.stdout.trim_end() != expected {
                wrong.push(format!("expected {expected:?}: {outcome}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A container that sleeps, removed at the end of the test.
fn sleeping(host: &SharedHost, client: Client, flags: &[&str]) -> String {
    let name = host.unique("flags");
    let start = ["run", "-d", "--name", &name];
    host.run(client, &[&start, flags, &["busybox", "sleep", "1000"]].concat()).ok();
    name
}

#[test]
fn limits_are_in_the_hosts_cgroups() {
    let host = HOST.host();
    for client in Client::both() {
        let flags = ["--cpus=0.1", "--memory=100MB", "--cpu-shares=512", "--pids-limit=77"];
        let name = sleeping(&host, client, &flags);
        let is = |controller, file, value: &str| {
            assert_eq!(host.cgroup(&name, controller, file), value, "{client:?} {file}");
        };
        is("cpu", "cpu.cfs_quota_us", "10000");
        is("cpu", "cpu.cfs_period_us", "100000");
        is("cpu", "cpu.shares", "512");
        is("memory", "memory.limit_in_bytes", "104857600");
        is("pids", "pids.max", "77");
        assert_eq!(host.processes(&name), [host.pid(&name)]);
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn cpuset_and_swap_are_in_the_hosts_cgroups() {
    let host = HOST.host();
    for client in Client::both() {
        let name =
            sleeping(&host, client, &["--cpuset-cpus", "0", "-m", "32m", "--memory-swap", "48m"]);
        assert_eq!(host.cgroup(&name, "cpuset", "cpuset.cpus"), "0");
        let inspected = host.inspect(&name);
        assert_eq!(inspected["HostConfig"]["Memory"], 32 << 20);
        assert_eq!(inspected["HostConfig"]["MemorySwap"], 48 << 20);
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn a_process_that_takes_too_much_memory_is_killed_and_that_is_shown() {
    let host = HOST.host();
    let name = host.unique("oom");
    let script = "dd if=/dev/zero of=/dev/null bs=64M count=1";
    let flags = ["run", "--name", &name, "-m", "16m", "--memory-swap", "16m", "busybox"];
    let outcome = host.barge(&[&flags[..], &["sh", "-c", script]].concat());
    assert!(outcome.code == 137 || outcome.code == 1, "{outcome}");
    assert_eq!(host.inspect(&name)["State"]["OOMKilled"], true, "{}", host.inspect(&name)["State"]);
    host.barge(&["rm", &name]).ok();
}

#[test]
fn an_env_file_has_comments_values_and_names_taken_from_the_client() {
    let host = HOST.host();
    let file = host.file("env", "# comment\nA=1\n\nB=x=y \nHOME\nNOT_THERE\n");
    for client in Client::both() {
        let arguments = ["run", "--rm", "--env-file", &file, "busybox", "env"];
        let outcome = host.run(client, &arguments);
        let lines: Vec<&str> = outcome.text().lines().collect();
        assert!(lines.contains(&"A=1") && lines.contains(&"B=x=y "), "{outcome}");
        assert!(lines.iter().any(|line| line.starts_with("HOME=/var/tmp")), "{outcome}");
        assert!(!outcome.stdout.contains("NOT_THERE"), "{outcome}");
    }
}

#[test]
fn binds_are_seen_from_both_sides_and_read_only_when_asked() {
    let host = HOST.host();
    for client in Client::both() {
        let folder = host.scratch().join(host.unique("bind"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("from-host"), "hi").unwrap();
        let path = folder.to_str().unwrap();
        let script = "cat /mnt/from-host && echo there > /mnt/from-inside";
        let volume = format!("{path}:/mnt");
        let run = |flags: &[&str], script: &str| {
            host.run(client, &[&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat())
        };
        assert_eq!(run(&["-v", &volume], script).text(), "hi");
        assert_eq!(fs::read_to_string(folder.join("from-inside")).unwrap(), "there\n");
        let read_only = "touch /mnt/x 2>&1; cat /mnt/from-host";
        let refused = "touch: /mnt/x: Read-only file system\nhi";
        assert_eq!(run(&["-v", &format!("{volume}:ro")], read_only).text(), refused);
        let mount = format!("type=bind,src={path},dst=/mnt,readonly");
        assert_eq!(run(&["--mount", &mount], read_only).text(), refused);
        let file = format!("{path}/from-host:/etc/one-file");
        assert_eq!(run(&["-v", &file], "cat /etc/one-file").text(), "hi");
        let missing = format!("{path}/made:/mnt");
        run(&["-v", &missing], "touch /mnt/x").ok();
        assert!(folder.join("made/x").exists(), "-v makes a missing source");
    }
}

#[test]
fn a_mount_point_that_is_a_link_does_not_lead_out_of_the_container() {
    let host = HOST.host();
    let outside = host.scratch().join(host.unique("victim"));
    fs::create_dir(&outside).unwrap();
    let tar = barge_testkit::busybox_rootfs().symlink("trap", outside.to_str().unwrap()).finish();
    host.run_with_input(Client::Barge, &["import", "-", "trap"], &tar).ok();
    for flags in [["--tmpfs", "/trap/below"], ["-v", "/tmp:/trap/below"], ["-w", "/trap/below"]] {
        // Whether it is made inside or refused is not the subject.
        host.run(Client::Barge, &[&["run", "--rm"], &flags[..], &["trap", "true"]].concat());
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing is made on the host");
}

#[test]
fn a_named_volume_is_filled_once_and_outlives_its_containers() {
    let host = HOST.host();
    for client in Client::both() {
        let volume = host.unique("volume");
        let flag = format!("{volume}:/home");
        let run = |script: &str| {
            host.run(client, &["run", "--rm", "-v", &flag, "busybox", "sh", "-c", script])
        };
        assert_eq!(run("ls /home; echo kept > /home/kept").text(), "worker");
        assert_eq!(run("cat /home/kept; rmdir /home/worker").text(), "kept");
        assert_eq!(run("ls /home").text(), "kept", "{client:?}: not filled again");
        let listed = host.run(client, &["volume", "ls", "-q"]);
        assert!(listed.text().lines().any(|line| line == volume), "{listed}");
        let data = host.data_root().join("volumes").join(&volume).join("_data/kept");
        assert_eq!(fs::read_to_string(data).unwrap(), "kept\n");
        host.run(client, &["volume", "rm", &volume]).ok();
    }
}

#[test]
fn an_anonymous_volume_goes_with_its_container() {
    let host = HOST.host();
    for client in Client::both() {
        let count = || fs::read_dir(host.data_root().join("volumes")).unwrap().count();
        let name = host.unique("anonymous");
        host.run(client, &["run", "--name", &name, "-v", "/home", "busybox", "ls", "/home"]).ok();
        let inspected = host.inspect(&name);
        let volume = inspected["Mounts"][0]["Name"].as_str().unwrap().to_owned();
        assert_eq!(volume.len(), 64);
        let folder = host.data_root().join("volumes").join(volume);
        assert!(folder.is_dir(), "{}", count());
        host.run(client, &["rm", "-v", &name]).ok();
        assert!(!folder.exists());
        host.run(client, &["run", "--rm", "-v", "/home", "busybox", "true"]).ok();
    }
}

#[test]
fn device_files_are_made_and_others_are_not_allowed() {
    let host = HOST.host();
    for client in Client::both() {
        let script = "mknod /tmp/disk b 254 0 && dd if=/tmp/disk of=/dev/null bs=512 count=1 2>&1";
        let outcome = host.run(client, &["run", "--rm", "busybox", "sh", "-c", script]);
        assert!(outcome.stdout.contains("Operation not permitted"), "{outcome}");
        let name = sleeping(&host, client, &["--device", "/dev/loop-control:/dev/control:r"]);
        let list = host.cgroup(&name, "devices", "devices.list");
        assert!(list.lines().any(|line| line == "c 10:237 r"), "{list}");
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn privileged_has_all_capabilities_and_all_devices() {
    let host = HOST.host();
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let bounding = own.lines().find(|line| line.starts_with("CapBnd")).unwrap();
    for client in Client::both() {
        let script = "grep -e CapEff -e Seccomp: /proc/self/status; test -w /proc/sys/kernel && \
                      mount -t tmpfs none /mnt && ls /dev/loop-control";
        let outcome =
            host.run(client, &["run", "--rm", "--privileged", "busybox", "sh", "-c", script]);
        let expected =
            format!("{}\nSeccomp:\t0\n/dev/loop-control", bounding.replace("Bnd", "Eff"));
        assert_eq!(outcome.text(), expected, "{client:?}");
    }
}

#[test]
fn labels_and_other_settings_are_shown_by_inspect() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("shown");
        let flags = [
            "create",
            "--name",
            &name,
            "--label",
            "a=b",
            "--label",
            "empty",
            "--stop-signal",
            "SIGINT",
            "--stop-timeout",
            "7",
            "--restart",
            "on-failure:3",
            "-e",
            "X=y",
            "--log-driver",
            "none",
            "-p",
            "127.0.0.1:8080:80/tcp",
            "-i",
            "-t",
        ];
        host.run(client, &[&flags[..], &["busybox", "sleep", "1"]].concat()).ok();
        let it = host.inspect(&name);
        assert_eq!(it["Config"]["Labels"], serde_json::json!({"a": "b", "empty": ""}));
        assert_eq!(it["Config"]["StopSignal"], "SIGINT");
        assert_eq!(it["Config"]["StopTimeout"], 7);
        assert_eq!(it["Config"]["Tty"], true);
        assert_eq!(it["Config"]["OpenStdin"], true);
        assert_eq!(it["HostConfig"]["RestartPolicy"]["Name"], "on-failure");
        assert_eq!(it["HostConfig"]["RestartPolicy"]["MaximumRetryCount"], 3);
        assert_eq!(it["HostConfig"]["LogConfig"]["Type"], "none");
        assert_eq!(it["HostConfig"]["PortBindings"]["80/tcp"][0]["HostPort"], "8080");
        assert_eq!(it["Path"], "sleep");
        assert_eq!(it["Args"], serde_json::json!(["1"]));
        let asked = host.run(
            client,
            &["inspect", "-f", "{{.Config.StopSignal}} {{index .Config.Labels \"a\"}}", &name],
        );
        assert_eq!(asked.text(), "SIGINT b");
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn the_layers_of_a_container_are_shown_and_merged_on_the_host() {
    let host = HOST.host();
    let name = sleeping(&host, Client::Barge, &[]);
    host.barge(&["exec", &name, "touch", "/written"]).ok();
    let data = &host.inspect(&name)["GraphDriver"];
    assert_eq!(data["Name"], "overlay2");
    let folder = |key: &str| std::path::PathBuf::from(data["Data"][key].as_str().unwrap());
    assert!(folder("UpperDir").join("written").exists());
    assert!(folder("MergedDir").join("written").exists());
    assert!(folder("MergedDir").join("bin/busybox").exists());
    assert!(folder("WorkDir").is_dir());
    let lower = data["Data"]["LowerDir"].as_str().unwrap().to_owned();
    let init = lower.split(':').next().unwrap();
    assert!(init.ends_with("-init/diff"), "{lower}");
    assert!(fs::metadata(init).unwrap().is_dir());
    host.barge(&["rm", "-f", &name]).ok();
}

#[test]
fn logs_are_not_kept_by_the_driver_none() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("unlogged");
        let flags = ["run", "--name", &name, "--log-driver", "none", "busybox", "echo", "seen"];
        assert_eq!(host.run(client, &flags).text(), "seen");
        let logs = host.run(client, &["logs", &name]);
        logs.fails_saying(1, "configured logging driver does not support reading");
        host.run(client, &["rm", &name]).ok();
    }
}

#[test]
fn the_json_file_is_dockers() {
    let host = HOST.host();
    let name = host.unique("json");
    host.barge(&["run", "--name", &name, "--log-driver", "json-file", "busybox", "echo", "a\"b"])
        .ok();
    let path = host.inspect(&name)["LogPath"].as_str().unwrap().to_owned();
    assert!(path.ends_with("-json.log"), "{path}");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    let line: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!((&line["log"], &line["stream"]), (&"a\"b\n".into(), &"stdout".into()));
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
    for client in Client::both() {
        assert_eq!(host.run(client, &["logs", &name]).text(), "a\"b");
        let stamped = host.run(client, &["logs", "-t", &name]);
        // The clients' times have all their digits, those of the file no zeros at the end.
        let (time, text) = stamped.text().split_once(' ').unwrap();
        let written = line["time"].as_str().unwrap().trim_end_matches('Z');
        assert!(time.len() == 30 && time.starts_with(written) && text == "a\"b", "{stamped}");
        assert_eq!(host.run(client, &["logs", "--tail", "0", &name]).text(), "");
        assert_eq!(host.run(client, &["logs", "--since", "1h", &name]).text(), "a\"b");
        assert_eq!(host.run(client, &["logs", "--until", "1h", &name]).text(), "");
    }
    host.barge(&["rm", &name]).ok();
}

#[test]
fn an_init_reaps_orphans() {
    let host = HOST.host();
    for client in Client::both() {
        let name = host.unique("init");
        host.run(client, &["run", "-d", "--init", "--name", &name, "busybox", "sleep", "1000"])
            .ok();
        // The inner shell ends at once; its child becomes pid 1's and ends after it.
        let script = "sh -c 'sh -c \"kill -STOP \\$\\$; exit 0\" & echo $!'";
        let orphan = host.run(client, &["exec", &name, "sh", "-c", script]);
        let pid = orphan.text().to_owned();
        host.run(client, &["exec", &name, "kill", "-CONT", &pid]).ok();
        barge_testkit::eventually("the orphan is reaped", || {
            host.run(client, &["exec", &name, "test", "-e", &format!("/proc/{pid}")]).code == 1
        });
        host.run(client, &["rm", "-f", &name]).ok();
    }
}
