//! Safe wrappers of the Linux system calls that barge is made of.
//!
//! The only crate of the workspace with `unsafe` in it. What `rustix` already offers safely is used from there by the
//! other crates; here is what it lacks (`clone3`, `mount_setattr`, `seccomp`, `signalfd`, `execve`), and what carries a
//! rule of ours (looking up paths inside a container's root, changing namespaces only on a thread of its own).

pub mod assembly;
pub mod bpf;
pub mod btrfs;
pub mod caps;
pub mod clock;
pub mod copy;
pub mod durable;
pub mod exe;
pub mod exec;
pub mod fault;
pub mod fdpass;
pub mod fds;
pub mod memfd;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod openat2;
pub mod pidfd;
pub mod process;
pub mod program;
pub mod pty;
pub mod quota;
pub mod random;
pub mod seccomp;
pub mod signal;
pub mod signalfd;
pub mod socket;
pub mod spares;
pub mod spawn;
pub mod spawner;
mod stand_in;
pub mod user_namespace;
pub mod xattr;

/// Turns the `-1` of a C function into the thread's `errno`.
fn check(result: libc::c_long) -> std::io::Result<libc::c_long> {
    if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}
