//! The small init of `--init`: runs the command as its child, hands signals on to it, reaps what is left behind, and
//! ends with the command's exit code.
//!
//! It is this same program, executed once more under the name `docker-init` as the container's process 1, with the
//! user's ids, capabilities and seccomp filter: it can do no more than the command itself.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use barge_sys::pidfd::Exit;
use barge_sys::signalfd::SignalFd;
use barge_sys::{process, signal};
use rustix::event::{PollFd, PollFlags, poll};

/// The name under which this program is the reaper.
pub const NAME: &str = "docker-init";

/// Signals that tell of a fault of the process itself: left alone (as SIGKILL and SIGSTOP must be).
const FAULTS: [i32; 8] = [4, 5, 6, 7, 8, 9, 11, 31];
const STOP: i32 = 19;
const CHILD: i32 = 17;
const TTY_INPUT: i32 = 21;
const TTY_OUTPUT: i32 = 22;
/// Numbers that the C library keeps for its threads.
const RESERVED: [i32; 2] = [32, 33];

/// The whole life of the reaper. `arguments` are those after the program's name: `--`, the command and its arguments.
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut command = arguments.skip_while(|argument| argument == "--");
    let Some(program) = command.next() else {
        return ExitCode::from(1);
    };
    run(Command::new(program).args(command)).unwrap_or_else(|error| {
        ExitCode::from(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
    })
}

fn run(command: &mut Command) -> io::Result<ExitCode> {
    let handled: Vec<i32> = (1..=64)
        .filter(|signal| !FAULTS.contains(signal) && !RESERVED.contains(signal) && *signal != STOP)
        .collect();
    let signals = SignalFd::open(&handled)?;
    // Its own process group, so that a Ctrl-C reaches it once.
    let child = process::spawn_unblocked(command.process_group(0))?;
    let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
    give_terminal(pid);
    loop {
        while let Some((reaped, exit)) = process::reap()? {
            if reaped == pid {
                return Ok(code(exit));
            }
        }
        let mut wanted = [PollFd::new(&signals, PollFlags::IN)];
        match poll(&mut wanted, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(received) = signals.read()? {
            // Reading from or writing to a terminal that is the child's stops us for nothing.
            if ![CHILD, TTY_INPUT, TTY_OUTPUT].contains(&received.signal) {
                // It may just have ended.
                signal::kill(pid, received.signal).ok();
            }
        }
    }
}

/// Puts the child in the foreground of our terminal, if we have one.
fn give_terminal(pid: i32) {
    if let Some(group) = rustix::process::Pid::from_raw(pid) {
        // ENOTTY: there is none.
        rustix::termios::tcsetpgrp(io::stdin(), group).ok();
    }
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(u8::try_from(exit.shell_code() & 0xff).unwrap_or(u8::MAX))
}
