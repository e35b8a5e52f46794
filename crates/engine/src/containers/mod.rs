//! Containers: one file per verb. A verb locks the one container, applies the rule, makes the effect, records it and
//! tells of it.

mod archive;
mod attach;
mod changes;
mod commit;
mod container;
mod create;
mod edit;
mod edited;
mod exec;
mod exits;
mod export;
mod files;
mod finish;
mod first_process;
mod groups_ahead;
mod handed;
mod health;
mod image_mounts;
mod inspect;
mod kill;
mod links;
mod list;
mod log_usage;
mod logs;
mod news;
mod partners;
mod pause;
mod prune;
mod record;
mod recover;
mod registry;
mod remove;
mod rename;
mod resize;
mod restart;
mod settings;
mod spec;
mod start;
mod state;
mod stats;
mod stop;
mod summary;
mod top;
mod unfinished;
mod unrecorded;
mod update;
mod usage;
mod volumes;
mod wait;
mod without_shim;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use barge_api_types::{ContainerConfig, HostConfig, LogConfig, Ulimit};
use barge_image::ImageStore;
use barge_network::Controller;
use barge_oci::runtime::{LinuxCpu, LinuxResources};
use barge_storage::{MountOptions, StorageDriver};
use barge_types::ContainerId;
use barge_volume::VolumeStore;

pub use archive::ExtractOptions;
pub use attach::{AttachOptions, Attached, Leaving};
pub use exec::{ExecEnd, ExecStarted};
pub use inspect::Size;
pub use list::ListOptions;
pub use logs::{LogStream, LogsOptions};
pub use remove::RemoveOptions;
pub use start::Started;
pub use stats::{StatsMode, StatsStream};
pub use stop::{StopOptions, Stopped};
pub use wait::{WaitCondition, Waiter};

pub(crate) use commit::CommitSource;
pub(crate) use create::new_id;
pub(crate) use files::{FileSources, FileTexts};
pub(crate) use groups_ahead::GroupsAhead;
pub(crate) use handed::Handed;
pub(crate) use record::{
    Access, ContainerRecord, CopyUp, MountRecord, MountSource, Origin, Recursion,
};
pub(crate) use registry::Registry;
pub(crate) use settings::{Host, NetworkMode, PidMode, SeccompChoice, Security, Settings};
pub(crate) use spec::{Joins, SHM_SIZE, Start, build as build_spec, merge_environment};
pub(crate) use start::Link;

use container::{Container, Folders};

use crate::cdi::Cdi;
use crate::disk::Durability;
use crate::error::{EngineError, Result};
use crate::events::Events;
use crate::images::Builtin;
use crate::remap::{self, Remap};
use crate::runtimes::Runtimes;
use crate::seccomp::SeccompFilters;
use crate::shims::Programs;

/// What a container gets when neither the request nor its image says.
#[derive(Clone, Debug)]
pub struct ContainerDefaults {
    /// The folder of cgroups that the containers' own are made in.
    pub cgroup_parent: String,
    /// The log driver and its options.
    pub log: LogConfig,
    /// Limits of every container's processes.
    pub ulimits: Vec<Ulimit>,
    /// `--dns` of every container.
    pub dns: Vec<String>,
    /// `--dns-search` of every container.
    pub dns_search: Vec<String>,
    /// `--dns-option` of every container.
    pub dns_options: Vec<String>,
    /// The size of /dev/shm in bytes.
    pub shm_size: i64,
    /// `private` or `shareable`.
    pub ipc_mode: String,
    /// `private`, `host`, or empty: barge's own choice.
    pub cgroupns_mode: String,
    /// Whether an init of barge's own is process 1 unless the request says otherwise.
    pub init: bool,
    /// Security options for what a request says nothing of.
    pub security: Vec<String>,
    /// The real-time budget of all containers together.
    pub realtime: RealtimeBudget,
}

/// Microseconds of real-time scheduling in each period, for the parent of the containers' groups; 0 leaves the kernel's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RealtimeBudget {
    /// The period.
    pub period: u64,
    /// How much of it.
    pub runtime: i64,
}

impl RealtimeBudget {
    /// Gives it to the group, from whose budget the containers' own are taken.
    pub(crate) fn grant(self, layout: &barge_cgroups::Layout, parent: &str) -> Result<()> {
        if self == Self::default() {
            return Ok(());
        }
        let cpu = LinuxCpu {
            realtime_period: Some(self.period).filter(|period| *period != 0),
            realtime_runtime: Some(self.runtime).filter(|runtime| *runtime != 0),
            ..LinuxCpu::default()
        };
        let limits = LinuxResources { cpu: Some(cpu), ..LinuxResources::default() };
        let parent = barge_cgroups::CgroupPath::parse(parent)?;
        // A group gets no more than the one above it has.
        for group in parent.with_ancestors() {
            layout.manager(&group).set(&limits)?;
        }
        Ok(())
    }
}

/// The service that has the containers.
#[derive(Debug)]
pub struct Containers {
    pub(crate) registry: Registry,
    pub(crate) folder: PathBuf,
    pub(crate) run_folder: PathBuf,
    pub(crate) shim_folder: PathBuf,
    pub(crate) images: Arc<ImageStore>,
    pub(crate) builtin: Builtin,
    pub(crate) storage: Arc<dyn StorageDriver>,
    pub(crate) network: Arc<Controller>,
    pub(crate) volumes: Arc<VolumeStore>,
    pub(crate) events: Arc<Events>,
    pub(crate) programs: Programs,
    pub(crate) seccomp: SeccompFilters,
    /// What the mounts of containers begin with; without, they begin with a copy of the host's.
    pub(crate) bare_mounts: Option<OwnedFd>,
    pub(crate) machine: Host,
    pub(crate) runtimes: Runtimes,
    pub(crate) cdi: Cdi,
    pub(crate) remap: Option<Remap>,
    pub(crate) layout: barge_cgroups::Layout,
    pub(crate) groups: Arc<GroupsAhead>,
    pub(crate) defaults: ContainerDefaults,
    /// What keeps layers for the next build.
    pub(crate) build_cache: std::sync::OnceLock<std::sync::Weak<barge_builder::Builder>>,
    /// Which container has which exec.
    pub(crate) execs:
        std::sync::Mutex<std::collections::HashMap<String, std::sync::Weak<Container>>>,
}

impl Containers {
    /// How a container's ids are mapped, if they are: `--userns=host` opts out.
    pub(crate) fn remap_of(&self, host: &HostConfig) -> Option<&Remap> {
        self.remap.as_ref().filter(|_| host.userns_mode != "host")
    }

    /// How a container's layer is mounted.
    fn mount_options(&self, container: &Container) -> MountOptions {
        let record = container.record();
        let durability = match record.durability() {
            Durability::Durable => barge_storage::Durability::Durable,
            Durability::Lazy => barge_storage::Durability::Volatile,
        };
        MountOptions { durability, owners: remap::owners(self.remap_of(&record.host_config)) }
    }

    /// What a container whose ids are mapped cannot have.
    fn check_users(&self, host: &HostConfig, settings: &Settings) -> Result<()> {
        if self.remap_of(host).is_none() {
            return Ok(());
        }
        remap::check(host, settings)?;
        match self.runtimes.find_recorded(&host.runtime)? {
            None => Ok(()),
            Some(_) => Err(EngineError::NotImplemented(format!(
                "--runtime={} is not supported with --userns-remap: add --userns=host",
                host.runtime
            ))),
        }
    }

    fn folders(&self, id: &ContainerId) -> Result<Folders> {
        Ok(Folders {
            layer: id.as_str().parse()?,
            data: self.folder.join(id.as_str()),
            run: self.run_folder.join(id.as_str()),
            shim_socket: self.shim_folder.join(format!("{id}.sock")),
        })
    }
}

/// The program and its arguments: the entrypoint's words, then the command's.
pub(crate) fn command(config: &ContainerConfig) -> (String, Vec<String>) {
    let mut words =
        config.entrypoint.iter().chain(&config.cmd).flat_map(|words| words.iter().cloned());
    let path = words.next().unwrap_or_default();
    (path, words.collect())
}

/// Runs a verb to its end even when the client that asked for it goes away: an effect that was begun is recorded.
pub(crate) async fn to_the_end<T, F>(verb: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    tokio::spawn(verb).await?
}

/// An error of a parser as a bad request.
fn invalid_text(error: impl std::fmt::Display) -> EngineError {
    EngineError::Invalid(error.to_string())
}

/// The filter `until` of the prunes, which is one: older than this moment.
pub(crate) fn time_filter(
    filters: &barge_api_types::Filters,
) -> Result<Option<std::time::SystemTime>> {
    let mut values = filters.values("until");
    let Some(text) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid_text("more than one until filter specified"));
    }
    crate::time::parse(text).map(Some).ok_or_else(|| no_moment(text))
}

/// The refusal of what is no moment, in Docker's words.
pub(crate) fn no_moment(text: &str) -> EngineError {
    invalid_text(format!("failed to parse value as time or duration: {text:?}"))
}
