//! `attach`: a stream to and from a container's stdio. The shim frames and copies; the daemon only joins two sockets.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::time::SystemTime;

use barge_shim_api::{AttachStreams, Request, Response, UnixTime};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::UnixStream;

use super::Containers;
use super::container::Container;
use super::exec::ExecEnd;
use super::logs::{LogStream, LogsOptions};
use super::pause::not_running;
use super::state::{Freeze, Running, State};
use crate::error::{EngineError, Result};
use crate::time;

/// What to attach.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the parameters of the API, by its names")]
pub struct AttachOptions {
    /// First what was logged before.
    pub logs: bool,
    /// Then what is to come.
    pub stream: bool,
    /// With stdin.
    pub stdin: bool,
    /// With stdout.
    pub stdout: bool,
    /// With stderr.
    pub stderr: bool,
    /// The keys that end the attachment and not the container; the default when empty.
    pub detach_keys: String,
}

/// An attachment.
#[derive(Debug)]
pub struct Attached {
    /// Whether the container has a terminal: then the stream is raw and detach keys are looked for.
    pub tty: bool,
    /// Framed output comes from it (raw with a terminal), raw stdin goes to it.
    pub stream: Option<UnixStream>,
    /// What comes before the stream.
    pub replay: Option<LogStream>,
    /// Of an exec: what to wait for between the last output and the end of the client's stream.
    pub end: Option<ExecEnd>,
    /// The keys as the user or the daemon chose them.
    pub detach_keys: String,
    /// For who leaves by these keys.
    pub leaving: Option<Leaving>,
}

/// That somebody leaves a container or an exec which goes on.
#[derive(Debug)]
pub struct Leaving {
    containers: Arc<Containers>,
    container: Arc<Container>,
    exec_id: Option<String>,
}

impl Leaving {
    /// Tells of it.
    pub fn tell(self) {
        match self.exec_id {
            None => self.containers.tell(&self.container, "detach"),
            Some(id) => self.containers.tell_exec(&self.container, "exec_detach", &id),
        }
    }
}

impl Containers {
    /// What to tell when a client leaves.
    pub(super) fn leaving(
        self: &Arc<Self>,
        container: &Arc<Container>,
        exec_id: Option<String>,
    ) -> Leaving {
        Leaving { containers: Arc::clone(self), container: Arc::clone(container), exec_id }
    }

    /// Attaches to a container that runs, or that is about to be started.
    pub async fn attach(self: &Arc<Self>, name: &str, options: AttachOptions) -> Result<Attached> {
        let container = self.registry.find(name)?;
        let tty = container.record().config.tty;
        // The stream first: what is written between the two would be in neither.
        let (stream, since) = if options.stream {
            let (stream, since) = self.attach_stream(&container, &options).await?;
            (Some(stream), Some(since))
        } else {
            (None, None)
        };
        let replay = if options.logs {
            let logs = LogsOptions {
                stdout: options.stdout,
                stderr: options.stderr,
                until: since.map(|since| time::rfc3339(since.into())),
                ..LogsOptions::default()
            };
            Some(self.logs(name, logs).await?)
        } else {
            None
        };
        self.tell(&container, "attach");
        Ok(Attached {
            tty,
            stream,
            replay,
            end: None,
            detach_keys: options.detach_keys,
            leaving: Some(self.leaving(&container, None)),
        })
    }

    /// The stream, and the moment from which on it gets what the container writes.
    async fn attach_stream(
        &self,
        container: &Container,
        options: &AttachOptions,
    ) -> Result<(UnixStream, UnixTime)> {
        let open_stdin = container.record().config.open_stdin;
        let streams = AttachStreams {
            stdin: options.stdin && open_stdin,
            stdout: options.stdout,
            stderr: options.stderr,
        };
        match container.state() {
            State::Running(Running { freeze: Freeze::Frozen, .. }) => {
                return Err(EngineError::Conflict(format!(
                    "container {} is paused, unpause the container before attach",
                    container.name()
                )));
            }
            State::Restarting(_) => return Err(not_running(container)),
            State::Removing(_) => {
                return Err(EngineError::Conflict(format!(
                    "container {} is being removed",
                    container.id
                )));
            }
            State::Running(_) | State::Created(_) | State::Exited(_) => {}
        }
        let (ours, theirs) = stream_pair()?;
        // Looked at and used under one lock: a start between the two would miss the stream.
        let shim = {
            let mut inner = container.inner();
            match (&inner.shim, inner.state.running().is_some()) {
                (Some(shim), true) => Arc::clone(shim),
                _ => {
                    // Those whose client went away before the start are not kept.
                    inner.streams.retain(|(_, socket)| !is_abandoned(socket));
                    inner.streams.push((streams, theirs));
                    return Ok((ours, UnixTime::from(SystemTime::now())));
                }
            }
        };
        let answer = shim.send(&Request::Attach(streams), &[theirs]).await?.wait().await?;
        let answer = answer.map_err(|source| EngineError::Shim { action: "attach", source })?;
        if let Response::Attached { at } = answer {
            return Ok((ours, at));
        }
        // A shim of an older version does not say when.
        Ok((ours, UnixTime::from(SystemTime::now())))
    }
}

/// Whether the other end of a stream is closed.
fn is_abandoned(socket: &OwnedFd) -> bool {
    let mut asked = [PollFd::new(socket, PollFlags::empty())];
    poll(&mut asked, Some(&Timespec::default())).is_ok()
        && asked[0].revents().contains(PollFlags::HUP)
}

/// The daemon's end of a stream, and the shim's.
pub(super) fn stream_pair() -> Result<(UnixStream, OwnedFd)> {
    let make = || {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((UnixStream::from_std(ours)?, OwnedFd::from(theirs)))
    };
    make().map_err(EngineError::io("make", "a socket pair"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_is_abandoned_when_its_client_is_gone_and_not_when_it_has_said_all() {
        let (mut ours, theirs) = stream_pair().unwrap();
        assert!(!is_abandoned(&theirs));
        tokio::io::AsyncWriteExt::shutdown(&mut ours).await.unwrap();
        assert!(!is_abandoned(&theirs));
        drop(ours);
        assert!(is_abandoned(&theirs));
    }
}
