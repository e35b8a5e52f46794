//! Mounts that root of the container's users can neither take away nor make more than they are.
//!
//! What root of a user namespace has mounted, or got handed over, is its own: it could show what a masked path covers, and
//! write to a bind that is read-only. So the parent makes a copy of the mount namespace in which the kernel holds on to all
//! that is there, and this process moves to it; the first one is gone with that.

use std::os::fd::OwnedFd;
use std::path::Path;

use barge_sys::namespace::{self, Kinds};
use barge_sys::{openat2, pty};
use rustix::fs::OFlags;

use super::console;
use crate::error::{At as _, Stage, StartError};

/// Moves there; its root is `/` from then on. A terminal is opened again, or its path would be one of a namespace that is
/// gone (ttyname(3)).
pub(super) fn move_to(locked: &OwnedFd, terminal: Option<&OwnedFd>) -> Result<(), StartError> {
    namespace::join(locked, Kinds::MOUNT).at(Stage::Mount, || "join a mount namespace".into())?;
    let Some(terminal) = terminal else { return Ok(()) };
    let shown = || "open the terminal again".to_owned();
    let path = pty::slave_path(terminal).at(Stage::Console, shown)?;
    let name = path.strip_prefix("/dev/pts").unwrap_or(&path);
    let root = openat2::open_root(Path::new("/")).at(Stage::Console, shown)?;
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let slave = openat2::open(console::devpts(&root)?, name, flags).at(Stage::Console, shown)?;
    console::as_stdio(&slave)
}
