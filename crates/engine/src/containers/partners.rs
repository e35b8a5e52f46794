//! What a starting container shares: a network with others, the namespaces of other containers.

use std::sync::Arc;

use barge_api_types::{EndpointSettings, HostConfig};
use barge_network::{Endpoint, EndpointOptions, Place};
use barge_sys::user_namespace;

use super::Containers;
use super::container::Container;
use super::settings::{IpcMode, NetworkMode, PidMode, Settings, endpoint_settings};
use super::spec::Joins;
use super::state::State;
use crate::error::{EngineError, Result};
use crate::remap::Remap;
use crate::rollback::Rollback;

impl Containers {
    /// An address and ports, in memory and as a record; the kernel work comes later.
    pub(super) fn allocate(
        self: &Arc<Self>,
        container: &Arc<Container>,
        place: Place,
        undo: &mut Rollback,
    ) -> Result<Option<Endpoint>> {
        let (record, settings) = (container.record(), container.settings());
        let mode = match &settings.network {
            NetworkMode::Named(name) => barge_network::NetworkMode::Named(name.clone()),
            NetworkMode::Host => barge_network::NetworkMode::Named("host".to_owned()),
            NetworkMode::Container(_) => return Ok(None),
        };
        let mut options = EndpointOptions::new(container.id.clone(), record.name.as_str());
        options.place = place;
        options.ports.clone_from(&settings.ports);
        let wanted = endpoint_settings(&record.endpoints, &settings.network);
        refuse_unsupported(wanted)?;
        let mac = wanted.map_or("", |wanted| &wanted.mac_address);
        let mac = if mac.is_empty() { &record.config.mac_address } else { mac };
        if !mac.is_empty() {
            options.mac = Some(mac.parse()?);
        }
        let address = wanted
            .and_then(|wanted| wanted.ipam_config.as_ref())
            .map_or("", |ipam| &ipam.ipv4_address);
        if !address.is_empty() {
            return Err(EngineError::Invalid(
                "invalid endpoint settings: user specified IP address is supported on user defined networks only"
                    .to_owned(),
            ));
        }
        let endpoint = self.network.allocate(&mode, options)?;
        self.tell_endpoint("connect", &endpoint);
        let (this, taken) = (Arc::clone(self), endpoint.clone());
        undo.push(move || {
            let id = &taken.container;
            if let Err(error) = this.network.release(id) {
                tracing::warn!(container = %id, %error, "cannot release the network");
            }
            this.tell_endpoint("disconnect", &taken);
        });
        container.inner().endpoint = Some(endpoint.clone());
        Ok(Some(endpoint))
    }

    /// The first processes of the containers whose namespaces are joined; they have to run.
    pub(super) fn joins(&self, container: &Container) -> Result<Joins> {
        let settings = container.settings();
        let network = match &settings.network {
            NetworkMode::Container(name) => {
                let partner = self.partner(name, "joining network namespace of container")?;
                Some(pid_of(&partner, |id| {
                    format!("cannot join network of a non running container: {id}")
                })?)
            }
            NetworkMode::Named(_) | NetworkMode::Host => None,
        };
        let pid = match &settings.pid {
            PidMode::Container(name) => {
                let partner = self.partner(name, "joining PID namespace of container")?;
                Some(pid_of(&partner, |id| format!("container {id} is not running"))?)
            }
            PidMode::Private | PidMode::Host => None,
        };
        let ipc = match &settings.ipc {
            IpcMode::Container(name) => {
                let partner = self.ipc_donor(name)?;
                Some(pid_of(&partner, |id| {
                    format!("can't join IPC of container {id}: container {id} is not running")
                })?)
            }
            IpcMode::Private | IpcMode::Without | IpcMode::Shareable | IpcMode::Host => None,
        };
        Ok(Joins { network, pid, ipc })
    }

    /// How the ids of a container that starts are mapped. One with mapped ids shares the users of those whose namespaces it
    /// joins: they belong to them.
    pub(super) fn users_of(
        &self,
        host: &HostConfig,
        settings: &Settings,
        joins: Joins,
    ) -> Result<Option<&Remap>> {
        self.check_users(host, settings)?;
        let Some(remap) = self.remap_of(host) else {
            return Ok(None);
        };
        let mut shared = None;
        for pid in [joins.network, joins.pid, joins.ipc].into_iter().flatten() {
            let failed = || EngineError::io("look at the users of process", pid.to_string());
            let maps = user_namespace::maps_of(pid.cast_signed()).map_err(failed())?;
            if maps.as_ref() != Some(remap.maps()) {
                return Err(EngineError::Invalid(
                    "cannot share a namespace of a container that has other users: start this one with --userns=host"
                        .to_owned(),
                ));
            }
            let users = std::fs::read_link(format!("/proc/{pid}/ns/user")).map_err(failed())?;
            if shared.get_or_insert(users.clone()) != &users {
                return Err(EngineError::Invalid(
                    "cannot share namespaces of several containers when user namespaces are enabled"
                        .to_owned(),
                ));
            }
        }
        Ok(Some(remap))
    }

    /// A partner is gone when it was removed after the container was made: not the fault of the container's name.
    fn partner(&self, name: &str, action: &str) -> Result<Arc<Container>> {
        self.registry
            .find(name)
            .map_err(|error| EngineError::Invalid(format!("{action}: {}", error.message())))
    }

    /// Whose IPC namespace and /dev/shm are really shared: a partner may share another's.
    pub(super) fn ipc_donor(&self, name: &str) -> Result<Arc<Container>> {
        let mut partner = self.partner(name, &format!("can't join IPC of container {name}"))?;
        for _ in 0..LONGEST_CHAIN {
            let settings = partner.settings();
            match &settings.ipc {
                IpcMode::Shareable | IpcMode::Host => return Ok(partner),
                IpcMode::Container(next) => {
                    let action = format!("can't join IPC of container {}", partner.id);
                    partner = self.partner(next, &action)?;
                }
                IpcMode::Private | IpcMode::Without => break,
            }
        }
        Err(EngineError::Invalid(format!(
            "can't join IPC of container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
            partner.id
        )))
    }

    /// Whose files of /etc are shared with the network.
    pub(super) fn network_owner(&self, name: &str) -> Result<Arc<Container>> {
        let mut partner = self.registry.find(name)?;
        for _ in 0..LONGEST_CHAIN {
            match &partner.settings().network {
                NetworkMode::Container(next) => partner = self.registry.find(next)?,
                NetworkMode::Named(_) | NetworkMode::Host => return Ok(partner),
            }
        }
        Err(EngineError::Invalid(format!("the network of container {name} is its own partner's")))
    }
}

/// Partners of partners that are followed: names of old records may lead in a circle.
const LONGEST_CHAIN: usize = 64;

/// The first process of a container, which has to run.
fn pid_of(partner: &Container, not_running: impl Fn(&str) -> String) -> Result<u32> {
    let id = partner.id.as_str();
    match partner.state() {
        State::Running(running) => Ok(running.pid),
        State::Restarting(_) => Err(EngineError::Conflict(format!(
            "container {id} is restarting, wait until the container is running"
        ))),
        State::Created(_) | State::Exited(_) | State::Removing(_) => {
            Err(EngineError::Conflict(not_running(id)))
        }
    }
}

/// What may be asked of an endpoint and belongs to networks that users make.
fn refuse_unsupported(wanted: Option<&EndpointSettings>) -> Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    if !wanted.aliases.is_empty() {
        return Err(EngineError::Invalid(
            "invalid endpoint settings: network-scoped alias is supported only for containers in user defined networks"
                .to_owned(),
        ));
    }
    let ipam = wanted.ipam_config.as_ref();
    let asked = [
        (!wanted.links.is_empty(), "Links of an endpoint"),
        (!wanted.driver_opts.is_empty(), "--network driver-opt"),
        (ipam.is_some_and(|ipam| !ipam.ipv6_address.is_empty()), "--ip6"),
        (ipam.is_some_and(|ipam| !ipam.link_local_ips.is_empty()), "--link-local-ip"),
    ];
    match asked.iter().find(|(is_asked, _)| *is_asked) {
        Some((_, option)) => {
            Err(EngineError::NotImplemented(format!("{option} is not supported by barge")))
        }
        None => Ok(()),
    }
}
