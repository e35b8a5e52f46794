//! Starts the shim of one container.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use barge_sys::spawner::Spawner;

use crate::error::{EngineError, Result};

/// The programs that the daemon runs.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// `barge-shim`.
    pub(crate) shim: PathBuf,
    /// `barge-runtime`.
    pub(crate) runtime: PathBuf,
    /// `barge-hello`, which the built-in image is made of; absent when it is not installed.
    pub(crate) hello: Option<PathBuf>,
    spawner: Arc<Spawner>,
}

impl Programs {
    /// Finds each beside the running program, then in `PATH`.
    pub(crate) fn find() -> Result<Self> {
        Ok(Self {
            shim: find("barge-shim").ok_or_else(|| missing("barge-shim"))?,
            runtime: find("barge-runtime").ok_or_else(|| missing("barge-runtime"))?,
            hello: find("barge-hello"),
            spawner: Arc::new(Spawner::start()),
        })
    }
}

fn missing(program: &str) -> EngineError {
    EngineError::NotFound(format!(
        "cannot find the program {program}: expected beside the daemon's own program or in PATH"
    ))
}

fn find(program: &str) -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(program)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(std::env::split_paths(&path).map(|folder| folder.join(program)))
        .find(|path| path.is_file())
}

/// Starts a shim and returns the daemon's end of its control connection, which the shim has as its stdin.
///
/// Without anything to do between fork and exec, the standard library uses `posix_spawn`, which copies no page tables: a
/// fork takes longer the larger the daemon is, and slows down the threads that write to its pages afterwards. So no
/// folder is set here (a static program's `posix_spawn` could not); the shim leaves the daemon's session and folder
/// by itself. Nor does it get a copy of the daemon's descriptors, to close them ([`Spawner`]).
pub(crate) fn spawn(programs: &Programs, id: &str) -> Result<(UnixStream, Child)> {
    let (ours, theirs) = UnixStream::pair().map_err(EngineError::io("make", "a socket pair"))?;
    let mut command = Command::new(&programs.shim);
    command
        .arg(id)
        .env_clear()
        .envs(barge_sys::fault::for_child())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = programs
        .spawner
        .spawn(command, theirs.as_fd())
        .map_err(EngineError::io("start", &programs.shim))?;
    Ok((ours, child))
}
