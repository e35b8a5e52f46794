//! Being attached: bytes go both ways until the other side closes, signals and window sizes go
//! along.
//!
//! Each direction has a thread, because standard streams block: a full pipe must not hold up a
//! signal. The thread that reads standard input is never waited for; it ends with the process.

use std::io::{self, Read as _, Write as _};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use barge_client::stdcopy::{Splitter, StdStream};
use barge_client::{Client, ClientError, Hijacked, HijackedReader, HijackedWriter, Wait};
use rustix::io::Errno;
use tokio::sync::oneshot;

use super::signals::{Proxy, Signals};
use crate::PROGRAM;
use crate::error::{CliError, Result};
use crate::terminal::{self, RawMode, Size};

/// How much is copied at once.
const BUFFER: usize = 64 * 1024;

/// How long after the end of a terminal's output an exit may take to be told, before the container
/// is asked for.
const SETTLE: Duration = Duration::from_millis(20);

/// Whether the process has a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tty {
    Yes,
    No,
}

/// Whether our standard input goes to the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stdin {
    Attached,
    Ignored,
}

/// Streams being copied; our terminal is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Copying {
    /// Ends when all output is written.
    output: oneshot::Receiver<io::Result<()>>,
    _raw: Option<RawMode>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The process exited.
    Exited(i64),
    /// The user left; the process runs on.
    Detached,
}

impl From<bool> for Tty {
    fn from(tty: bool) -> Self {
        if tty { Self::Yes } else { Self::No }
    }
}

impl From<bool> for Stdin {
    fn from(attached: bool) -> Self {
        if attached { Self::Attached } else { Self::Ignored }
    }
}

/// Refuses a terminal for the process when we have none to give.
pub(super) fn check_terminal(tty: Tty, stdin: Stdin) -> Result<()> {
    if tty == Tty::Yes && stdin == Stdin::Attached && !terminal::stdin_is_terminal() {
        return Err(CliError::Invalid("the input device is not a TTY".to_owned()));
    }
    Ok(())
}

/// Starts copying.
pub(super) fn copy(hijacked: Hijacked, tty: Tty, stdin: Stdin) -> Result<Copying> {
    let failed = CliError::stdio;
    let (reader, writer) = hijacked.into_blocking().map_err(failed("attach"))?;
    let raw = if tty == Tty::Yes && stdin == Stdin::Attached && terminal::stdin_is_terminal() {
        Some(RawMode::enter().map_err(failed("set the terminal"))?)
    } else {
        None
    };
    let (done, output) = oneshot::channel();
    std::thread::spawn(move || {
        // Nobody listens any more when the program is about to end.
        done.send(copy_out(reader, tty)).ok();
    });
    if stdin == Stdin::Attached {
        std::thread::spawn(move || copy_in(writer));
    }
    Ok(Copying { output, _raw: raw })
}

fn copy_out(mut from: HijackedReader, tty: Tty) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut splitter = Splitter::default();
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // The daemon closes without reading all of our input: that is an end, too.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error),
        };
        let bytes = &buffer[..count];
        match tty {
            Tty::Yes => write_all(rustix::stdio::stdout(), bytes)?,
            Tty::No => splitter.feed(bytes, |stream, piece| match stream {
                StdStream::Out => write_all(rustix::stdio::stdout(), piece),
                StdStream::Err | StdStream::System => write_all(rustix::stdio::stderr(), piece),
            })?,
        }
    }
}

fn copy_in(mut to: HijackedWriter) {
    let mut buffer = vec![0; BUFFER];
    loop {
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(0) | Err(Errno::IO) => break,
            Ok(count) => {
                // The process has gone; its output tells.
                if to.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                if wait_until_ready(rustix::stdio::stdin(), rustix::event::PollFlags::IN).is_err() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    // No more input; the output goes on. A socket that is closed already needs no closing.
    to.close().ok();
}

/// Writes past `std`'s line buffer; a descriptor that someone made non-blocking is waited for.
fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait_until_ready(to, rustix::event::PollFlags::OUT)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn wait_until_ready(fd: BorrowedFd<'_>, what: rustix::event::PollFlags) -> io::Result<()> {
    let mut polled = [rustix::event::PollFd::from_borrowed_fd(fd, what)];
    match rustix::event::poll(&mut polled, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Copying {
    /// Waits until all output is written; a reader of ours that has gone ends it quietly.
    pub(super) async fn finished(&mut self) -> Result<()> {
        match (&mut self.output).await {
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(source)) => Err(CliError::Stdio { action: "copy the output", source }),
        }
    }
}

/// A container that we are attached to.
pub(super) struct Attached<'a> {
    pub(super) client: &'a Client,
    pub(super) id: &'a str,
    /// What its user calls it.
    pub(super) name: &'a str,
    pub(super) tty: Tty,
    pub(super) wait: Wait<'a>,
    pub(super) copying: Copying,
    pub(super) signals: Signals,
}

impl Attached<'_> {
    /// Stays until the process exits or the user leaves.
    pub(super) async fn follow(self) -> Result<Ended> {
        let Self { client, id, name, tty, wait, mut copying, mut signals } = self;
        let exit = async {
            let status = match wait.result().await {
                Err(error) if error.is_gone() => return Err(left_alone(client, name)),
                result => result?,
            };
            match status.error.filter(|error| !error.message.is_empty()) {
                Some(error) => Err(CliError::Invalid(error.message)),
                None => Ok(status.status_code),
            }
        };
        let mut exit = std::pin::pin!(exit);
        let mut told = None;
        let mut written = false;
        loop {
            tokio::select! {
                status = &mut exit, if told.is_none() => {
                    if matches!(status, Err(CliError::Lost { .. })) && !written {
                        // What had come until then is shown all the same.
                        copying.finished().await?;
                    }
                    told = Some(status?);
                }
                result = copying.finished(), if !written => {
                    result?;
                    written = true;
                    if told.is_none() && tty == Tty::Yes
                        && has_left(client, id, &mut exit, &mut told).await?
                    {
                        return Ok(Ended::Detached);
                    }
                }
                event = signals.next() => {
                    handle(client, id, event).await;
                    if signals.are_enough() {
                        // Gives the terminal back before anything is said on it.
                        drop(copying);
                        crate::streams::Streams
                            .note("\ngot 3 SIGTERM/SIGINTs, forcefully exiting");
                        return Err(CliError::Exit(1));
                    }
                }
            }
            if let Some(code) = told.filter(|_| written) {
                return Ok(Ended::Exited(code));
            }
        }
    }
}

/// What there is to say when the daemon goes and its container does not.
pub(super) fn left_alone(client: &Client, name: &str) -> CliError {
    CliError::Lost {
        text: format!(
            "the barge daemon at {} went away; container {name} does not end with it: \
             `{PROGRAM} attach {name}` or `{PROGRAM} logs -f {name}` goes on with it",
            client.host()
        ),
        code: 1,
    }
}

/// The output of a terminal ends with the process or when the user typed the detach keys: the
/// container tells which.
async fn has_left<F>(
    client: &Client,
    id: &str,
    exit: &mut std::pin::Pin<&mut F>,
    told: &mut Option<i64>,
) -> Result<bool>
where
    F: Future<Output = Result<i64>>,
{
    if let Ok(status) = tokio::time::timeout(SETTLE, exit.as_mut()).await {
        *told = Some(status?);
        return Ok(false);
    }
    match client.containers().inspect(id).await {
        Ok(container) => Ok(container.state.running),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn handle(client: &Client, id: &str, event: Proxy) {
    let result = match event {
        Proxy::Signal(name) => client.containers().kill(id, Some(name)).await,
        Proxy::Resized => match terminal::size() {
            Some(Size { height, width }) => client.containers().resize(id, height, width).await,
            None => Ok(()),
        },
    };
    report(result);
}

/// A signal or size that came too late is no failure of ours.
pub(super) fn report(result: std::result::Result<(), ClientError>) {
    if let Err(error) = result
        && !matches!(error.status().map(|status| status.as_u16()), Some(404 | 409 | 500))
    {
        crate::streams::Streams.note(error);
    }
}

/// Tells a terminal our window's size, if we have one.
pub(super) async fn resize(client: &Client, id: &str) {
    if let Some(Size { height, width }) = terminal::size() {
        report(client.containers().resize(id, height, width).await);
    }
}

/// Tells a terminal another size and then ours: its program draws itself anew for who has just
/// come.
pub(super) async fn redraw(client: &Client, id: &str) {
    if let Some(Size { height, width }) = terminal::size() {
        let (taller, wider) = (height.saturating_add(1), width.saturating_add(1));
        report(client.containers().resize(id, taller, wider).await);
        report(client.containers().resize(id, height, width).await);
    }
}
