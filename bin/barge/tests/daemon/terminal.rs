//! The client on a terminal.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// Our side of a terminal, and the client on the other.
pub(crate) struct OnTerminal {
    pub(crate) ours: File,
    pub(crate) theirs: OwnedFd,
    pub(crate) child: Child,
}

/// Starts the client on a terminal of 33 lines and 99 columns; standard error goes nowhere.
pub(crate) fn on_terminal(mut client: Command) -> OnTerminal {
    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    tcsetwinsize(&theirs, window(33, 99)).unwrap();
    let stdio = || Stdio::from(theirs.try_clone().unwrap());
    let child = client.stdin(stdio()).stdout(stdio()).stderr(Stdio::null()).spawn().unwrap();
    OnTerminal { ours: File::from(ours), theirs, child }
}

/// A window's size.
pub(crate) fn window(height: u16, width: u16) -> Winsize {
    Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 }
}

impl OnTerminal {
    /// Whether every key goes through as it is.
    pub(crate) fn is_raw(&self) -> bool {
        !tcgetattr(&self.theirs)
            .unwrap()
            .local_modes
            .contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// What is shown, up to and with `end`.
    pub(crate) fn read_until(&mut self, end: &str) -> String {
        let mut all = Vec::new();
        let mut byte = [0];
        while !all.ends_with(end.as_bytes()) {
            assert_eq!(self.ours.read(&mut byte).unwrap(), 1);
            all.push(byte[0]);
        }
        String::from_utf8(all).unwrap()
    }
}
