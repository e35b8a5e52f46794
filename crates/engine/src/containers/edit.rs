//! Changing what a container is: variables, labels, ports, mounts, and who and where its command is.
//!
//! What the container's outside knows changes at once, also while it runs: labels, ports, how it is stopped. What its
//! processes were started with waits in the record for the next start, which applies it with the same words.

use std::sync::Arc;

use barge_api_types::{ContainerConfig, ContainerEdit, EmptyObject, HostConfig, Mount};
use barge_network::{PortRequest, PublishedPort};
use barge_storage::LayerId;
use barge_sys::fault;
use barge_types::{Port, Signal};

use super::container::Container;
use super::record::{ContainerRecord, MountRecord, MountSource};
use super::settings::{
    NetworkMode, Settings, UtsMode, WantedMount, clean, destination_of, invalid, parse_mounts,
};
use super::{Containers, unrecorded};
use crate::blocking;
use crate::error::{EngineError, Result};
use crate::rollback::Rollback;

/// An edit in two parts.
#[derive(Debug, Default)]
pub(super) struct Split {
    pub(super) now: ContainerEdit,
    /// For the next start.
    pub(super) later: ContainerEdit,
}

/// Parts an edit of a container that runs.
pub(super) fn split(edit: &ContainerEdit) -> Split {
    let now = ContainerEdit {
        label_add: edit.label_add.clone(),
        label_rm: edit.label_rm.clone(),
        publish_add: edit.publish_add.clone(),
        publish_rm: edit.publish_rm.clone(),
        stop_signal: edit.stop_signal.clone(),
        stop_timeout: edit.stop_timeout,
        ..ContainerEdit::default()
    };
    let later = ContainerEdit {
        label_add: Default::default(),
        label_rm: Vec::new(),
        publish_add: Default::default(),
        publish_rm: Vec::new(),
        stop_signal: None,
        stop_timeout: None,
        ..edit.clone()
    };
    Split { now, later }
}

/// What waits for the next start, as people type it.
pub(super) fn warning(later: &ContainerEdit) -> Option<String> {
    let options = [
        (!later.env_add.is_empty(), "--env-add"),
        (!later.env_rm.is_empty(), "--env-rm"),
        (!later.mount_add.is_empty(), "--mount-add"),
        (!later.mount_rm.is_empty(), "--mount-rm"),
        (later.hostname.is_some(), "--hostname"),
        (later.user.is_some(), "--user"),
        (later.working_dir.is_some(), "--workdir"),
    ];
    let names: Vec<&str> =
        options.iter().filter(|(is_asked, _)| *is_asked).map(|(_, name)| *name).collect();
    (!names.is_empty())
        .then(|| format!("{}: in force with the next start of the container", names.join(", ")))
}

/// Writes an edit into a record; its new mounts have no volumes yet ([`Containers::make_new_mounts`]).
pub(super) fn apply(edit: &ContainerEdit, record: &mut ContainerRecord) -> Result<()> {
    apply_env(edit, record)?;
    for name in &edit.label_rm {
        if record.config.labels.remove(name).is_none() {
            return Err(invalid(format!("container {} has no label {name}", record.name)));
        }
    }
    record.config.labels.extend(edit.label_add.clone());
    apply_ports(edit, record)?;
    apply_mounts(edit, record)?;
    if edit.hostname.is_some() && !has_own_hostname(record)? {
        return Err(invalid("conflicting options: hostname and the network mode"));
    }
    let config = &mut record.config;
    for (own, wanted) in [
        (&mut config.hostname, &edit.hostname),
        (&mut config.user, &edit.user),
        (&mut config.working_dir, &edit.working_dir),
    ] {
        if let Some(wanted) = wanted {
            own.clone_from(wanted);
        }
    }
    if let Some(signal) = &edit.stop_signal {
        signal.parse::<Signal>().map_err(|_| invalid(format!("invalid signal: {signal}")))?;
        config.stop_signal.clone_from(signal);
    }
    config.stop_timeout = edit.stop_timeout.or(config.stop_timeout);
    Ok(())
}

fn has_own_hostname(record: &ContainerRecord) -> Result<bool> {
    let host = &record.host_config;
    let is_host = UtsMode::parse(&host.uts_mode)? == UtsMode::Host;
    Ok(!is_host && NetworkMode::parse(&host.network_mode)?.is_own())
}

fn apply_env(edit: &ContainerEdit, record: &mut ContainerRecord) -> Result<()> {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    for gone in &edit.env_rm {
        let before = record.config.env.len();
        record.config.env.retain(|variable| name(variable) != *gone);
        if record.config.env.len() == before {
            return Err(invalid(format!("container {} has no variable {gone}", record.name)));
        }
    }
    for added in &edit.env_add {
        if name(added).is_empty() || !added.contains('=') {
            return Err(invalid(format!("invalid environment variable: {added}")));
        }
        record.config.env.retain(|variable| name(variable) != name(added));
        record.config.env.push(added.clone());
    }
    Ok(())
}

fn apply_ports(edit: &ContainerEdit, record: &mut ContainerRecord) -> Result<()> {
    let mode = NetworkMode::parse(&record.host_config.network_mode)?;
    let has_ports = mode.is_own() && mode.network_name() != Some("none");
    let is_about_ports = !edit.publish_add.is_empty() || !edit.publish_rm.is_empty();
    if is_about_ports && !has_ports {
        return Err(invalid(format!(
            "container {} has no ports to publish: its network is {}",
            record.name, record.host_config.network_mode
        )));
    }
    for text in &edit.publish_rm {
        let port = port(text).map_err(|error| {
            invalid(format!(
                "{}: what is to be removed is named by the container's port alone, as 80 or 80/udp",
                error.message()
            ))
        })?;
        let is_exposed = record.config.exposed_ports.remove(&port).is_some();
        let is_bound = record.host_config.port_bindings.remove(&port).is_some();
        let is_published = is_bound || (is_exposed && record.host_config.publish_all_ports);
        if !is_published {
            return Err(invalid(format!("container {} does not publish {port}", record.name)));
        }
    }
    for (text, bindings) in &edit.publish_add {
        let port = port(text)?;
        record.config.exposed_ports.insert(port.clone(), EmptyObject);
        let own = record.host_config.port_bindings.entry(port).or_default();
        own.get_or_insert_default().extend(bindings.iter().flatten().cloned());
    }
    Ok(())
}

/// `80` is `80/tcp`.
pub(super) fn port(text: &str) -> Result<String> {
    let port: Port =
        text.parse().map_err(|_| invalid(format!("invalid port specification: {text:?}")))?;
    Ok(port.to_string())
}

fn apply_mounts(edit: &ContainerEdit, record: &mut ContainerRecord) -> Result<()> {
    for text in &edit.mount_rm {
        let path = clean(text)?;
        let is_wanted = |mount: &Mount| clean(&mount.target).is_ok_and(|target| target == path);
        let is_there = record.mounts.iter().any(|mount| mount.destination == path)
            // Added before, and not made yet.
            || record.host_config.mounts.iter().any(is_wanted);
        if !is_there {
            return Err(invalid(format!("container {} has no mount at {path}", record.name)));
        }
        record.mounts.retain(|mount| mount.destination != path);
        forget_mount(&path, (&mut record.config, &mut record.host_config));
    }
    for mount in &edit.mount_add {
        let path = clean(&mount.target)?;
        if record.mounts.iter().any(|other| other.destination == path) {
            return Err(invalid(format!("Duplicate mount point: {path}")));
        }
        record.host_config.mounts.push(mount.clone());
    }
    Ok(())
}

/// Takes what is said of a mount out of a request.
pub(super) fn forget_mount(path: &str, (config, host): (&mut ContainerConfig, &mut HostConfig)) {
    let is_other = |text: &str| clean(text).map_or(true, |other| other != path);
    config.volumes.retain(|target, _| is_other(target));
    host.binds.retain(|bind| destination_of(bind).is_none_or(|other| other != path));
    host.mounts.retain(|mount| is_other(&mount.target));
    host.tmpfs.retain(|target, _| is_other(target));
}

impl Containers {
    /// What the record would be with everything that waits, to be refused now rather than with the next start.
    pub(super) fn check_pending(&self, record: &ContainerRecord) -> Result<()> {
        let mut preview = record.clone();
        for edit in &record.pending {
            apply(edit, &mut preview)?;
        }
        Settings::parse(&preview.config, &preview.host_config, &self.machine)?;
        let mounts = parse_mounts(&preview.config, &preview.host_config)?;
        let is_new = |mount: &&WantedMount| {
            !record.mounts.iter().any(|own| own.destination == mount.destination)
        };
        mounts.iter().filter(is_new).try_for_each(|mount| {
            mount.check_source()?;
            self.check_image(mount)
        })
    }

    /// Makes and fills the volumes of what was added to the record's mounts.
    pub(super) fn make_new_mounts(
        &self,
        record: &mut ContainerRecord,
        undo: &mut Rollback,
    ) -> Result<()> {
        let mut wanted = parse_mounts(&record.config, &record.host_config)?;
        wanted
            .retain(|mount| !record.mounts.iter().any(|own| own.destination == mount.destination));
        if wanted.is_empty() {
            return Ok(());
        }
        let mut made = self.make_wanted(&record.id, wanted, undo)?;
        self.copy_up(&record.id, &made)?;
        record.mounts.append(&mut made);
        Ok(())
    }

    /// After the change is in force: volumes that the container no longer has are let go. They stay; the layers of images
    /// that it had mounted go.
    pub(super) fn let_go(&self, before: &ContainerRecord, after: &ContainerRecord) {
        let volume = |mount: &MountRecord| match &mount.source {
            MountSource::Volume { name, .. } => Some(name.clone()),
            MountSource::Bind { .. } | MountSource::Tmpfs { .. } | MountSource::Image { .. } => {
                None
            }
        };
        let kept: Vec<String> = after.mounts.iter().filter_map(volume).collect();
        for name in before.mounts.iter().filter_map(volume).filter(|name| !kept.contains(name)) {
            if let Ok(name) = name.parse() {
                self.volumes.release(&name, &before.id);
            }
        }
        let layers = |record: &ContainerRecord| -> Vec<LayerId> {
            record.mounts.iter().filter_map(MountRecord::image_layer).collect()
        };
        let kept = layers(after);
        self.remove_layers(layers(before).iter().filter(|layer| !kept.contains(layer)));
    }

    /// Makes what waited for the next start so, at that start.
    pub(super) async fn take_pending(self: &Arc<Self>, container: &Arc<Container>) -> Result<()> {
        let before = container.record();
        if before.pending.is_empty() {
            return Ok(());
        }
        let (this, container) = (Arc::clone(self), Arc::clone(container));
        blocking::run(move || {
            let mut record = (*before).clone();
            for edit in std::mem::take(&mut record.pending) {
                apply(&edit, &mut record)?;
            }
            let settings = Settings::parse(&record.config, &record.host_config, &this.machine)?;
            let mut undo = Rollback::default();
            this.make_new_mounts(&mut record, &mut undo)?;
            fault::point("edit: mounts made");
            record.save(&container.folder)?;
            fault::point("edit: recorded");
            unrecorded::forget(&container.folder);
            undo.commit();
            container.replace(record, settings);
            this.let_go(&before, &container.record());
            Ok(())
        })
        .await
    }

    /// Publishes the ports of a container that runs as its new settings say. Gives what it had before.
    pub(super) async fn republish(
        &self,
        container: &Container,
        (before, after): (&Settings, &Settings),
    ) -> Result<Option<Vec<PublishedPort>>> {
        if before.ports == after.ports {
            return Ok(None);
        }
        let Some(endpoint) = container.endpoint() else { return Ok(None) };
        let had = endpoint.link().map(|link| link.ports.clone()).unwrap_or_default();
        let stays = |port: &PublishedPort| {
            after.ports.iter().any(|request| {
                request.container == port.container && before.ports.contains(request)
            })
        };
        let keep: Vec<PublishedPort> = had.iter().copied().filter(stays).collect();
        let add: Vec<PortRequest> =
            after.ports.iter().filter(|request| !before.ports.contains(request)).cloned().collect();
        self.set_ports(container, keep, add).await?;
        Ok(Some(had))
    }

    /// Publishes these ports and no others.
    pub(super) async fn set_ports(
        &self,
        container: &Container,
        keep: Vec<PublishedPort>,
        add: Vec<PortRequest>,
    ) -> Result<()> {
        let (network, id) = (Arc::clone(&self.network), container.id.clone());
        let endpoint =
            blocking::run(move || network.republish(&id, &keep, &add).map_err(EngineError::from))
                .await?;
        container.inner().endpoint = Some(endpoint);
        Ok(())
    }

    /// Publishes again what was before a change that failed.
    pub(super) async fn take_back_ports(&self, container: &Container, had: Vec<PublishedPort>) {
        let now = container.endpoint();
        let now = now.as_ref().and_then(|endpoint| endpoint.link());
        let keep: Vec<PublishedPort> = had
            .iter()
            .copied()
            .filter(|port| now.is_some_and(|link| link.ports.contains(port)))
            .collect();
        let add = had.iter().filter(|port| !keep.contains(port)).map(PublishedPort::to_request);
        let add = add.collect();
        if let Err(error) = self.set_ports(container, keep, add).await {
            tracing::warn!(container = %container.id, error = error.message(), "ports could not be published again");
        }
    }
}
