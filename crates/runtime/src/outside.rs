//! What is done from outside for a process in a user namespace of its own, because its root is nobody there.
//!
//! | what | why not inside |
//! |---|---|
//! | opening the root and the sources of binds | the folders on the way are the host's; so are the mounts with other owners |
//! | locking what is mounted | the kernel does it for mounts that come from a namespace of other users |
//! | limits, the score for the out-of-memory killer | raising the one and lowering the other needs the host's rights |
//! | the owner of pipes | it is the host's root, whose files are nobody's inside |
//!
//! Init asks for the first three when it comes to them ([`Help::grant`]): a limit holds for the steps that are left.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use barge_oci::runtime::{Process, Spec};
use barge_sys::mount::{self, Change, Propagation, Reach};
use barge_sys::spawn::{Spawned, UserMaps};
use barge_sys::user_namespace;
use rustix::fs::{CWD, FileType};
use rustix::thread::{Gid, Uid};

use crate::error::{At as _, Stage, StartError};
use crate::handshake::{ToInit, Wish};
use crate::init::limits;
use crate::init::mounts::{self, Described};
use crate::mount_options::MountOptions;

/// What there is to help with.
pub(crate) struct Help<'a> {
    pub(crate) process: &'a Process,
    /// What the container gets handed over: its root, then its binds in the order of the specification.
    pub(crate) trees: Vec<OwnedFd>,
}

impl Help<'_> {
    /// Does for a process what it wants.
    pub(crate) fn grant(
        &self,
        wish: Wish,
        (child, control): (&Spawned, &mut ToInit),
    ) -> Result<(), StartError> {
        match wish {
            Wish::Trees => {
                let trees: Vec<_> = self.trees.iter().map(OwnedFd::as_fd).collect();
                control.grant(wish, &trees)
            }
            Wish::Locked => {
                let locked = user_namespace::lock_mounts(child.pidfd.as_fd())
                    .at(Stage::Mount, || "lock what is mounted".to_owned())?;
                control.grant(wish, &[locked.as_fd()])
            }
            Wish::Limits => {
                let pid = child.pid;
                limits::set_rlimits(self.process, rustix::process::Pid::from_raw(pid))?;
                limits::set_oom_score(self.process, &format!("/proc/{pid}/oom_score_adj"))?;
                control.grant(wish, &[])
            }
        }
    }
}

/// Opens the root and the binds of a container, with the owners that the specification wants mapped as those of a user
/// namespace.
pub(crate) fn open_trees(
    spec: &Spec,
    namespace: Option<BorrowedFd<'_>>,
) -> Result<Vec<OwnedFd>, StartError> {
    let mut trees = Vec::new();
    if let Some(root) = &spec.root {
        let shown = || format!("prepare rootfs {}", root.path);
        let tree =
            mount::clone_tree(CWD, Path::new(&root.path), Reach::Tree).at(Stage::Root, shown)?;
        mount::change(&tree, Reach::Tree, Change::PRIVATE).at(Stage::Root, shown)?;
        trees.push(tree);
    }
    for mount in &spec.mounts {
        let options = MountOptions::parse(&mount.options);
        let what = Described { mount, options: &options };
        if what.is_bind() {
            trees.push(bind(&what, namespace)?);
        }
    }
    Ok(trees)
}

fn bind(what: &Described<'_>, namespace: Option<BorrowedFd<'_>>) -> Result<OwnedFd, StartError> {
    let tree = mounts::open_source(what)?;
    if let Some(namespace) = namespace.filter(|_| !what.mount.uid_mappings.is_empty()) {
        mount::map_ids(&tree, namespace)
            .at(Stage::Mount, || format!("{}: map the owners of its files", what.failed()))?;
    }
    // A copy of a shared mount is its peer, and so is all that is mounted below, whatever is wanted of the uppermost one.
    let (propagation, reach) =
        what.options.propagation.unwrap_or((Propagation::PRIVATE, Reach::Tree));
    let below = match propagation {
        Propagation::SHARED => None,
        Propagation::DOWNSTREAM => Some(Propagation::DOWNSTREAM),
        _ => Some(Propagation::PRIVATE),
    };
    let below = below.map(|propagation| (propagation, Reach::Tree));
    for (propagation, reach) in below.into_iter().chain([(propagation, reach)]) {
        let change = Change { propagation: Some(propagation), ..Change::NONE };
        mount::change(&tree, reach, change).at(Stage::Mount, || what.failed())?;
    }
    Ok(tree)
}

/// Gives the pipes that a process gets as stdio to the root of its users.
pub(crate) fn own_stdio(
    process: &Process,
    (maps, stdio): (&UserMaps, [BorrowedFd<'_>; 3]),
) -> Result<(), StartError> {
    if process.terminal {
        return Ok(());
    }
    let shown = || "change the owner of stdio".to_owned();
    let root = maps.root().map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid)));
    let (uid, gid) = root.unzip();
    for fd in stdio {
        let stat = rustix::fs::fstat(fd).at(Stage::User, shown)?;
        // Of a file of the host it is not ours to change.
        if FileType::from_raw_mode(stat.st_mode) == FileType::Fifo {
            rustix::fs::fchown(fd, uid, gid).at(Stage::User, shown)?;
        }
    }
    Ok(())
}
