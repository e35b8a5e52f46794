//! The one place where the services are made and handed to each other.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barge_api_types::{LogConfig, Ulimit};
use barge_builder::{Builder, BuilderParts};
use barge_cgroups::Layout;
use barge_image::{ImageStore, ImageUsage};
use barge_network::{Controller, NetworkConfig};
use barge_storage::{StorageDriver, StorageOptions};
use barge_volume::VolumeStore;
use tokio::runtime::Handle;

use crate::builds::{BuildSources, Builds, OnlyContainers, StepRunner};
use crate::cdi::{self, Cdi};
use crate::containers::{
    ContainerDefaults, Containers, GroupsAhead, Host, RealtimeBudget, Registry,
};
use crate::disk::{Durability, write_file};
use crate::error::{EngineError, Result};
use crate::events::Events;
use crate::images::{Builtin, Images};
use crate::networks::Networks;
use crate::registries::{Registries, RegistryOptions};
use crate::remap::Remap;
use crate::runtimes::{RuntimeConfig, Runtimes};
use crate::seccomp::SeccompFilters;
use crate::shims::Programs;
use crate::system::System;
use crate::volumes::Volumes;
use crate::{blocking, containers};

/// What the daemon's flags and configuration file say.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// What survives a reboot.
    pub data_root: PathBuf,
    /// What does not.
    pub exec_root: PathBuf,
    /// The storage driver; the best of those that work when absent.
    pub storage_driver: Option<String>,
    /// Its options, as `key=value`.
    pub storage_options: Vec<String>,
    /// Mirrors, proxies, limits.
    pub registries: RegistryOptions,
    /// Bridge, addresses, rules.
    pub network: NetworkConfig,
    /// What containers get when nobody says.
    pub defaults: ContainerDefaults,
    /// OCI runtimes besides barge's own, by name.
    pub runtimes: BTreeMap<String, RuntimeConfig>,
    /// The runtime of containers that name none; empty is barge's own.
    pub default_runtime: String,
    /// Folders with descriptions of devices; a later one wins.
    pub cdi_folders: Vec<String>,
    /// The daemon's labels.
    pub labels: Vec<String>,
    /// Whose ranges of ids containers get: `default`, a user, or a user and a group; empty leaves ids as they are.
    pub userns_remap: String,
    /// Whether it logs more.
    pub debug: bool,
}

impl EngineConfig {
    /// The defaults for these two roots.
    #[must_use]
    pub fn new(data_root: PathBuf, exec_root: PathBuf) -> Self {
        Self {
            network: NetworkConfig::new(data_root.join("network"), exec_root.join("network")),
            defaults: ContainerDefaults {
                cgroup_parent: "barge".to_owned(),
                log: LogConfig { kind: "json-file".to_owned(), config: Default::default() },
                ulimits: Vec::<Ulimit>::new(),
                dns: Vec::new(),
                dns_search: Vec::new(),
                dns_options: Vec::new(),
                shm_size: containers::SHM_SIZE,
                ipc_mode: "private".to_owned(),
                cgroupns_mode: String::new(),
                init: false,
                security: Vec::new(),
                realtime: RealtimeBudget::default(),
            },
            data_root,
            exec_root,
            storage_driver: None,
            storage_options: Vec::new(),
            registries: RegistryOptions::default(),
            runtimes: BTreeMap::new(),
            default_runtime: String::new(),
            cdi_folders: cdi::FOLDERS.map(str::to_owned).to_vec(),
            labels: Vec::new(),
            userns_remap: String::new(),
            debug: false,
        }
    }
}

/// The daemon's services.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Containers and execs.
    pub containers: Arc<Containers>,
    /// Images.
    pub images: Arc<Images>,
    /// Builds.
    pub builds: Arc<Builds>,
    /// Registries.
    pub registries: Arc<Registries>,
    /// Networks.
    pub networks: Arc<Networks>,
    /// Volumes.
    pub volumes: Arc<Volumes>,
    /// What happened.
    pub events: Arc<Events>,
    /// The daemon itself.
    pub system: Arc<System>,
    /// Held for as long as the daemon uses its roots.
    _lock: Arc<fs::File>,
}

impl EngineConfig {
    /// Finds what is wrong by itself, whatever the machine and the data root are.
    ///
    /// # Errors
    /// That, by its name.
    pub fn check(&self) -> Result<()> {
        check_log(&self.defaults.log)?;
        barge_cgroups::CgroupPath::parse(&self.defaults.cgroup_parent)?;
        StorageOptions::parse(&self.storage_options)?;
        self.storage_driver.as_deref().map_or(Ok(()), barge_storage::known)?;
        for server in &self.defaults.dns {
            if server.parse::<std::net::IpAddr>().is_err() {
                return Err(EngineError::Invalid(format!("dns: {server} is not an ip address")));
            }
        }
        Runtimes::open(&self.runtimes, &self.default_runtime).map(drop)
    }
}

impl Engine {
    /// Opens the stores, sweeps what a killed daemon left, and meets the containers that went on.
    pub async fn open(config: EngineConfig) -> Result<Self> {
        let engine = blocking::run(move || Self::open_stores(config)).await?;
        engine.containers.recover().await?;
        engine.containers.groups.refill();
        Ok(engine)
    }

    /// Takes away what only the daemon itself needs mounted.
    pub fn close(&self) {
        self.containers.groups.close();
        if let Some(remap) = &self.containers.remap {
            remap.close();
        }
        if let Err(error) = self.containers.storage.close() {
            tracing::warn!(%error, "cannot unmount the folder of the layers");
        }
    }

    fn open_stores(config: EngineConfig) -> Result<Self> {
        // Layers hold files of every user; nobody but root walks in.
        make_root(&config.data_root, 0o710)?;
        make_root(&config.exec_root, 0o711)?;
        let lock = lock_root(&config.data_root)?;
        let programs = Programs::find()?;
        config.check()?;
        let storage = open_storage(&config)?;
        let store = Arc::new(ImageStore::open(&config.data_root, Arc::clone(&storage))?);
        let volume_store = Arc::new(VolumeStore::open(&config.data_root)?);
        let controller = Arc::new(Controller::open(&config.network)?);
        for damaged in volume_store.damaged().iter().chain(controller.damaged()) {
            tracing::error!(kept = %damaged.kept.display(), cause = damaged.cause, "cannot read a record: it is set aside");
        }
        let remap = Remap::open(&config.userns_remap, &config.exec_root, &*storage)?;
        let events = Arc::new(Events::new());
        let builtin = Builtin::new(programs.hello.clone());
        let (layout, machine, groups) = open_groups(&config)?;
        let containers = Arc::new(Containers {
            registry: Registry::default(),
            folder: config.data_root.join("containers"),
            run_folder: config.exec_root.join("containers"),
            shim_folder: config.exec_root.join("shims"),
            images: Arc::clone(&store),
            builtin,
            storage: Arc::clone(&storage),
            network: Arc::clone(&controller),
            volumes: Arc::clone(&volume_store),
            events: Arc::clone(&events),
            programs,
            seccomp: SeccompFilters::default(),
            bare_mounts: bare_mounts(),
            machine,
            runtimes: Runtimes::open(&config.runtimes, &config.default_runtime)?,
            cdi: Cdi::new(&config.cdi_folders),
            remap,
            layout,
            groups,
            defaults: config.defaults.clone(),
            build_cache: Default::default(),
            execs: Default::default(),
        });
        containers.load()?;
        containers.groups.sweep(|id| containers.registry.find(id.as_str()).is_ok());
        let registries = Arc::new(Registries::new(&config.registries)?);
        let images = Arc::new(Images {
            store: Arc::clone(&store),
            containers: Arc::clone(&containers),
            events: Arc::clone(&events),
            registries: Arc::clone(&registries),
            pulls: Default::default(),
        });
        let builds = open_builds(&config, &images)?;
        // Layers first: one that was half made would keep the layer below it.
        let mut needed = store.layer_ids();
        needed.extend(ImageUsage::layers_in_use(&*containers));
        needed.extend(containers.layers_of_folders()?);
        storage.sweep(&needed)?;
        store.sweep(&*containers)?;
        let volumes = Arc::new(Volumes { store: volume_store, events: Arc::clone(&events) });
        let system = Arc::new(System {
            id: daemon_id(&config.data_root)?,
            config,
            containers: Arc::clone(&containers),
            images: Arc::clone(&images),
            builds: Arc::clone(&builds),
            volumes: Arc::clone(&volumes),
            registries: Arc::clone(&registries),
            events: Arc::clone(&events),
        });
        let networks = Arc::new(Networks { controller, events: Arc::clone(&events) });
        let lock = Arc::new(lock);
        Ok(Self {
            containers,
            images,
            builds,
            registries,
            networks,
            volumes,
            events,
            system,
            _lock: lock,
        })
    }
}

/// The builder, its cache in the data root, what must not reach a disk in the exec root. Steps that a killed daemon left are
/// ended first: they use the layers that are swept next.
fn open_builds(config: &EngineConfig, images: &Arc<Images>) -> Result<Arc<Builds>> {
    let containers = &images.containers;
    let (folder, run_folder) = (config.data_root.join("builds"), config.exec_root.join("builds"));
    let runtime = Handle::current();
    let runner =
        StepRunner::open(Arc::clone(containers), run_folder.join("steps"), runtime.clone())?;
    let sources = Arc::new(BuildSources::new(Arc::clone(images), runtime));
    let builder = Arc::new(Builder::open(BuilderParts {
        folder: folder.clone(),
        memory_folder: run_folder.join("memory"),
        storage: Arc::clone(&containers.storage),
        images: Arc::clone(&images.store),
        runner: Arc::new(runner),
        sources: Arc::clone(&sources) as Arc<dyn barge_builder::Sources>,
        usage: Arc::new(OnlyContainers(Arc::clone(containers))),
        users: containers.remap.as_ref().map(|remap| Arc::new(remap.maps().clone())),
    })?);
    // Only once: the cell is new.
    containers.build_cache.set(Arc::downgrade(&builder)).ok();
    Ok(Arc::new(Builds::open(builder, Arc::clone(images), sources, folder.join("contexts"))?))
}

/// The control groups of the host, what can be limited with them, and those of the next containers.
fn open_groups(config: &EngineConfig) -> Result<(Layout, Host, Arc<GroupsAhead>)> {
    let layout = Layout::detect().map_err(|error| EngineError::Invalid(error.to_string()))?;
    let parent = &config.defaults.cgroup_parent;
    let machine = Host::look(&layout, parent)?;
    config.defaults.realtime.grant(&layout, parent)?;
    let groups = GroupsAhead::open(&layout, parent, &config.exec_root)?;
    Ok((layout, machine, Arc::new(groups)))
}

/// Containers can do without it.
fn bare_mounts() -> Option<OwnedFd> {
    barge_sys::namespace::make_bare_mounts()
        .inspect_err(|error| tracing::debug!(%error, "there is no bare mount namespace"))
        .ok()
}

fn open_storage(config: &EngineConfig) -> Result<Arc<dyn StorageDriver>> {
    let options = StorageOptions::parse(&config.storage_options)?;
    for warning in options.warnings() {
        tracing::warn!("{warning}");
    }
    let driver = config.storage_driver.as_deref();
    Ok(barge_storage::open_with(&config.data_root, driver, &options)?)
}

fn check_log(log: &LogConfig) -> Result<()> {
    barge_logdriver::validate(&log.kind, &log.config)
        .map_err(|error| EngineError::Invalid(format!("failed to set log opts: {error}")))
}

fn make_root(path: &Path, mode: u32) -> Result<()> {
    fs::create_dir_all(path).map_err(EngineError::io("create", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(EngineError::io("set the mode of", path))
}

/// Two daemons on one data root would destroy it.
fn lock_root(data_root: &Path) -> Result<fs::File> {
    let path = data_root.join("barged.lock");
    let file = fs::File::create(&path).map_err(EngineError::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(EngineError::Conflict(format!(
            "another barged uses {}: give this one its own --data-root",
            data_root.display()
        ))),
        Err(fs::TryLockError::Error(error)) => Err(EngineError::io("lock", &path)(error)),
    }
}

/// Drawn once, kept with the data.
fn daemon_id(data_root: &Path) -> Result<String> {
    let path = data_root.join("engine-id");
    if let Ok(id) = fs::read_to_string(&path) {
        return Ok(id.trim().to_owned());
    }
    let id = containers::new_id()?.to_string();
    write_file(&path, id.as_bytes(), Durability::Durable)?;
    Ok(id)
}
