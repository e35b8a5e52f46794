//! Both ends of a process's stdio: pipes or a terminal.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

use barge_logdriver::Stream;
use barge_shim_api::{ConsoleSize, StdinMode};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::Output;

/// Our ends.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) outputs: Vec<Output>,
    pub(crate) input: Option<Rc<OwnedFd>>,
    pub(crate) terminal: Option<Rc<OwnedFd>>,
}

/// The process's ends.
#[derive(Debug)]
pub(crate) struct ChildEnds {
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

impl ChildEnds {
    pub(crate) fn as_fds(&self) -> [BorrowedFd<'_>; 3] {
        [self.stdin.as_fd(), self.stdout.as_fd(), self.stderr.as_fd()]
    }
}

/// Pipes for output, and for input unless the process is to have none.
pub(crate) fn pipes(stdin: StdinMode) -> io::Result<(Pair, ChildEnds)> {
    let (input, child_stdin) = match stdin {
        StdinMode::Null => {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            (None, rustix::fs::open("/dev/null", flags, Mode::empty())?)
        }
        StdinMode::Open | StdinMode::Once => {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(&write, true)?;
            (Some(Rc::new(write)), read)
        }
    };
    let (stdout, child_stdout) = output_pipe()?;
    let (stderr, child_stderr) = output_pipe()?;
    let outputs = vec![
        Output::new(Rc::new(stdout), Stream::Stdout),
        Output::new(Rc::new(stderr), Stream::Stderr),
    ];
    let ends = ChildEnds { stdin: child_stdin, stdout: child_stdout, stderr: child_stderr };
    Ok((Pair { outputs, input, terminal: None }, ends))
}

/// Only our end does not block: the process's is its own business.
fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&read, true)?;
    Ok((read, write))
}

/// Our end of a terminal that the process has as all three of its stdio.
pub(crate) fn terminal(master: OwnedFd, size: ConsoleSize) -> io::Result<Pair> {
    rustix::io::ioctl_fionbio(&master, true)?;
    if size != ConsoleSize::default() {
        barge_sys::pty::resize(&master, size.height, size.width)?;
    }
    let master = Rc::new(master);
    Ok(Pair {
        outputs: vec![Output::new(Rc::clone(&master), Stream::Stdout)],
        input: Some(Rc::clone(&master)),
        terminal: Some(master),
    })
}
