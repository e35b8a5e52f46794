//! The daemon's process: started, stopped, killed and started again.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::Instant;

use barge_sys::pidfd;
use rustix::fs::{FlockOperation, flock};

use super::TestHost;
use crate::{DEADLINE, command, pause, program};

/// Who is killed at one of its places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// barged.
    Daemon,
    /// Any shim: tests that kill one have one container.
    Shim,
}

/// The places of a verb to be killed at, the first is 1: a sample of them, or all with `BARGE_ALL_FAULTS` in the
/// environment.
pub fn fault_places() -> Box<dyn Iterator<Item = u32>> {
    if std::env::var_os("BARGE_ALL_FAULTS").is_some() {
        return Box::new(1..);
    }
    // Fibonacci's: closer to each other where verbs begin.
    let numbers = std::iter::successors(Some((1, 2)), |(one, two)| Some((*two, one + two)));
    Box::new(numbers.map(|(one, _)| one))
}

/// A running barged.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
}

impl Daemon {
    fn wait(&mut self) -> Result<std::process::ExitStatus, String> {
        let pid = self.child.id().try_into().unwrap();
        let pidfd = pidfd::open(pid).expect("a child that was not waited for has a pidfd");
        let ended = pidfd::wait_gone(&pidfd, Some(DEADLINE)).expect("a pidfd can be polled");
        if !ended {
            self.child.kill().ok();
        }
        let status = self.child.wait().expect("a child can be waited for");
        if ended { Ok(status) } else { Err("barged did not end; it was killed".to_owned()) }
    }
}

impl TestHost {
    /// Starts the daemon and waits until it answers.
    ///
    /// # Panics
    /// When it does not, with its log.
    pub fn start(&mut self) {
        let mut child = self.spawn();
        let end = Instant::now() + DEADLINE;
        while !self.answers() {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                panic!("barged ended at once: {status}\n{}", self.log());
            }
            if Instant::now() > end {
                child.kill().ok();
                child.wait().ok();
                panic!("barged does not answer\n{}", self.log());
            }
            pause();
        }
        self.daemon = Some(Daemon { child });
    }

    /// Lets a process be killed at the N-th place from now on between two of its steps: see `barge_sys::fault`.
    ///
    /// # Panics
    /// When the scratch folder cannot be written.
    pub fn arm_fault(&self, victim: Victim, number: u32) {
        fs::write(self.fault_file(victim), number.to_string())
            .expect("the scratch folder can be written");
    }

    /// Where the process was killed since [`Self::arm_fault`]; none when it was not (yet). It stays armed.
    #[must_use]
    pub fn fault(&self, victim: Victim) -> Option<String> {
        let text = fs::read_to_string(self.fault_file(victim)).unwrap_or_default();
        // Empty for the moment between two writes.
        Some(text).filter(|text| !text.is_empty() && text.parse::<u32>().is_err())
    }

    /// The same, and nothing is armed afterwards.
    ///
    /// # Panics
    /// When nothing was armed.
    pub fn disarm_fault(&self, victim: Victim) -> Option<String> {
        let path = self.fault_file(victim);
        let mut file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.as_mut().expect("a fault was armed");
        // Who passes a place at this moment has counted or finds nothing to count.
        flock(&*file, FlockOperation::LockExclusive).expect("a file can be locked");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("the scratch folder can be read");
        file.set_len(0).expect("the scratch folder can be written");
        fs::remove_file(path).expect("the scratch folder can be written");
        Some(text).filter(|text| text.parse::<u32>().is_err())
    }

    fn fault_file(&self, victim: Victim) -> std::path::PathBuf {
        self.scratch.join(match victim {
            Victim::Daemon => "fault",
            Victim::Shim => "shim-fault",
        })
    }

    /// Starts the daemon where it must fail, and returns what it said.
    ///
    /// # Panics
    /// When it runs.
    #[must_use]
    pub fn start_in_vain(&mut self) -> String {
        let mut daemon = Daemon { child: self.spawn() };
        let status = daemon.wait().unwrap_or_else(|complaint| panic!("{complaint}"));
        assert!(!status.success(), "barged ended with {status}\n{}", self.log());
        self.log()
    }

    fn spawn(&self) -> Child {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path());
        let log: File = log.expect("the scratch folder can be written");
        let mut barged = command(program("barged"));
        barged
            .arg("-H")
            .arg(format!("unix://{}", self.socket().display()))
            .arg("--data-root")
            .arg(&self.data_root)
            .arg("--exec-root")
            .arg(&self.exec_root)
            .arg("--config-file")
            .arg(self.scratch.join("daemon.json"))
            .args(["--bridge", self.bridge(), "--cgroup-parent", &self.name])
            .args(&self.flags)
            .env("BARGE_FAULT_FILE", self.fault_file(Victim::Daemon))
            .env("BARGE_CHILD_FAULT_FILE", self.fault_file(Victim::Shim))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        fs::write(self.scratch.join("daemon.json"), "{}").unwrap();
        self.in_netns(move || {
            if let Some(mounts) = &self.mounts {
                super::etc::enter(mounts);
            }
            barged.spawn().expect("barged can be executed")
        })
    }

    fn answers(&self) -> bool {
        let ask = || -> std::io::Result<Vec<u8>> {
            let mut stream = UnixStream::connect(self.socket())?;
            stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.ends_with(b"OK"))
    }

    fn log_path(&self) -> std::path::PathBuf {
        self.scratch.join("barged.log")
    }

    /// What the daemon has logged, in all of its lives.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The daemon's process id.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn daemon_pid(&self) -> i32 {
        let daemon = self.daemon.as_ref().expect("the daemon runs");
        daemon.child.id().try_into().unwrap()
    }

    /// Kills the daemon as the kernel does when memory runs out: no clean-up, no goodbye.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill9(&mut self) {
        let mut daemon = self.daemon.take().expect("the daemon runs");
        daemon.child.kill().expect("a child can be killed");
        daemon.wait().expect("a killed process ends");
    }

    /// Stops the daemon as a service manager does; its containers run on.
    ///
    /// # Panics
    /// When it fails or does not end.
    pub fn stop(&mut self) {
        if let Err(complaint) = self.end_daemon() {
            panic!("{complaint}\n{}", self.log());
        }
    }

    /// Stops and starts the daemon.
    ///
    /// # Panics
    /// When either fails.
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// The flags of the daemon that are not the same for all.
    #[must_use]
    pub fn flags(&self) -> &[String] {
        &self.flags
    }

    /// The same with other flags.
    pub fn restart_with(&mut self, flags: Vec<String>) {
        self.stop();
        self.flags = flags;
        self.start();
    }

    pub(super) fn end_daemon(&mut self) -> Result<(), String> {
        let Some(mut daemon) = self.daemon.take() else {
            return Ok(());
        };
        let pid = daemon.child.id().try_into().unwrap();
        barge_sys::signal::kill(pid, libc::SIGTERM).expect("a child can be signalled");
        let status = daemon.wait()?;
        if status.success() { Ok(()) } else { Err(format!("barged ended with {status}")) }
    }
}
