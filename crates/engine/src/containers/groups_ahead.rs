//! Control groups made ahead, under the ids that the next containers get.
//!
//! A group takes the kernel a good part of a start to make, and longer the more there are. So some are made while nobody
//! waits. A container that was created keeps its group until it starts or goes, or until many others wait for their start,
//! too. A file for each of them in the exec root tells the next daemon what a killed one left.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use barge_cgroups::{CgroupManager, CgroupPath, Layout};
use barge_sys::spares::Spares;
use barge_types::ContainerId;

use super::new_id;
use crate::error::{EngineError, Result};

/// How many are ready for the next containers.
const READY: usize = 4;
/// How many created containers have theirs.
const GIVEN: usize = 16;

/// The groups that are there before their containers run.
#[derive(Debug)]
pub(crate) struct GroupsAhead {
    place: Place,
    spares: Spares<Group>,
    /// The oldest first.
    given: Mutex<VecDeque<Group>>,
}

/// Where groups are made, and where they are noted.
#[derive(Clone, Debug)]
struct Place {
    layout: Layout,
    parent: String,
    notes: PathBuf,
}

/// A group that nobody has taken; it goes with this.
#[derive(Debug)]
struct Group {
    id: ContainerId,
    path: String,
    /// Until a container has it.
    cgroup: Option<Box<dyn CgroupManager>>,
    note: PathBuf,
}

impl Place {
    fn group(&self, id: ContainerId) -> Result<Group> {
        let path = format!("{}/{id}", self.parent);
        let cgroup = self.layout.manager(&CgroupPath::parse(&path)?);
        Ok(Group { note: self.notes.join(id.as_str()), id, path, cgroup: Some(cgroup) })
    }

    fn make(&self) -> Result<Group> {
        let group = self.group(new_id()?)?;
        fs::create_dir_all(&self.notes).map_err(EngineError::io("create", &self.notes))?;
        fs::write(&group.note, "").map_err(EngineError::io("create", &group.note))?;
        group.cgroup.as_ref().map_or(Ok(()), |cgroup| cgroup.create())?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let is_left = self.cgroup.take().is_some_and(|cgroup| cgroup.destroy().is_err());
        if !is_left {
            // Where the note cannot be removed the next daemon finds nothing.
            fs::remove_file(&self.note).ok();
        }
    }
}

impl GroupsAhead {
    /// Makes none yet.
    pub(crate) fn open(layout: &Layout, parent: &str, exec_root: &Path) -> Result<Self> {
        let notes = exec_root.join("groups");
        let place =
            Place { layout: layout.clone(), parent: parent.trim_matches('/').to_owned(), notes };
        let maker = place.clone();
        let spares = Spares::start("groups", READY, move || {
            // Whose start finds none makes one, and fails by its own error.
            let failed = |error: &EngineError| {
                tracing::debug!(error = error.message(), "cannot make a control group ahead");
            };
            maker.make().inspect_err(failed).ok()
        });
        let spares = spares.map_err(EngineError::io("start the thread", "groups"))?;
        Ok(Self { place, spares, given: Mutex::default() })
    }

    /// Takes away what a killed daemon left. What a container has is its own.
    pub(crate) fn sweep(&self, is_known: impl Fn(&ContainerId) -> bool) {
        for entry in fs::read_dir(&self.place.notes).into_iter().flatten().flatten() {
            let Some(Ok(id)) = entry.file_name().to_str().map(str::parse::<ContainerId>) else {
                continue;
            };
            if is_known(&id) {
                fs::remove_file(entry.path()).ok();
            } else {
                drop(self.place.group(id));
            }
        }
    }

    fn given(&self) -> MutexGuard<'_, VecDeque<Group>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An id for a container with a group in the usual place, which may be there already.
    pub(crate) fn id(&self) -> Result<ContainerId> {
        let Some(group) = self.spares.take() else { return new_id() };
        let id = group.id.clone();
        let mut given = self.given();
        given.push_back(group);
        let surplus = if given.len() > GIVEN { given.pop_front() } else { None };
        drop(given);
        drop(surplus);
        Ok(id)
    }

    fn take(&self, id: &ContainerId) -> Option<Group> {
        let mut given = self.given();
        let at = given.iter().position(|group| group.id == *id)?;
        given.remove(at)
    }

    /// Whether the group at this path is there, and leaves it to the container.
    pub(crate) fn hand_over(&self, id: &ContainerId, path: &str) -> bool {
        match self.take(id) {
            Some(mut group) if group.path == path => {
                group.cgroup = None;
                true
            }
            Some(_) | None => false,
        }
    }

    /// There will be no container of this id.
    pub(crate) fn forget(&self, id: &ContainerId) {
        drop(self.take(id));
    }

    /// A container has ended, or the daemon has begun: now is a good time to make some.
    pub(crate) fn refill(&self) {
        self.spares.refill();
    }

    /// A start is done: the same if few are left.
    pub(crate) fn refill_low(&self) {
        self.spares.refill_low();
    }

    /// Takes all of them away.
    pub(crate) fn close(&self) {
        self.spares.close();
        let given = std::mem::take(&mut *self.given());
        drop(given);
    }
}
