//! `create`: a container with its layers, volumes and record, ready to be started.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use barge_api_types::{
    ContainerConfig, ContainerCreateRequest, ContainerCreateResponse, HostConfig, LogConfig,
    NetworkingConfig,
};
use barge_image::{Held, Image};
use barge_storage::{LayerId, ReadWriteOptions, create_container_layers};
use barge_sys::fault;
use barge_types::{ContainerId, ContainerName, ErrorKind, Platform};

use super::container::{Container, Presence};
use super::health::add_image_check;
use super::record::{ContainerRecord, StateRecord, StoppedBy};
use super::registry::ReservedName;
use super::settings::{
    CgroupMode, IpcMode, NetworkMode, PidMode, Settings, UtsMode, discard_unsupported, invalid,
    parse_mounts,
};
use super::state::State;
use super::{Containers, command, spec, to_the_end, unrecorded};
use crate::error::{EngineError, Result};
use crate::rollback::Rollback;
use crate::{blocking, cdi, names, time};

/// How long a name is waited for whose container is going.
const NAME_DEADLINE: Duration = Duration::from_secs(10);
/// How often a name is drawn before one gets a number.
const DRAWS: u8 = 8;

impl Containers {
    /// Makes a container and says its id.
    pub async fn create(
        self: &Arc<Self>,
        name: Option<String>,
        platform: Option<String>,
        request: ContainerCreateRequest,
    ) -> Result<ContainerCreateResponse> {
        let this = Arc::clone(self);
        to_the_end(async move {
            if let Some(name) = &name {
                this.await_name(name).await;
            }
            blocking::run(move || this.create_now(name.as_deref(), platform.as_deref(), request))
                .await
        })
        .await
    }

    /// A container that has ended and goes with its end gives its name back soon: who takes its place waits for that.
    async fn await_name(&self, name: &str) {
        let Some(holder) = self.registry.holder(name) else { return };
        let goes = matches!(holder.state(), State::Exited(_) | State::Removing(_))
            && holder.record().host_config.auto_remove;
        if goes {
            let mut watch = holder.watch();
            let gone = watch.wait_for(|progress| progress.presence != Presence::Present);
            tokio::time::timeout(NAME_DEADLINE, gone).await.ok();
        }
    }

    fn create_now(
        &self,
        name: Option<&str>,
        platform: Option<&str>,
        request: ContainerCreateRequest,
    ) -> Result<ContainerCreateResponse> {
        let name =
            name.filter(|name| !name.is_empty()).map(str::parse::<ContainerName>).transpose();
        let name = name.map_err(|error| invalid(error.to_string()))?;
        let image = self.find_image(&request.config.image, platform)?;
        let asked = request.clone();
        let ContainerCreateRequest { mut config, mut host_config, networking_config } = request;
        add_image_config(&mut config, &image);
        if command(&config).0.is_empty() {
            return Err(invalid("no command specified"));
        }
        if config.network_disabled {
            // What an older API calls it.
            "none".clone_into(&mut host_config.network_mode);
        }
        self.add_defaults(&mut host_config);
        let warnings = discard_unsupported(&mut host_config, &self.machine);
        let mut settings = Settings::parse_request(&config, &host_config, &self.machine)?;
        barge_logdriver::validate(&host_config.log_config.kind, &host_config.log_config.config)?;
        self.check_users(&host_config, &settings)?;
        check_endpoints(&networking_config, (&settings.network, &host_config.network_mode))?;
        self.find_partners(&mut settings, &mut host_config)?;
        self.find_link_targets(&mut settings, &mut host_config)?;
        let runtime = self.runtimes.find(&host_config.runtime)?;
        if !config.working_dir.is_empty() {
            config.working_dir = barge_types::path::clean(&config.working_dir);
        }
        cdi::check(&host_config.resources.device_requests)?;
        let size = ReadWriteOptions::parse(&host_config.storage_opt)?;
        let wanted = parse_mounts(&config, &host_config)?;

        let mut undo = Rollback::default();
        // Other runtimes make their groups themselves.
        let is_usual = runtime.is_none() && host_config.resources.cgroup_parent.is_empty();
        let id = if is_usual { self.take_id(&mut undo)? } else { new_id()? };
        let (name, reserved) = match name {
            Some(name) => (name.clone(), self.registry.reserve(&name, &id)?),
            None => self.draw_name(&id)?,
        };
        add_hostname(&mut config, &settings, &id, self)?;
        self.make_folder(&id, &mut undo)?;
        self.make_layers((&id, &size), &image, &mut undo)?;
        fault::point("create: layers made");
        let mounts = self.make_volumes(&id, &host_config, wanted, &mut undo)?;
        fault::point("create: volumes made");
        self.copy_up(&id, &mounts)?;
        fault::point("create: volumes filled");
        let endpoints = networking_config
            .endpoints_config
            .into_iter()
            .filter_map(|(network, settings)| Some((network, settings?)))
            .collect::<BTreeMap<_, _>>();
        let record = ContainerRecord {
            version: ContainerRecord::VERSION,
            id: id.clone(),
            name,
            created: time::rfc3339(SystemTime::now()),
            image: image.id,
            driver: self.storage.name().to_owned(),
            config,
            host_config,
            endpoints,
            mounts,
            pending: Vec::new(),
            edited: None,
        };
        let container = self.record_new((record, &asked), settings, undo)?;
        reserved.keep();
        drop(image);
        self.tell(&container, "create");
        Ok(ContainerCreateResponse { id: id.to_string(), warnings })
    }

    /// The record comes last: without it, whatever else is there is swept at the next start.
    fn record_new(
        &self,
        (record, asked): (ContainerRecord, &ContainerCreateRequest),
        settings: Settings,
        undo: Rollback,
    ) -> Result<Arc<Container>> {
        let folders = self.folders(&record.id)?;
        let folder = folders.data.clone();
        let state = StateRecord::new(State::Created(None), 0, StoppedBy::Itself);
        ContainerRecord::save_request(&folder, asked)?;
        fault::point("create: request kept");
        record.save(&folder)?;
        fault::point("create: recorded");
        unrecorded::forget(&folder);
        let container = Arc::new(Container::new(record, settings, state, folders));
        self.registry.insert(Arc::clone(&container));
        undo.commit();
        Ok(container)
    }

    /// Held until the container is known, so that nobody removes its layers in between.
    pub(super) fn find_image(&self, name: &str, platform: Option<&str>) -> Result<Held> {
        if name.is_empty() {
            return Err(invalid("config cannot be empty in order to create a container"));
        }
        let image = match self.images.hold(name) {
            Ok(image) => image,
            Err(error) => {
                self.builtin.provide(&self.images, name)?.ok_or(error)?;
                self.images.hold(name)?
            }
        };
        if let Some(platform) = platform.filter(|platform| !platform.is_empty()) {
            let wanted: Platform = platform.parse().map_err(|error| invalid(format!("{error}")))?;
            let (os, architecture) = (&image.config.os, &image.config.architecture);
            if wanted.os() != os || wanted.architecture() != architecture {
                return Err(EngineError::NotFound(format!(
                    "image with reference {name} was found but does not provide the specified platform ({wanted}): it is for {os}/{architecture}"
                )));
            }
        }
        Ok(image)
    }

    /// What the daemon says where the request does not, so that `inspect` shows what is in force.
    fn add_defaults(&self, host: &mut HostConfig) {
        let defaults = &self.defaults;
        let or = |field: &mut String, value: &str| {
            if field.is_empty() {
                value.clone_into(field);
            }
        };
        or(&mut host.network_mode, "bridge");
        if host.network_mode == "default" {
            "bridge".clone_into(&mut host.network_mode);
        }
        or(&mut host.ipc_mode, &defaults.ipc_mode);
        if host.cgroupns_mode.is_empty() {
            let own = if host.privileged { "" } else { defaults.cgroupns_mode.as_str() };
            or(&mut host.cgroupns_mode, own);
            let usual = CgroupMode::default_for(host, &self.machine);
            or(&mut host.cgroupns_mode, usual);
        }
        or(&mut host.runtime, self.runtimes.default_name());
        or(&mut host.restart_policy.name, "no");
        if host.shm_size == 0 {
            host.shm_size = defaults.shm_size;
        }
        add_log_defaults(&mut host.log_config, &defaults.log);
        for limit in &defaults.ulimits {
            if !host.resources.ulimits.iter().any(|other| other.name == limit.name) {
                host.resources.ulimits.push(limit.clone());
            }
        }
        host.init = host.init.or(defaults.init.then_some(true));
        add_security(host, &defaults.security);
        let (masked, readonly) =
            if host.privileged { Default::default() } else { spec::default_paths() };
        host.masked_paths.get_or_insert(masked);
        host.readonly_paths.get_or_insert(readonly);
        // Go's clients send a swap of zero for "as Docker thinks right": twice the memory.
        if host.resources.memory > 0 && host.resources.memory_swap == 0 {
            host.resources.memory_swap = host.resources.memory.saturating_mul(2);
        }
    }

    /// The containers and networks that the settings name exist; from here on the containers are named by their ids,
    /// which no `rename` changes. That they do not exist is the request's fault: a client takes "not found" of a
    /// creation for a missing image, and pulls.
    fn find_partners(&self, settings: &mut Settings, host: &mut HostConfig) -> Result<()> {
        let missing = |error: EngineError| {
            let is_missing = error.kind() == ErrorKind::NotFound;
            if is_missing { invalid(error.message()) } else { error }
        };
        let identify = |name: &mut String, mode: &mut String| {
            *name = self.registry.find(name).map_err(missing)?.id.to_string();
            *mode = format!("container:{name}");
            Ok::<(), EngineError>(())
        };
        match &mut settings.network {
            NetworkMode::Container(name) => identify(name, &mut host.network_mode)?,
            NetworkMode::Named(name) => {
                self.network.check(name).map_err(|error| missing(error.into()))?;
            }
            NetworkMode::Host => {}
        }
        if let PidMode::Container(name) = &mut settings.pid {
            identify(name, &mut host.pid_mode)?;
        }
        if let IpcMode::Container(name) = &mut settings.ipc {
            identify(name, &mut host.ipc_mode)?;
        }
        Ok(())
    }

    /// An id whose control group may be there already.
    fn take_id(&self, undo: &mut Rollback) -> Result<ContainerId> {
        let id = self.groups.id()?;
        let (groups, taken) = (Arc::clone(&self.groups), id.clone());
        undo.push(move || groups.forget(&taken));
        Ok(id)
    }

    /// Without a record in it there is no container.
    fn make_folder(&self, id: &ContainerId, undo: &mut Rollback) -> Result<()> {
        let folder = self.folder.join(id.as_str());
        std::fs::create_dir(&folder).map_err(EngineError::io("create", &folder))?;
        undo.push(move || {
            // What cannot be removed is swept at the next start.
            std::fs::remove_dir_all(folder).ok();
        });
        fault::point("create: folder made");
        Ok(())
    }

    fn make_layers(
        &self,
        (id, options): (&ContainerId, &ReadWriteOptions),
        image: &Image,
        undo: &mut Rollback,
    ) -> Result<()> {
        let layer: LayerId = id.as_str().parse()?;
        let top = image.top_layer.as_ref();
        create_container_layers(&*self.storage, &layer, top, options)?;
        let storage = Arc::clone(&self.storage);
        undo.push(move || {
            if let Err(error) = storage.remove(&layer) {
                tracing::warn!(%layer, %error, "cannot remove the layer of a container that was not made");
            }
        });
        Ok(())
    }

    fn draw_name(&self, id: &ContainerId) -> Result<(ContainerName, ReservedName<'_>)> {
        for draw in 0..=u8::MAX {
            let mut text = names::generate(random()?);
            if draw > DRAWS {
                text = format!("{text}{}", draw - DRAWS);
            }
            // The lists hold nothing but valid names.
            if let Ok(name) = text.parse::<ContainerName>()
                && let Ok(reserved) = self.registry.reserve(&name, id)
            {
                return Ok((name, reserved));
            }
        }
        Err(EngineError::Conflict(
            "no free name was found for the container: give it one with --name".to_owned(),
        ))
    }
}

/// A container is in the network of its mode alone: to be in others too has to be an error, not forgotten.
fn check_endpoints(asked: &NetworkingConfig, (mode, text): (&NetworkMode, &str)) -> Result<()> {
    let own = [mode.network_name().unwrap_or(text), "default", text];
    match asked.endpoints_config.keys().find(|name| !own.contains(&name.as_str())) {
        Some(name) => Err(invalid(format!("network {name} not found"))),
        None => Ok(()),
    }
}

/// As Docker: the daemon's options are for its own driver, but those about the cache for any.
fn add_log_defaults(log: &mut LogConfig, defaults: &LogConfig) {
    if log.kind.is_empty() {
        log.kind.clone_from(&defaults.kind);
    }
    for (option, value) in &defaults.config {
        if log.kind == defaults.kind || barge_logdriver::is_cache_option(option) {
            log.config.entry(option.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// The daemon's options for what the request says nothing of; a privileged container is confined by what it names alone.
fn add_security(host: &mut HostConfig, defaults: &[String]) {
    let key = |option: &str| option.split(['=', ':']).next().map(str::to_owned);
    for option in defaults {
        let is_said = host.security_opt.iter().any(|own| key(own) == key(option));
        let is_lifted = host.privileged && key(option).as_deref() == Some("seccomp");
        if !is_said && !is_lifted {
            host.security_opt.push(option.clone());
        }
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    barge_sys::random::bytes().map_err(EngineError::io("get", "random bytes"))
}

/// Random, and in its short form never a number.
pub(crate) fn new_id() -> Result<ContainerId> {
    loop {
        let id = ContainerId::from_bytes(random()?);
        if !id.is_number_like() {
            return Ok(id);
        }
    }
}

/// Docker's rules for what an image's configuration adds to a request's.
pub(super) fn add_image_config(config: &mut ContainerConfig, image: &Image) {
    let Some(from) = &image.config.config else {
        return;
    };
    let or = |field: &mut String, value: &str| {
        if field.is_empty() {
            value.clone_into(field);
        }
    };
    or(&mut config.user, &from.user);
    or(&mut config.working_dir, &from.working_dir);
    or(&mut config.stop_signal, &from.stop_signal);
    for port in from.exposed_ports.keys() {
        config.exposed_ports.entry(port.clone()).or_default();
    }
    for volume in from.volumes.keys() {
        config.volumes.entry(volume.clone()).or_default();
    }
    for (key, value) in &from.labels {
        config.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    let name = |variable: &str| variable.split('=').next().map(str::to_owned);
    for variable in &from.env {
        if !config.env.iter().any(|other| name(other) == name(variable)) {
            config.env.push(variable.clone());
        }
    }
    let is_empty = |words: &Option<barge_api_types::StrSlice>| {
        words.as_ref().is_none_or(|words| words.is_empty())
    };
    if is_empty(&config.entrypoint) {
        if is_empty(&config.cmd) {
            config.cmd = from.cmd.clone().map(Into::into);
        }
        if config.entrypoint.is_none() {
            config.entrypoint = from.entrypoint.clone().map(Into::into);
        }
    }
    // `--entrypoint ""` takes the image's away.
    if config
        .entrypoint
        .as_ref()
        .is_some_and(|words| matches!(words.as_slice(), [only] if only.is_empty()))
    {
        config.entrypoint = None;
    }
    config.stop_timeout = config.stop_timeout.or(from.stop_timeout);
    add_image_check(&mut config.healthcheck, from.healthcheck.as_ref());
    let has_check = config.healthcheck.as_ref().is_some_and(|check| !check.test.is_empty());
    if has_check && config.shell.is_empty() {
        // Only health checks use it.
        config.shell = from.shell.clone().into();
    }
}

/// The first twelve digits of the id, the host's name where the host's network is used, the partner's where its
/// network is.
fn add_hostname(
    config: &mut ContainerConfig,
    settings: &Settings,
    id: &ContainerId,
    containers: &Containers,
) -> Result<()> {
    if config.hostname.is_empty() {
        let is_hosts = settings.network == NetworkMode::Host || settings.uts == UtsMode::Host;
        config.hostname = match &settings.network {
            NetworkMode::Container(name) => {
                containers.registry.find(name)?.record().config.hostname.clone()
            }
            _ if is_hosts => rustix::system::uname().nodename().to_string_lossy().into_owned(),
            NetworkMode::Named(_) | NetworkMode::Host => id.short().to_owned(),
        };
    }
    Ok(())
}
