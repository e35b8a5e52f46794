//! A thread with few files open that starts programs.
//!
//! A new process gets a copy of its maker's descriptors, and closes them one by one when it executes its program: for a
//! daemon with 500 containers these are 1000 and more, half a millisecond for each start. The thread has a table of its
//! own, which stays small; what a program is to have is fetched from the rest of the process (`pidfd_getfd`, Linux 5.6).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};

use rustix::thread::UnshareFlags;

use crate::{check, pidfd};

/// Starts programs. Where the thread cannot be had, they are started by whoever asks.
#[derive(Debug)]
pub struct Spawner {
    jobs: Option<Sender<Job>>,
}

#[derive(Debug)]
struct Job {
    command: Command,
    /// In the table of the process; open until the reply.
    stdin: RawFd,
    reply: SyncSender<io::Result<Child>>,
}

impl Spawner {
    /// Starts the thread, which ends with this.
    #[must_use]
    pub fn start() -> Self {
        Self { jobs: Self::start_thread().ok() }
    }

    fn start_thread() -> io::Result<Sender<Job>> {
        let process = pidfd::open(rustix::process::getpid().as_raw_nonzero().get())?;
        // Asked for what is open, to learn whether anything can be fetched.
        fetch(&process, process.as_raw_fd())?;
        let number = process.as_raw_fd();
        let (jobs, received) = mpsc::channel();
        let (ready, outcome) = mpsc::sync_channel(1);
        let builder = std::thread::Builder::new().name("spawner".to_owned());
        builder.stack_size(256 * 1024).spawn(move || match own_table(number) {
            Ok(process) => {
                ready.send(Ok(())).ok();
                work(&process, &received);
            }
            Err(error) => drop(ready.send(Err(error))),
        })?;
        outcome.recv().map_err(io::Error::other)??;
        Ok(jobs)
    }

    /// Starts a program with this stdin.
    ///
    /// # Errors
    /// What [`Command::spawn`] fails with.
    pub fn spawn(&self, mut command: Command, stdin: BorrowedFd<'_>) -> io::Result<Child> {
        let Some(jobs) = &self.jobs else {
            return command.stdin(Stdio::from(stdin.try_clone_to_owned()?)).spawn();
        };
        let (reply, outcome) = mpsc::sync_channel(1);
        let ended = || io::Error::other("the thread that starts programs has ended");
        let job = Job { command, stdin: stdin.as_raw_fd(), reply };
        jobs.send(job).map_err(|_| ended())?;
        outcome.recv().map_err(|_| ended())?
    }
}

fn work(process: &OwnedFd, jobs: &Receiver<Job>) {
    while let Ok(Job { mut command, stdin, reply }) = jobs.recv() {
        let child =
            fetch(process, stdin).and_then(|stdin| command.stdin(Stdio::from(stdin)).spawn());
        // Who asked waits for it.
        reply.send(child).ok();
    }
}

/// Gives the thread a table of its own, in which there is only stdio and its copy of this descriptor.
fn own_table(kept: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the thread holds no descriptor yet, and nobody else uses those of its new table.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FILES) }?;
    for (first, last) in [(kept + 1, RawFd::MAX)] {
        if first <= last {
            // SAFETY: close_range(2) of the thread's own table, in which nothing is anybody's yet.
            check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
        }
    }
    // SAFETY: who started the thread keeps it open until the thread has its own table, and this is the copy in there.
    Ok(unsafe { OwnedFd::from_raw_fd(kept) })
}

/// A copy of a descriptor of the process.
fn fetch(process: &OwnedFd, fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_getfd(2) takes numbers only.
    let fetched =
        check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) })?;
    let fetched = i32::try_from(fetched).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor, close-on-exec, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fetched) })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_program_gets_what_it_is_given_and_nothing_else() {
        // Not close-on-exec: whoever gets a copy of the process's table has it.
        let kept = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 200).unwrap();
        rustix::io::fcntl_setfd(&kept, rustix::io::FdFlags::empty()).unwrap();
        let spawner = Spawner::start();
        assert!(spawner.jobs.is_some());
        let script = format!(
            "read line; [ -e /proc/$$/fd/{} ] && line=leaked; echo $line >&0",
            kept.as_raw_fd()
        );
        for _ in 0..2 {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            let mut command = Command::new("/bin/sh");
            command.args(["-c", &script]);
            let mut child = spawner.spawn(command, theirs.as_fd()).unwrap();
            drop(theirs);
            ours.write_all(b"heard\n").unwrap();
            let mut said = String::new();
            ours.read_to_string(&mut said).unwrap();
            assert_eq!(said, "heard\n");
            assert!(child.wait().unwrap().success());
        }
    }

    #[test]
    fn what_cannot_be_started_is_an_error_as_ever() {
        let (_ours, theirs) = UnixStream::pair().unwrap();
        for spawner in [Spawner::start(), Spawner { jobs: None }] {
            let error = spawner.spawn(Command::new("/no/such"), theirs.as_fd()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }
}
