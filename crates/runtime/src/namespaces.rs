//! Which namespaces a specification wants made, which it wants joined, and who does that.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use barge_oci::runtime::{Linux, LinuxIdMapping, NamespaceType};
use barge_sys::namespace::Kinds;
use barge_sys::spawn::{IdMap, UserMaps};
use serde::{Deserialize, Serialize};

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
            namespaces.user_maps = Some(maps_of(linux));
        }
        Ok(namespaces)
    }
}

/// What the runtime program joins and makes by itself, with the rights of the host's root at first.
///
/// A program executed in a user namespace can be looked into by whoever has `CAP_SYS_PTRACE` in there and sees it, as long
/// as it has not become the user's (CVE-2016-9962): rights over its memory are asked for in the namespace that it was
/// executed in. Where a process namespace is shared it is executed outside, therefore, and comes in hidden.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Late {
    /// Bits of the kinds to join of each descriptor, the users first.
    pub(crate) join: Vec<u32>,
    /// Bits of the kinds to make then.
    pub(crate) make: u32,
}

/// Namespaces by descriptor, and which of each.
pub(crate) type Joins<'a> = Vec<(BorrowedFd<'a>, Kinds)>;

/// What the clone does, and what is left to the program.
pub(crate) struct Arrival<'a> {
    pub(crate) make: Kinds,
    pub(crate) join: Joins<'a>,
    pub(crate) late: Option<Late>,
    /// The descriptors that `late` means, in its order.
    pub(crate) files: Vec<BorrowedFd<'a>>,
}

impl<'a> Arrival<'a> {
    pub(crate) fn of(make: Kinds, join: Joins<'a>) -> Self {
        let joins = |kind| join.iter().any(|(_, kinds)| kinds.contains(kind));
        if !(joins(Kinds::USER) && joins(Kinds::PROCESS_ID)) {
            return Self { make, join, late: None, files: Vec::new() };
        }
        let only = |wanted: Kinds| {
            let common = join.iter().map(move |(fd, kinds)| (*fd, *kinds & wanted));
            common.filter(|(_, kinds)| !kinds.is_empty())
        };
        // A process namespace is only for children: it is joined by who clones.
        let mut later: Joins<'a> = only(Kinds::all() - Kinds::PROCESS_ID).collect();
        later.sort_by_key(|(_, kinds)| !kinds.contains(Kinds::USER));
        let bits = later.iter().map(|(_, kinds)| kinds.bits()).collect();
        Self {
            make: Kinds::empty(),
            join: only(Kinds::PROCESS_ID).collect(),
            late: Some(Late { join: bits, make: make.bits() }),
            files: later.iter().map(|(fd, _)| *fd).collect(),
        }
    }
}

impl Namespaces {
    /// All that are to be joined.
    pub(crate) fn joins(&self) -> Joins<'_> {
        self.join.iter().map(|(fd, kinds)| (fd.as_fd(), *kinds)).collect()
    }
}

/// The maps of the user namespace that the specification makes or joins.
pub(crate) fn maps_of(linux: &Linux) -> UserMaps {
    UserMaps { uids: ranges(&linux.uid_mappings), gids: ranges(&linux.gid_mappings) }
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
