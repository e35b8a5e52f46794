//! What the runtime's two halves say to each other, over one stream socket.
//!
//! ```text
//!   parent (the shim)                         init (in the namespaces)
//!   length of plan, length of filter ───────▶
//!   plan (JSON), filter (BPF) ──────────────▶ makes everything …
//!            ◀────── T ────────────────────── in a user namespace only: wants its root and binds
//!   the mounts, so many in a byte's message ▶
//!            ◀────── N ────────────────────── wants what it has mounted locked, as a namespace to move to
//!   the namespace ──────────────────────────▶
//!            ◀────── L ────────────────────── wants its limits set
//!   L ──────────────────────────────────────▶
//!            ◀────── R (and the terminal) ─── ready to execute the command
//!   G ──────────────────────────────────────▶ execve                      (a container only)
//!            ◀────── end of file ──────────── it worked: the socket is close-on-exec
//!            ◀────── E and an error ───────── it did not; this may come in place of R too
//! ```

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use barge_sys::fdpass;

use crate::error::{At as _, Stage, StartError};
use crate::plan::Plan;

/// The socket's number in init.
pub(crate) const CONTROL_FD: i32 = 3;
/// Longest plan that init takes; a specification of Docker's size is 10 KB.
const LONGEST: usize = 64 * 1024 * 1024;

/// Longest error that init tells.
const LONGEST_ERROR: u64 = 1024 * 1024;

const TREES: u8 = b'T';
const LOCKED: u8 = b'N';
const LIMITS: u8 = b'L';
const READY: u8 = b'R';
const FAILED: u8 = b'E';
const GO: u8 = b'G';

/// How long init may take for one step. What already runs in a process namespace that init joins can stop it
/// (`SIGSTOP`), and a file system of the container may not answer; who makes the process must not wait with it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The parent's end.
#[derive(Debug)]
pub(crate) struct ToInit(UnixStream);

/// How init left the conversation.
pub(crate) enum Heard {
    /// It is ready, with its terminal if it has one.
    Ready(Option<OwnedFd>),
    /// It wants something done that it may not do itself.
    Wish(Wish),
    /// It is gone without a word, or it executes the command.
    End,
}

/// What init wants of its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The mounts that are handed over.
    Trees,
    /// A namespace with the mounts that it has made, locked.
    Locked,
    /// Its limits.
    Limits,
}

impl ToInit {
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        ours.set_write_timeout(Some(PATIENCE))?;
        Ok((Self(ours), theirs.into()))
    }

    /// Sends the plan. An init that died meanwhile is no error here: what it said last is worth more.
    pub(crate) fn send_plan(&mut self, plan: &Plan<'_>, filter: &[u8]) -> Result<(), StartError> {
        let mut bytes = vec![0; 8];
        serde_json::to_writer(&mut bytes, plan)
            .map_err(|error| StartError::new(Stage::Handshake, error.to_string()))?;
        let lengths = [bytes.len() - 8, filter.len()].map(u32::try_from);
        let [Ok(plan_length), Ok(filter_length)] = lengths else {
            return Err(StartError::new(Stage::Validate, "the specification is too long"));
        };
        let header = plan_length.to_ne_bytes().into_iter().chain(filter_length.to_ne_bytes());
        bytes.splice(..8, header);
        bytes.extend_from_slice(filter);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            // Not `write_all`: a shim lives with SIGPIPE ignored, other callers may not.
            match fdpass::send_with_fds(&self.0, rest, &[]) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(late_or(&error, "send the plan")),
            }
        }
        Ok(())
    }

    /// Waits for what init says next.
    pub(crate) fn listen(&mut self) -> Result<Heard, StartError> {
        let (mut first, mut fds) = ([0_u8; 1], Vec::new());
        let length = fdpass::recv_with_fds(&self.0, &mut first, &mut fds)
            .or_else(|error| {
                // It died with bytes of ours unread.
                if error.kind() == io::ErrorKind::ConnectionReset { Ok(0) } else { Err(error) }
            })
            .map_err(|error| late_or(&error, "hear from init"))?;
        match (length, first) {
            (0, _) => Ok(Heard::End),
            (_, [READY]) => Ok(Heard::Ready(fds.pop())),
            (_, [TREES]) => Ok(Heard::Wish(Wish::Trees)),
            (_, [LOCKED]) => Ok(Heard::Wish(Wish::Locked)),
            (_, [LIMITS]) => Ok(Heard::Wish(Wish::Limits)),
            (_, [FAILED]) => {
                let mut text = Vec::new();
                let mut words = (&self.0).take(LONGEST_ERROR);
                words.read_to_end(&mut text).map_err(|error| late_or(&error, "hear from init"))?;
                Err(serde_json::from_slice(&text).unwrap_or_else(|_cut| {
                    StartError::new(Stage::Handshake, "init died while it told its error")
                }))
            }
            (_, [other]) => Err(StartError::new(Stage::Handshake, format!("init said {other:#x}"))),
        }
    }

    /// Grants a wish, with what belongs to it. An init that died meanwhile is no error here.
    pub(crate) fn grant(&mut self, wish: Wish, files: &[BorrowedFd<'_>]) -> Result<(), StartError> {
        let word = match wish {
            Wish::Trees => TREES,
            Wish::Locked => LOCKED,
            Wish::Limits => LIMITS,
        };
        // One message at least: a word needs no files.
        let (first, rest) = files.split_at(files.len().min(fdpass::MAX_FDS));
        for some in std::iter::once(first).chain(rest.chunks(fdpass::MAX_FDS)) {
            match fdpass::send_with_fds(&self.0, &[word], some) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(late_or(&error, "do what init may not")),
            }
        }
        Ok(())
    }

    /// Lets init execute the command.
    pub(crate) fn go(&mut self) -> Result<(), StartError> {
        match fdpass::send_with_fds(&self.0, &[GO], &[]) {
            Ok(_) => Ok(()),
            // Its last words are read next.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(error).at(Stage::Handshake, || "let init go".into()),
        }
    }
}

fn late_or(error: &io::Error, what: &str) -> StartError {
    if error.kind() != io::ErrorKind::WouldBlock {
        return StartError::system(Stage::Handshake, what, error);
    }
    let text = format!("{what}: no word from it within {} s: it was killed", PATIENCE.as_secs());
    StartError::new(Stage::Handshake, text)
}

fn length(reader: &mut impl io::Read) -> io::Result<usize> {
    let mut word = [0; 4];
    reader.read_exact(&mut word)?;
    let length = usize::try_from(u32::from_ne_bytes(word)).unwrap_or(usize::MAX);
    if length > LONGEST { Err(io::ErrorKind::InvalidData.into()) } else { Ok(length) }
}

/// Init's end.
#[derive(Debug)]
pub(crate) struct ToParent(UnixStream);

impl ToParent {
    /// Takes over the socket that the parent put at [`CONTROL_FD`].
    pub(crate) fn inherited() -> io::Result<Self> {
        Ok(Self(barge_sys::fds::inherited(CONTROL_FD)?.into()))
    }

    /// The plan's text and the filter's bytes.
    pub(crate) fn receive_plan(&mut self) -> io::Result<(Vec<u8>, Vec<u8>)> {
        // One read for nearly every plan; the parent sends nothing after it until it is answered, so that nothing
        // is lost with the buffer.
        let mut reader = io::BufReader::with_capacity(64 * 1024, &self.0);
        let [plan, filter] = [length(&mut reader)?, length(&mut reader)?];
        let [mut text, mut instructions] = [vec![0; plan], vec![0; filter]];
        reader.read_exact(&mut text)?;
        reader.read_exact(&mut instructions)?;
        Ok((text, instructions))
    }

    /// Asks for the mounts that the plan says are handed over, and gets so many.
    pub(crate) fn ask_for_trees(&mut self, count: usize) -> Result<Vec<OwnedFd>, StartError> {
        if count == 0 { Ok(Vec::new()) } else { self.ask(TREES, count) }
    }

    /// Asks for a namespace that has the mounts of ours, locked.
    pub(crate) fn ask_for_locked(&mut self) -> Result<OwnedFd, StartError> {
        let gave_up = || StartError::new(Stage::Handshake, "the parent gave up");
        self.ask(LOCKED, 1)?.pop().ok_or_else(gave_up)
    }

    /// Asks for limits to be set, and waits until they are.
    pub(crate) fn ask_for_limits(&mut self) -> Result<(), StartError> {
        self.ask(LIMITS, 0).map(drop)
    }

    /// Asks for something that comes with so many descriptors.
    fn ask(&mut self, word: u8, count: usize) -> Result<Vec<OwnedFd>, StartError> {
        self.0.write_all(&[word]).at(Stage::Handshake, || "ask the parent".into())?;
        let mut files = Vec::new();
        loop {
            let mut answer = [0];
            let received = fdpass::recv_with_fds(&self.0, &mut answer, &mut files)
                .at(Stage::Handshake, || "hear from the parent".into())?;
            if received == 0 || answer != [word] {
                return Err(StartError::new(Stage::Handshake, "the parent gave up"));
            }
            if files.len() >= count {
                return Ok(files);
            }
        }
    }

    /// Says that all is ready, handing over the terminal.
    pub(crate) fn ready(&mut self, terminal: Option<BorrowedFd<'_>>) -> Result<(), StartError> {
        let fds: Vec<_> = terminal.into_iter().collect();
        fdpass::send_with_fds(self.0.as_fd(), &[READY], &fds)
            .map(drop)
            .at(Stage::Handshake, || "report to the parent".into())
    }

    /// Waits for the word to go; `false` when the parent gave up.
    pub(crate) fn wait_for_go(&mut self) -> bool {
        let mut word = [0];
        self.0.read_exact(&mut word).is_ok() && word == [GO]
    }

    /// The last words: why it did not work.
    pub(crate) fn fail(&mut self, error: &StartError) -> io::Result<()> {
        let mut text = vec![FAILED];
        serde_json::to_writer(&mut text, error)?;
        self.0.write_all(&text)
    }
}
