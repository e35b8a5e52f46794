//! The filter a container gets when nothing else is asked: equal in effect to Docker's (moby's `profiles/seccomp`).
//!
//! An allow list: what is not named fails with EPERM, or with ENOSYS when it is newer than everything named here.
//! Calls that a capability guards are let through with that capability. `socketcall` stays allowed, as in Docker: its
//! arguments are behind a pointer that no filter can follow, and 32-bit glibc makes every socket with it.

use barge_oci::runtime::{LinuxSeccompArg, SeccompAction, SeccompArch, SeccompOperator};

use crate::profile::{ArchMap, Condition, KernelVersion, Profile, Rule};

/// Every container may make these.
const ALLOWED: &str = "
    _llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir
    chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64
    clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect
    copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
    epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
    exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod
    fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock
    fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate
    ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat
    get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid
    geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid
    getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage
    getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents
    io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link
    linkat listen listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat
    lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat
    mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open
    mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal
    msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep
    newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc
    pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64
    process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink
    readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr
    removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction
    rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler
    sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile
    sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid
    setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid
    setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32
    setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget
    shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat
    stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo
    tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
    timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat
    uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write
    writev";

/// And these with the capability.
const WITH_CAPABILITY: &[(&str, &str)] = &[
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie
         lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount
         open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog
         umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module init_module finit_module"),
    ("CAP_SYS_PACCT", "acct"),
    (
        "CAP_SYS_PTRACE",
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    ("CAP_SYS_RAWIO", "iopl ioperm"),
    ("CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
];

/// And these on some machines.
const ON_MACHINE: &[(&[&str], &str)] = &[
    (&["ppc64le"], "sync_file_range2 swapcontext"),
    (
        &["arm", "arm64"],
        "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    ),
    (&["amd64", "x32"], "arch_prctl"),
    (&["amd64", "x32", "x86"], "modify_ldt"),
    (&["riscv64"], "riscv_flush_icache"),
];

/// Address families of `socket` from 12 on; all below are allowed. Missing are AF_ALG (38, CVE-2026-31431), AF_VSOCK
/// (40: it reaches the hypervisor) and those nobody uses. Equal as 64-bit numbers: the kernel only looks at the lower
/// half, so "not 40" would let 2^32 + 40 through.
const SOCKET_FAMILIES: [u64; 25] = [
    13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44,
    45,
];

/// `PER_LINUX`, `PER_LINUX32`, each with and without `UNAME26`, and the question which it is.
const PERSONALITIES: [u64; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Every `CLONE_NEW…` flag that makes a namespace (the newer time namespace cannot be asked for by `clone`).
const CLONE_NAMESPACES: u64 = 0x7e02_0000;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

impl Profile {
    /// The default profile.
    pub fn docker_default() -> Self {
        let mut rules = vec![allow(ALLOWED)];
        let mut ptrace = allow("process_vm_readv process_vm_writev ptrace");
        // Before 4.8 ptrace could leave a filter behind (seccomp(2)).
        ptrace.includes.min_kernel = Some(KernelVersion(4, 8));
        rules.push(ptrace);
        rules.push(on_argument("socket", (0, SeccompOperator::Less, 12)));
        for family in SOCKET_FAMILIES {
            rules.push(on_argument("socket", (0, SeccompOperator::Equal, family)));
        }
        for personality in PERSONALITIES {
            rules.push(on_argument("personality", (0, SeccompOperator::Equal, personality)));
        }
        for (machines, names) in ON_MACHINE {
            let mut rule = allow(names);
            rule.includes.arches = machines.iter().map(|&name| name.to_owned()).collect();
            rules.push(rule);
        }
        for (capability, names) in WITH_CAPABILITY {
            let mut rule = allow(names);
            rule.includes.caps = vec![(*capability).to_owned()];
            rules.push(rule);
        }
        let without_admin =
            Condition { caps: vec!["CAP_SYS_ADMIN".to_owned()], ..Condition::default() };
        let mut clone = on_argument("clone", (0, SeccompOperator::MaskedEqual, CLONE_NAMESPACES));
        clone.excludes = without_admin.clone();
        rules.push(clone);
        // Its flags are behind a pointer; told that there is no clone3, libraries use clone.
        rules.push(Rule {
            action: SeccompAction::Errno,
            errno_ret: Some(ENOSYS),
            excludes: without_admin,
            ..allow("clone3")
        });
        Self {
            default_action: SeccompAction::Errno,
            default_errno_ret: Some(EPERM),
            architectures: Vec::new(),
            arch_map: arch_map(),
            flags: Vec::new(),
            listener_path: String::new(),
            listener_metadata: String::new(),
            syscalls: rules,
        }
    }
}

fn arch_map() -> Vec<ArchMap> {
    let entry = |architecture, sub_architectures: &[SeccompArch]| ArchMap {
        architecture,
        sub_architectures: sub_architectures.to_vec(),
    };
    vec![
        entry(SeccompArch::X8664, &[SeccompArch::X86, SeccompArch::X32]),
        entry(SeccompArch::Aarch64, &[SeccompArch::Arm]),
    ]
}

fn allow(names: &str) -> Rule {
    Rule {
        names: names.split_whitespace().map(str::to_owned).collect(),
        name: String::new(),
        action: SeccompAction::Allow,
        errno_ret: None,
        args: Vec::new(),
        comment: String::new(),
        includes: Condition::default(),
        excludes: Condition::default(),
    }
}

fn on_argument(name: &str, (index, op, value): (u32, SeccompOperator, u64)) -> Rule {
    let argument = LinuxSeccompArg { index, value, value_two: 0, op };
    Rule { args: vec![argument], ..allow(name) }
}
