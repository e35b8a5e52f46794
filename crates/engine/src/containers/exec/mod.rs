//! `exec`: one more process in a running container.

mod kept;

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use barge_api_types::{
    ExecCreateRequest, ExecCreateResponse, ExecInspect, ExecProcessConfig, ExecStartRequest,
};
use barge_shim_api::{
    AttachStreams, ConsoleSize, Exec as ExecRequest, Exit, Request, Response, StdinMode,
    StdioConfig,
};
use barge_sys::fault;
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::attach::{Attached, stream_pair};
use super::container::Container;
use super::create::new_id;
use super::pause::not_running;
use super::settings::invalid;
use super::state::{Freeze, Running, State};
use super::{Containers, spec, to_the_end};
use crate::blocking;
use crate::error::{EngineError, Result};

/// A process that was or is to be started in a container.
#[derive(Debug)]
pub(crate) struct Exec {
    id: String,
    request: ExecCreateRequest,
    phase: watch::Sender<Phase>,
}

/// Where an exec is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Created,
    Running { pid: u32 },
    Ended { pid: u32, code: i64, at: Instant },
}

/// How long one is kept after its end.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// How long a client's stream is kept open after the last output for the exit code to be known.
const END_DEADLINE: Duration = Duration::from_secs(2);

/// The end of an exec. The last of its output and its exit code come by different ways; a client that has read the one
/// asks for the other.
#[derive(Debug)]
pub struct ExecEnd {
    phase: watch::Receiver<Phase>,
}

impl ExecEnd {
    /// Waits until the exit code is known.
    pub async fn recorded(mut self) {
        let ended = self.phase.wait_for(|phase| matches!(phase, Phase::Ended { .. }));
        // A process whose output has ended and that goes on is not waited for.
        tokio::time::timeout(END_DEADLINE, ended).await.ok();
    }
}

/// How an exec was started.
#[derive(Debug)]
pub enum ExecStarted {
    /// It runs by itself.
    Detached,
    /// Its stdio is here.
    Attached(Attached),
}

impl Exec {
    /// As dockerd writes it: the program, a blank, its arguments.
    fn command(&self) -> String {
        match self.request.cmd.split_first() {
            Some((program, arguments)) => format!("{program} {}", arguments.join(" ")),
            None => String::new(),
        }
    }

    fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Takes the right to start it; it is started once.
    pub(super) fn begin(&self) -> Result<()> {
        let mut outcome = Ok(());
        self.phase.send_if_modified(|phase| {
            let state = match phase {
                Phase::Created => {
                    *phase = Phase::Running { pid: 0 };
                    return true;
                }
                Phase::Running { .. } => "is already running",
                Phase::Ended { .. } => "has already run",
            };
            outcome =
                Err(EngineError::Conflict(format!("Error: Exec command {} {state}", self.id)));
            false
        });
        outcome
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Whether it was started.
    pub(super) fn has_run(&self) -> bool {
        !matches!(self.phase(), Phase::Created | Phase::Running { pid: 0 })
    }

    /// Its exit code, once it has ended.
    pub(super) async fn code(&self) -> i64 {
        let mut phase = self.phase.subscribe();
        // The sender lives as long as the exec.
        let ended = phase.wait_for(|phase| matches!(phase, Phase::Ended { .. })).await;
        match ended.as_deref() {
            Ok(Phase::Ended { code, .. }) => *code,
            Ok(Phase::Created | Phase::Running { .. }) | Err(_) => -1,
        }
    }

    /// Its end, to be waited for.
    fn end(&self) -> ExecEnd {
        ExecEnd { phase: self.phase.subscribe() }
    }

    fn is_old(&self) -> bool {
        matches!(self.phase(), Phase::Ended { at, .. } if at.elapsed() >= KEPT_FOR)
    }

    fn end_with(&self, code: i64) {
        self.phase.send_modify(|phase| {
            let pid = match *phase {
                Phase::Running { pid } | Phase::Ended { pid, .. } => pid,
                Phase::Created => 0,
            };
            *phase = Phase::Ended { pid, code, at: Instant::now() };
        });
    }

    /// The shim saw it end.
    pub(super) fn ended(&self, exit: &Exit) {
        self.end_with(i64::from(exit.code));
    }
}

impl Containers {
    /// Checks and keeps what is to be run.
    pub async fn exec_create(
        self: &Arc<Self>,
        name: &str,
        request: ExecCreateRequest,
    ) -> Result<ExecCreateResponse> {
        let container = self.registry.find(name)?;
        if request.cmd.is_empty() {
            return Err(invalid("No exec command specified"));
        }
        check_runs(&container, name)?;
        let exec = self.keep_exec(&container, new_id()?.to_string(), request)?;
        fault::point("exec: kept");
        Ok(ExecCreateResponse { id: exec.id.clone() })
    }

    /// Keeps what is to be run, and tells of it.
    pub(super) fn keep_exec(
        &self,
        container: &Arc<Container>,
        id: String,
        request: ExecCreateRequest,
    ) -> Result<Arc<Exec>> {
        let exec =
            Arc::new(Exec { id: id.clone(), request, phase: watch::Sender::new(Phase::Created) });
        self.forget_old_execs(container);
        container.inner().execs.insert(id.clone(), Arc::clone(&exec));
        self.execs().insert(id, Arc::downgrade(container));
        self.tell_exec(container, &format!("exec_create: {}", exec.command()), &exec.id);
        Ok(exec)
    }

    /// Starts it. One that cannot be run still has a stream, on which the reason is said, and an exit code, as in
    /// Docker: its clients read both.
    pub async fn exec_start(
        self: &Arc<Self>,
        id: &str,
        request: ExecStartRequest,
    ) -> Result<ExecStarted> {
        let (container, exec) = self.find_exec(id)?;
        let this = Arc::clone(self);
        to_the_end(async move {
            check_runs(&container, container.id.as_str())?;
            exec.begin()?;
            let outcome = this.exec_now(&container, &exec, &request).await;
            match outcome {
                Ok(started) => Ok(started),
                Err(error) => this.exec_failed(&exec, &request, error),
            }
        })
        .await
    }

    /// Starts it without heed of who asks.
    pub(super) async fn exec_now(
        self: &Arc<Self>,
        container: &Arc<Container>,
        exec: &Exec,
        request: &ExecStartRequest,
    ) -> Result<ExecStarted> {
        let shim = container.shim().ok_or_else(|| not_running(container))?;
        let wanted = &exec.request;
        let size = request.console_size.or(wanted.console_size).unwrap_or_default();
        let has_stdin = wanted.attach_stdin && !request.detach;
        let stdio = StdioConfig {
            stdin: if has_stdin { StdinMode::Once } else { StdinMode::Null },
            terminal: wanted.tty.then_some(ConsoleSize { height: size[0], width: size[1] }),
        };
        let (stream, streams, descriptors) = if request.detach {
            (None, Vec::new(), Vec::new())
        } else {
            let (ours, theirs) = stream_pair()?;
            let streams = AttachStreams {
                stdin: has_stdin,
                stdout: wanted.attach_stdout,
                stderr: wanted.attach_stderr,
            };
            (Some(ours), vec![streams], vec![theirs])
        };
        let process = self.process_of(container, wanted).await?;
        // What the next daemon has to know of it.
        let note = serde_json::to_string(wanted).unwrap_or_default();
        // Before its end can be told.
        self.tell_exec(container, &format!("exec_start: {}", exec.command()), &exec.id);
        let order = ExecRequest {
            exec_id: exec.id.clone(),
            process: Box::new(process),
            stdio,
            streams,
            note,
        };
        fault::point("exec: about to be asked for");
        let answer = shim.send(&Request::Exec(Box::new(order)), &descriptors).await?;
        drop(descriptors);
        fault::point("exec: asked for");
        let answer = answer.wait().await?;
        fault::point("exec: answered");
        match answer {
            Ok(Response::ExecStarted { pid }) => {
                // Its end may have been told before its start was answered.
                exec.phase.send_modify(|phase| match phase {
                    Phase::Created => {}
                    Phase::Running { pid: own } | Phase::Ended { pid: own, .. } => *own = pid,
                });
            }
            Ok(_) => {
                return Err(EngineError::ShimGone { id: container.id.to_string() });
            }
            Err(failure) => {
                // Another runtime says it all itself.
                let said = "exec failed: unable to start container process: ";
                let message = failure.message;
                let message = message.strip_prefix(said).unwrap_or(&message).to_owned();
                return Err(EngineError::Exec { message, kind: failure.kind });
            }
        }
        Ok(match stream {
            None => ExecStarted::Detached,
            Some(stream) => ExecStarted::Attached(Attached {
                tty: wanted.tty,
                stream: Some(stream),
                replay: None,
                end: Some(exec.end()),
                detach_keys: wanted.detach_keys.clone(),
                leaving: Some(self.leaving(container, Some(exec.id.clone()))),
            }),
        })
    }

    /// What to run, as whom.
    async fn process_of(
        self: &Arc<Self>,
        container: &Arc<Container>,
        wanted: &ExecCreateRequest,
    ) -> Result<barge_oci::runtime::Process> {
        let record = container.record();
        let groups = {
            let (this, container) = (Arc::clone(self), Arc::clone(container));
            match record.host_config.group_add.as_slice() {
                [] => Vec::new(),
                _ => blocking::run(move || this.groups_of_running(&container)).await?,
            }
        };
        let linked = self.linked_environment(container);
        let told = (groups.as_slice(), linked.as_slice());
        let mut process = spec::exec_process(&record, &container.settings(), told, wanted);
        if container.is_by_other_runtime() {
            let (this, container) = (Arc::clone(self), Arc::clone(container));
            process = blocking::run(move || {
                spec::number_user(&mut process, &this.mounted_root(&container)?)?;
                Ok(process)
            })
            .await?;
        }
        Ok(process)
    }

    fn exec_failed(
        &self,
        exec: &Exec,
        request: &ExecStartRequest,
        error: EngineError,
    ) -> Result<ExecStarted> {
        let code = i64::from(error.exit_code(126));
        exec.end_with(code);
        let is_about_the_command = matches!(error, EngineError::Exec { .. });
        if request.detach || !is_about_the_command {
            return Err(error);
        }
        let stream = one_message(&format!("{}\r\n", error.message()), exec.request.tty)?;
        Ok(ExecStarted::Attached(Attached {
            tty: exec.request.tty,
            stream: Some(stream),
            replay: None,
            end: None,
            detach_keys: String::new(),
            leaving: None,
        }))
    }

    /// Sets the size of its terminal.
    pub async fn exec_resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        let (container, exec) = self.find_exec(id)?;
        let size = ConsoleSize { height, width };
        let request = Request::Resize { exec_id: Some(exec.id.clone()), size };
        self.ask(&container, "resize the terminal of an exec", &request).await
    }

    /// What is known of it.
    pub async fn exec_inspect(&self, id: &str) -> Result<ExecInspect> {
        let (container, exec) = self.find_exec(id)?;
        let phase = exec.phase();
        let request = &exec.request;
        let (program, arguments) =
            request.cmd.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        Ok(ExecInspect {
            id: exec.id.clone(),
            running: matches!(phase, Phase::Running { .. }),
            exit_code: match phase {
                Phase::Ended { code, .. } => Some(code),
                Phase::Created | Phase::Running { .. } => None,
            },
            process_config: ExecProcessConfig {
                tty: request.tty,
                entrypoint: program.to_owned(),
                arguments: arguments.to_vec(),
                privileged: Some(request.privileged),
                user: request.user.clone(),
            },
            open_stdin: request.attach_stdin,
            open_stderr: request.attach_stderr,
            open_stdout: request.attach_stdout,
            can_remove: false,
            container_id: container.id.to_string(),
            detach_keys: request.detach_keys.clone(),
            pid: match phase {
                Phase::Running { pid } | Phase::Ended { pid, .. } => i64::from(pid),
                Phase::Created => 0,
            },
        })
    }
}

/// Nothing is run in a container that does not run itself, or stands still.
fn check_runs(container: &Container, name: &str) -> Result<()> {
    match container.state() {
        State::Running(Running { freeze: Freeze::Frozen, .. }) => Err(EngineError::Conflict(
            format!("container {name} is paused, unpause the container before exec"),
        )),
        State::Running(_) => Ok(()),
        State::Created(_) | State::Restarting(_) | State::Exited(_) | State::Removing(_) => {
            Err(not_running(container))
        }
    }
}

/// The execs of a container, whose ids `inspect` shows while they run.
pub(super) fn running_ids(execs: &BTreeMap<String, Arc<Exec>>) -> Vec<String> {
    execs
        .values()
        .filter(|exec| matches!(exec.phase(), Phase::Running { .. }))
        .map(|exec| exec.id.clone())
        .collect()
}

/// A stream that says one thing and ends.
fn one_message(text: &str, has_terminal: bool) -> Result<UnixStream> {
    use std::io::Write as _;
    let make = || {
        let (ours, mut theirs) = StdStream::pair()?;
        if !has_terminal {
            // Frames: the stream (1 is stdout), three zeros, the length.
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
            theirs.write_all(&[1, 0, 0, 0])?;
            theirs.write_all(&length)?;
        }
        theirs.write_all(text.as_bytes())?;
        ours.set_nonblocking(true)?;
        UnixStream::from_std(ours)
    };
    make().map_err(EngineError::io("make", "a socket pair"))
}
