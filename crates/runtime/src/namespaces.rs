//! Which namespaces a specification wants made, and which it wants joined.

use std::fs::File;
use std::os::fd::OwnedFd;

use barge_oci::runtime::{Linux, LinuxIdMapping, NamespaceType};
use barge_sys::namespace::Kinds;
use barge_sys::spawn::{IdMap, UserMaps};

use crate::error::{At as _, Stage, StartError};

/// The outcome: what to make, what to join.
#[derive(Debug)]
pub(crate) struct Namespaces {
    pub(crate) make: Kinds,
    pub(crate) join: Vec<(OwnedFd, Kinds)>,
    pub(crate) user_maps: Option<UserMaps>,
}

impl Namespaces {
    /// `given` are kinds for which the caller has a namespace at hand: what the specification says of them is not
    /// looked at.
    pub(crate) fn of(linux: &Linux, given: Kinds) -> Result<Self, StartError> {
        let mut namespaces = Self { make: Kinds::empty(), join: Vec::new(), user_maps: None };
        for namespace in &linux.namespaces {
            let kind = kind_of(namespace.kind);
            if given.contains(kind) {
                continue;
            }
            let Some(path) = namespace.path.as_ref().filter(|path| !path.is_empty()) else {
                namespaces.make |= kind;
                continue;
            };
            let file = File::open(path).at(Stage::Spawn, || format!("lstat {path}"))?;
            namespaces.join.push((file.into(), kind));
        }
        if namespaces.make.contains(Kinds::USER) {
            namespaces.user_maps = Some(UserMaps {
                uids: ranges(&linux.uid_mappings),
                gids: ranges(&linux.gid_mappings),
            });
        }
        Ok(namespaces)
    }
}

fn ranges(mappings: &[LinuxIdMapping]) -> Vec<IdMap> {
    let range = |mapping: &LinuxIdMapping| IdMap {
        inside: mapping.container_id,
        outside: mapping.host_id,
        count: mapping.size,
    };
    mappings.iter().map(range).collect()
}

/// The kernel's bit of a kind.
pub(crate) fn kind_of(kind: NamespaceType) -> Kinds {
    match kind {
        NamespaceType::Pid => Kinds::PROCESS_ID,
        NamespaceType::Network => Kinds::NETWORK,
        NamespaceType::Mount => Kinds::MOUNT,
        NamespaceType::Ipc => Kinds::INTER_PROCESS_COMMUNICATION,
        NamespaceType::Uts => Kinds::HOST_NAME_AND_NIS_DOMAIN_NAME,
        NamespaceType::User => Kinds::USER,
        NamespaceType::Cgroup => Kinds::CONTROL_GROUP,
        NamespaceType::Time => Kinds::TIME,
    }
}
