//! Who the process is: its ids, what it may do, how security modules call it, and what it is told of itself.

use std::ffi::CString;
use std::path::Path;

use barge_oci::runtime::{LinuxCapabilities, Process};
use barge_sys::{caps, openat2, process};
use rustix::io::Errno;
use rustix::thread::Uid;

use super::{enter, kernel};
use crate::error::{At as _, Stage, StartError};
use crate::user::{self, Resolved};

/// What `/etc/passwd` was needed for.
#[derive(Debug)]
pub(super) struct Identity {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    /// Set when the user was found by name; otherwise looked up when it is needed.
    home: Option<String>,
}

/// A database of the container; empty when the image has none.
fn database(path: &str) -> Result<String, StartError> {
    let read =
        openat2::open_root(Path::new("/")).and_then(|root| openat2::read(&root, Path::new(path)));
    match read {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
            Ok(String::new())
        }
        Err(error) => Err(error).at(Stage::User, || format!("read {path}")),
    }
}

/// Finds the user by name in the container's files, or takes the numbers as they are.
pub(super) fn resolve(process: &Process) -> Result<Identity, StartError> {
    let user = &process.user;
    let Some(name) = &user.username else {
        return Ok(Identity {
            uid: user.uid,
            gid: user.gid,
            groups: user.additional_gids.clone(),
            home: None,
        });
    };
    let (passwd, group) = (database("/etc/passwd")?, database("/etc/group")?);
    let Resolved { uid, gid, groups, home } =
        user::resolve(name, &passwd, &group, &user.additional_gids)
            .map_err(|error| StartError::new(Stage::User, error.to_string()))?;
    Ok(Identity { uid, gid, groups, home: Some(home) })
}

/// The environment, with `HOME` if it lacks it.
pub(super) fn environment(
    process: &Process,
    identity: &Identity,
) -> Result<Vec<CString>, StartError> {
    let mut environment = Vec::with_capacity(process.env.len() + 1);
    let mut has_home = false;
    for variable in &process.env {
        if variable.is_empty() {
            continue;
        }
        match variable.strip_prefix("HOME=") {
            // As if it were not there, which is what others make of it.
            Some("") => continue,
            Some(_) => has_home = true,
            None => {}
        }
        environment.push(c_string(variable)?);
    }
    if !has_home {
        let home = match &identity.home {
            Some(home) => home.clone(),
            None => user::home_of(identity.uid, &database("/etc/passwd")?),
        };
        environment.push(c_string(&format!("HOME={home}"))?);
    }
    Ok(environment)
}

/// A text for the kernel.
pub(super) fn c_string(text: &str) -> Result<CString, StartError> {
    CString::new(text)
        .map_err(|_nul| StartError::new(Stage::Validate, format!("{text:?} has a NUL byte in it")))
}

/// Labels that take effect with the exec.
pub(super) fn set_labels(process: &Process) -> Result<(), StartError> {
    let own = rustix::process::getpid().as_raw_nonzero().to_string();
    let write = |file: &str, text: &str| kernel::write_proc(&Path::new(&own).join(file), text);
    if let Some(label) = process.selinux_label.as_ref().filter(|label| !label.is_empty()) {
        write("attr/exec", label).at(Stage::Label, || format!("set process label {label}"))?;
    }
    let profile = process.apparmor_profile.as_deref();
    if let Some(profile) = profile.filter(|name| !name.is_empty() && *name != "unconfined") {
        let text = format!("exec {profile}");
        write("attr/apparmor/exec", &text)
            // Before Linux 5.8 there is no folder of its own.
            .or_else(|_error| write("attr/exec", &text))
            .at(Stage::Label, || format!("unable to apply apparmor profile: {profile}"))?;
    }
    Ok(())
}

fn set_of(names: &[String]) -> Result<caps::Set, StartError> {
    caps::Set::parse(names.iter().map(String::as_str))
        .map_err(|error| StartError::new(Stage::Capability, error.to_string()))
}

fn capabilities_of(process: &Process) -> LinuxCapabilities {
    process.capabilities.clone().unwrap_or_default()
}

/// Gives up the bounding set and becomes the user. Permitted capabilities stay for the steps that are left.
pub(super) fn become_user(process: &Process, identity: &Identity) -> Result<(), StartError> {
    let bounding = set_of(&capabilities_of(process).bounding)?;
    caps::bound(bounding).at(Stage::Capability, || "drop the bounding set".into())?;
    if identity.uid != 0 {
        own_stdio(identity.uid)?;
        caps::keep_over_setuid().at(Stage::Capability, || "keep capabilities".into())?;
    }
    process::set_ids(identity.uid, identity.gid, &identity.groups)
        .at(Stage::User, || format!("set user {} and group {}", identity.uid, identity.gid))?;
    // Where the system lets such processes be looked into.
    if (identity.uid, identity.gid) == (0, 0) { Ok(()) } else { enter::hide() }
}

/// Makes stdio the user's, so that it can open `/dev/stdout`; the null device stays as it is.
fn own_stdio(uid: u32) -> Result<(), StartError> {
    let shown = || "change the owner of stdio".to_owned();
    let null = rustix::fs::makedev(1, 3);
    let change = |fd: std::os::fd::BorrowedFd<'_>| -> Result<(), StartError> {
        let stat = rustix::fs::fstat(fd).at(Stage::User, shown)?;
        if stat.st_uid == uid || stat.st_rdev == null {
            return Ok(());
        }
        match rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), None) {
            // A host's file that is not ours to give, a read-only one, a user without a number here: as others do.
            Ok(()) | Err(Errno::PERM | Errno::ROFS | Errno::INVAL) => Ok(()),
            Err(error) => Err(error).at(Stage::User, shown),
        }
    };
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    change(std::os::fd::AsFd::as_fd(&stdin))?;
    change(std::os::fd::AsFd::as_fd(&stdout))?;
    change(std::os::fd::AsFd::as_fd(&stderr))
}

/// Makes what is permitted effective again, which becoming another user ended.
pub(super) fn raise_capabilities() -> Result<(), StartError> {
    let shown = || "raise capabilities".to_owned();
    let sets = caps::get().at(Stage::Capability, shown)?;
    if sets.effective == sets.permitted {
        return Ok(());
    }
    caps::set(caps::Sets { effective: sets.permitted, ..sets }).at(Stage::Capability, shown)
}

/// Leaves exactly what the process shall have; what the engine itself lacks, nobody can have.
pub(super) fn drop_capabilities(process: &Process) -> Result<(), StartError> {
    let shown = || "set capabilities".to_owned();
    let wanted = capabilities_of(process);
    let ours = caps::get().at(Stage::Capability, shown)?.permitted;
    let permitted = set_of(&wanted.permitted)?.intersection(ours);
    caps::set(caps::Sets {
        effective: set_of(&wanted.effective)?.intersection(permitted),
        permitted,
        inheritable: set_of(&wanted.inheritable)?.intersection(ours),
    })
    .at(Stage::Capability, shown)?;
    let ambient = set_of(&wanted.ambient)?.intersection(permitted);
    if ambient == caps::Set::EMPTY {
        // A fresh process has none, and capset(2) takes away what is not permitted.
        return Ok(());
    }
    caps::set_ambient(ambient).at(Stage::Capability, shown)
}
