//! The terminal: made in the container's own `devpts`, so that its name is right inside, and handed to the engine.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use barge_oci::runtime::Process;
use barge_sys::mount::{self, Reach};
use barge_sys::{openat2, process, pty};
use rustix::fs::OFlags;

use super::root::OwnRoot;
use crate::error::{At as _, Stage, StartError};

/// `DEVPTS_SUPER_MAGIC` of linux/magic.h.
const DEVPTS: i64 = 0x1cd1;

/// For a container that is being made: its terminal is also `/dev/console`. Gives the engine's end.
pub(super) fn open_for_container(root: &OwnRoot, process: &Process) -> Result<OwnedFd, StartError> {
    let terminal = open(root.as_fd(), process)?;
    let shown = || "mount /dev/console".to_owned();
    let place = openat2::create_file(root, Path::new("/dev/console")).at(Stage::Console, shown)?;
    let tree =
        mount::clone_tree(&terminal.slave, Path::new(""), Reach::One).at(Stage::Console, shown)?;
    mount::attach(&tree, &place).at(Stage::Console, shown)?;
    become_controlling(&terminal)?;
    Ok(terminal.master)
}

/// For one more process of a container: its root is `/` already.
pub(super) fn open_inside(process: &Process) -> Result<OwnedFd, StartError> {
    let root = openat2::open_root(Path::new("/")).at(Stage::Console, || "open /".into())?;
    let terminal = open(root.as_fd(), process)?;
    become_controlling(&terminal)?;
    Ok(terminal.master)
}

fn open(root: BorrowedFd<'_>, process: &Process) -> Result<pty::Pty, StartError> {
    let shown = || "open a terminal in /dev/pts".to_owned();
    let terminal = pty::open_in(devpts(root)?).at(Stage::Console, shown)?;
    if let Some(size) = process.console_size.filter(|size| size.height > 0 || size.width > 0) {
        let [rows, columns] =
            [size.height, size.width].map(|length| u16::try_from(length).unwrap_or(u16::MAX));
        pty::resize(&terminal.master, rows, columns).at(Stage::Console, shown)?;
    }
    Ok(terminal)
}

/// The container's own terminals.
pub(super) fn devpts(root: impl AsFd) -> Result<OwnedFd, StartError> {
    let shown = || "open a terminal in /dev/pts".to_owned();
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let devpts = openat2::open_without_links(root.as_fd(), Path::new("/dev/pts"), flags)
        .at(Stage::Console, shown)?;
    let kind = rustix::fs::fstatfs(&devpts).at(Stage::Console, shown)?.f_type;
    if kind == DEVPTS {
        return Ok(devpts);
    }
    Err(StartError::new(Stage::Console, "/dev/pts is no devpts: no terminal"))
}

fn become_controlling(terminal: &pty::Pty) -> Result<(), StartError> {
    let shown = || "set the controlling terminal".to_owned();
    process::setsid().at(Stage::Console, shown)?;
    process::set_controlling_terminal(&terminal.slave).at(Stage::Console, shown)?;
    as_stdio(&terminal.slave)
}

/// Makes a terminal stdin, stdout and stderr.
pub(super) fn as_stdio(slave: &OwnedFd) -> Result<(), StartError> {
    let shown = || "set the controlling terminal".to_owned();
    rustix::stdio::dup2_stdin(slave).at(Stage::Console, shown)?;
    rustix::stdio::dup2_stdout(slave).at(Stage::Console, shown)?;
    rustix::stdio::dup2_stderr(slave).at(Stage::Console, shown)
}
