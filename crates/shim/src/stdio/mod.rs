//! The stdio of one process: what it writes goes to a log and to attached streams, what they send
//! goes to its stdin.
//!
//! Nothing here waits. Each end says what it wants to be told by poll(2) and does one step when it
//! is told. An output is read only while every stream that wants it has taken everything before: a
//! slow client slows the process down, as in Docker, and memory is bounded by one read. A client
//! that is gone is forgotten, and so is one that came to look on and takes nothing for a while:
//! otherwise than in Docker, it does not stop the process for ever.

mod attached;
mod input;
mod output;
mod pair;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use barge_logdriver::{Congestion, LogDriver};
use barge_shim_api::{AttachStreams, StdioConfig};
use rustix::event::PollFlags;

pub(crate) use attached::{Attached, Role};
pub(crate) use input::Input;
pub(crate) use output::Output;
pub(crate) use pair::{ChildEnds, Pair, pipes, terminal};

/// How long output may be awaited from those who outlive their process and hold its pipes (Docker's
/// two seconds).
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// How long an attached stream may take nothing before it is given up: of the last output, or of any when it is not a
/// part of what the process was started with.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// How much of the last output is kept for slow streams so that the log need not wait for them.
const LAST_OUTPUT: usize = 1024 * 1024;

/// How many reads of one output come before its process's exit is told. A pipe is one or two;
/// somebody else who goes on writing must not keep the exit back.
const LAST_READS: u32 = 16;

/// One end that poll(2) is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The process's output with this place in the list.
    Output(usize),
    /// The process's stdin.
    Input,
    /// The attached stream with this number.
    Stream(u32),
    /// The log, which is slower than the process.
    Log,
}

/// A descriptor and what is to be told about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interest<'a> {
    pub(crate) fd: BorrowedFd<'a>,
    pub(crate) flags: PollFlags,
    pub(crate) end: End,
}

/// The stdio of one process.
#[derive(Debug)]
pub(crate) struct Stdio {
    outputs: Vec<Output>,
    input: Input,
    streams: Vec<Attached>,
    next_stream: u32,
    log: Option<Box<dyn LogDriver>>,
    terminal: Option<std::rc::Rc<OwnedFd>>,
    ended: Option<Ended>,
}

/// What is known once the process is gone.
#[derive(Debug)]
struct Ended {
    at: Instant,
    /// When a stream last took something, or there was something new to take.
    progress: Instant,
}

impl Stdio {
    /// With our ends of the pipes or of the terminal.
    pub(crate) fn new(pair: Pair, config: StdioConfig, log: Option<Box<dyn LogDriver>>) -> Self {
        Self {
            outputs: pair.outputs,
            input: Input::new(pair.input, config),
            streams: Vec::new(),
            next_stream: 0,
            log,
            terminal: pair.terminal,
            ended: None,
        }
    }

    /// The terminal, when there is one.
    pub(crate) fn terminal(&self) -> Option<&OwnedFd> {
        self.terminal.as_deref()
    }

    /// Adds a stream.
    pub(crate) fn attach(
        &mut self,
        socket: OwnedFd,
        what: AttachStreams,
        role: Role,
    ) -> std::io::Result<()> {
        let mut stream = Attached::new(self.next_stream, socket, (what, role))?;
        if !self.input.is_open() {
            stream.refuse_input();
        }
        self.next_stream = self.next_stream.wrapping_add(1);
        self.streams.push(stream);
        Ok(())
    }

    /// Adds what poll(2) is to be asked.
    pub(crate) fn interests<'a>(&'a self, out: &mut Vec<Interest<'a>>) {
        for (place, output) in self.outputs.iter().enumerate() {
            if let Some(fd) = output.fd()
                && self.may_read(output)
            {
                out.push(Interest { fd, flags: PollFlags::IN, end: End::Output(place) });
            }
        }
        if let Some(congestion) = self.congestion() {
            out.push(Interest { fd: congestion.fd, flags: PollFlags::IN, end: End::Log });
        }
        if let Some((fd, flags)) = self.input.interest() {
            out.push(Interest { fd, flags, end: End::Input });
        }
        let takes_input = self.input.takes_more();
        for stream in &self.streams {
            if let Some((fd, flags)) = stream.interest(takes_input) {
                out.push(Interest { fd, flags, end: End::Stream(stream.number()) });
            }
        }
    }

    fn congestion(&self) -> Option<Congestion<'_>> {
        self.log.as_ref().and_then(|log| log.congestion())
    }

    fn may_read(&self, output: &Output) -> bool {
        if self.congestion().is_some() {
            return false;
        }
        let limit = if self.ended.is_some() { LAST_OUTPUT } else { 1 };
        let name = output.stream();
        self.streams.iter().filter(|stream| stream.wants(name)).all(|s| s.pending() < limit)
    }

    /// Does one step at an end that poll(2) told about. `scratch` is for the bytes on their way.
    pub(crate) fn ready(&mut self, end: End, flags: PollFlags, scratch: &mut [u8]) {
        match end {
            End::Output(place) => {
                self.read_output(place, scratch);
            }
            End::Input => self.input.ready(flags),
            End::Stream(number) => self.serve_stream(number, flags, scratch),
            End::Log => self.log.iter_mut().for_each(|log| log.woken()),
        }
        self.settle();
    }

    /// Reads what is in an output. False when there was nothing.
    fn read_output(&mut self, place: usize, scratch: &mut [u8]) -> bool {
        let Some(output) = self.outputs.get_mut(place) else {
            return false;
        };
        let length = output.read(scratch, &mut self.log);
        if let Some(length) = length {
            let (name, bytes) = (output.stream(), &scratch[..length]);
            let framing = if self.terminal.is_some() { None } else { Some(name) };
            for stream in self.streams.iter_mut().filter(|stream| stream.wants(name)) {
                stream.send(framing, bytes);
            }
        }
        if let Some(ended) = &mut self.ended {
            ended.progress = Instant::now();
        }
        // A terminal is one thing: when nobody has it open any more, nobody reads it either.
        if self.terminal.is_some() && self.outputs.iter().all(|output| output.fd().is_none()) {
            self.input.close();
        }
        length.is_some()
    }

    fn serve_stream(&mut self, number: u32, flags: PollFlags, scratch: &mut [u8]) {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.number() == number) else {
            return;
        };
        let before = stream.pending();
        let received = stream.ready(flags, self.input.takes_more(), scratch);
        if stream.pending() != before
            && let Some(ended) = &mut self.ended
        {
            ended.progress = Instant::now();
        }
        match received {
            attached::Received::Nothing => {}
            attached::Received::Bytes(length) => self.input.send(&scratch[..length]),
            attached::Received::End => self.input.stream_ended(),
        }
    }

    /// Forgets the dead, and tells streams that nobody reads what they send.
    fn settle(&mut self) {
        if !self.input.is_open() {
            self.streams.iter_mut().for_each(Attached::refuse_input);
        }
        self.streams.retain(|stream| !stream.is_dead());
    }

    /// Closes the process's stdin once everything received for it is written.
    pub(crate) fn close_input(&mut self) {
        self.input.finish();
        self.settle();
    }

    /// The process is gone: nobody reads its stdin, and its output is to be drained. What is in the
    /// pipes at this moment is moved at once, so that who hears of the exit finds all of it in the
    /// log; it is no more than they hold.
    pub(crate) fn process_ended(&mut self, scratch: &mut [u8]) {
        let now = Instant::now();
        self.ended = Some(Ended { at: now, progress: now });
        self.input.close();
        for place in 0..self.outputs.len() {
            let mut reads = 0;
            while reads < LAST_READS && self.read_output(place, scratch) {
                reads += 1;
            }
        }
        self.streams.iter_mut().for_each(|stream| stream.make_room(LAST_OUTPUT));
        self.settle();
    }

    /// When something happens by itself: see [`Stdio::give_up`]. A log is waited for until then.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let patience = self.congestion().map(|congestion| congestion.until);
        patience.into_iter().chain(self.end_of_patience()).min()
    }

    fn end_of_patience(&self) -> Option<Instant> {
        let Some(ended) = &self.ended else {
            let stalled = self.streams.iter().filter_map(Attached::stalled_since).min();
            return stalled.map(|since| since + STALL_LIMIT);
        };
        if self.has_open_output() {
            Some(ended.at + DRAIN_LIMIT)
        } else if self.streams.is_empty() {
            None
        } else {
            Some(ended.progress + STALL_LIMIT)
        }
    }

    /// Closes what has taken too long: observers that hold the process up; when it is gone, outputs
    /// that someone outside still holds, then streams that take nothing.
    pub(crate) fn give_up(&mut self, now: Instant) {
        if self.end_of_patience().is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.ended.is_none() {
            let has_time = |since: Instant| now < since + STALL_LIMIT;
            self.streams.retain(|stream| stream.stalled_since().is_none_or(has_time));
            return;
        }
        if self.has_open_output() {
            self.outputs.iter_mut().for_each(|output| output.close(&mut self.log));
            if let Some(ended) = &mut self.ended {
                ended.progress = now;
            }
        } else {
            self.streams.clear();
        }
    }

    /// The log, which nothing is written to any more.
    pub(crate) fn take_log(&mut self) -> Option<Box<dyn LogDriver>> {
        self.log.take()
    }

    fn has_open_output(&self) -> bool {
        self.outputs.iter().any(|output| output.fd().is_some())
    }

    /// Once the process is gone: ends the streams that have got everything. True when nothing is
    /// left to do but to close the log.
    pub(crate) fn finish(&mut self) -> bool {
        if self.ended.is_none() || self.has_open_output() {
            return false;
        }
        self.streams.retain(|stream| stream.pending() > 0);
        self.streams.is_empty()
    }
}

#[cfg(test)]
mod tests;
