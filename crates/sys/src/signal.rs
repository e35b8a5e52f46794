//! Signal masks and dispositions, for the moments around an exec.

use std::io;
use std::mem::MaybeUninit;

use crate::check;

/// Highest signal number of Linux, real-time ones included.
const LAST: i32 = 64;

/// The kernel's signal set of these numbers; a number that is no signal is `EINVAL`.
pub(crate) fn set_of(signals: &[i32]) -> io::Result<libc::sigset_t> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset(3) writes a whole sigset_t to the pointer, which is one's place.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: sigemptyset has just initialised it; it cannot fail with a valid pointer.
    let mut set = unsafe { set.assume_init() };
    for signal in signals {
        // SAFETY: `set` is initialised and ours; sigaddset(3) refuses numbers that are no signal.
        let result = unsafe { libc::sigaddset(&raw mut set, *signal) };
        check(result.into())?;
    }
    Ok(set)
}

/// Blocks these signals in the calling thread (and those it starts), in addition to the blocked ones.
pub fn block(signals: &[i32]) -> io::Result<()> {
    change_mask(libc::SIG_BLOCK, &set_of(signals)?)
}

/// Unblocks every signal in the calling thread.
pub fn unblock_all() -> io::Result<()> {
    change_mask(libc::SIG_SETMASK, &set_of(&[])?)
}

fn change_mask(how: i32, set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: pthread_sigmask(3) reads the set, which outlives the call; the old mask is not asked for (null).
    let error = unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// Before an exec of a user's program: nothing blocked, and the default action for what Rust's start-up (SIGPIPE) or
/// `nohup` and shells (the others) ignore, which an exec would hand on. Handlers need no undoing: an exec does it.
pub fn reset_for_exec() -> io::Result<()> {
    const IGNORABLE: [i32; 15] = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGPIPE,
        libc::SIGALRM,
        libc::SIGTERM,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGCHLD,
        libc::SIGCONT,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
        32,
        33,
    ];
    for signal in IGNORABLE {
        set_default(signal)?;
    }
    unblock_all()
}

/// Undoes an ignored SIGPIPE, which Rust's start-up makes and an exec would hand on. Handlers need no undoing: an exec
/// does it.
pub fn default_sigpipe() -> io::Result<()> {
    set_default(libc::SIGPIPE)
}

/// Gives every signal its default action again: also what the program that started us had ignored.
pub fn default_all() -> io::Result<()> {
    (1..=LAST)
        .filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal))
        .try_for_each(set_default)
}

/// By the bare system call: the C library refuses the two numbers that it keeps for itself, and its `posix_spawn` has
/// every child ignore the first of them.
fn set_default(signal: i32) -> io::Result<()> {
    // The kernel's `struct sigaction` (handler, flags, restorer, mask): all zero is SIG_DFL.
    let action = [0_u64; 4];
    let nothing = std::ptr::null_mut::<u64>();
    // SAFETY: rt_sigaction(2) reads the 32 bytes of `action`, with a mask of 8 bytes as it says; it writes nothing to a
    // null pointer. SIG_DFL is no function of ours; the kernel refuses numbers that are no signal.
    let result = unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), nothing, size_of::<u64>())
    };
    check(result).map(drop)
}

/// Sends a signal to a process (positive), a process group (negative), or everyone but us (-1).
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill(2) takes two numbers and touches no memory.
    let result = unsafe { libc::kill(pid, signal) };
    check(result.into()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_not_ignored_any_more() {
        let ignored = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
            u64::from_str_radix(line, 16).unwrap()
        };
        // SAFETY: SIG_IGN is no function of ours.
        unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
        assert_ne!(ignored() & 1 << (libc::SIGUSR2 - 1), 0);
        set_default(libc::SIGUSR2).unwrap();
        assert_eq!(ignored() & 1 << (libc::SIGUSR2 - 1), 0);
        assert!(set_default(65).is_err());
    }
}
