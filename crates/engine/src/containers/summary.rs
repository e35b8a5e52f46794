//! What the listing and the inspection of containers share: the API's words for state, ports, mounts and networks.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use barge_api_types::{
    ContainerSummary, EndpointSettings, MountPoint, PortBinding, PortMap, PortSummary,
    SummaryHostConfig, SummaryNetworkSettings,
};
use barge_network::{Endpoint, Link};
use barge_storage::StorageError;

use super::container::Container;
use super::health::HealthStatus;
use super::record::{Access, MountRecord, MountSource};
use super::state::{FailedStart, Freeze, Removal, RemovalProgress, Running, State};
use super::{Containers, command};
use crate::error::Result;
use crate::time;

impl Containers {
    /// A line of `ps`.
    pub(super) fn summary(&self, container: &Container) -> ContainerSummary {
        let record = container.record();
        let state = container.state();
        let (path, arguments) = command(&record.config);
        // A name that means another image now, or none, would mislead.
        let image = match self.images.resolve(&record.config.image) {
            Ok(found) if found.id() == record.image => record.config.image.clone(),
            Ok(_) | Err(_) => record.image.to_string(),
        };
        let host = &record.host_config;
        ContainerSummary {
            id: record.id.to_string(),
            names: self.registry.names(container),
            image,
            image_id: record.image.to_string(),
            command: std::iter::once(path).chain(arguments).collect::<Vec<_>>().join(" "),
            created: time::from_rfc3339(&record.created).map_or(0, time::unix_seconds),
            ports: self.port_summaries(container),
            labels: record.config.labels.clone(),
            state: state.word().to_owned(),
            status: status(&state, container.health(), SystemTime::now()),
            host_config: SummaryHostConfig {
                network_mode: host.network_mode.clone(),
                annotations: host.annotations.clone(),
            },
            network_settings: SummaryNetworkSettings { networks: self.networks(container) },
            mounts: record.mounts.iter().map(|mount| self.mount_point(mount)).collect(),
            ..ContainerSummary::default()
        }
    }

    pub(super) fn port_summaries(&self, container: &Container) -> Vec<PortSummary> {
        let record = container.record();
        let endpoint = container.endpoint();
        // Without a link there is nothing that ports could be on.
        let Some(link) = endpoint.as_ref().and_then(Endpoint::link) else {
            return Vec::new();
        };
        let published = &link.ports;
        let mut ports: Vec<PortSummary> = published
            .iter()
            .map(|port| PortSummary {
                ip: port.host_address.to_string(),
                private_port: port.container.number,
                public_port: port.host_port,
                protocol: port.container.protocol.to_string(),
            })
            .collect();
        if container.state().running().is_some() {
            for exposed in record
                .config
                .exposed_ports
                .keys()
                .filter_map(|port| port.parse::<barge_types::Port>().ok())
            {
                if !published.iter().any(|port| port.container == exposed) {
                    ports.push(PortSummary {
                        private_port: exposed.number,
                        protocol: exposed.protocol.to_string(),
                        ..PortSummary::default()
                    });
                }
            }
        }
        ports
    }

    /// The networks that a container is or will be in.
    pub(super) fn networks(&self, container: &Container) -> BTreeMap<String, EndpointSettings> {
        let record = container.record();
        let Some(name) = container.settings().network.network_name().map(str::to_owned) else {
            return BTreeMap::new();
        };
        let mut settings = record.endpoints.get(&name).cloned().unwrap_or_default();
        if let Some(endpoint) = container.endpoint() {
            settings.network_id = endpoint.network.to_string();
            settings.endpoint_id = endpoint.id.to_string();
            if let Some(link) = endpoint.link() {
                settings.ip_address = link.address.addr().to_string();
                settings.ip_prefix_len = link.address.prefix_len();
                settings.gateway =
                    link.gateway.map(|gateway| gateway.to_string()).unwrap_or_default();
                settings.mac_address = link.mac.to_string();
            }
        }
        BTreeMap::from([(name, settings)])
    }

    /// The name and id of the network that a container is in.
    pub(super) fn network_of(&self, container: &Container) -> Option<(String, String)> {
        let inner = container.inner();
        inner
            .endpoint
            .as_ref()
            .map(|endpoint| (endpoint.network_name.clone(), endpoint.network.to_string()))
    }

    pub(super) fn mount_point(&self, mount: &MountRecord) -> MountPoint {
        let (kind, name, source, driver) = match &mount.source {
            MountSource::Bind { path, .. } => {
                ("bind", String::new(), path.display().to_string(), "")
            }
            MountSource::Tmpfs { .. } => ("tmpfs", String::new(), String::new(), ""),
            MountSource::Image { name, .. } => {
                ("image", name.clone(), self.place_of_image(mount).unwrap_or_default(), "")
            }
            MountSource::Volume { name, .. } => {
                let path =
                    self.volumes.get(name).map(|volume| volume.mountpoint.display().to_string());
                ("volume", name.clone(), path.unwrap_or_default(), "local")
            }
        };
        let is_bind = kind == "bind";
        MountPoint {
            kind: kind.to_owned(),
            name,
            source,
            destination: mount.destination.clone(),
            driver: driver.to_owned(),
            mode: mount.mode.clone(),
            rw: mount.access == Access::ReadWrite,
            propagation: if is_bind && mount.propagation.is_empty() {
                "rprivate".to_owned()
            } else {
                mount.propagation.clone()
            },
        }
    }

    /// Where the files of a mounted image are while it is mounted.
    fn place_of_image(&self, mount: &MountRecord) -> Option<String> {
        self.storage.metadata(&mount.image_layer()?).ok()?.remove("MergedDir")
    }

    /// The bytes in the container's own layer, and with those of its image.
    pub(super) fn sizes(&self, container: &Container) -> Result<(i64, i64)> {
        let parent = self.storage.parent(&container.layer)?;
        let own = self.storage.diff_size(&container.layer, parent.as_ref())?;
        let image = match self.images.image(&container.record().image) {
            Ok(image) => image.size,
            // Forced away; its layers stay for the container.
            Err(_) => {
                let init =
                    parent.ok_or_else(|| StorageError::NoSuchLayer(container.layer.clone()))?;
                let top = self.storage.parent(&init)?;
                top.map_or(0, |top| self.images.size_down_from(&top))
            }
        };
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        Ok((signed(own), signed(own.saturating_add(image))))
    }
}

/// `{"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "90/tcp": null}`.
pub(super) fn port_map(exposed: impl Iterator<Item = String>, link: Option<&Link>) -> PortMap {
    let mut map: PortMap = exposed.map(|port| (port, None)).collect();
    for port in link.map_or(&[][..], |link| &link.ports) {
        let binding = PortBinding {
            host_ip: port.host_address.to_string(),
            host_port: port.host_port.to_string(),
        };
        map.entry(port.container.to_string()).or_default().get_or_insert_default().push(binding);
    }
    map
}

/// `Up 5 minutes (healthy)`, `Exited (0) 3 seconds ago`.
fn status(state: &State, health: Option<HealthStatus>, now: SystemTime) -> String {
    let since = |moment: SystemTime| human_duration(now.duration_since(moment).unwrap_or_default());
    match state {
        State::Created(Some(FailedStart { code, before: Some(before), .. })) => {
            format!("Exited ({code}) {} ago", since(before.finished))
        }
        State::Created(_) => "Created".to_owned(),
        State::Running(Running { since: started, freeze, .. }) => {
            let more = match (freeze, health) {
                (Freeze::Frozen, _) => " (Paused)",
                (Freeze::Thawed, Some(HealthStatus::Starting)) => " (health: starting)",
                (Freeze::Thawed, Some(HealthStatus::Healthy)) => " (healthy)",
                (Freeze::Thawed, Some(HealthStatus::Unhealthy)) => " (unhealthy)",
                (Freeze::Thawed, None) => "",
            };
            format!("Up {}{more}", since(*started))
        }
        State::Restarting(ended) => {
            format!("Restarting ({}) {} ago", ended.code, since(ended.finished))
        }
        State::Exited(ended) => format!("Exited ({}) {} ago", ended.code, since(ended.finished)),
        State::Removing(Removal { progress: RemovalProgress::Failed, .. }) => "Dead".to_owned(),
        State::Removing(_) => "Removal In Progress".to_owned(),
    }
}

/// A span of time as Docker's listings say it.
fn human_duration(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (.., 0 | 1) => "About an hour".to_owned(),
        (.., 2..48) => format!("{hours} hours"),
        (.., 48..336) => format!("{} days", hours / 24),
        (.., 336..1460) => format!("{} weeks", hours / 24 / 7),
        (.., 1460..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::state::{Ended, Oom};

    #[test]
    fn spans_read_as_dockers() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (150, "2 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (48 * 3600, "2 days"),
            (15 * 24 * 3600, "2 weeks"),
            (70 * 24 * 3600, "2 months"),
            (800 * 24 * 3600, "2 years"),
        ] {
            assert_eq!(human_duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_status_says_state_code_and_age() {
        let start = SystemTime::UNIX_EPOCH;
        let ended = Ended { started: start, finished: start, code: 3, oom: Oom::Spared };
        let now = start + Duration::from_secs(5);
        assert_eq!(status(&State::Exited(ended), None, now), "Exited (3) 5 seconds ago");
        let running = Running { pid: 1, since: start, freeze: Freeze::Frozen };
        let well = Some(HealthStatus::Healthy);
        assert_eq!(status(&State::Running(running), well, now), "Up 5 seconds (Paused)");
        let running = State::Running(Running { freeze: Freeze::Thawed, ..running });
        assert_eq!(status(&running, None, now), "Up 5 seconds");
        assert_eq!(status(&running, well, now), "Up 5 seconds (healthy)");
        let starts = Some(HealthStatus::Starting);
        assert_eq!(status(&running, starts, now), "Up 5 seconds (health: starting)");
    }
}
