//! The one container of a shim, and its processes.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use barge_cgroups::CgroupManager;
use barge_logdriver::LogDriver;
use barge_shim_api::{
    AttachStreams, Event, Exec, ExecState, Exit, ExitRecord, Failure, FailureKind, SignalTarget,
    State, Status, UnixTime,
};
use barge_sys::{fault, pidfd};
use rustix::process::Signal;

use crate::exit::{exit_of, record};
use crate::launch::{self, Launched, Runtime};
use crate::process::{Process, ProcessId};
use crate::stdio::Role;

/// How many execs that have ended are remembered.
const ENDED_KEPT: usize = 16;

/// The exit code of what was killed, or of a shell whose command was.
const KILLED: u8 = 137;

/// Where the container is in its life.
#[derive(Debug)]
enum Phase {
    Created,
    Running {
        since: UnixTime,
        is_paused: bool,
    },
    Exited {
        since: Option<UnixTime>,
        exit: Exit,
    },
    /// The start failed; there never was a command that could exit.
    Failed,
}

/// The container.
#[derive(Debug)]
pub(crate) struct Container {
    id: String,
    state_dir: PathBuf,
    cgroup: Box<dyn CgroupManager>,
    runtime: Runtime,
    phase: Phase,
    /// The first process; none once it is gone and its output drained.
    first: Option<Process>,
    first_pid: u32,
    execs: Vec<(ExecState, Process)>,
    /// The last of those that have ended, for a daemon that was not there.
    ended: VecDeque<ExecState>,
    /// Once nothing is written to it any more.
    log: Option<Box<dyn LogDriver>>,
    next_process: u32,
    /// How many of its processes the kernel has killed for want of memory, as far as is known.
    oom_kills: u64,
    is_clean: bool,
}

impl Container {
    /// Around what [`launch::create`] has made.
    pub(crate) fn new(id: String, state_dir: PathBuf, launched: Launched) -> Self {
        let Launched { runtime, cgroup, pid, pidfd, stdio } = launched;
        Self {
            id,
            state_dir,
            cgroup,
            runtime,
            phase: Phase::Created,
            first: Some(Process::new(ProcessId(0), pid, pidfd, stdio)),
            first_pid: pid,
            execs: Vec::new(),
            ended: VecDeque::new(),
            log: None,
            next_process: 1,
            oom_kills: 0,
            is_clean: false,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.first_pid
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.first.iter().chain(self.execs.iter().map(|(_, process)| process))
    }

    pub(crate) fn process_mut(&mut self, id: ProcessId) -> Option<&mut Process> {
        let execs = self.execs.iter_mut().map(|(_, process)| process);
        self.first.iter_mut().chain(execs).find(|process| process.id == id)
    }

    /// The first process, or that of an exec; only while it runs.
    fn living(&mut self, exec_id: Option<&str>) -> Result<&mut Process, Failure> {
        match exec_id {
            None => match &mut self.first {
                Some(first) if first.is_alive() => Ok(first),
                Some(_) | None => Err(wrong_state("container is not running")),
            },
            Some(exec_id) => self
                .execs
                .iter_mut()
                .find(|(exec, process)| exec.exec_id == exec_id && process.is_alive())
                .map(|(_, process)| process)
                .ok_or_else(|| no_such_exec(exec_id)),
        }
    }

    pub(crate) fn start(&mut self) -> Result<UnixTime, Failure> {
        match self.phase {
            Phase::Created => {}
            Phase::Running { .. } => return Err(wrong_state("container is running")),
            Phase::Exited { .. } | Phase::Failed => {
                return Err(wrong_state("container has exited"));
            }
        }
        fault::point("shim: about to start");
        if let Err(failure) = self.runtime.start() {
            self.abandon();
            return Err(failure);
        }
        fault::point("shim: started");
        let since = UnixTime::from(SystemTime::now());
        self.phase = Phase::Running { since, is_paused: false };
        Ok(since)
    }

    /// After a start that failed nothing is left of the container, and nobody waits for an exit of
    /// what never ran.
    fn abandon(&mut self) {
        self.first = None;
        self.phase = Phase::Failed;
        self.runtime.delete();
        self.clean_up();
    }

    pub(crate) fn exec(&mut self, exec: &Exec, streams: Vec<OwnedFd>) -> Result<u32, Failure> {
        match self.phase {
            Phase::Running { is_paused: false, .. } => {}
            Phase::Running { is_paused: true, .. } => {
                return Err(wrong_state("container is paused"));
            }
            Phase::Created | Phase::Exited { .. } | Phase::Failed => {
                return Err(wrong_state("container is not running"));
            }
        }
        if self.execs.iter().any(|(other, _)| other.exec_id == exec.exec_id) {
            return Err(Failure::new(
                FailureKind::InvalidRequest,
                "exec",
                format_args!("exec {} exists", exec.exec_id),
            ));
        }
        fault::point("shim: about to exec");
        let started = launch::exec(&self.runtime, &*self.cgroup, exec, streams)?;
        fault::point("shim: exec started");
        let id = ProcessId(self.next_process);
        self.next_process = self.next_process.wrapping_add(1).max(1);
        let pid = started.pid;
        let process = Process::new(id, pid, started.pidfd, started.stdio);
        let (exec_id, note) = (exec.exec_id.clone(), exec.note.clone());
        self.execs.push((ExecState { exec_id, pid, note, exit: None, is_untold: false }, process));
        Ok(pid)
    }

    /// Returns the moment that parts what is in the log from what the stream gets.
    pub(crate) fn attach(
        &mut self,
        socket: OwnedFd,
        what: AttachStreams,
    ) -> Result<UnixTime, Failure> {
        let first = self.living(None)?;
        first
            .stdio
            .attach(socket, what, Role::Observer)
            .map_err(launch::os_failure("attach", "cannot attach stream"))?;
        Ok(UnixTime::from(SystemTime::now()))
    }

    pub(crate) fn resize(
        &mut self,
        exec: Option<&str>,
        rows: u16,
        columns: u16,
    ) -> Result<(), Failure> {
        let process = self.living(exec)?;
        let Some(terminal) = process.stdio.terminal() else {
            return Err(Failure::new(
                FailureKind::InvalidRequest,
                "resize",
                "process has no terminal",
            ));
        };
        barge_sys::pty::resize(terminal, rows, columns)
            .map_err(launch::os_failure("resize", "cannot resize terminal"))
    }

    pub(crate) fn close_input(&mut self, exec: Option<&str>) -> Result<(), Failure> {
        self.living(exec)?.stdio.close_input();
        Ok(())
    }

    pub(crate) fn signal(&mut self, signal: u8, target: &SignalTarget) -> Result<(), Failure> {
        let number = i32::from(signal);
        let failed = || launch::os_failure("signal", "cannot send signal");
        match target {
            SignalTarget::Init => self.living(None)?.signal(number).map_err(failed())?,
            SignalTarget::Exec(id) => {
                let exec = self.living(Some(id))?;
                exec.signal(number).map_err(failed())?;
                if number == Signal::KILL.as_raw() {
                    exec.kill_children();
                }
                // A paused container stays so: it is not the one that is to die.
                return Ok(());
            }
            SignalTarget::All => {
                self.living(None)?;
                self.signal_all(number)?;
            }
        }
        self.thaw_to_die(number)
    }

    fn signal_all(&self, signal: i32) -> Result<(), Failure> {
        if signal == Signal::KILL.as_raw() {
            return self.cgroup.kill_all().map_err(|error| launch::cgroup_failure(&error));
        }
        for pid in self.pids()? {
            // Gone meanwhile: has got what it was to get.
            let Ok(process) = pidfd::open(i32::try_from(pid).unwrap_or(0)) else {
                continue;
            };
            match pidfd::send_signal(&process, signal) {
                Err(error)
                    if error.raw_os_error() != Some(rustix::io::Errno::SRCH.raw_os_error()) =>
                {
                    return Err(launch::os_failure("signal", "cannot send signal")(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// On v1 a frozen process takes its SIGKILL only when it is thawed.
    fn thaw_to_die(&mut self, signal: i32) -> Result<(), Failure> {
        // Whoever froze it: others can, too.
        let is_frozen = || self.cgroup.is_frozen().unwrap_or(false);
        if signal != Signal::KILL.as_raw() || !is_frozen() {
            return Ok(());
        }
        self.cgroup.thaw().map_err(|error| launch::cgroup_failure(&error))?;
        if let Phase::Running { is_paused, .. } = &mut self.phase {
            *is_paused = false;
        }
        Ok(())
    }

    pub(crate) fn pause(&mut self) -> Result<(), Failure> {
        match &mut self.phase {
            Phase::Running { is_paused, .. } if !*is_paused => {
                self.cgroup.freeze().map_err(|error| launch::cgroup_failure(&error))?;
                *is_paused = true;
                Ok(())
            }
            Phase::Running { .. } => Err(wrong_state("container is paused")),
            Phase::Created | Phase::Exited { .. } | Phase::Failed => {
                Err(wrong_state("container is not running"))
            }
        }
    }

    pub(crate) fn resume(&mut self) -> Result<(), Failure> {
        match &mut self.phase {
            Phase::Running { is_paused, .. } if *is_paused => {
                self.cgroup.thaw().map_err(|error| launch::cgroup_failure(&error))?;
                *is_paused = false;
                Ok(())
            }
            Phase::Running { .. } => Err(wrong_state("container is not paused")),
            Phase::Created | Phase::Exited { .. } | Phase::Failed => {
                Err(wrong_state("container is not running"))
            }
        }
    }

    pub(crate) fn cgroup(&mut self) -> Result<&dyn CgroupManager, Failure> {
        self.living(None)?;
        Ok(&*self.cgroup)
    }

    pub(crate) fn pids(&self) -> Result<Vec<u32>, Failure> {
        self.cgroup.pids().map_err(|error| launch::cgroup_failure(&error))
    }

    /// Kills a container that nobody will start. False when it was started and has not exited.
    pub(crate) fn give_up(&mut self) -> Result<bool, Failure> {
        match self.phase {
            Phase::Running { .. } => Ok(false),
            Phase::Exited { .. } | Phase::Failed => Ok(true),
            Phase::Created => {
                self.signal(9, &SignalTarget::Init)?;
                Ok(true)
            }
        }
    }

    pub(crate) fn state(&self) -> State {
        let pid = self.first_pid;
        let status = match self.phase {
            Phase::Created => Status::Created { pid },
            Phase::Running { since, is_paused } => {
                Status::Running { pid, started_at: since, paused: is_paused }
            }
            Phase::Exited { since, exit } => Status::Exited { pid, started_at: since, exit },
            Phase::Failed => Status::Empty,
        };
        let living = self.execs.iter().filter(|(_, process)| process.is_alive());
        let execs = living.map(|(exec, _)| exec).chain(&self.ended).cloned().collect();
        State { id: self.id.clone(), status, execs }
    }

    /// A child of the shim was reaped: what there is to tell of it, in order. Nothing when it was
    /// an orphan of the container, of which nobody wants to know.
    pub(crate) fn child_ended(
        &mut self,
        pid: i32,
        status: pidfd::Exit,
        scratch: &mut [u8],
    ) -> Vec<Event> {
        let pid = u32::try_from(pid).unwrap_or(0);
        let exit = exit_of(status);
        let mut events = Vec::new();
        let is_first =
            self.first.as_ref().is_some_and(|first| first.is_alive() && first.pid == pid);
        if (is_first || exit.code == KILLED) && self.ran_out_of_memory() {
            events.push(Event::Oom);
        }
        let exit = Exit { oom_killed: self.oom_kills > 0, ..exit };
        if is_first {
            self.first_ended(exit, scratch);
            events.push(Event::Exit(exit));
            return events;
        }
        let is_it = |process: &Process| process.is_alive() && process.pid == pid;
        if let Some((exec, process)) = self.execs.iter_mut().find(|(_, process)| is_it(process)) {
            process.ended(exit, scratch);
            if self.ended.len() == ENDED_KEPT {
                self.ended.pop_front();
            }
            self.ended.push_back(ExecState { exit: Some(exit), ..exec.clone() });
            events.push(Event::ExecExit { exec_id: exec.exec_id.clone(), exit });
        }
        events
    }

    /// Whether the kernel has killed for want of memory since this was last asked.
    fn ran_out_of_memory(&mut self) -> bool {
        // A group whose counter cannot be read says nothing about memory.
        let kills = self.cgroup.oom_kills().unwrap_or(self.oom_kills);
        let before = std::mem::replace(&mut self.oom_kills, kills);
        kills > before
    }

    fn first_ended(&mut self, exit: Exit, scratch: &mut [u8]) {
        let since = match self.phase {
            Phase::Running { since, .. } => Some(since),
            Phase::Created | Phase::Exited { .. } | Phase::Failed => None,
        };
        self.phase = Phase::Exited { since, exit };
        let written = ExitRecord {
            version: ExitRecord::VERSION,
            id: self.id.clone(),
            pid: self.first_pid,
            started_at: since,
            exit,
        };
        // The daemons that listen are told all the same, and without one there is nobody to
        // complain to.
        fault::point("shim: exit seen");
        record(&self.state_dir, &written).ok();
        fault::point("shim: exit recorded");
        if !self.runtime.owns_pids {
            // With the first process of a namespace the kernel ends all others; here somebody has
            // to. What cannot be killed is told when the group is removed.
            self.cgroup.kill_all().ok();
        }
        // Before anybody is told: the daemon removes the folder that this looks into.
        self.runtime.delete();
        if let Some(first) = &mut self.first {
            first.ended(exit, scratch);
        }
    }

    /// Nobody was there to be told of the end of this exec: who comes next is.
    pub(crate) fn keep_untold(&mut self, exec_id: &str) {
        if let Some(ended) = self.ended.iter_mut().rfind(|exec| exec.exec_id == exec_id) {
            ended.is_untold = true;
        }
    }

    /// All of them have been told.
    pub(crate) fn forget_untold(&mut self) {
        self.ended.iter_mut().for_each(|exec| exec.is_untold = false);
    }

    /// Ends what has come to its end: streams of drained processes, then the cgroup.
    pub(crate) fn tidy(&mut self, now: Instant) {
        let has_finished = |process: &mut Process| {
            process.stdio.give_up(now);
            process.stdio.finish()
        };
        self.execs.retain_mut(|(_, process)| !has_finished(process));
        if self.first.as_mut().is_some_and(has_finished) {
            self.log = self.first.as_mut().and_then(|first| first.stdio.take_log());
            self.first = None;
        }
        match self.phase {
            Phase::Created | Phase::Running { .. } => {}
            Phase::Exited { .. } | Phase::Failed => self.clean_up(),
        }
    }

    fn clean_up(&mut self) {
        if self.is_clean || self.first.is_some() || !self.execs.is_empty() {
            return;
        }
        self.is_clean = true;
        fault::point("shim: drained");
        // What is left is swept by the daemon.
        self.cgroup.destroy().ok();
        fault::point("shim: cgroup removed");
    }

    /// Waits, for a bounded time, until what the container wrote is where it belongs.
    pub(crate) fn close_log(&mut self) {
        if let Some(mut log) = self.log.take() {
            log.close();
        }
    }

    /// Whether nothing of it is left to be looked after.
    pub(crate) fn is_over(&self) -> bool {
        self.is_clean
    }
}

fn wrong_state(message: &str) -> Failure {
    Failure::new(FailureKind::WrongState, "state", message)
}

fn no_such_exec(exec_id: &str) -> Failure {
    Failure::new(FailureKind::NoSuchExec, "exec", format_args!("no exec {exec_id} is running"))
}
