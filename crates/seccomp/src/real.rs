//! Filters in force: a program that makes one system call runs under them and says what the kernel answered.
//!
//! The program is put together here, byte by byte: no library makes the calls that a filter should refuse, least of all
//! by the 32-bit way into the kernel.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    process::{Command, ExitStatus},
    sync::Mutex,
};

use barge_oci::runtime::{LinuxSeccomp, LinuxSyscall, SeccompAction, SeccompArch};
use barge_sys::{
    namespace::on_own_thread,
    seccomp::{SockFilter, install},
};

use crate::{
    Circumstances, Filter, Profile,
    arch::{Arch, X32_BIT},
    compile,
};

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;
const SIGSYS: i32 = 31;
const CLONE_NEWUSER: u64 = 0x1000_0000;

/// A way into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// `syscall`: x86-64, and x32 with its bit.
    Syscall,
    /// `int $0x80`: i386, from a 64-bit program too.
    Int80,
}

/// Machine code that makes a call and exits with its errno, or with 0 to 255 for a result of 0 to -255.
fn code(way: Way, number: u32, arguments: [u64; 3]) -> Vec<u8> {
    let mut code = vec![0xb8]; // mov eax, number
    code.extend(number.to_le_bytes());
    let (registers, enter): ([[u8; 2]; 3], [u8; 2]) = match way {
        // rdi, rsi, rdx
        Way::Syscall => ([[0x48, 0xbf], [0x48, 0xbe], [0x48, 0xba]], [0x0f, 0x05]),
        // rbx, rcx, rdx
        Way::Int80 => ([[0x48, 0xbb], [0x48, 0xb9], [0x48, 0xba]], [0xcd, 0x80]),
    };
    for (register, argument) in registers.into_iter().zip(arguments) {
        code.extend(register);
        code.extend(argument.to_le_bytes());
    }
    code.extend(enter);
    code.extend([0xf7, 0xd8]); // neg eax
    code.extend([0x89, 0xc7]); // mov edi, eax
    code.extend([0xb8, 231, 0, 0, 0]); // mov eax, exit_group
    code.extend([0x0f, 0x05]);
    code
}

/// The smallest ELF program around it: one header, one segment.
fn program(code: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 120;
    let length = HEADERS + u64::try_from(code.len()).unwrap();
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend(2_u16.to_le_bytes()); // executable
    file.extend(62_u16.to_le_bytes()); // x86-64
    file.extend(1_u32.to_le_bytes());
    for value in [BASE + HEADERS, 64, 0] {
        file.extend(value.to_le_bytes()); // entry, program headers, section headers
    }
    file.extend(0_u32.to_le_bytes());
    for value in [64_u16, 56, 1, 0, 0, 0] {
        file.extend(value.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes()); // load
    file.extend(5_u32.to_le_bytes()); // read, execute
    for value in [0, BASE, BASE, length, length, 0x1000] {
        file.extend(value.to_le_bytes());
    }
    file.extend(code);
    file
}

/// Makes one call in a process under `filter`.
fn attempt(filter: Option<&Filter>, way: Way, number: u32, arguments: [u64; 3]) -> ExitStatus {
    // A child of another thread may hold the file open for writing until it executes: one at a time.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attempt");
    fs::write(&path, program(&code(way, number, arguments))).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    run(filter, Command::new(path))
}

fn run(filter: Option<&Filter>, mut command: Command) -> ExitStatus {
    let instructions = filter.map(|filter| SockFilter::from_bytes(&filter.to_bytes()).unwrap());
    on_own_thread(move || {
        if let Some(instructions) = instructions {
            install(&instructions, 0).unwrap();
        }
        command.status().unwrap()
    })
    .unwrap()
}

fn default_filter() -> Filter {
    let circumstances = Circumstances::here(["CAP_CHOWN", "CAP_MKNOD", "CAP_SYS_CHROOT"]).unwrap();
    compile(&Profile::docker_default().resolve(&circumstances)).unwrap()
}

/// The errno of a call by the 64-bit way, without and with the default filter.
fn errnos(name: &str, arguments: [u64; 3]) -> [Option<i32>; 2] {
    let number = Arch::X8664.number(name).unwrap();
    let filter = default_filter();
    [None, Some(&filter)].map(|filter| attempt(filter, Way::Syscall, number, arguments).code())
}

#[test]
fn forbidden_calls_fail_with_eperm_though_root_may_make_them() {
    for (name, arguments) in [
        ("unshare", [CLONE_NEWUSER, 0, 0]),
        ("mount", [0, 0, 0]),
        ("umount2", [0, 0, 0]),
        ("setns", [u64::MAX, 0, 0]),
        ("bpf", [9999, 0, 0]),
        ("keyctl", [9999, 0, 0]),
        ("add_key", [0, 0, 0]),
        ("pivot_root", [0, 0, 0]),
        ("init_module", [0, 0, 0]),
        ("open_by_handle_at", [u64::MAX, 0, 0]),
        ("io_uring_setup", [0, 0, 0]),
        ("swapon", [0, 0, 0]),
        ("personality", [0x4_0000, 0, 0]),
        ("socket", [40, 1, 0]),
    ] {
        let [free, filtered] = errnos(name, arguments);
        assert_eq!(filtered, Some(EPERM), "{name}");
        assert_ne!(free, Some(EPERM), "{name} fails without the filter too");
    }
}

#[test]
fn clone_makes_no_namespaces() {
    // Not tried without the filter: it would succeed, and the result be a process id.
    let number = Arch::X8664.number("clone").unwrap();
    let arguments = [CLONE_NEWUSER, 0, 0];
    let found = attempt(Some(&default_filter()), Way::Syscall, number, arguments);
    assert_eq!(found.code(), Some(EPERM));
}

#[test]
fn clone3_and_calls_of_the_future_do_not_exist() {
    let [free, filtered] = errnos("clone3", [0, 0, 0]);
    assert_eq!(filtered, Some(ENOSYS));
    assert_ne!(free, Some(ENOSYS));
    let filter = default_filter();
    let future = attempt(Some(&filter), Way::Syscall, 999, [0; 3]);
    assert_eq!(future.code(), Some(ENOSYS));
}

#[test]
fn the_32_bit_way_is_filtered_too() {
    let number = |name| Arch::X86.number(name).unwrap();
    let probe = attempt(None, Way::Int80, number("umask"), [0o22, 0, 0]);
    if probe.signal().is_some() {
        println!("skipped: this kernel does not run 32-bit programs");
        return;
    }
    let filter = default_filter();
    for (name, arguments, wanted) in [
        ("mount", [0, 0, 0], EPERM),
        ("unshare", [CLONE_NEWUSER, 0, 0], EPERM),
        ("keyctl", [9999, 0, 0], EPERM),
        ("clone3", [0, 0, 0], ENOSYS),
        ("close", [9999, 0, 0], 9),
    ] {
        let found = attempt(Some(&filter), Way::Int80, number(name), arguments);
        assert_eq!(found.code(), Some(wanted), "{name}");
    }
}

#[test]
fn the_x32_way_is_filtered_too() {
    let mount = Arch::X32.number("mount").unwrap();
    assert!(mount & X32_BIT != 0);
    // Most kernels have no x32: without the filter the call does not exist.
    let filter = default_filter();
    let found = attempt(Some(&filter), Way::Syscall, mount, [0; 3]);
    assert_eq!(found.code(), Some(EPERM));
}

#[test]
fn allowed_calls_reach_the_kernel() {
    // EBADF is the kernel's own answer.
    assert_eq!(errnos("close", [9999, 0, 0]), [Some(9); 2]);
    // EFAULT of one that is allowed with CAP_SYS_CHROOT.
    assert_eq!(errnos("chroot", [0, 0, 0]), [Some(14); 2]);
}

#[test]
fn ordinary_programs_run_under_the_default_filter() {
    let mut command = Command::new("sh");
    command.args(["-c", "(sleep 0; ls / | cat) >/dev/null && kill -0 $$"]);
    assert!(run(Some(&default_filter()), command).success());
}

#[test]
fn an_architecture_that_is_not_named_kills_the_process() {
    let allow_all = LinuxSeccomp {
        default_action: SeccompAction::Allow,
        default_errno_ret: None,
        architectures: vec![SeccompArch::X8664],
        flags: Vec::new(),
        listener_path: None,
        listener_metadata: None,
        syscalls: vec![LinuxSyscall {
            names: vec!["getpriority".to_owned()],
            action: SeccompAction::Errno,
            errno_ret: Some(77),
            args: Vec::new(),
        }],
    };
    let filter = compile(&allow_all).unwrap();
    let number = Arch::X8664.number("getpriority").unwrap();
    let errno = attempt(Some(&filter), Way::Syscall, number, [0; 3]);
    assert_eq!(errno.code(), Some(77));
    let x32 = attempt(Some(&filter), Way::Syscall, number | X32_BIT, [0; 3]);
    assert_eq!(x32.signal(), Some(SIGSYS));
}
