//! Decisions of compiled filters, call by call.

use barge_oci::runtime::SeccompOperator;

use super::*;
use crate::{
    Circumstances, KernelVersion, Profile,
    interpreter::{Call, run},
    tables::TABLE,
};

const REFUSED: u32 = ERRNO | EPERM;
const MISSING: u32 = ERRNO | ENOSYS;
/// What Docker gives a container.
const DOCKER: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

fn call(arch: Arch, name: &str, arguments: &[u64]) -> Call {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    Call { audit: arch.audit(), number: arch.number(name).unwrap(), arguments: all }
}

fn default_filter(extra: &[&str], kernel: KernelVersion) -> (LinuxSeccomp, Filter) {
    let circumstances = Circumstances {
        capabilities: DOCKER.iter().chain(extra).map(|&name| name.to_owned()).collect(),
        kernel,
    };
    let resolved = Profile::docker_default().resolve(&circumstances);
    let filter = compile(&resolved).unwrap();
    (resolved, filter)
}

/// The default filter's answer to one call of an ordinary container.
fn answer(arch: Arch, name: &str, arguments: &[u64]) -> u32 {
    let (_, filter) = default_filter(&[], KernelVersion(6, 18));
    run(&filter, &call(arch, name, arguments)).0
}

fn argument(index: u32, op: SeccompOperator, value: u64) -> LinuxSeccompArg {
    LinuxSeccompArg { index, value, value_two: 0, op }
}

fn rule(action: SeccompAction, args: Vec<LinuxSeccompArg>) -> LinuxSyscall {
    LinuxSyscall { names: vec!["getpid".to_owned()], action, errno_ret: None, args }
}

fn refuse_all(syscalls: Vec<LinuxSyscall>) -> LinuxSeccomp {
    LinuxSeccomp {
        default_action: SeccompAction::Errno,
        default_errno_ret: None,
        architectures: vec![SeccompArch::X8664, SeccompArch::X86, SeccompArch::X32],
        flags: Vec::new(),
        listener_path: None,
        listener_metadata: None,
        syscalls,
    }
}

/// What the rules say, worked out the slow way.
fn by_the_rules(seccomp: &LinuxSeccomp, name: &str, arguments: &[u64; 6]) -> Option<u32> {
    let holds = |one: &LinuxSeccompArg| {
        let value = arguments[usize::try_from(one.index).unwrap()];
        match one.op {
            SeccompOperator::NotEqual => value != one.value,
            SeccompOperator::Less => value < one.value,
            SeccompOperator::LessOrEqual => value <= one.value,
            SeccompOperator::Equal => value == one.value,
            SeccompOperator::GreaterOrEqual => value >= one.value,
            SeccompOperator::Greater => value > one.value,
            SeccompOperator::MaskedEqual => value & one.value == one.value_two,
        }
    };
    seccomp
        .syscalls
        .iter()
        .filter(|rule| rule.names.iter().any(|known| known == name))
        .find(|rule| rule.args.iter().all(holds))
        .map(|rule| outcome(rule.action, rule.errno_ret).unwrap())
}

#[test]
fn every_call_of_every_architecture_gets_what_the_rules_say() {
    for extra in [&[][..], &["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYSLOG"]] {
        let (resolved, filter) = default_filter(extra, KernelVersion(6, 18));
        for arch in [Arch::X8664, Arch::X86, Arch::X32] {
            let named = |name: &str| {
                resolved.syscalls.iter().any(|rule| rule.names.iter().any(|known| known == name))
            };
            let numbers = TABLE.iter().filter(|row| named(row.0));
            let highest = numbers.filter_map(|row| arch.number(row.0)).max().unwrap();
            for (name, ..) in TABLE.iter().filter(|row| arch.number(row.0).is_some()) {
                for arguments in [[0; 6], [40; 6], [0x7e02_0000; 6], [0xffff_ffff; 6]] {
                    let call = call(arch, name, &arguments);
                    let default = if call.number > highest { MISSING } else { REFUSED };
                    let wanted = by_the_rules(&resolved, name, &arguments).unwrap_or(default);
                    assert_eq!(run(&filter, &call).0, wanted, "{arch:?} {name} {arguments:x?}");
                }
            }
        }
    }
}

#[test]
fn calls_without_conditions_are_decided_by_their_number() {
    let (resolved, filter) = default_filter(&[], KernelVersion(6, 18));
    let conditional = |name: &str| {
        resolved
            .syscalls
            .iter()
            .any(|rule| !rule.args.is_empty() && rule.names.iter().any(|known| known == name))
    };
    for (name, ..) in TABLE.iter().filter(|row| Arch::X8664.number(row.0).is_some()) {
        let (_, looked) = run(&filter, &call(Arch::X8664, name, &[]));
        assert_eq!(looked, conditional(name), "{name}");
    }
}

#[test]
fn the_default_filter_refuses_what_docker_refuses() {
    for name in [
        "mount",
        "umount2",
        "unshare",
        "setns",
        "keyctl",
        "add_key",
        "request_key",
        "bpf",
        "perf_event_open",
        "reboot",
        "kexec_load",
        "init_module",
        "delete_module",
        "swapon",
        "pivot_root",
        "settimeofday",
        "syslog",
        "open_by_handle_at",
        "userfaultfd",
        "io_uring_setup",
        "acct",
        "quotactl",
        "nfsservctl",
        "move_pages",
        "mbind",
        "iopl",
    ] {
        assert_eq!(answer(Arch::X8664, name, &[]), REFUSED, "{name}");
    }
    for name in ["ptrace", "chroot", "mknod", "personality", "arch_prctl", "modify_ldt"] {
        assert_eq!(answer(Arch::X8664, name, &[]), ALLOW, "{name}");
    }
}

#[test]
fn capabilities_let_their_calls_through() {
    let (_, filter) = default_filter(&["CAP_SYS_ADMIN", "CAP_SYS_BOOT"], KernelVersion(6, 18));
    for name in ["mount", "unshare", "clone3", "setns", "bpf", "reboot"] {
        let found = run(&filter, &call(Arch::X8664, name, &[u64::MAX; 6])).0;
        assert_eq!(found, ALLOW, "{name}");
    }
    let found = run(&filter, &call(Arch::X8664, "clone", &[1 << 28])).0;
    assert_eq!(found, ALLOW);
    let keyctl = run(&filter, &call(Arch::X8664, "keyctl", &[])).0;
    assert_eq!(keyctl, REFUSED, "no capability lets this one through");
}

#[test]
fn clone_may_not_make_namespaces_and_clone3_does_not_exist() {
    for arch in [Arch::X8664, Arch::X86, Arch::X32] {
        assert_eq!(answer(arch, "clone", &[0x11]), ALLOW);
        for flag in [17, 25, 26, 27, 28, 29, 30] {
            assert_eq!(answer(arch, "clone", &[0x11 | 1 << flag]), REFUSED, "{flag}");
        }
        assert_eq!(answer(arch, "clone3", &[]), MISSING);
    }
    let beyond = answer(Arch::X8664, "clone", &[1 << 32 | 0x11]);
    assert_eq!(beyond, ALLOW, "the upper half is outside the mask");
}

#[test]
fn only_common_personalities_are_allowed() {
    for value in [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff] {
        assert_eq!(answer(Arch::X8664, "personality", &[value]), ALLOW, "{value:#x}");
        assert_eq!(answer(Arch::X86, "personality", &[value]), ALLOW, "{value:#x}");
    }
    // ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC, and a wrong upper half.
    for value in [0x4_0000, 0x40_0000, 1 << 32, 8 | 1 << 32] {
        assert_eq!(answer(Arch::X8664, "personality", &[value]), REFUSED, "{value:#x}");
    }
}

#[test]
fn sockets_of_the_hypervisor_and_of_kernel_crypto_are_refused() {
    for family in [1, 2, 10, 16, 17, 31] {
        assert_eq!(answer(Arch::X8664, "socket", &[family]), ALLOW, "{family}");
    }
    for family in [12, 38, 40, 46, 40 | 1 << 32, 2 | 1 << 32] {
        assert_eq!(answer(Arch::X8664, "socket", &[family]), REFUSED, "{family:#x}");
    }
    assert_eq!(answer(Arch::X86, "socket", &[40]), REFUSED);
    assert_eq!(answer(Arch::X86, "socketcall", &[1]), ALLOW);
}

#[test]
fn ptrace_needs_a_kernel_that_holds_filters_against_it() {
    let ptrace = call(Arch::X8664, "ptrace", &[]);
    let (_, old) = default_filter(&[], KernelVersion(4, 7));
    assert_eq!(run(&old, &ptrace).0, REFUSED);
    let (_, new) = default_filter(&[], KernelVersion(4, 8));
    assert_eq!(run(&new, &ptrace).0, ALLOW);
    let (_, old) = default_filter(&["CAP_SYS_PTRACE"], KernelVersion(4, 7));
    assert_eq!(run(&old, &ptrace).0, ALLOW);
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    for base in [0, X32_BIT] {
        for number in [470, 500, 1_000, 0x3fff_ffff] {
            let (_, filter) = default_filter(&[], KernelVersion(6, 18));
            let call =
                Call { audit: Arch::X8664.audit(), number: number | base, arguments: [0; 6] };
            // x32 has a second range of its own, up to 547.
            let wanted = if number == 500 && base == X32_BIT { REFUSED } else { MISSING };
            let wanted = if number == 470 && base == X32_BIT { REFUSED } else { wanted };
            assert_eq!(run(&filter, &call).0, wanted, "{number} {base:#x}");
        }
    }
}

#[test]
fn an_architecture_that_is_not_named_is_killed() {
    let mut policy = refuse_all(vec![rule(SeccompAction::Allow, Vec::new())]);
    policy.architectures.clear();
    let filter = compile(&policy).unwrap();
    assert_eq!(run(&filter, &call(Arch::X8664, "getpid", &[])).0, ALLOW);
    for arch in [Arch::X86, Arch::X32, Arch::Aarch64] {
        assert_eq!(run(&filter, &call(arch, "getpid", &[])).0, KILL_PROCESS, "{arch:?}");
    }
    let skipped = Call { audit: Arch::X8664.audit(), number: u32::MAX, arguments: [0; 6] };
    assert_eq!(run(&filter, &skipped).0, MISSING, "a tracer skips a call");
}

#[test]
fn every_operator_compares_all_64_bits() {
    let edges = [
        0,
        1,
        0x7fff_ffff,
        0xffff_ffff,
        1 << 32,
        (1 << 32) + 1,
        (5 << 32) + 7,
        (5 << 32) + 8,
        (6 << 32) + 7,
        u64::MAX - 1,
        u64::MAX,
    ];
    for op in [
        SeccompOperator::NotEqual,
        SeccompOperator::Less,
        SeccompOperator::LessOrEqual,
        SeccompOperator::Equal,
        SeccompOperator::GreaterOrEqual,
        SeccompOperator::Greater,
        SeccompOperator::MaskedEqual,
    ] {
        for value in edges {
            for value_two in [0, value, value & 0xffff_ffff] {
                let mut one = argument(3, op, value);
                one.value_two = value_two;
                let policy = refuse_all(vec![rule(SeccompAction::Allow, vec![one])]);
                let filter = compile(&policy).unwrap();
                for given in edges {
                    let arguments = [9, 9, 9, given, 9, 9];
                    let wanted = by_the_rules(&policy, "getpid", &arguments).unwrap_or(REFUSED);
                    let call = call(Arch::X8664, "getpid", &arguments);
                    let found = run(&filter, &call).0;
                    assert_eq!(found, wanted, "{given:#x} {op:?} {value:#x} {value_two:#x}");
                }
            }
        }
    }
}

#[test]
fn conditions_on_several_arguments_must_all_hold() {
    let both = vec![
        argument(0, SeccompOperator::Equal, 1),
        argument(5, SeccompOperator::GreaterOrEqual, 7 << 40),
    ];
    let filter = compile(&refuse_all(vec![rule(SeccompAction::Allow, both)])).unwrap();
    let answer = |first, last| {
        let arguments = [first, 0, 0, 0, 0, last];
        run(&filter, &call(Arch::X8664, "getpid", &arguments)).0
    };
    assert_eq!(answer(1, 7 << 40), ALLOW);
    assert_eq!(answer(0, 7 << 40), REFUSED);
    assert_eq!(answer(1, 6 << 40), REFUSED);
}

#[test]
fn conditions_on_one_argument_are_alternatives() {
    let either =
        vec![argument(0, SeccompOperator::Equal, 1), argument(0, SeccompOperator::Equal, 2)];
    let filter = compile(&refuse_all(vec![rule(SeccompAction::Allow, either)])).unwrap();
    let answer = |first| run(&filter, &call(Arch::X8664, "getpid", &[first])).0;
    assert_eq!([answer(1), answer(2), answer(3)], [ALLOW, ALLOW, REFUSED]);
}

#[test]
fn the_first_rule_that_matches_counts() {
    let mut special = rule(SeccompAction::Errno, vec![argument(0, SeccompOperator::Equal, 1)]);
    special.errno_ret = Some(7);
    let rules = vec![
        special,
        rule(SeccompAction::Allow, Vec::new()),
        rule(SeccompAction::KillProcess, Vec::new()),
    ];
    let filter = compile(&refuse_all(rules)).unwrap();
    let answer = |first| run(&filter, &call(Arch::X8664, "getpid", &[first])).0;
    assert_eq!([answer(1), answer(2)], [ERRNO | 7, ALLOW]);
}

#[test]
fn every_action_has_its_word() {
    for (action, wanted) in [
        (SeccompAction::Kill, 0),
        (SeccompAction::KillThread, 0),
        (SeccompAction::KillProcess, 0x8000_0000),
        (SeccompAction::Trap, 0x0003_0000),
        (SeccompAction::Errno, 0x0005_0001),
        (SeccompAction::Trace, 0x7ff0_0001),
        (SeccompAction::Log, 0x7ffc_0000),
        (SeccompAction::Allow, 0x7fff_0000),
    ] {
        assert_eq!(outcome(action, None).unwrap(), wanted, "{action:?}");
    }
}

#[test]
fn what_cannot_be_compiled_is_refused() {
    let mut wrong = rule(SeccompAction::Allow, vec![argument(6, SeccompOperator::Equal, 0)]);
    assert!(matches!(
        compile(&refuse_all(vec![wrong.clone()])),
        Err(SeccompError::Argument { index: 6, .. })
    ));
    wrong.args.clear();
    wrong.action = SeccompAction::Errno;
    wrong.errno_ret = Some(4096);
    assert!(matches!(compile(&refuse_all(vec![wrong.clone()])), Err(SeccompError::Errno(4096))));
    wrong.action = SeccompAction::Notify;
    wrong.errno_ret = None;
    assert!(matches!(compile(&refuse_all(vec![wrong])), Err(SeccompError::Notify)));
    let mut policy = refuse_all(Vec::new());
    policy.flags = vec!["SECCOMP_FILTER_FLAG_LOG".to_owned()];
    assert_eq!(compile(&policy).unwrap().flags(), 2);
    policy.flags = vec!["SECCOMP_FILTER_FLAG_MAGIC".to_owned()];
    assert!(matches!(compile(&policy), Err(SeccompError::Flag(_))));
}

#[test]
fn unknown_names_are_skipped() {
    let mut unknown = rule(SeccompAction::Allow, Vec::new());
    unknown.names = vec!["of_the_future".to_owned(), "getpid".to_owned()];
    let filter = compile(&refuse_all(vec![unknown])).unwrap();
    assert_eq!(run(&filter, &call(Arch::X8664, "getpid", &[])).0, ALLOW);
}

#[test]
fn a_profile_of_docker_is_read() {
    let json = br#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"archMap":[
        {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},
        {"architecture":"SCMP_ARCH_RISCV64","subArchitectures":null}],
        "syscalls":[{"names":["getpid"],"action":"SCMP_ACT_ALLOW","args":null,"comment":"",
          "includes":{"minKernel":"4.8"},"excludes":{"caps":["CAP_SYS_ADMIN"]}},
         {"name":"chroot","action":"SCMP_ACT_ALLOW","includes":{"arches":["s390"]}}]}"#;
    let profile = Profile::from_json(json).unwrap();
    let mut circumstances =
        Circumstances { capabilities: BTreeSet::new(), kernel: "6.18.44-generic".parse().unwrap() };
    let resolved = profile.resolve(&circumstances);
    assert_eq!(resolved.syscalls.len(), 1);
    assert_eq!(resolved.architectures, [SeccompArch::X8664, SeccompArch::X86]);
    let filter = compile(&resolved).unwrap();
    let answer = |name| run(&filter, &call(Arch::X8664, name, &[])).0;
    assert_eq!([answer("getpid"), answer("chroot")], [ALLOW, MISSING]);
    circumstances.capabilities.insert("CAP_SYS_ADMIN".to_owned());
    assert!(profile.resolve(&circumstances).syscalls.is_empty());
    let text = serde_json::to_vec(&profile).unwrap();
    assert_eq!(Profile::from_json(&text).unwrap(), profile);
}

#[test]
fn profiles_that_say_things_twice_are_refused() {
    let twice = br#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],
        "archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}"#;
    assert!(matches!(Profile::from_json(twice), Err(SeccompError::ArchitecturesTwice)));
    let twice = br#"{"defaultAction":"SCMP_ACT_ALLOW",
        "syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"}]}"#;
    assert!(matches!(Profile::from_json(twice), Err(SeccompError::NamesTwice(_))));
    assert!(matches!(Profile::from_json(b"{"), Err(SeccompError::Json(_))));
    let unknown = br#"{"defaultAction":"SCMP_ACT_DANCE"}"#;
    assert!(matches!(Profile::from_json(unknown), Err(SeccompError::Json(_))));
}

/// `arg0` against a row of numbers; not equal, so that they are no list.
fn less_than_each(numbers: impl Iterator<Item = u64>) -> LinuxSeccomp {
    let many = numbers.map(|number| argument(0, SeccompOperator::LessOrEqual, number));
    refuse_all(vec![rule(SeccompAction::Allow, many.collect())])
}

#[test]
fn long_conditions_still_reach_their_ends() {
    let filter = compile(&less_than_each(0..400));
    assert!(matches!(filter, Err(SeccompError::TooLong(_))));
    let filter = compile(&less_than_each(0..200)).unwrap();
    let answer = |name, value| run(&filter, &call(Arch::X8664, name, &[value])).0;
    assert_eq!(answer("getpid", 199), ALLOW);
    assert_eq!(answer("getpid", 200), REFUSED);
    assert_eq!(answer("open", 0), REFUSED);
    assert_eq!(answer("openat2", 0), MISSING);
}

#[test]
fn lists_of_values_share_their_loads() {
    let listed: Vec<u64> = (0..450).map(|n| n * 3).chain([5 << 32, (5 << 32) + 1]).collect();
    let each =
        |&value: &u64| rule(SeccompAction::Allow, vec![argument(2, SeccompOperator::Equal, value)]);
    let filter = compile(&refuse_all(listed.iter().map(each).collect())).unwrap();
    assert!(filter.instructions().len() < 3 * 500, "{}", filter.instructions().len());
    for value in (0..1400).chain((5 << 32)..(5 << 32) + 9).chain([6 << 32]) {
        let wanted = if listed.contains(&value) { ALLOW } else { REFUSED };
        let found = run(&filter, &call(Arch::X8664, "getpid", &[0, 0, value])).0;
        assert_eq!(found, wanted, "{value:#x}");
    }
    let narrow = run(&filter, &call(Arch::X86, "getpid", &[0, 0, 3])).0;
    assert_eq!(narrow, ALLOW);
}

#[test]
fn values_with_other_outcomes_are_not_in_the_list() {
    let one = |value, errno| LinuxSyscall {
        errno_ret: Some(errno),
        ..rule(SeccompAction::Errno, vec![argument(0, SeccompOperator::Equal, value)])
    };
    let rules = vec![one(1, 11), one(2, 11), one(3, 12), one(1, 13), one(4, 13)];
    let filter = compile(&refuse_all(rules)).unwrap();
    let answer = |value| run(&filter, &call(Arch::X8664, "getpid", &[value])).0 & 0xffff;
    assert_eq!([1, 2, 3, 4, 5].map(answer), [11, 11, 12, 13, EPERM]);
}
