//! Coming into the namespaces of others as one whom they cannot look into.
//!
//! A process that has joined a container has rights, files and memory that are not the container's until its exec
//! (CVE-2016-9962). The kernel asks who wants to trace one that is not "dumpable" for rights in the user namespace in which
//! it was executed: that is the host's for a program that comes in by itself.

use barge_sys::namespace::{self, Kinds};
use barge_sys::{fds, process};

use crate::error::{At as _, Stage, StartError};
use crate::handshake::CONTROL_FD;
use crate::namespaces::Late;

/// Lets nobody trace this process, or read its memory and open its files, who has no rights in the user namespace that it
/// was executed in. Becoming another user can end that (`fs.suid_dumpable`), and so does an exec.
pub(super) fn hide() -> Result<(), StartError> {
    process::set_undumpable().at(Stage::Handshake, || "prctl(PR_SET_DUMPABLE)".into())
}

/// Joins the namespaces whose descriptors follow the control socket, becomes root of the users, and makes the others.
pub(super) fn late(late: Option<&Late>) -> Result<(), StartError> {
    let Some(late) = late else { return Ok(()) };
    for (number, bits) in (CONTROL_FD + 1..).zip(&late.join) {
        let shown = || "join a namespace".to_owned();
        let file = fds::inherited(number).at(Stage::Spawn, shown)?;
        namespace::join(&file, Kinds::from_bits_retain(*bits)).at(Stage::Spawn, shown)?;
    }
    process::set_ids(0, 0, &[])
        .at(Stage::Spawn, || "become root of the user namespace".to_owned())?;
    hide()?;
    let make = Kinds::from_bits_retain(late.make);
    if make.is_empty() {
        return Ok(());
    }
    namespace::unshare(make).at(Stage::Spawn, || "make namespaces".to_owned())
}
