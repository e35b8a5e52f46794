//! The stdin of a process.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

use barge_shim_api::{StdinMode, StdioConfig};
use rustix::event::PollFlags;
use rustix::io::Errno;

/// A buffer that is empty and larger than this is given back.
const KEEP: usize = 1024;

/// Our end of a process's stdin, and what it has not taken yet: at most one read of a stream.
#[derive(Debug)]
pub(crate) struct Input {
    fd: Option<Rc<OwnedFd>>,
    pending: Vec<u8>,
    closes_with_stream: bool,
    is_terminal: bool,
    is_finishing: bool,
}

impl Input {
    pub(crate) fn new(fd: Option<Rc<OwnedFd>>, config: StdioConfig) -> Self {
        let fd = match config.stdin {
            StdinMode::Null => None,
            StdinMode::Open | StdinMode::Once => fd,
        };
        let is_terminal = config.terminal.is_some();
        Self {
            fd,
            pending: Vec::new(),
            closes_with_stream: config.stdin == StdinMode::Once && !is_terminal,
            is_terminal,
            is_finishing: false,
        }
    }

    /// Whether anything sent may still reach the process.
    pub(crate) fn is_open(&self) -> bool {
        self.fd.is_some() && !self.is_finishing
    }

    /// Whether streams may be read: the process has taken everything before.
    pub(crate) fn takes_more(&self) -> bool {
        self.is_open() && self.pending.is_empty()
    }

    pub(crate) fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let fd = self.fd.as_ref()?.as_fd();
        if !self.pending.is_empty() {
            return Some((fd, PollFlags::OUT));
        }
        // A pipe whose last reader is gone tells so unasked. A terminal tells its end by its
        // output.
        (!self.is_terminal).then_some((fd, PollFlags::empty()))
    }

    pub(crate) fn ready(&mut self, flags: PollFlags) {
        if flags.contains(PollFlags::ERR) && !self.is_terminal {
            self.close();
        } else {
            self.write();
        }
    }

    /// Takes bytes of a stream; only after [`Input::takes_more`].
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        self.write();
    }

    fn write(&mut self) {
        while let Some(fd) = &self.fd
            && !self.pending.is_empty()
        {
            match rustix::io::write(fd, &self.pending) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // Nobody reads it any more.
                Err(_) => self.close(),
            }
        }
        self.pending.shrink_to(KEEP);
        if self.is_finishing {
            self.close();
        }
    }

    /// A stream that could send stdin has ended.
    pub(crate) fn stream_ended(&mut self) {
        if self.closes_with_stream {
            self.finish();
        }
    }

    /// Closes it after what is pending. A terminal has no end of its own: it stays.
    pub(crate) fn finish(&mut self) {
        if self.is_terminal {
            return;
        }
        self.is_finishing = true;
        self.write();
    }

    /// Closes it at once.
    pub(crate) fn close(&mut self) {
        self.fd = None;
        self.pending = Vec::new();
    }
}
