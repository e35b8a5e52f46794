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
use barge_storage::LayerId;
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
    /// The request with every change in it; none while it is what its request says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) edited: Option<Box<ContainerCreateRequest>>,
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
    /// The files of an image, to be read.
    Image {
        /// As the user named it.
        name: String,
        /// A path in the image.
        #[serde(default)]
        subpath: String,
        /// What was made of it; none as long as the mount is only wanted.
        made: Option<MountedImage>,
    },
}

/// What a mount of an image consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountedImage {
    /// What the name meant then.
    pub(crate) image: ImageId,
    /// The container's own layer on the image's, by its id.
    pub(crate) layer: String,
}

impl MountRecord {
    /// The image that is mounted, if it is one.
    pub(crate) const fn image(&self) -> Option<&MountedImage> {
        match &self.source {
            MountSource::Image { made, .. } => made.as_ref(),
            MountSource::Bind { .. } | MountSource::Volume { .. } | MountSource::Tmpfs { .. } => {
                None
            }
        }
    }

    /// The layer that shows the image.
    pub(crate) fn image_layer(&self) -> Option<LayerId> {
        self.image().and_then(|made| made.layer.parse().ok())
    }
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
        let mut record = read_record::<Self>(&folder.join(RECORD))?;
        if let Some(Self { host_config, .. }) = &mut record
            && host_config.pid_mode == "private"
        {
            // As Docker, requests may not say so; they once could, and it meant the same.
            host_config.pid_mode.clear();
        }
        Ok(record)
    }

    /// Whether it is of this image, or has it mounted.
    pub(crate) fn needs_image(&self, image: &ImageId) -> bool {
        self.images().any(|own| own == *image)
    }

    /// The image that it is of, and those that it has mounted.
    pub(crate) fn images(&self) -> impl Iterator<Item = ImageId> {
        let mounted = self.mounts.iter().filter_map(MountRecord::image);
        std::iter::once(self.image).chain(mounted.map(|made| made.image))
    }

    /// The mounts of a record whose other parts may make no sense.
    pub(crate) fn load_mounts(folder: &Path) -> Result<Vec<MountRecord>> {
        #[derive(Deserialize)]
        struct Mounts {
            #[serde(default)]
            mounts: Vec<MountRecord>,
        }
        let found = read_record::<Mounts>(&folder.join(RECORD))?;
        Ok(found.map_or_else(Vec::new, |record| record.mounts))
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::containers::settings::{Host, PidMode, SecurityModules, Settings};

    const MACHINE: Host = Host::plain(2);

    fn folder_with(change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut record = json!({
            "version": 1,
            "id": "07".repeat(32),
            "name": "box",
            "created": "",
            "image": format!("sha256:{}", "01".repeat(32)),
            "driver": "overlay2",
            "config": {},
            "host_config": {},
            "mounts": [{
                "destination": "/data",
                "source": {"volume": {"name": "data", "copy": "copy", "origin": "named"}},
                "access": "read_write",
            }],
        });
        change(&mut record);
        std::fs::write(folder.path().join(RECORD), record.to_string()).unwrap();
        folder
    }

    fn settings(folder: &Path, machine: &Host) -> Result<Settings> {
        let record = ContainerRecord::load(folder).unwrap().unwrap();
        Settings::parse(&record.config, &record.host_config, machine)
    }

    #[test]
    fn private_process_ids_of_old_records_are_private() {
        let folder = folder_with(|record| record["host_config"]["PidMode"] = json!("private"));
        assert_eq!(settings(folder.path(), &MACHINE).unwrap().pid, PidMode::Private);
        let folder = folder_with(|record| record["host_config"]["PidMode"] = json!("mine"));
        settings(folder.path(), &MACHINE).unwrap_err();
    }

    #[test]
    fn a_machine_that_has_changed_keeps_its_containers() {
        let folder = folder_with(|record| {
            record["host_config"] = json!({
                "CpuRealtimePeriod": 1_000_000,
                "CpuRealtimeRuntime": 1000,
                "CpusetCpus": "7",
                "CpusetMems": "3",
                "NanoCpus": 8_000_000_000_i64,
                "SecurityOpt": ["label=type:x"],
            });
        });
        let modules = SecurityModules { selinux: true, ..SecurityModules::default() };
        let machine = Host { modules, ..MACHINE };
        settings(folder.path(), &machine).unwrap_err();
        settings(folder.path(), &machine.for_records()).unwrap();
    }

    #[test]
    fn the_mounts_of_a_record_that_makes_no_sense_are_known() {
        let folder = folder_with(|record| record["host_config"] = json!("?"));
        ContainerRecord::load(folder.path()).unwrap_err();
        let mounts = ContainerRecord::load_mounts(folder.path()).unwrap();
        assert!(matches!(&mounts[..], [MountRecord { source, .. }]
            if matches!(source, MountSource::Volume { name, .. } if name == "data")));
    }
}
