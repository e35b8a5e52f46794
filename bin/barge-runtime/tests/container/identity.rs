//! Users, capabilities, limits, kernel settings, seccomp.

use barge_oci::runtime::Rlimit;

use crate::laboratory::Lab;

/// Docker's default set: the number that `/proc/self/status` shows for it.
const DOCKER: &str = "00000000a80425fb";

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim()
}

#[test]
fn root_has_exactly_dockers_capabilities() {
    let status = Lab::new(&["/bin/cat", "/proc/self/status"]).run();
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(field(&status, set), DOCKER, "{set}");
    }
    for set in ["CapInh:", "CapAmb:"] {
        assert_eq!(field(&status, set), "0000000000000000", "{set}");
    }
    assert_eq!(field(&status, "NoNewPrivs:"), "0");
    assert_eq!(field(&status, "SigBlk:"), "0000000000000000");
    assert_eq!(field(&status, "SigIgn:"), "0000000000000000");
}

#[test]
fn another_user_has_no_capability_but_the_bounding_set() {
    let mut lab = Lab::shell("cat /proc/self/status; id; umask");
    lab.process().user.username = Some("jane".to_owned());
    let text = lab.run();
    assert_eq!(field(&text, "CapEff:"), "0000000000000000");
    assert_eq!(field(&text, "CapBnd:"), DOCKER);
    assert!(text.contains("uid=1000(jane) gid=1001(users) groups=44(video),1001(users)"), "{text}");
    assert!(text.ends_with("0022"), "{text}");
}

#[test]
fn an_ambient_capability_is_kept_over_the_change_of_user() {
    let mut lab = Lab::shell("cat /proc/self/status");
    lab.process().user.uid = 1000;
    let capabilities = lab.process().capabilities.as_mut().unwrap();
    capabilities.inheritable = vec!["CAP_NET_BIND_SERVICE".to_owned()];
    capabilities.ambient = vec!["CAP_NET_BIND_SERVICE".to_owned()];
    let status = lab.run();
    assert_eq!(field(&status, "CapEff:"), "0000000000000400");
    assert_eq!(field(&status, "CapAmb:"), "0000000000000400");
}

#[test]
fn an_unknown_capability_is_named() {
    let mut lab = Lab::new(&["/bin/true"]);
    lab.process().capabilities.as_mut().unwrap().bounding.push("CAP_FLY".to_owned());
    assert_eq!(lab.try_run().unwrap_err().message, "unknown capability \"CAP_FLY\"");
}

#[test]
fn no_new_privileges_is_set_when_asked() {
    let mut lab = Lab::shell("grep NoNewPrivs /proc/self/status");
    lab.process().no_new_privileges = true;
    assert_eq!(lab.run(), "NoNewPrivs:\t1");
}

#[test]
fn limits_are_set_and_raising_a_hard_one_tells_its_number() {
    let mut lab = Lab::shell("ulimit -Sn; ulimit -Hn; ulimit -c");
    let limit = |kind: &str, soft, hard| Rlimit { kind: kind.to_owned(), soft, hard };
    lab.process().rlimits = vec![limit("RLIMIT_NOFILE", 100, 200), limit("RLIMIT_CORE", 0, 0)];
    assert_eq!(lab.run(), "100\n200\n0");
    // Over the kernel's own fs.nr_open: refused even with every capability.
    lab.process().rlimits = vec![limit("RLIMIT_NOFILE", 1 << 40, 1 << 40)];
    let error = lab.try_run().unwrap_err();
    assert_eq!(error.message, "error setting rlimit type 7: operation not permitted");
    lab.process().rlimits = vec![limit("RLIMIT_FUN", 1, 1)];
    assert_eq!(lab.try_run().unwrap_err().message, "invalid rlimit type: RLIMIT_FUN");
}

#[test]
fn the_score_for_the_oom_killer_is_raised() {
    let mut lab = Lab::shell("cat /proc/self/oom_score_adj");
    lab.process().oom_score_adj = Some(321);
    assert_eq!(lab.run(), "321");
}

#[test]
fn users_are_found_in_the_containers_files() {
    let user = |name: &str| {
        let mut lab = Lab::shell("echo $(id -u):$(id -g):$(id -G):$HOME");
        lab.process().user.username = Some(name.to_owned());
        lab.try_run().map(|ran| ran.stdout.trim().to_owned())
    };
    assert_eq!(user("jane").unwrap(), "1000:1001:1001 44:/home/jane");
    assert_eq!(user("jane:video").unwrap(), "1000:44:44:/home/jane");
    assert_eq!(user("4711:12").unwrap(), "4711:12:12:/");
    assert_eq!(user("").unwrap(), "0:0:0:/root");
    assert_eq!(
        user("ghost").unwrap_err().message,
        "unable to find user ghost: no matching entries in passwd file"
    );
    assert_eq!(
        user("jane:ghosts").unwrap_err().message,
        "unable to find group ghosts: no matching entries in group file"
    );
}

#[test]
fn a_passwd_that_is_a_link_to_the_host_is_looked_up_inside() {
    let mut lab = Lab::shell("id -u");
    lab.process().user.username = Some("inside".to_owned());
    let root = lab.rootfs.path();
    std::fs::remove_file(root.join("etc/passwd")).unwrap();
    std::os::unix::fs::symlink("/../../real", root.join("etc/passwd")).unwrap();
    std::fs::write(root.join("real"), "inside:x:77:77::/:\n").unwrap();
    assert_eq!(lab.run(), "77");
}

#[test]
fn home_of_the_environment_is_kept() {
    let mut lab = Lab::shell("echo $HOME");
    lab.process().env.push("HOME=/elsewhere".to_owned());
    assert_eq!(lab.run(), "/elsewhere");
    lab.process().env.pop();
    assert_eq!(lab.run(), "/root");
}

#[test]
fn stdio_belongs_to_the_user() {
    let mut lab = Lab::shell("echo through > /dev/stdout");
    lab.process().user.uid = 1000;
    assert_eq!(lab.run(), "through");
}

#[test]
fn kernel_settings_are_written_and_the_hosts_refused() {
    let mut lab = Lab::shell("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni");
    lab.linux().sysctl.insert("net.ipv4.ip_forward".to_owned(), "1".to_owned());
    lab.linux().sysctl.insert("kernel.shmmni".to_owned(), "77".to_owned());
    assert_eq!(lab.run(), "1\n77");
    lab.linux().sysctl.insert("vm.swappiness".to_owned(), "1".to_owned());
    assert!(lab.try_run().unwrap_err().message.contains("not in a separate kernel namespace"));
}

#[test]
fn the_domain_name_is_set() {
    let mut lab = Lab::shell("cat /proc/sys/kernel/domainname");
    lab.spec.domainname = Some("example.org".to_owned());
    assert_eq!(lab.run(), "example.org");
}

#[test]
fn the_working_directory_is_made_and_must_be_one() {
    let mut lab = Lab::shell("pwd");
    lab.process().cwd = "/made/for/it".to_owned();
    assert_eq!(lab.run(), "/made/for/it");
    lab.process().cwd = "/etc/passwd".to_owned();
    let error = lab.try_run().unwrap_err();
    assert_eq!(
        error.message,
        "chdir to cwd (\"/etc/passwd\") set in config.json failed: not a directory"
    );
    lab.process().cwd = "/proc/self/fd/3".to_owned();
    assert!(lab.try_run().is_err());
}

/// A filter that turns one call into EPERM.
fn filter(call: u32) -> Vec<u8> {
    let instruction = |code: u16, jump_false: u8, value: u32| {
        let mut bytes = code.to_ne_bytes().to_vec();
        bytes.extend([0, jump_false]);
        bytes.extend(value.to_ne_bytes());
        bytes
    };
    [
        instruction(0x20, 0, 0),
        instruction(0x15, 1, call),
        instruction(0x06, 0, 0x0005_0001),
        instruction(0x06, 0, 0x7fff_0000),
    ]
    .concat()
}

#[test]
fn a_filter_is_in_force_with_and_without_new_privileges_and_for_every_user() {
    const MKDIR: u32 = 83;
    for (uid, no_new_privileges) in [(0, false), (0, true), (1000, false), (1000, true)] {
        let mut lab = Lab::shell("grep Seccomp: /proc/self/status; busybox mkdir /tmp/x");
        lab.filter = Some(filter(MKDIR));
        lab.process().user.uid = uid;
        lab.process().no_new_privileges = no_new_privileges;
        let text = lab.try_run().unwrap().stdout;
        assert!(text.starts_with("Seccomp:\t2\n"), "{text}");
        assert!(text.contains("Operation not permitted"), "{text}");
    }
}

#[test]
fn a_filter_that_the_kernel_refuses_is_an_error_of_its_stage() {
    let mut lab = Lab::new(&["/bin/true"]);
    lab.filter = Some(vec![0xff; 8]);
    let error = lab.try_run().unwrap_err();
    assert_eq!(error.stage, barge_runtime_core::Stage::Seccomp);
}
