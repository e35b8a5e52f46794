//! `inspect`: everything that is known of a container.

use std::collections::BTreeMap;
use std::sync::Arc;

use barge_api_types::{
    ContainerInspect, ContainerState, GraphDriverInfo, HostConfig, NetworkSettings,
};
use barge_network::Endpoint;
use barge_storage::StorageError;

use super::container::Container;
use super::exec::running_ids;
use super::health::Health;
use super::settings::NetworkMode;
use super::state::{Freeze, Oom, Running, State};
use super::summary::port_map;
use super::{Containers, command};
use crate::error::Result;
use crate::{blocking, time};

/// Whether sizes are wanted, which take a walk of the container's layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// They are not.
    Omit,
    /// They are.
    Include,
}

impl Containers {
    /// Everything that is known of a container.
    pub async fn inspect(self: &Arc<Self>, name: &str, size: Size) -> Result<ContainerInspect> {
        let container = self.registry.find(name)?;
        let this = Arc::clone(self);
        blocking::run(move || this.inspect_now(&container, size)).await
    }

    fn inspect_now(&self, container: &Container, size: Size) -> Result<ContainerInspect> {
        let record = container.record();
        let state = container.state();
        let (path, args) = command(&record.config);
        let file = |name: &str| container.folder.join(name).display().to_string();
        let (exec_ids, restarts, health) = {
            let inner = container.inner();
            (running_ids(&inner.execs), inner.restarts, inner.health.as_ref().map(Health::view))
        };
        let (size_rw, size_root_fs) = match size {
            Size::Omit => (None, None),
            Size::Include => self.sizes(container).map(|(rw, root)| (Some(rw), Some(root)))?,
        };
        // Docker tells the path of `json-file` alone: the others' files are not for other programs.
        let log =
            self.log_file(container).filter(|log| log.format == barge_logdriver::Format::JsonLines);
        Ok(ContainerInspect {
            id: record.id.to_string(),
            created: record.created.clone(),
            path,
            args,
            state: ContainerState { health, ..state_view(&state) },
            image: record.image.to_string(),
            resolv_conf_path: file("resolv.conf"),
            hostname_path: file("hostname"),
            hosts_path: file("hosts"),
            log_path: log.map(|log| log.path.display().to_string()).unwrap_or_default(),
            name: format!("/{}", record.name),
            restart_count: i64::from(restarts),
            driver: record.driver.clone(),
            platform: "linux".to_owned(),
            app_armor_profile: container.settings().security.apparmor.clone().unwrap_or_default(),
            exec_ids,
            host_config: HostConfig {
                links: self.shown_links(&record, &container.settings()),
                ..record.host_config.clone()
            },
            graph_driver: GraphDriverInfo {
                data: self.layer_facts(container)?,
                name: record.driver.clone(),
            },
            size_rw,
            size_root_fs,
            mounts: record.mounts.iter().map(|mount| self.mount_point(mount)).collect(),
            config: record.config.clone(),
            network_settings: self.network_settings(container),
            pending: record.pending.clone(),
            ..ContainerInspect::default()
        })
    }

    /// Nothing for a container that is being removed, whose layer goes before it does.
    fn layer_facts(&self, container: &Container) -> Result<BTreeMap<String, String>> {
        match self.storage.metadata(&container.layer) {
            Err(StorageError::NoSuchLayer(_)) => Ok(BTreeMap::new()),
            facts => Ok(facts?),
        }
    }

    fn network_settings(&self, container: &Container) -> NetworkSettings {
        let record = container.record();
        let endpoint = container.endpoint();
        let link = endpoint.as_ref().and_then(Endpoint::link);
        let pid = container.state().running().map(|running| running.pid);
        let has_own = container.settings().network.is_own();
        let exposed = record.config.exposed_ports.keys().cloned();
        let bindings = record.host_config.port_bindings.keys().cloned();
        let mut settings = NetworkSettings {
            networks: self.networks(container),
            // Without a link there is nothing that ports could be mapped to.
            ports: if pid.is_some() && link.is_some() {
                port_map(exposed.chain(bindings), link)
            } else {
                Default::default()
            },
            // A path that leads into the namespace for as long as the container runs.
            sandbox_key: match (pid, &container.settings().network) {
                (Some(pid), NetworkMode::Named(_)) => format!("/proc/{pid}/ns/net"),
                (Some(_), NetworkMode::Host) => "/proc/1/ns/net".to_owned(),
                _ => String::new(),
            },
            sandbox_id: if has_own && pid.is_some() {
                record.id.to_string()
            } else {
                String::new()
            },
            ..NetworkSettings::default()
        };
        if let Some((endpoint, link)) = endpoint.as_ref().zip(link)
            && endpoint.network_name == "bridge"
        {
            settings.endpoint_id = endpoint.id.to_string();
            settings.gateway = link.gateway.map(|gateway| gateway.to_string()).unwrap_or_default();
            settings.ip_address = link.address.addr().to_string();
            settings.ip_prefix_len = link.address.prefix_len();
            settings.mac_address = link.mac.to_string();
        }
        settings
    }
}

fn state_view(state: &State) -> ContainerState {
    let ended = state.ended();
    let running = state.running();
    let never = || time::NEVER.to_owned();
    let started = running.map(|running| running.since).or(ended.map(|ended| ended.started));
    let is_restarting = matches!(state, State::Restarting(_));
    ContainerState {
        status: state.word().to_owned(),
        // As in Docker, a restarting container counts as running.
        running: running.is_some() || is_restarting,
        paused: matches!(running, Some(Running { freeze: Freeze::Frozen, .. })),
        restarting: is_restarting,
        oom_killed: ended.is_some_and(|ended| ended.oom == Oom::Killed),
        dead: state.word() == "dead",
        pid: running.map_or(0, |running| i64::from(running.pid)),
        exit_code: i64::from(state.exit_code()),
        error: match state {
            State::Created(Some(failed)) => failed.error.clone(),
            State::Created(None)
            | State::Running(_)
            | State::Restarting(_)
            | State::Exited(_)
            | State::Removing(_) => String::new(),
        },
        started_at: started.map_or_else(never, time::rfc3339),
        finished_at: ended.map_or_else(never, |ended| time::rfc3339(ended.finished)),
        health: None,
    }
}
