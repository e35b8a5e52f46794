//! The request that makes a container as it is now: what was asked for, with every change written into it.
//!
//! What was asked for stays beside it, word for word. What a request cannot say, because the image has it and the container
//! no longer does, is told in words.

use std::path::Path;
use std::sync::Arc;

use barge_api_types::{
    ContainerConfig, ContainerCreateRequest, ContainerEdit, ContainerOrigin,
    ContainerUpdateRequest, EmptyObject,
};

use super::Containers;
use super::create::add_image_config;
use super::edit::{self, forget_mount};
use super::record::ContainerRecord;
use super::settings::{LinkTo, clean};
use super::update::change_limits;
use crate::blocking;
use crate::error::{EngineError, Result};

impl Containers {
    /// What made a container, as it was asked, and what would make it as it is now.
    pub async fn origin(self: &Arc<Self>, name: &str) -> Result<ContainerOrigin> {
        let container = self.registry.find(name)?;
        let this = Arc::clone(self);
        blocking::run(move || {
            let record = container.record();
            let request = ContainerRecord::load_request(&container.folder).ok_or_else(|| {
                EngineError::NotFound(format!(
                    "the request that made container {} was not kept",
                    record.name
                ))
            })?;
            let differences = this.differences(&record)?;
            let edited = record.edited.as_deref().cloned();
            let edited = this.with_links(&container.settings().links, (&request, edited));
            Ok(ContainerOrigin { name: record.name.to_string(), request, edited, differences })
        })
        .await
    }

    /// The edited request with the links that are there: what they lead to may have another name by now, or be gone.
    fn with_links(
        &self,
        own: &[LinkTo],
        (request, edited): (&ContainerCreateRequest, Option<ContainerCreateRequest>),
    ) -> Option<ContainerCreateRequest> {
        let now = edited.as_ref().unwrap_or(request);
        let identified = |text: &String| {
            let LinkTo { target, alias } = LinkTo::parse(text).ok()?;
            let target = self.registry.find(&target).ok()?.id.to_string();
            Some(LinkTo { target, alias })
        };
        let said: Option<Vec<LinkTo>> = now.host_config.links.iter().map(identified).collect();
        if said.is_some_and(|said| said == own) {
            return edited;
        }
        let mut now = now.clone();
        let named = |link: &LinkTo| {
            let target = self.registry.find(&link.target).ok()?;
            Some(format!("{}:{}", target.name(), link.alias))
        };
        now.host_config.links = own.iter().filter_map(named).collect();
        Some(now)
    }

    /// What a container made of the edited request would have that this one has not.
    fn differences(&self, record: &ContainerRecord) -> Result<Vec<String>> {
        let Some(edited) = &record.edited else { return Ok(Vec::new()) };
        let mut own = record.clone();
        for waiting in &record.pending {
            edit::apply(waiting, &mut own)?;
        }
        let mut made = edited.config.clone();
        // Without its image nothing can be made, and nothing differs.
        if let Ok(image) = self.images.hold(&made.image) {
            add_image_config(&mut made, &image);
        }
        let mut differences = missing(&own.config, &made);
        for from in &edited.host_config.volumes_from {
            let partner = from.split(':').next().unwrap_or_default();
            let Ok(partner) = self.registry.find(partner) else { continue };
            for mount in &partner.record().mounts {
                if !own.mounts.iter().any(|mine| mine.destination == mount.destination) {
                    differences.push(format!("it has no mount at {}", mount.destination));
                }
            }
        }
        Ok(differences)
    }
}

/// What one configuration lacks of another.
fn missing(own: &ContainerConfig, made: &ContainerConfig) -> Vec<String> {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let names: Vec<String> = own.env.iter().map(|variable| name(variable)).collect();
    let variables = made.env.iter().map(|variable| name(variable));
    let variables = variables.filter(|name| !names.contains(name)).map(|name| ("variable", name));
    let labels = made.labels.keys().filter(|key| !own.labels.contains_key(*key));
    let ports = made.exposed_ports.keys().filter(|port| !own.exposed_ports.contains_key(*port));
    let volumes = made.volumes.keys().filter(|path| !own.volumes.contains_key(*path));
    variables
        .chain(labels.map(|key| ("label", key.clone())))
        .chain(ports.map(|port| ("port", port.clone())))
        .chain(volumes.map(|path| ("volume at", path.clone())))
        .map(|(what, name)| format!("it has no {what} {name}"))
        .collect()
}

/// Writes a change into the request that makes the container.
pub(super) fn remember(
    record: &mut ContainerRecord,
    folder: &Path,
    update: &ContainerUpdateRequest,
) {
    let kept = || ContainerRecord::load_request(folder).map(Box::new);
    let Some(mut request) = record.edited.take().or_else(kept) else { return };
    let limits = &mut request.host_config.resources;
    change_limits(limits, &update.resources);
    if update.resources.memory != 0 {
        // A new container with another limit would get other swap than this one keeps.
        limits.memory_swap = record.host_config.resources.memory_swap;
    }
    if !update.restart_policy.name.is_empty() {
        request.host_config.restart_policy = update.restart_policy.clone();
    }
    fold(&update.edit, &mut request);
    record.edited = Some(request);
}

/// Takes a link that was removed out of the request that makes the container.
pub(super) fn forget_link(record: &mut ContainerRecord, folder: &Path, alias: &str) {
    let kept = || ContainerRecord::load_request(folder).map(Box::new);
    let Some(mut request) = record.edited.take().or_else(kept) else { return };
    let is_other = |text: &String| LinkTo::parse(text).is_ok_and(|link| link.alias != alias);
    request.host_config.links.retain(is_other);
    record.edited = Some(request);
}

/// Writes an edit that was found to be right into a request.
fn fold(edit: &ContainerEdit, request: &mut ContainerCreateRequest) {
    let (config, host) = (&mut request.config, &mut request.host_config);
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    config.env.retain(|variable| !edit.env_rm.contains(&name(variable)));
    for added in &edit.env_add {
        config.env.retain(|variable| name(variable) != name(added));
        config.env.push(added.clone());
    }
    config.labels.retain(|key, _| !edit.label_rm.contains(key));
    config.labels.extend(edit.label_add.clone());
    for port in edit.publish_rm.iter().filter_map(|text| edit::port(text).ok()) {
        config.exposed_ports.remove(&port);
        host.port_bindings.remove(&port);
    }
    for (text, bindings) in &edit.publish_add {
        let Ok(port) = edit::port(text) else { continue };
        config.exposed_ports.insert(port.clone(), EmptyObject);
        let own = host.port_bindings.entry(port).or_default();
        own.get_or_insert_default().extend(bindings.iter().flatten().cloned());
    }
    for path in edit.mount_rm.iter().filter_map(|text| clean(text).ok()) {
        forget_mount(&path, (config, host));
    }
    host.mounts.extend(edit.mount_add.iter().cloned());
    for (own, wanted) in [
        (&mut config.hostname, &edit.hostname),
        (&mut config.user, &edit.user),
        (&mut config.working_dir, &edit.working_dir),
        (&mut config.stop_signal, &edit.stop_signal),
    ] {
        if let Some(wanted) = wanted {
            own.clone_from(wanted);
        }
    }
    config.stop_timeout = edit.stop_timeout.or(config.stop_timeout);
}
