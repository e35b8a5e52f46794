//! Runs inside a container and makes system calls that a container may not make; prints the answer to each.
//!
//! The arguments are such that none of them does anything, even where it is allowed: they are wrong in a way that the
//! kernel finds only after it has looked whether the caller may.

#![allow(clippy::print_stdout, reason = "its output is the report")]

use std::io;

/// A name, the number of the call and its arguments.
const CALLS: [(&str, libc::c_long, [libc::c_long; 5]); 34] = [
    ("add_key", libc::SYS_add_key, [0, 0, 0, 0, 0]),
    ("keyctl", libc::SYS_keyctl, [-1, 0, 0, 0, 0]),
    ("request_key", libc::SYS_request_key, [0, 0, 0, 0, 0]),
    ("userfaultfd", libc::SYS_userfaultfd, [-1, 0, 0, 0, 0]),
    ("io_uring_setup", libc::SYS_io_uring_setup, [0, 0, 0, 0, 0]),
    ("io_uring_enter", libc::SYS_io_uring_enter, [-1, 0, 0, 0, 0]),
    ("io_uring_register", libc::SYS_io_uring_register, [-1, 0, 0, 0, 0]),
    ("move_pages", libc::SYS_move_pages, [-1, 0, 0, 0, 0]),
    ("get_mempolicy", libc::SYS_get_mempolicy, [0, 0, 0, 0, -1]),
    ("set_mempolicy", libc::SYS_set_mempolicy, [-1, 0, 0, 0, 0]),
    ("mbind", libc::SYS_mbind, [1, 0, -1, 0, 0]),
    ("kexec_load", libc::SYS_kexec_load, [0, 1 << 20, 0, 0, 0]),
    ("init_module", libc::SYS_init_module, [0, 0, 0, 0, 0]),
    ("finit_module", libc::SYS_finit_module, [-1, 0, 0, 0, 0]),
    ("delete_module", libc::SYS_delete_module, [0, 0, 0, 0, 0]),
    ("mount", libc::SYS_mount, [0, 0, 0, 0, 0]),
    ("umount2", libc::SYS_umount2, [0, 0, 0, 0, 0]),
    ("pivot_root", libc::SYS_pivot_root, [0, 0, 0, 0, 0]),
    ("fsopen", libc::SYS_fsopen, [0, 0, 0, 0, 0]),
    ("open_tree", libc::SYS_open_tree, [-1, 0, 0, 0, 0]),
    ("move_mount", libc::SYS_move_mount, [-1, 0, -1, 0, 0]),
    ("mount_setattr", libc::SYS_mount_setattr, [-1, 0, -1, 0, 0]),
    ("setns", libc::SYS_setns, [-1, 0, 0, 0, 0]),
    ("bpf", libc::SYS_bpf, [-1, 0, 0, 0, 0]),
    ("perf_event_open", libc::SYS_perf_event_open, [0, 0, 0, -1, -1]),
    ("open_by_handle_at", libc::SYS_open_by_handle_at, [-1, 0, 0, 0, 0]),
    ("swapon", libc::SYS_swapon, [0, 0, 0, 0, 0]),
    ("swapoff", libc::SYS_swapoff, [0, 0, 0, 0, 0]),
    ("acct", libc::SYS_acct, [1, 0, 0, 0, 0]),
    ("settimeofday", libc::SYS_settimeofday, [1, 0, 0, 0, 0]),
    ("unshare-user", libc::SYS_unshare, [0x1000_0000 | 1, 0, 0, 0, 0]),
    ("personality", libc::SYS_personality, [0x1234_5678, 0, 0, 0, 0]),
    ("allowed-getpid", libc::SYS_getpid, [0, 0, 0, 0, 0]),
    ("allowed-socket", libc::SYS_socket, [1, 1, 0, 0, 0]),
];

fn main() {
    for (name, number, [a, b, c, d, e]) in CALLS {
        println!("{name} {}", answer(number, [a, b, c, d, e]));
    }
}

#[allow(
    unsafe_code,
    reason = "the subject of this program is the raw system call; it is run in a container of a test"
)]
fn answer(number: libc::c_long, [a, b, c, d, e]: [libc::c_long; 5]) -> String {
    // SAFETY: pointers among the arguments are null or 1, which the kernel refuses to read or write; none of the
    // calls changes this process's memory or descriptors with the arguments above.
    let result = unsafe { libc::syscall(number, a, b, c, d, e) };
    if result != -1 {
        return "done".to_owned();
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::EPERM) => "EPERM".to_owned(),
        Some(other) => format!("errno-{other}"),
        None => "unknown".to_owned(),
    }
}
