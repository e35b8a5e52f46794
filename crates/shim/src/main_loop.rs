//! The loop: waits until something can be done somewhere, and does one step there.

use std::cell::Cell;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Instant;

use barge_shim_api::{DaemonFrame, Event, Response};
use barge_sys::fault;
use barge_sys::process::reap;
use barge_sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::connection::{Connection, ConnectionId, ReplyTo};
use crate::container::Container;
use crate::error::ShimError;
use crate::listener::Listener;
use crate::process::ProcessId;
use crate::stdio::{End, Interest};

/// A whole pipe at once; pages of it that were never filled cost nothing.
const SCRATCH: usize = 64 * 1024;

/// Who is behind a descriptor.
#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Listener,
    Connection(ConnectionId),
    Process(ProcessId, End),
}

/// Everything a shim has.
#[derive(Debug)]
pub(crate) struct Shim {
    signals: SignalFd,
    connections: Vec<Connection>,
    next_connection: u32,
    pub(crate) listener: Option<Listener>,
    pub(crate) container: Option<Container>,
    /// Whether a daemon has said that nobody needs this shim any more.
    pub(crate) is_released: bool,
    scratch: Vec<u8>,
    pages: Cell<Pages>,
}

/// How long nothing must have happened before the program's pages are given back.
const REST: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// Whether the program's own pages are mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pages {
    /// Those that were needed since the last rest, and what the kernel mapped with them.
    Used,
    /// Hardly any.
    Forgotten,
}

impl Shim {
    pub(crate) fn new(control: OwnedFd, signals: SignalFd) -> Result<Self, ShimError> {
        let mut shim = Self {
            signals,
            connections: Vec::new(),
            next_connection: 0,
            listener: None,
            container: None,
            is_released: false,
            scratch: vec![0; SCRATCH],
            pages: Cell::new(Pages::Used),
        };
        shim.connect(control).map_err(ShimError::setup("use the control connection"))?;
        Ok(shim)
    }

    pub(crate) fn run(mut self) -> Result<(), ShimError> {
        while !self.is_done() {
            for (source, flags) in self.wait()? {
                self.serve(source, flags)?;
            }
            self.tidy();
        }
        self.leave();
        Ok(())
    }

    /// Nobody is to wait for a slow log: daemons see that the shim has gone before it is closed.
    fn leave(&mut self) {
        // First its socket, which the container's next shim has under the same name.
        self.listener = None;
        fault::point("shim: deaf");
        self.connections.clear();
        if let Some(container) = &mut self.container {
            container.close_log();
        }
    }

    fn connect(&mut self, socket: OwnedFd) -> std::io::Result<()> {
        let id = ConnectionId(self.next_connection);
        self.next_connection = self.next_connection.wrapping_add(1);
        self.connections.push(Connection::new(id, socket)?);
        Ok(())
    }

    /// Who can do something now, and what.
    fn wait(&self) -> Result<Vec<(Source, PollFlags)>, ShimError> {
        let asked = self.questions();
        let mut fds: Vec<_> =
            asked.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        let left = self.time_left();
        let patience =
            if left.is_none() && self.pages.get() == Pages::Used { Some(REST) } else { left };
        match poll(&mut fds, patience.as_ref()) {
            Ok(0) if left.is_none() => {
                // What this saves is memory alone.
                barge_sys::program::forget_pages().ok();
                self.pages.set(Pages::Forgotten);
                return Ok(Vec::new());
            }
            Ok(_) => self.pages.set(Pages::Used),
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(errno) => return Err(ShimError::setup("wait for events")(errno.into())),
        }
        let told = fds.iter().map(PollFd::revents);
        let answers = asked.iter().map(|(source, _, _)| *source).zip(told);
        Ok(answers.filter(|(_, flags)| !flags.is_empty()).collect())
    }

    fn questions(&self) -> Vec<(Source, BorrowedFd<'_>, PollFlags)> {
        // Signals first: an exit is told before the last output is moved.
        let mut asked = vec![(Source::Signals, self.signals.as_fd(), PollFlags::IN)];
        if let Some(listener) = &self.listener {
            asked.push((Source::Listener, listener.as_fd(), PollFlags::IN));
        }
        for connection in &self.connections {
            let (fd, flags) = connection.interest();
            asked.push((Source::Connection(connection.id()), fd, flags));
        }
        let mut interests: Vec<Interest<'_>> = Vec::new();
        for process in self.container.iter().flat_map(Container::processes) {
            process.stdio.interests(&mut interests);
            for Interest { fd, flags, end } in interests.drain(..) {
                asked.push((Source::Process(process.id, end), fd, flags));
            }
        }
        asked
    }

    fn time_left(&self) -> Option<Timespec> {
        let processes = self.container.iter().flat_map(Container::processes);
        let next = processes.filter_map(|process| process.stdio.deadline()).min()?;
        Timespec::try_from(next.saturating_duration_since(Instant::now())).ok()
    }

    fn serve(&mut self, source: Source, flags: PollFlags) -> Result<(), ShimError> {
        match source {
            Source::Signals => self.reap()?,
            Source::Listener => {
                if let Some(peer) = self.listener.as_ref().and_then(Listener::accept) {
                    // A peer whose socket cannot be used is not served; it sees the end of the
                    // connection.
                    self.connect(peer).ok();
                }
            }
            Source::Connection(id) => self.serve_connection(id, flags),
            Source::Process(id, end) => {
                let process = self.container.as_mut().and_then(|c| c.process_mut(id));
                if let Some(process) = process {
                    process.stdio.ready(end, flags, &mut self.scratch);
                }
            }
        }
        Ok(())
    }

    fn serve_connection(&mut self, id: ConnectionId, flags: PollFlags) {
        let Some(connection) = self.connections.iter_mut().find(|c| c.id() == id) else {
            return;
        };
        connection.ready(flags, &mut self.scratch);
        while let Some((frame, descriptors)) =
            self.connection_mut(id).and_then(Connection::next_request)
        {
            let DaemonFrame { id: request, request: body } = frame;
            let reply_to = ReplyTo { connection: id, request };
            let response = self.handle(id, body, descriptors);
            self.answer(reply_to, response);
        }
    }

    pub(crate) fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|connection| connection.id() == id)
    }

    fn answer(&mut self, to: ReplyTo, response: Response) {
        if let Some(connection) = self.connection_mut(to.connection) {
            connection.answer(to.request, response);
        }
    }

    fn tell(&mut self, event: &Event) {
        self.connections.iter_mut().for_each(|connection| connection.tell(event));
        if let Event::ExecExit { exec_id, .. } = event
            && !self.connections.iter().any(Connection::is_listening)
            && let Some(container) = &mut self.container
        {
            container.keep_untold(exec_id);
        }
        fault::point("shim: event told");
    }

    /// Takes the exit status of every child that is gone: our own, and orphans of the container
    /// that fell to us.
    pub(crate) fn reap(&mut self) -> Result<(), ShimError> {
        let failed = || ShimError::setup("wait for a child");
        while self.signals.read().map_err(failed())?.is_some() {}
        while let Some((pid, status)) = reap().map_err(failed())? {
            let Some(container) = &mut self.container else {
                continue;
            };
            for event in container.child_ended(pid, status, &mut self.scratch) {
                self.tell(&event);
            }
        }
        Ok(())
    }

    /// Ends what has come to its end.
    fn tidy(&mut self) {
        if let Some(container) = &mut self.container {
            container.tidy(Instant::now());
        }
        self.connections.retain(|connection| !connection.is_dead());
    }

    fn is_done(&self) -> bool {
        let is_over = self.container.as_ref().is_none_or(Container::is_over);
        let is_released = self.is_released && self.connections.iter().all(Connection::is_flushed);
        is_over && (is_released || self.connections.is_empty())
    }
}
