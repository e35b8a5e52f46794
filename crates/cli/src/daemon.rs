//! Starting the daemon when the default socket has none.
//!
//! The program beside ours is taken first, so that a build folder works as it is; then `PATH`. A
//! lock makes one daemon of two clients that start at once. The daemon gets a session of its own:
//! between it and us runs our own program once more, which only calls `setsid` and becomes the
//! daemon, because nothing may run between fork and exec here.

use std::env;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use barge_client::Client;
use rustix::fs::FlockOperation;
use tokio::time::{Instant, sleep_until};

use crate::error::{CliError, Result};

/// The first word that makes this program become the daemon: `DETACH program log`.
pub(crate) const DETACH: &str = "--become-the-daemon";

const PROGRAM: &str = "barged";
const FOLDER: &str = "/run/barge";

/// How long a daemon may take until it answers: it repairs what a crash left, and finds its
/// containers again.
const DEADLINE: Duration = Duration::from_secs(30);

/// How often the socket is tried.
const STEP: Duration = Duration::from_millis(2);

/// How much of its log is shown when it fails.
const LINES: usize = 10;

/// Starts the daemon and waits until it answers.
pub(crate) async fn start(client: &Client) -> Result<()> {
    let program = find()?;
    let folder = Path::new(FOLDER);
    fs::create_dir_all(folder).map_err(CliError::file("mkdir", folder))?;
    // Held until the end of this function; the system lets go of it should we die.
    let lock = lock(folder.join("start.lock")).await?;
    if client.connect().await.is_ok() {
        return Ok(());
    }
    let log = folder.join("barged.log");
    let mut child = spawn(&program, &log)?;
    let result = answer(client, &mut child, &log).await;
    drop(lock);
    result
}

fn find() -> Result<PathBuf> {
    let beside = env::current_exe().ok().and_then(|program| Some(program.parent()?.join(PROGRAM)));
    let path = env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(env::split_paths(&path).map(|folder| folder.join(PROGRAM)))
        .find(|program| program.is_file())
        .ok_or_else(|| {
            CliError::Daemon(format!(
                "cannot start the daemon: no program {PROGRAM} beside this one or in PATH"
            ))
        })
}

async fn lock(path: PathBuf) -> Result<File> {
    let file = File::create(&path).map_err(CliError::file("open", &path))?;
    tokio::task::spawn_blocking(move || {
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map(|()| file)
            .map_err(std::io::Error::from)
    })
    .await
    .unwrap_or_else(|error| Err(std::io::Error::other(error)))
    .map_err(CliError::file("lock", &path))
}

fn spawn(program: &Path, log: &Path) -> Result<Child> {
    let myself = env::current_exe().map_err(CliError::stdio("find this program"))?;
    let output = File::create(log).map_err(CliError::file("open", log))?;
    let errors = output.try_clone().map_err(CliError::file("open", log))?;
    Command::new(myself)
        .arg(DETACH)
        .arg(program)
        .arg(log)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(CliError::stdio("start the daemon"))
}

/// Becomes the daemon; returns only if that fails.
pub(crate) fn detach(program: &str, log: &str) -> CliError {
    if let Err(error) = rustix::process::setsid() {
        return CliError::Stdio { action: "leave the session", source: error.into() };
    }
    let error = Command::new(program).exec();
    CliError::Daemon(format!("cannot execute {program} (log {log}): {error}"))
}

async fn answer(client: &Client, child: &mut Child, log: &Path) -> Result<()> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if client.connect().await.is_ok() {
            return Ok(());
        }
        let ended = child.try_wait().map_err(CliError::stdio("wait for the daemon"))?;
        if let Some(status) = ended {
            return Err(failure(&format!("the daemon ended at once ({status})"), log));
        }
        if Instant::now() > deadline {
            let host = client.host();
            let seconds = DEADLINE.as_secs();
            return Err(failure(
                &format!("the daemon does not answer at {host} after {seconds} s"),
                log,
            ));
        }
        sleep_until(Instant::now() + STEP).await;
    }
}

fn failure(what: &str, log: &Path) -> CliError {
    let lines = last_lines(log).unwrap_or_default();
    let log = log.display();
    if lines.is_empty() {
        CliError::Daemon(format!("{what}; its log {log} is empty"))
    } else {
        CliError::Daemon(format!("{what}; the end of its log {log}:\n{lines}"))
    }
}

fn last_lines(log: &Path) -> std::io::Result<String> {
    const TAIL: u64 = 8192;
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LINES)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let lines: Vec<String> = (0..30).map(|line| format!("line {line}")).collect();
        fs::write(&log, lines.join("\n")).unwrap();
        let text = failure("the daemon ended at once", &log).to_string();
        assert!(text.ends_with("line 28\nline 29"), "{text}");
        assert!(!text.contains("line 19"), "{text}");
        fs::write(&log, "").unwrap();
        assert!(failure("x", &log).to_string().ends_with("is empty"));
    }
}
