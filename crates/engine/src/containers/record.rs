//! What is kept of a container on disk: `container.json` (what it is), `state.json` (where it is in its life) and
//! `request.json` (what was asked for).
//!
//! The first two are apart because they change for different reasons: the first is written when somebody decides something and must
//! survive a crash of the machine, the second with each start and exit and is worked out again after one.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use barge_api_types::{
    ContainerConfig, ContainerCreateRequest, ContainerEdit, EndpointSettings, HostConfig,
};
use barge_sys::durable;
use barge_types::{ContainerId, ContainerName, ImageId};
use serde::{Deserialize, Serialize};

use super::health::Health;
use super::state::State;
use crate::disk::{Durability, read_record, write_record};
use crate::error::{EngineError, Result};

const VERSION: u32 = 1;
const RECORD: &str = "container.json";
const STATE: &str = "state.json";
const REQUEST: &str = "request.json";

/// What a container is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    /// The form of this record.
    pub(crate) version: u32,
    pub(crate) id: ContainerId,
    pub(crate) name: ContainerName,
    /// RFC 3339.
    pub(crate) created: String,
    pub(crate) image: ImageId,
    /// The storage driver that has its layers.
    pub(crate) driver: String,
    /// The request's configuration with what the image adds.
    pub(crate) config: ContainerConfig,
    /// The request's host configuration with the daemon's defaults.
    pub(crate) host_config: HostConfig,
    /// What the request says of networks, by their names.
    #[serde(default)]
    pub(crate) endpoints: BTreeMap<String, EndpointSettings>,
    /// What is mounted where, worked out when it was created.
    #[serde(default)]
    pub(crate) mounts: Vec<MountRecord>,
    /// What was changed while it ran and is in force with its next start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pending: Vec<ContainerEdit>,
    /// Whether it is no longer what its request says.
    #[serde(default)]
    pub(crate) is_edited: bool,
}

/// One mount of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountRecord {
    /// An absolute path inside.
    pub(crate) destination: String,
    pub(crate) source: MountSource,
    pub(crate) access: Access,
    /// The mode as the user wrote it (`ro`, `z`), for inspect.
    #[serde(default)]
    pub(crate) mode: String,
    /// `rprivate` unless the user says otherwise; empty for what has none.
    #[serde(default)]
    pub(crate) propagation: String,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MountSource {
    /// A path of the host.
    Bind {
        path: PathBuf,
        /// Whether mounts below it come along.
        #[serde(default)]
        recursion: Recursion,
    },
    /// A volume.
    Volume {
        name: String,
        /// A path in the volume.
        #[serde(default)]
        subpath: String,
        copy: CopyUp,
        origin: Origin,
    },
    /// Memory.
    Tmpfs { options: Vec<String> },
}

/// Whether a bind takes the mounts below its source along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Recursion {
    #[default]
    Recursive,
    Shallow,
}

/// Whether a new volume gets what the image has at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CopyUp {
    Copy,
    NoCopy,
}

/// Who named a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// The user.
    Named,
    /// Nobody: it goes with `rm -v` and `--rm`.
    Anonymous,
}

/// Whether a mount can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Access {
    ReadWrite,
    /// With everything that is mounted below.
    ReadOnly,
    /// What is mounted below stays as it is.
    TopReadOnly,
}

/// Where a container is in its life, as it is on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StateRecord {
    pub(crate) version: u32,
    pub(crate) state: State,
    /// How often the restart policy started it.
    pub(crate) restarts: u32,
    /// Whether somebody stopped it by hand, which `unless-stopped` heeds.
    pub(crate) stop: StoppedBy,
    /// What was known of its health then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) health: Option<Health>,
}

/// Who ended a container last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StoppedBy {
    /// It ended by itself, or with the daemon.
    #[default]
    Itself,
    /// `stop` or `kill`.
    User,
}

impl ContainerRecord {
    pub(crate) const VERSION: u32 = VERSION;

    /// A container that goes with its end is not missed after a crash of the machine.
    pub(crate) const fn durability(&self) -> Durability {
        if self.host_config.auto_remove { Durability::Lazy } else { Durability::Durable }
    }

    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        write_record(&folder.join(RECORD), self, self.durability())
    }

    pub(crate) fn load(folder: &Path) -> Result<Option<Self>> {
        read_record(&folder.join(RECORD))
    }

    /// Keeps what was asked for, word for word. Nothing but `inspect --as` reads it: no disk is waited for.
    pub(crate) fn save_request(folder: &Path, request: &ContainerCreateRequest) -> Result<()> {
        write_record(&folder.join(REQUEST), request, Durability::Lazy)
    }

    /// None for a container of an older barge, or after a crash of the machine right after it was made.
    pub(crate) fn load_request(folder: &Path) -> Option<ContainerCreateRequest> {
        read_record(&folder.join(REQUEST)).ok().flatten()
    }
}

impl StateRecord {
    pub(crate) const fn new(state: State, restarts: u32, stop: StoppedBy) -> Self {
        Self { version: VERSION, state, restarts, stop, health: None }
    }

    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        write_record(&folder.join(STATE), self, Durability::Lazy)
    }

    /// Makes what was saved last survive a crash of the machine.
    pub(crate) fn sync(folder: &Path) -> Result<()> {
        let path = folder.join(STATE);
        File::open(&path)
            .and_then(|file| file.sync_all())
            .and_then(|()| durable::sync_folder(folder))
            .map_err(EngineError::io("sync", &path))
    }

    pub(crate) fn load(folder: &Path) -> Result<Option<Self>> {
        read_record(&folder.join(STATE))
    }
}
