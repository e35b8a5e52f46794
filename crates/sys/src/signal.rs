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
    if error == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(error))
    }
}

/// Before an exec of a user's program: nothing blocked, and the default action for what Rust's start-up (SIGPIPE) or
/// `nohup` and shells (the others) ignore, which an exec would hand on. Handlers need no undoing: an exec does it.
pub fn reset_for_exec() -> io::Result<()> {
    const IGNORABLE: [i32; 13] = [
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
    for signal in (1..=LAST).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
        match set_default(signal) {
            // The two numbers that the C library keeps for itself.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            result => result?,
        }
    }
    Ok(())
}

fn set_default(signal: i32) -> io::Result<()> {
    // SAFETY: SIG_DFL is no function of ours, so nothing has to be async-signal-safe; a number that is no signal
    // is answered with SIG_ERR.
    let previous = unsafe { libc::signal(signal, libc::SIG_DFL) };
    if previous == libc::SIG_ERR {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Sends a signal to a process (positive), a process group (negative), or everyone but us (-1).
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill(2) takes two numbers and touches no memory.
    let result = unsafe { libc::kill(pid, signal) };
    check(result.into()).map(drop)
}
