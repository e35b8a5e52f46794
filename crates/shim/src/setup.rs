//! What the shim does to itself before anything else: it leaves its starter's session and keeps
//! nothing of it.

use std::io;
use std::os::fd::OwnedFd;

use barge_sys::signalfd::SignalFd;
use barge_sys::{fds, process};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketType;
use rustix::process::Signal;

use crate::error::ShimError;

/// The descriptor of the connection to the daemon, when stdin is something else.
const CONTROL: i32 = 3;

/// The connection to the daemon that started this program: stdin when that is a socket (which is
/// how a program is started without code between fork and exec), otherwise descriptor 3.
pub(crate) fn control_connection() -> Result<OwnedFd, ShimError> {
    let taken = || ShimError::setup("take over the control connection");
    let stdin = rustix::stdio::stdin();
    if rustix::net::sockopt::socket_type(stdin) == Ok(SocketType::STREAM) {
        return rustix::io::fcntl_dupfd_cloexec(stdin, CONTROL)
            .map_err(|errno| taken()(errno.into()));
    }
    fds::inherited(CONTROL).map_err(taken())
}

/// What would end the shim, and is asked of the daemon or of everybody; and the end of a child.
const HEARD: [Signal; 8] = [
    Signal::CHILD,
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::PIPE,
    Signal::USR1,
    Signal::USR2,
];

/// Detaches from the starter; gives the signals that are of interest.
///
/// The signals that a terminal or a service manager sends to whole groups are read and forgotten:
/// the shim goes when its container has.
pub(crate) fn detach() -> Result<SignalFd, ShimError> {
    match process::setsid() {
        // The leader of a process group already, when started from a shell.
        Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {}
        outcome => outcome.map_err(ShimError::setup("start a session"))?,
    }
    process::set_subreaper().map_err(ShimError::setup("become a subreaper"))?;
    process::set_name(c"barge-shim").map_err(ShimError::setup("set the process's name"))?;
    silence().map_err(ShimError::setup("open /dev/null"))?;
    std::env::set_current_dir("/").map_err(ShimError::setup("change to the root folder"))?;
    SignalFd::open(&HEARD.map(Signal::as_raw)).map_err(ShimError::setup("receive signals"))
}

fn silence() -> io::Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
