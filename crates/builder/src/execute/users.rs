//! Whose users the process of a step has, and what that means for the files that it is shown.
//!
//! Where ids are mapped the layers that a step sees are mounted with mapped owners: what is stored are the step's own ids, so
//! that a layer is the same, and found again, however it was made. What is made in such files from outside has to belong to
//! somebody who has an id in there.

use std::io;
use std::sync::Arc;

use barge_storage::Owners;
use barge_sys::spawn::UserMaps;
use barge_sys::user_namespace;

use crate::error::{BuildError, Result};
use crate::runner::{StepNetwork, StepSecurity, StepUsers};

/// The users of a step: none of its own, or those of these maps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Users(Option<Arc<UserMaps>>);

impl Users {
    /// As `run` without and with `--userns=host`: all rights, or the host's network, have the host's users alone.
    pub(crate) fn of(
        maps: Option<&Arc<UserMaps>>,
        (network, security): (StepNetwork, StepSecurity),
    ) -> Self {
        let is_free = network != StepNetwork::Host && security == StepSecurity::Sandbox;
        Self(maps.filter(|_| is_free).cloned())
    }

    /// What the runner is told.
    pub(crate) fn of_step(&self) -> StepUsers {
        if self.0.is_some() { StepUsers::Mapped } else { StepUsers::Hosts }
    }

    /// How layers are mounted for the step.
    pub(crate) fn owners(&self) -> Owners {
        if self.0.is_some() { Owners::Mapped } else { Owners::Stored }
    }

    /// What a user and a group of the step are to us.
    pub(crate) fn outside(&self, (uid, gid): (u32, u32)) -> Result<(u32, u32)> {
        let Some(maps) = &self.0 else { return Ok((uid, gid)) };
        maps.outside((uid, gid)).ok_or_else(|| {
            BuildError::Invalid(format!(
                "{uid}:{gid} cannot own a mount: steps have no such ids with --userns-remap"
            ))
        })
    }

    /// Makes something in files that are shown with the step's owners.
    pub(crate) fn make<T: Send>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        match self.0.as_deref().and_then(UserMaps::root) {
            Some(root) => user_namespace::as_owner(root, work)?,
            None => work(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use barge_sys::spawn::IdMap;

    use super::*;

    fn maps() -> Arc<UserMaps> {
        let map = vec![IdMap { inside: 0, outside: 300_000, count: 10 }];
        Arc::new(UserMaps { uids: map.clone(), gids: map })
    }

    #[test]
    fn only_what_a_mapped_root_can_have_is_mapped() {
        let maps = maps();
        let of = |network, security| Users::of(Some(&maps), (network, security)).of_step();
        for network in [StepNetwork::Default, StepNetwork::None] {
            assert_eq!(of(network, StepSecurity::Sandbox), StepUsers::Mapped);
            assert_eq!(of(network, StepSecurity::Insecure), StepUsers::Hosts);
        }
        assert_eq!(of(StepNetwork::Host, StepSecurity::Sandbox), StepUsers::Hosts);
        let none = Users::of(None, (StepNetwork::Default, StepSecurity::Sandbox));
        assert_eq!((none.of_step(), none.owners()), (StepUsers::Hosts, Owners::Stored));
    }

    #[test]
    fn owners_are_those_outside_and_must_be_there() {
        let users = Users::of(Some(&maps()), Default::default());
        assert_eq!(users.outside((7, 0)).unwrap(), (300_007, 300_000));
        let error = users.outside((0, 10)).unwrap_err().to_string();
        assert_eq!(error, "0:10 cannot own a mount: steps have no such ids with --userns-remap");
        assert_eq!(Users::default().outside((0, 10)).unwrap(), (0, 10));
    }

    #[test]
    fn what_is_made_belongs_to_the_root_in_there() {
        let folder = tempfile::tempdir().unwrap();
        for (users, name, owner) in [
            (Users::of(Some(&maps()), Default::default()), "own", 300_000),
            (Users::default(), "hosts", 0),
        ] {
            let path = folder.path().join(name);
            users.make(|| std::fs::create_dir(&path)).unwrap();
            let found = std::fs::metadata(&path).unwrap();
            assert_eq!((found.uid(), found.gid()), (owner, owner));
        }
    }
}
