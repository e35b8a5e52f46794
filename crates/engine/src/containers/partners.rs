//! What a starting container shares: a network with others, the namespaces of other containers.

use std::sync::Arc;

use barge_api_types::EndpointSettings;
use barge_network::{Endpoint, EndpointOptions};

use super::Containers;
use super::container::Container;
use super::settings::{IpcMode, NetworkMode, PidMode, endpoint_settings};
use super::spec::Joins;
use crate::error::{EngineError, Result};
use crate::rollback::Rollback;

impl Containers {
    /// An address and ports, in memory and as a record; the kernel work comes later.
    pub(super) fn allocate(
        &self,
        container: &Arc<Container>,
        undo: &mut Rollback,
    ) -> Result<Option<Endpoint>> {
        let (record, settings) = (container.record(), container.settings());
        let mode = match &settings.network {
            NetworkMode::Named(name) => barge_network::NetworkMode::Named(name.clone()),
            NetworkMode::Host => barge_network::NetworkMode::Named("host".to_owned()),
            NetworkMode::Container(_) => return Ok(None),
        };
        let mut options = EndpointOptions::new(container.id.clone(), record.name.as_str());
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
        let (network, id) = (Arc::clone(&self.network), container.id.clone());
        undo.push(move || {
            if let Err(error) = network.release(&id) {
                tracing::warn!(container = %id, %error, "cannot release the network");
            }
        });
        container.inner().endpoint = Some(endpoint.clone());
        Ok(Some(endpoint))
    }

    /// The first processes of the containers whose namespaces are joined; they have to run.
    pub(super) fn joins(&self, container: &Container) -> Result<Joins> {
        let settings = container.settings();
        let pid_of = |name: &str| {
            let partner = self.registry.find(name)?;
            let running = partner.state().running();
            running.map(|running| running.pid).ok_or_else(|| {
                EngineError::Conflict(format!(
                    "cannot join the namespaces of container {}: it is not running",
                    partner.name()
                ))
            })
        };
        let network = match &settings.network {
            NetworkMode::Container(name) => Some(pid_of(name)?),
            NetworkMode::Named(_) | NetworkMode::Host => None,
        };
        let pid = match &settings.pid {
            PidMode::Container(name) => Some(pid_of(name)?),
            PidMode::Private | PidMode::Host => None,
        };
        let ipc = match &settings.ipc {
            IpcMode::Container(name) => {
                let partner = self.registry.find(name)?;
                if partner.settings().ipc != IpcMode::Shareable {
                    return Err(EngineError::Invalid(format!(
                        "can't join IPC of container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
                        partner.id
                    )));
                }
                Some(pid_of(name)?)
            }
            IpcMode::Private | IpcMode::Without | IpcMode::Shareable | IpcMode::Host => None,
        };
        Ok(Joins { network, pid, ipc })
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
        (!wanted.links.is_empty(), "--link"),
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
