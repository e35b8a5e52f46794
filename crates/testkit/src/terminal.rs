//! A program in a terminal: what a person at a keyboard would do and see.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use barge_sys::{pidfd, pty};
use rustix::termios::Termios;

use crate::DEADLINE;

#[derive(Debug, Default)]
struct Screen {
    text: Mutex<Vec<u8>>,
    grown: Condvar,
}

/// A program with a terminal of its own as its stdio. Dropping it kills the program.
#[derive(Debug)]
pub struct Terminal {
    name: String,
    child: Child,
    master: File,
    slave: File,
    screen: Arc<Screen>,
    seen: usize,
    first_modes: Termios,
}

impl Terminal {
    /// Starts a program in a terminal of 24 rows and 80 columns.
    ///
    /// # Panics
    /// When there is no terminal, or no such program.
    #[must_use]
    pub fn start(command: &Command) -> Self {
        let pty = pty::open().expect("the machine has terminals");
        pty::resize(&pty.master, 24, 80).expect("a terminal can be resized");
        let slave = File::from(pty.slave);
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        let first_modes = rustix::termios::tcgetattr(&slave).expect("a terminal has modes");
        // setsid(1) makes the terminal the controlling one, which cannot be had without running code after fork; env(1)
        // gives keys their effect when whoever runs the tests ignores interrupts (`nohup`, a shell's `&`).
        let mut in_session = crate::command("setsid");
        in_session.args(["--ctty", "env", "--default-signal"]);
        in_session.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            if let Some(value) = value {
                in_session.env(key, value);
            }
        }
        let name = format!("{command:?}");
        let child = in_session
            .env("TERM", "xterm")
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let master = File::from(pty.master);
        let screen = Arc::new(Screen::default());
        let (mut source, into) = (master.try_clone().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            // The read fails when the last one who has the other end open is gone.
            while let Ok(count @ 1..) = source.read(&mut chunk) {
                let mut text = into.text.lock().unwrap_or_else(PoisonError::into_inner);
                text.extend_from_slice(&chunk[..count]);
                into.grown.notify_all();
            }
        });
        Self { name, child, master, slave, screen, seen: 0, first_modes }
    }

    /// Types this.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn send(&mut self, keys: &str) -> &mut Self {
        self.master.write_all(keys.as_bytes()).expect("a terminal takes keys");
        self
    }

    /// Waits until this text is on the screen, after what was waited for before.
    ///
    /// # Panics
    /// At the deadline, with what is there instead.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> &mut Self {
        let end = Instant::now() + DEADLINE;
        let mut screen = self.screen.text.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let new = &screen[self.seen..];
            let found = new.windows(text.len()).position(|part| part == text.as_bytes());
            if let Some(at) = found {
                self.seen += at + text.len();
                drop(screen);
                return self;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{}: no {text:?} on the screen, but {:?}",
                self.name,
                String::from_utf8_lossy(new)
            );
            let waited = self.screen.grown.wait_timeout(screen, left);
            screen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Types this again and again until this text is on the screen: for keys that mean nothing before somebody listens.
    ///
    /// # Panics
    /// At the deadline, with what is there instead.
    #[track_caller]
    pub fn insist(&mut self, keys: &str, text: &str) -> &mut Self {
        self.try_until(text, |terminal, _| {
            terminal.send(keys);
        })
    }

    /// Tries something, told how often it was tried before, until this text is on the screen.
    ///
    /// # Panics
    /// At the deadline, with what is there instead.
    #[track_caller]
    pub fn try_until(&mut self, text: &str, mut attempt: impl FnMut(&mut Self, u16)) -> &mut Self {
        const PATIENCE: u32 = 40;
        let end = Instant::now() + DEADLINE;
        let from = self.seen;
        for count in 0.. {
            attempt(self, count);
            for _ in 0..PATIENCE {
                if self.screen_from(from).contains(text) {
                    return self.expect(text);
                }
                crate::pause();
            }
            assert!(Instant::now() < end, "{}: no {text:?}: {:?}", self.name, self.screen());
        }
        self
    }

    fn screen_from(&self, from: usize) -> String {
        let text = self.screen.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text[from..]).into_owned()
    }

    /// Everything that has been on the screen.
    #[must_use]
    pub fn screen(&self) -> String {
        let text = self.screen.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Gives the terminal another size, as a window manager does.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn resize(&self, rows: u16, columns: u16) {
        pty::resize(&self.master, rows, columns).expect("a terminal can be resized");
    }

    /// How the terminal is set, to see whether a program put it back.
    ///
    /// # Panics
    /// When the terminal is gone.
    #[must_use]
    pub fn modes(&self) -> Termios {
        rustix::termios::tcgetattr(&self.slave).expect("a terminal has modes")
    }

    /// The terminal's modes before the program was started.
    #[must_use]
    pub fn first_modes(&self) -> Termios {
        self.first_modes.clone()
    }

    /// Waits for the program's end and returns its exit code (128 plus the signal that ended it).
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt as _;
        let pid = self.child.id().try_into().unwrap();
        let pidfd = pidfd::open(pid).expect("a child that was not waited for has a pidfd");
        let ended = pidfd::wait_gone(&pidfd, Some(DEADLINE)).expect("a pidfd can be polled");
        assert!(ended, "{} does not end; on its screen: {}", self.name, self.screen());
        let status = self.child.wait().expect("a child can be waited for");
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both do nothing when it has been waited for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
