//! Running a program to its end, with a deadline and everything it wrote.

use std::fmt;
use std::io::{Read, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use barge_sys::pidfd;

use crate::DEADLINE;

/// A command without the caller's environment: no proxy, no `DOCKER_HOST`, no locale of the developer.
#[must_use]
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C.UTF-8");
    command
}

/// What a program left behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    command: String,
    /// Its exit code; 128 plus the signal that ended it.
    pub code: i32,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl Outcome {
    /// The standard output of a program that succeeded, without the last line's end.
    ///
    /// # Panics
    /// When it failed.
    #[must_use]
    #[track_caller]
    pub fn text(&self) -> &str {
        assert!(self.code == 0, "{self}");
        self.stdout.trim_end_matches('\n')
    }

    /// Insists on success.
    ///
    /// # Panics
    /// When it failed.
    #[track_caller]
    pub fn ok(&self) {
        assert!(self.code == 0, "{self}");
    }

    /// The standard error of a program that failed with this code.
    ///
    /// # Panics
    /// When the code is another one.
    #[track_caller]
    pub fn fails(&self, code: i32) -> &str {
        assert!(self.code == code, "expected exit code {code}: {self}");
        self.stderr.trim_end_matches('\n')
    }

    /// Insists on failure with this code and a standard error that contains this text.
    ///
    /// # Panics
    /// When either is different.
    #[track_caller]
    pub fn fails_saying(&self, code: i32, text: &str) {
        let stderr = self.fails(code);
        assert!(stderr.contains(text), "expected {text:?} in the standard error: {self}");
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, code, stdout, stderr } = self;
        write!(f, "{command}\n  exit code {code}\n  stdout: {stdout}\n  stderr: {stderr}")
    }
}

/// What one stream of a process has brought so far.
#[derive(Debug, Default)]
struct Collected {
    bytes: Mutex<(Vec<u8>, bool)>,
    grown: Condvar,
}

impl Collected {
    fn follow(mut source: impl Read + Send + 'static) -> Arc<Self> {
        let collected = Arc::new(Self::default());
        let into = Arc::clone(&collected);
        std::thread::spawn(move || {
            let mut chunk = [0; 16 * 1024];
            loop {
                let count = source.read(&mut chunk).unwrap_or(0);
                let mut bytes = into.bytes.lock().unwrap_or_else(PoisonError::into_inner);
                bytes.0.extend_from_slice(&chunk[..count]);
                bytes.1 = count == 0;
                into.grown.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        collected
    }

    /// Waits until `enough` of what is there; returns what is there, and whether it was enough.
    fn until(&self, enough: impl Fn(&str, bool) -> bool) -> (String, bool) {
        let end = Instant::now() + DEADLINE;
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let text = String::from_utf8_lossy(&bytes.0).into_owned();
            if enough(&text, bytes.1) {
                return (text, true);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || bytes.1 {
                return (text, false);
            }
            let waited = self.grown.wait_timeout(bytes, left);
            bytes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A program that runs beside the test. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    command: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Arc<Collected>,
    stderr: Arc<Collected>,
}

impl Process {
    /// Starts it with pipes for all of its stdio.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let stdin = child.stdin.take();
        let stdout = Collected::follow(child.stdout.take().unwrap());
        let stderr = Collected::follow(child.stderr.take().unwrap());
        Self { command: name, child, stdin, stdout, stderr }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its standard input.
    ///
    /// # Panics
    /// When that is closed.
    pub fn send(&mut self, bytes: &[u8]) -> &mut Self {
        let stdin = self.stdin.as_mut().expect("the input is open");
        stdin.write_all(bytes).and_then(|()| stdin.flush()).expect("the program reads its input");
        self
    }

    /// Writes to the standard input and ends it, while the caller goes on: the program may end without reading it, and
    /// may not read before it has written.
    pub fn feed(&mut self, bytes: &[u8]) {
        let (mut stdin, bytes) = (self.stdin.take().expect("the input is open"), bytes.to_vec());
        // Its outcome says why it did not read.
        std::thread::spawn(move || stdin.write_all(&bytes).ok());
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) -> &mut Self {
        self.stdin = None;
        self
    }

    /// Waits until its standard output contains this text.
    ///
    /// # Panics
    /// At the deadline, or when the program ended without it.
    #[track_caller]
    pub fn expect(&self, text: &str) -> &Self {
        let (so_far, found) = self.stdout.until(|output, _| output.contains(text));
        let errors = self.stderr.until(|_, _| true).0;
        assert!(
            found,
            "{} did not write {text:?}\n  stdout: {so_far}\n  stderr: {errors}",
            self.command
        );
        self
    }

    /// What it has written to its standard output up to now.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.until(|_, _| true).0
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has already been waited for.
    pub fn signal(&self, signal: i32) {
        let pid = self.child.id().try_into().unwrap();
        barge_sys::signal::kill(pid, signal).expect("the program can be signalled");
    }

    /// Waits for its end; its standard input is closed first.
    ///
    /// # Panics
    /// At the deadline, with what it wrote.
    #[must_use]
    #[track_caller]
    pub fn wait(mut self) -> Outcome {
        self.stdin = None;
        self.finish()
    }

    /// Waits for its end with its standard input open, as one who runs a program in a terminal does.
    ///
    /// # Panics
    /// At the deadline, with what it wrote.
    #[must_use]
    #[track_caller]
    pub fn wait_with_open_stdin(mut self) -> Outcome {
        self.finish()
    }

    #[track_caller]
    fn finish(&mut self) -> Outcome {
        use std::os::unix::process::ExitStatusExt as _;
        let pid = self.child.id().try_into().unwrap();
        let pidfd = pidfd::open(pid).expect("a child that was not waited for has a pidfd");
        let ended = pidfd::wait_gone(&pidfd, Some(DEADLINE)).expect("a pidfd can be polled");
        if !ended {
            self.child.kill().ok();
        }
        let status = self.child.wait().expect("a child can be waited for");
        let (stdout, closed) = self.stdout.until(|_, ended| ended);
        let (stderr, errors_closed) = self.stderr.until(|_, ended| ended);
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        let outcome = Outcome { command: self.command.clone(), code, stdout, stderr };
        assert!(ended, "killed after {} s: {outcome}", DEADLINE.as_secs());
        assert!(closed && errors_closed, "somebody keeps its output open: {outcome}");
        outcome
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both do nothing when it has been waited for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
